// Package op is the engine's vocabulary: an operation is one idempotent step on one thing, a change is
// what it would do, and a view is what it reads through. It knows no Starlark and no transport.
package op

import "strings"

// Address names an operation: the same in plan and in apply, unique within a run.
type Address struct {
	Host string `json:"host"` // the machine it works for, as people call it
	Kind string `json:"kind"` // file, package, vm, stack, …
	ID   string `json:"id"`   // path, name or number of the thing
}

// String is the form that people read and that plans and events hold: "qdrant-db/file:/etc/motd".
func (a Address) String() string { return a.Host + "/" + a.Kind + ":" + a.ID }

// IsZero reports whether the address names nothing.
func (a Address) IsZero() bool { return a == Address{} }

// MarshalText gives String, so that addresses are plain strings in JSON.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Address) UnmarshalText(text []byte) error {
	host, rest, _ := strings.Cut(string(text), "/")
	kind, id, _ := strings.Cut(rest, ":")
	*a = Address{host, kind, id}
	return nil
}

// Action is what a change does to its thing.
type Action string

// Actions, from no effect to the strongest.
const (
	None    Action = "none"
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
	Run     Action = "run" // a command, whose effect is not described by attributes
)

// Symbol is the mark people know from other planning tools.
func (a Action) Symbol() string {
	switch a {
	case Create:
		return "+"
	case Update:
		return "~"
	case Replace:
		return "±"
	case Delete:
		return "-"
	case Run:
		return "!"
	}
	return " "
}

// Within reports whether doing a is no more than doing planned: nothing at all is within everything,
// an update within a replacement.
func (a Action) Within(planned Action) bool {
	return a == planned || a == None || (a == Update && planned == Replace)
}

// Confidence is how sure a planned change is.
type Confidence string

const (
	// Certain: the change follows from what was read.
	Certain Confidence = "certain"
	// Likely: it depends on a step whose whole effect nobody can list; Change.Cause names that step.
	Likely Confidence = "likely"
	// Uncertain: a value that only an apply can know decides whether there is a change at all.
	Uncertain Confidence = "unknown"
)
