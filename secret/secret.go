// Package secret holds values that must never be shown, and takes them out of text that will be.
//
// A Value prints, formats and marshals as a placeholder everywhere; only Reveal gives it up.
// The package imports nothing of this project, so that every layer can use it.
package secret

import "fmt"

// Placeholder stands wherever a secret would have been shown.
const Placeholder = "(secret)"

// Value is text that must not be shown. The zero Value is an empty secret.
type Value struct{ text string }

// New makes a secret of text.
func New(text string) Value { return Value{text} }

// Reveal returns the text itself. Each call is a place to review: the result may go to the other
// side of a connection, never to a log, an error, an argument list or an event.
func (v Value) Reveal() string { return v.text }

// IsZero reports whether the secret is empty.
func (v Value) IsZero() bool { return v.text == "" }

func (v Value) String() string               { return Placeholder }
func (v Value) GoString() string             { return Placeholder }
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Placeholder + `"`), nil }
func (v Value) MarshalText() ([]byte, error) { return []byte(Placeholder), nil }

// Format keeps every verb, %x and %d included, from reaching the text.
func (v Value) Format(s fmt.State, _ rune) { fmt.Fprint(s, Placeholder) }
