package value

import (
	"errors"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"phoenix-run/secret"
)

// Secret is text that must not be shown. Joining it with + gives a secret; formatting, comparing and
// converting it are refused, and printing it shows a placeholder.
type Secret struct{ secret.Value }

// NewSecret makes a Starlark secret.
func NewSecret(v secret.Value) Secret {
	opaqueMade.Store(true)
	return Secret{v}
}

// ErrSecret is returned where a program looks into a secret.
var ErrSecret = errors.New("a secret can't be formatted, compared or converted: join it with + or pass it on as it is")

func (s Secret) Type() string          { return "secret" }
func (s Secret) Freeze()               {}
func (s Secret) Truth() starlark.Bool  { return starlark.Bool(!s.IsZero()) }
func (s Secret) Hash() (uint32, error) { return 0, ErrSecret }

// Binary joins secrets and strings to a secret, and leaves an Unknown unknown.
func (s Secret) Binary(o syntax.Token, other starlark.Value, side starlark.Side) (starlark.Value, error) {
	if o != syntax.PLUS {
		return nil, ErrSecret
	}
	var text string
	switch y := other.(type) {
	case starlark.String:
		text = string(y)
	case Secret:
		text = y.Reveal()
	case Unknown:
		return y, nil
	default:
		return nil, nil
	}
	if side == starlark.Left {
		return NewSecret(secret.New(s.Reveal() + text)), nil
	}
	return NewSecret(secret.New(text + s.Reveal())), nil
}

var _ starlark.HasBinary = Secret{}
