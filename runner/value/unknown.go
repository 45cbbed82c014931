// Package value holds the Starlark values that the engine adds to the language: Unknown, what only an
// apply can know, and Secret, what must not be shown. The language itself lets both slip through
// comparisons and formatting unnoticed; package lang rewrites programs so that they ask Known first.
package value

import (
	"fmt"
	"sync/atomic"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"phoenix-run/runner/op"
)

// opaqueMade is set once an Unknown or a Secret exists in the process; until then Known is free.
var opaqueMade atomic.Bool

// Unknown is a value that only an apply can know. It may be passed on, joined with + and stored;
// looking at it is an UnknownError.
type Unknown struct{ Value op.Unknown }

// NewUnknown makes the unknown result attr of the operation from.
func NewUnknown(from op.Address, attr string) Unknown {
	opaqueMade.Store(true)
	return Unknown{op.Unknown{From: from, Attr: attr}}
}

// UnknownOf makes the Starlark value of u.
func UnknownOf(u op.Unknown) Unknown {
	opaqueMade.Store(true)
	return Unknown{u}
}

// UnknownError stops a plan where a program looks at what only an apply can know.
type UnknownError struct{ Value op.Unknown }

func (e *UnknownError) Error() string {
	if e.Value.Lost {
		return fmt.Sprintf("%s is lost: the run that did that step was cut off before it could record it; resume once more, and have the step done again", Describe(e.Value))
	}
	return fmt.Sprintf("%s is known only after apply", Describe(e.Value))
}

// Describe names the value and the step that will tell it.
func Describe(u op.Unknown) string {
	if u.Attr == "" {
		return "the result of " + u.From.String()
	}
	return u.Attr + " of " + u.From.String()
}

func (u Unknown) err() error { return &UnknownError{u.Value} }

func (u Unknown) String() string { return op.KnownAfterApply }
func (u Unknown) Type() string   { return "unknown" }
func (u Unknown) Freeze()        {}

// Truth can't fail; every place of a program that asks for truth is rewritten to ask Known first.
func (u Unknown) Truth() starlark.Bool { return true }

// Hash refuses: an unknown key could be any key.
func (u Unknown) Hash() (uint32, error) { return 0, u.err() }

// Attr gives an unknown attribute: what an unknown thing has is unknown too.
func (u Unknown) Attr(name string) (starlark.Value, error) {
	return u.part("." + name), nil
}

// AttrNames lists what is sure to be there.
func (u Unknown) AttrNames() []string { return nil }

// Get gives an unknown element.
func (u Unknown) Get(k starlark.Value) (starlark.Value, bool, error) {
	return u.part("[" + k.String() + "]"), true, nil
}

func (u Unknown) part(suffix string) Unknown {
	return Unknown{op.Unknown{From: u.Value.From, Attr: u.Value.Attr + suffix, Lost: u.Value.Lost}}
}

// Binary lets arithmetic and joining flow; % would format, and so looks.
func (u Unknown) Binary(o syntax.Token, _ starlark.Value, _ starlark.Side) (starlark.Value, error) {
	if o == syntax.PERCENT || o == syntax.IN {
		return nil, u.err()
	}
	return u, nil
}

// Unary lets -x, +x and ~x flow.
func (u Unknown) Unary(syntax.Token) (starlark.Value, error) { return u, nil }

// Name is the name of what would be called.
func (u Unknown) Name() string { return "unknown" }

// CallInternal refuses: what would be called is not known.
func (u Unknown) CallInternal(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return nil, u.err()
}

var (
	_ starlark.HasAttrs  = Unknown{}
	_ starlark.HasBinary = Unknown{}
	_ starlark.HasUnary  = Unknown{}
	_ starlark.Mapping   = Unknown{}
	_ starlark.Callable  = Unknown{}
)
