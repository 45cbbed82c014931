package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong in the configuration.
type Fault struct {
	File    string // as opened: the folder given to Load joined with the file's name
	Line    int    // from 1; 0 where the fault is of the file as a whole
	Column  int    // from 1, in characters
	Path    string // the key, such as virtual_machines[1].cpu_cores; "" for the file as a whole
	Message string // what is wrong, what is allowed, what was meant
}

func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	b.WriteString(": " + f.Message)
	return b.String()
}

func (f Fault) compare(g Fault) int {
	return cmp.Or(cmp.Compare(f.File, g.File), cmp.Compare(f.Line, g.Line), cmp.Compare(f.Column, g.Column),
		cmp.Compare(f.Path, g.Path), cmp.Compare(f.Message, g.Message))
}

// Faults is the error that Load returns for a bad configuration: every fault of all files, sorted
// by file and position. It is never empty.
type Faults []Fault

// Error has one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Warning is something in the configuration that works and should be known.
type Warning Fault

func (w Warning) String() string { return Fault(w).String() }

// report collects faults and warnings.
type report struct {
	faults   []Fault
	warnings []Warning
}

func (r *report) fault(n *node, format string, args ...any) {
	r.faults = append(r.faults, n.fault(format, args...))
}

func (r *report) warn(n *node, format string, args ...any) {
	r.warnings = append(r.warnings, Warning(n.fault(format, args...)))
}

// result sorts what was collected; the error is nil if there is no fault.
func (r *report) result() ([]Warning, error) {
	slices.SortFunc(r.warnings, func(a, b Warning) int { return Fault(a).compare(Fault(b)) })
	slices.SortFunc(r.faults, Fault.compare)
	faults := slices.Compact(r.faults)
	if len(faults) == 0 {
		return r.warnings, nil
	}
	return r.warnings, Faults(faults)
}
