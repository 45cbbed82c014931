// Package secret holds values that must never be shown, and takes them out of text that will be.
//
// A Value prints, formats and marshals as a placeholder everywhere; only Reveal gives it up.
// The package imports nothing of this project, so that every layer can use it.
package secret

import (
	"fmt"
	"unique"
)

// Placeholder stands wherever a secret would have been shown.
const Placeholder = "(secret)"

// Value is text that must not be shown. The zero Value is an empty secret. Values of the same text
// are equal by ==.
type Value struct {
	// A handle and no string: fmt shows unexported fields of other structs without asking for
	// methods, and of a handle it shows a pointer.
	text unique.Handle[string]
}

// New makes a secret of text.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{unique.Make(text)}
}

// Reveal returns the text itself. Each call is a place to review: the result may go to the other
// side of a connection, never to a log, an error, an argument list or an event.
func (v Value) Reveal() string {
	if v.IsZero() {
		return ""
	}
	return v.text.Value()
}

// IsZero reports whether the secret is empty.
func (v Value) IsZero() bool { return v == Value{} }

// Equal reports whether both hold the same text.
func (v Value) Equal(other Value) bool { return v == other }

func (v Value) String() string               { return Placeholder }
func (v Value) GoString() string             { return Placeholder }
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Placeholder + `"`), nil }
func (v Value) MarshalText() ([]byte, error) { return []byte(Placeholder), nil }

// Format keeps every verb, %x and %d included, from reaching the text.
func (v Value) Format(s fmt.State, _ rune) { fmt.Fprint(s, Placeholder) }
