package compose

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong with a compose file.
type Fault struct {
	File         string
	Line, Column int // from 1
	Message      string
}

func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Faults is the error of a file with faults, sorted by where they are.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return (a.Line-b.Line)*10000 + a.Column - b.Column })
	return slices.Compact(f)
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)

// yamlFaults makes faults of the YAML parser's error, whose text holds the lines.
func yamlFaults(err error, file, text string) Faults {
	messages := []string{err.Error()}
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		messages = typed.Errors
	}
	lines := strings.Split(text, "\n")
	var faults Faults
	for _, message := range messages {
		f := Fault{File: file, Line: 1, Column: 1, Message: strings.TrimPrefix(message, "yaml: ")}
		if m := yamlLine.FindStringSubmatch(message); m != nil {
			f.Message = message[len(m[0]):]
			if n, err := strconv.Atoi(m[1]); err == nil && n >= 1 && n <= len(lines) {
				line := lines[n-1]
				f.Line, f.Column = n, 1+len(line)-len(strings.TrimLeft(line, " \t"))
			}
		}
		faults = append(faults, f)
	}
	return faults
}

// at makes a fault of the thing at a path.
func at(doc *yaml.Node, file string, path []string, format string, args ...any) Fault {
	n := locate(doc.Content[0], path)
	return Fault{file, max(n.Line, 1), max(n.Column, 1), fmt.Sprintf(format, args...)}
}

var (
	namedPath    = regexp.MustCompile(`\b(?:services|volumes|networks|secrets|configs)\.[A-Za-z0-9_.\[\]-]+`)
	namedService = regexp.MustCompile(`service "([^"]+)"`)
)

// placed makes a fault of a message that names the thing. It tells of items of a list as [].
func placed(doc *yaml.Node, file, message string) Fault {
	var path []string
	if m := namedPath.FindString(message); m != "" {
		m = strings.NewReplacer("[", ".", "]", "").Replace(m)
		path = strings.Split(strings.Trim(m, "."), ".")
	} else if m := namedService.FindStringSubmatch(message); m != nil {
		path = []string{"services", m[1]}
	}
	return at(doc, file, path, "%s", message)
}
