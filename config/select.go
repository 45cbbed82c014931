package config

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// SelectError says what is wrong with a pattern given to Select.
type SelectError struct {
	Pattern string // the part that is wrong
	Message string
}

func (e *SelectError) Error() string { return fmt.Sprintf("limit %q: %s", e.Pattern, e.Message) }

// Select returns the machines that a pattern picks, each after those it depends on and otherwise in
// the file's order. A pattern is a list with commas of names, ids and tags, in which *, ? and [...]
// stand for other characters; a machine is picked if any of them fits. Parts that begin with ! take
// machines out again; if there are only such parts, they take them out of all. The empty pattern
// picks all machines.
//
// A part that fits no machine is an error (*SelectError), and so is a pattern that leaves none.
// Machines that wait for each other are an error too (*CycleError).
func (c *Config) Select(pattern string) ([]VM, error) {
	order, err := c.order()
	if err != nil {
		return nil, err
	}
	picked := make([]bool, len(c.VMs))
	var without []string
	some := false
	for part := range strings.SplitSeq(pattern, ",") {
		part = strings.TrimSpace(part)
		if rest, not := strings.CutPrefix(part, "!"); not {
			without = append(without, strings.TrimSpace(rest))
		} else if part != "" {
			some = true
			if err := c.mark(picked, part, true); err != nil {
				return nil, err
			}
		}
	}
	if !some {
		for i := range picked {
			picked[i] = true
		}
	}
	for _, part := range without {
		if err := c.mark(picked, part, false); err != nil {
			return nil, err
		}
	}
	var vms []VM
	for _, i := range order {
		if picked[i] {
			vms = append(vms, c.VMs[i])
		}
	}
	if len(vms) == 0 && len(c.VMs) > 0 {
		return nil, &SelectError{pattern, "leaves no machine"}
	}
	return vms, nil
}

// mark sets picked to value for every machine that the part fits.
func (c *Config) mark(picked []bool, part string, value bool) error {
	if part == "" {
		return &SelectError{"!", "a name, an id or a tag must follow"}
	}
	any := false
	for i, vm := range c.VMs {
		fits, err := vm.fits(part)
		if err != nil {
			return &SelectError{part, "is no pattern: a [ must be closed by a ]"}
		}
		if fits {
			picked[i], any = value, true
		}
	}
	if any {
		return nil
	}
	var names []string
	for _, vm := range c.VMs {
		names = append(names, vm.Name)
		names = append(names, vm.Tags...)
	}
	return &SelectError{part, "fits the name, id or tag of no machine" + didYouMean(part, names)}
}

func (vm VM) fits(pattern string) (bool, error) {
	pattern = strings.ToLower(pattern)
	for _, text := range append([]string{vm.Name, strconv.Itoa(vm.ID)}, vm.Tags...) {
		if ok, err := path.Match(pattern, strings.ToLower(text)); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
