package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CycleError says that machines wait for each other.
type CycleError struct {
	Names []string // each depends on the next one, and the last on the first
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("machines wait for each other in a circle: %s", e.chain())
}

// chain tells the cycle link by link.
func (e *CycleError) chain() string {
	return strings.Join(append(slices.Clone(e.Names), e.Names[0]), " → ")
}

// order returns the indexes of the VMs such that each comes after those it depends on, and
// otherwise in the file's order. Dependencies that there are not are left out.
func (c *Config) order() ([]int, error) {
	const (
		unseen = iota
		open   // on the path that is being walked
		done
	)
	state := make([]int, len(c.VMs))
	var sorted, path []int
	var visit func(i int) error
	visit = func(i int) error {
		switch state[i] {
		case done:
			return nil
		case open:
			e := &CycleError{}
			for _, j := range path[slices.Index(path, i):] {
				e.Names = append(e.Names, c.VMs[j].Name)
			}
			return e
		}
		state[i] = open
		path = append(path, i)
		for _, ref := range c.VMs[i].DependsOn {
			if j := c.findVM(ref); j >= 0 {
				if err := visit(j); err != nil {
					return err
				}
			}
		}
		path = path[:len(path)-1]
		state[i] = done
		sorted = append(sorted, i)
		return nil
	}
	for i := range c.VMs {
		if err := visit(i); err != nil {
			return nil, err
		}
	}
	return sorted, nil
}

// checkDependencies resolves depends_on, and refuses what there is not and circles.
func (l *loader) checkDependencies() {
	var names []string
	for _, vm := range l.config.VMs {
		if vm.ID == 0 || vm.Name == "" {
			return // that is a fault of its own, and would make more here
		}
		names = append(names, vm.Name)
	}
	list := l.vmRoot.get("virtual_machines")
	for i := range l.config.VMs {
		vm := &l.config.VMs[i]
		refs := list.item(i).get("depends_on")
		for j, ref := range vm.DependsOn {
			at := refs.item(j)
			k := l.config.findVM(ref)
			switch {
			case ref == VMRef{} || at == nil: // reported already
			case k < 0:
				l.report.fault(at, "there is no machine %s; %s%s", at.text, known("machines", names), didYouMean(at.text, names))
			case k == i:
				l.report.fault(at, "the machine would wait for itself")
				vm.DependsOn[j] = VMRef{ID: -1}
			default:
				vm.DependsOn[j] = VMRef{ID: l.config.VMs[k].ID, Name: l.config.VMs[k].Name}
			}
		}
	}
	if _, err := l.config.order(); err != nil {
		var cycle *CycleError
		if !errors.As(err, &cycle) {
			return // order has no other error
		}
		i := l.config.findVM(VMRef{Name: cycle.Names[0]})
		l.report.fault(list.item(i).get("depends_on").or(list), "machines wait for each other: %s; one of these links must go", cycle.chain())
	}
}
