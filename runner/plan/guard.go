package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"phoenix-run/runner/op"
)

// Guard allows what a plan holds, and nothing else.
type Guard struct {
	digest op.Digester
	steps  map[string]Step
	defers map[string]Deferral
	allow  bool // of deferred hosts, what was not planned is allowed
}

// NewGuard binds an apply to p. With allowDeferred, hosts whose plan ended early may do what lies
// beyond that point.
func NewGuard(p *Plan, allowDeferred bool) *Guard {
	g := &Guard{digest: op.Digester{Salt: p.Salt}, steps: map[string]Step{}, defers: map[string]Deferral{}, allow: allowDeferred}
	for _, s := range p.Steps {
		g.steps[s.Address.String()] = s
	}
	for _, d := range p.Deferred {
		g.defers[d.Host] = d
	}
	return g
}

// RefusedError says why a change is not what was reviewed.
type RefusedError struct {
	Address op.Address
	Reason  string
}

func (e *RefusedError) Error() string { return "not in the plan: " + e.Reason }

// Allow compares a change with the plan before anything is done.
func (g *Guard) Allow(addr op.Address, change op.Change) error {
	refuse := func(format string, args ...any) error {
		return &RefusedError{addr, fmt.Sprintf(format, args...)}
	}
	step, ok := g.steps[addr.String()]
	if !ok {
		if d, deferred := g.defers[addr.Host]; deferred {
			if g.allow {
				return nil
			}
			return refuse("%s %s was not planned, since the plan of %s ended at %s; plan again, or allow it with --allow-deferred",
				change.Action, addr, d.Host, d.Position)
		}
		return refuse("it would %s %s, which the plan does not have; plan again", change.Action, addr)
	}
	planned := step.Change.Action
	if !change.Action.Within(planned) {
		// What was expected to be absent on a machine nobody could look at may turn out to be there.
		softer := step.Change.Confidence == op.Likely && planned == op.Create && change.Action == op.Update
		if !softer {
			return refuse("it would %s %s, the plan has %s; plan again", change.Action, addr, planned)
		}
	}
	if step.Change.Confidence == op.Certain {
		if what, moved := g.moved(step, change); moved {
			return refuse("%s has changed since the plan was made (%s); plan again", addr, what)
		}
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(change.After)) {
		if want, known := step.After[name]; known && g.digest.Value(change.After[name]) != want {
			differ = append(differ, name)
		}
	}
	if len(differ) > 0 && step.Change.Confidence == op.Certain {
		return refuse("%s of %s would not become what the plan has; plan again", strings.Join(differ, ", "), addr)
	}
	if len(differ) > 0 {
		for _, name := range differ {
			if _, declared := step.Change.After[name]; declared && !inherited(change, name) {
				return refuse("%s of %s would not become what the plan has; plan again", name, addr)
			}
		}
	}
	return nil
}

// inherited reports whether the change leaves the attribute as it is: then it says nothing about intent.
func inherited(change op.Change, name string) bool {
	have, ok := change.Before[name]
	return ok && op.Equal(have, change.After[name])
}

// moved reports whether the thing is not as the plan saw it, and in what. What the plan did not know of a
// thing that an earlier of its steps makes is not compared.
func (g *Guard) moved(step Step, change op.Change) (what string, moved bool) {
	switch {
	case step.Before == nil && change.Before == nil:
		return "", false
	case step.Before == nil:
		return "it was not there", true
	case change.Before == nil:
		return "it is gone", true
	}
	var names []string
	for name, want := range step.Before {
		if have, ok := change.Before[name]; !ok || g.digest.Value(have) != want {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", "), len(names) > 0
}
