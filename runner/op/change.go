package op

import (
	"maps"
	"reflect"
	"slices"

	"phoenix-run/secret"
)

// Change is what an operation would do, or did.
type Change struct {
	Action Action
	Before Attrs // nil if the thing does not exist
	After  Attrs // nil if it will not exist; holds Unknown where only an apply can know
	// Note is a line for people, where attributes don't say it: "restart, since daemon.json changed".
	Note       string
	Confidence Confidence
	Cause      *Cause
	// Open says that an Unknown decides whether there is a change at all.
	Open bool
}

// Compare gives the change that brings current to desired. Attributes that desired does not name stay
// as they are. It is pure.
func Compare(current State, desired Attrs) Change {
	desired = Normal(desired).(map[string]any)
	if !current.Exists() {
		return Change{Action: Create, After: desired}
	}
	after := maps.Clone(map[string]any(current.Attrs))
	differs, open := false, false
	for name, want := range desired {
		have, ok := current.Attrs[name]
		switch {
		case HasUnknown(want):
			open = true
			after[name] = want
		case !ok || !Equal(have, want):
			differs = true
			after[name] = want
		}
	}
	switch {
	case differs:
		return Change{Action: Update, Before: current.Attrs, After: after}
	case open:
		return Change{Action: Update, Before: current.Attrs, After: after, Open: true}
	}
	return Change{Action: None, Before: current.Attrs, After: current.Attrs}
}

// Removal gives the change that makes the thing absent.
func Removal(current State) Change {
	if !current.Exists() {
		return Change{Action: None}
	}
	return Change{Action: Delete, Before: current.Attrs}
}

// Changed lists the attributes in which Before and After differ, sorted.
func (c Change) Changed() []string {
	var names []string
	for name := range c.After {
		if have, ok := c.Before[name]; !ok || !Equal(have, c.After[name]) {
			names = append(names, name)
		}
	}
	for name := range c.Before {
		if _, ok := c.After[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Unknown lists the attributes of After that only an apply can know, sorted.
func (c Change) Unknown() []string {
	var names []string
	for name, v := range c.After {
		if HasUnknown(v) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Equal compares two attribute values. An Unknown equals nothing, itself included.
func Equal(a, b any) bool {
	if HasUnknown(a) || HasUnknown(b) {
		return false
	}
	// A secret equals the same text however it is held: what is read back is plain.
	if s, ok := a.(secret.Value); ok {
		a = s.Reveal()
	}
	if s, ok := b.(secret.Value); ok {
		b = s.Reveal()
	}
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, Equal)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, Equal)
	}
	return reflect.DeepEqual(Normal(a), Normal(b))
}

// Incompatible lists the attributes in which actual is not what was predicted, sorted. A predicted
// Unknown is compatible with everything; attributes that were not predicted are not looked at.
func Incompatible(predicted, actual Attrs) []string {
	var names []string
	for name, want := range predicted {
		if !compatible(want, actual[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func compatible(want, have any) bool {
	switch want := want.(type) {
	case Unknown:
		return true
	case []any:
		list, ok := have.([]any)
		return ok && slices.EqualFunc(want, list, compatible)
	case map[string]any:
		m, ok := have.(map[string]any)
		return ok && maps.EqualFunc(want, m, compatible)
	}
	return Equal(want, have)
}
