package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Ref says where a secret comes from: the configuration itself, an environment variable, a file or
// a command's output. Nothing is read until Resolve. The zero Ref says that none is given.
//
// In JSON it is a string (the secret itself), {"env": NAME}, {"file": PATH} or {"command": [ARGV]}.
type Ref struct {
	kind    kind
	literal Value
	name    string   // of the environment variable, or the file's path
	command []string // program and arguments
}

type kind uint8

const (
	kindNone kind = iota
	kindLiteral
	kindEnv
	kindFile
	kindCommand
)

// ErrNotSet is what Resolve returns for the zero Ref.
var ErrNotSet = errors.New("no secret is given")

// Literal refers to text itself.
func Literal(text string) Ref { return Ref{kind: kindLiteral, literal: New(text)} }

// FromEnv refers to the environment variable name.
func FromEnv(name string) Ref { return Ref{kind: kindEnv, name: name} }

// FromFile refers to the content of the file at path. A relative path starts at the folder that
// Resolve is given, "~/" at the home folder.
func FromFile(path string) Ref { return Ref{kind: kindFile, name: path} }

// FromCommand refers to what the program argv[0], run with the other arguments and with no shell,
// writes to its standard output.
func FromCommand(argv ...string) Ref { return Ref{kind: kindCommand, command: slices.Clone(argv)} }

// IsZero reports whether no secret is given.
func (r Ref) IsZero() bool { return r.kind == kindNone }

// Literal returns the secret that stands in the configuration itself; ok is false if it comes from
// elsewhere or is not given.
func (r Ref) Literal() (v Value, ok bool) { return r.literal, r.kind == kindLiteral }

// Equal reports whether both refer to the same source.
func (r Ref) Equal(other Ref) bool {
	return r.kind == other.kind && r.literal == other.literal && r.name == other.name &&
		slices.Equal(r.command, other.command)
}

// String names the source, and never the value. A command's arguments are left out: people put
// things there that should not be shown.
func (r Ref) String() string {
	switch r.kind {
	case kindLiteral:
		return "the configuration"
	case kindEnv:
		return "the environment variable " + r.name
	case kindFile:
		return "the file " + r.name
	case kindCommand:
		return "the command " + r.command[0]
	default:
		return "nowhere"
	}
}

// GoString is String, so that %#v shows no literal either.
func (r Ref) GoString() string { return "secret.Ref(" + r.String() + ")" }

// Format keeps every verb from reaching the literal.
func (r Ref) Format(s fmt.State, _ rune) { fmt.Fprint(s, r.String()) }

// refJSON is the object form of a Ref.
type refJSON struct {
	Env     string   `json:"env,omitempty"`
	File    string   `json:"file,omitempty"`
	Command []string `json:"command,omitempty"`
}

// MarshalJSON writes the source; a literal is written as Placeholder.
func (r Ref) MarshalJSON() ([]byte, error) {
	switch r.kind {
	case kindNone:
		return []byte("null"), nil
	case kindLiteral:
		return r.literal.MarshalJSON()
	case kindEnv:
		return json.Marshal(refJSON{Env: r.name})
	case kindFile:
		return json.Marshal(refJSON{File: r.name})
	default:
		return json.Marshal(refJSON{Command: r.command})
	}
}

// UnmarshalJSON reads any of the four forms, and null as the zero Ref. Its errors never hold what
// it read.
func (r *Ref) UnmarshalJSON(data []byte) error {
	switch trimmed := strings.TrimSpace(string(data)); {
	case trimmed == "null":
		*r = Ref{}
		return nil
	case strings.HasPrefix(trimmed, `"`):
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return errForm
		}
		*r = Literal(text)
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || len(object) != 1 {
		return errForm
	}
	for key, raw := range object {
		var text string
		var argv []string
		switch {
		case key == "env" && json.Unmarshal(raw, &text) == nil && text != "":
			*r = FromEnv(text)
		case key == "file" && json.Unmarshal(raw, &text) == nil && text != "":
			*r = FromFile(text)
		case key == "command" && json.Unmarshal(raw, &argv) == nil && len(argv) > 0 && argv[0] != "":
			*r = FromCommand(argv...)
		default:
			return errForm
		}
	}
	return nil
}

var errForm = errors.New(`a secret is a string, {"env": NAME}, {"file": PATH} or {"command": [PROGRAM, ARGUMENT, ...]}`)

// ResolveError says which source gave no secret, and why. It holds nothing of what was read.
type ResolveError struct {
	Source string // as Ref.String names it
	Err    error
}

func (e *ResolveError) Error() string { return fmt.Sprintf("secret from %s: %v", e.Source, e.Err) }
func (e *ResolveError) Unwrap() error { return e.Err }

// Resolve reads the secret. Relative paths start at dir, and commands run there. A newline at the
// end of a file or an output is taken off. An empty secret from a file, a command or the
// environment is an error. Every error is a *ResolveError.
func (r Ref) Resolve(ctx context.Context, dir string) (Value, error) {
	text, err := r.read(ctx, dir)
	if err != nil {
		return Value{}, &ResolveError{Source: r.String(), Err: err}
	}
	return New(text), nil
}
