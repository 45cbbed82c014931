package op

import (
	"encoding/json"
	"fmt"

	"phoenix-run/secret"
)

// Attrs are the attributes of a thing, by name. A value is nil, bool, int64, float64, string,
// []any, map[string]any, secret.Value or Unknown; nil Attrs mean that the thing does not exist.
type Attrs map[string]any

// State is what an operation read about its thing.
type State struct {
	Attrs Attrs
	// Maybe is set when the thing was not found, but an earlier step may bring it: then absence is
	// an expectation, not a fact.
	Maybe *Cause
}

// Exists reports whether the thing was there.
func (s State) Exists() bool { return s.Attrs != nil }

// Cause is an earlier step whose whole effect nobody can list.
type Cause struct {
	Address Address `json:"address"`
	Why     string  `json:"why"` // "installs packages", "is a new machine"
}

// Unknown stands for a value that only an apply can know.
type Unknown struct {
	From Address `json:"from"` // the operation that will tell
	Attr string  `json:"attr"` // which of its results
	// Lost says that the operation was done by a run that was cut off before it could record what it
	// gave: no apply will tell any more.
	Lost bool `json:"lost,omitempty"`
}

// KnownAfterApply is how an Unknown shows.
const KnownAfterApply = "(known after apply)"

func (u Unknown) String() string               { return KnownAfterApply }
func (u Unknown) MarshalJSON() ([]byte, error) { return json.Marshal(KnownAfterApply) }

// FirstLost finds a lost value in v, at any depth.
func FirstLost(v any) (lost Unknown, ok bool) {
	leaves(v, func(v any) any {
		if u, is := v.(Unknown); is && u.Lost && !ok {
			lost, ok = u, true
		}
		return v
	})
	return lost, ok
}

// HasUnknown reports whether v is or holds an Unknown.
func HasUnknown(v any) bool {
	switch v := v.(type) {
	case Unknown:
		return true
	case []any:
		for _, e := range v {
			if HasUnknown(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if HasUnknown(e) {
				return true
			}
		}
	case Attrs:
		return HasUnknown(map[string]any(v))
	}
	return false
}

// Normal brings v into the few types that Attrs hold: every integer an int64, every list []any.
// It panics on a type that has no place there, which is a fault in an operation.
func Normal(v any) any {
	switch v := v.(type) {
	case nil, bool, int64, float64, string, secret.Value, Unknown:
		return v
	case int:
		return int64(v)
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return list
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = Normal(e)
		}
		return list
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = e
		}
		return m
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = Normal(e)
		}
		return m
	case Attrs:
		return Normal(map[string]any(v))
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			panic(fmt.Sprintf("op: %q is no number", v))
		}
		return f
	case fmt.Stringer:
		return v.String()
	}
	panic(fmt.Sprintf("op: an attribute can't hold a %T", v))
}
