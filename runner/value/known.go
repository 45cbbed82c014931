package value

import (
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// maxDepth bounds the look into nested values; Starlark values can hold themselves.
const maxDepth = 32

// Decided returns an error if v itself is unknown: for places that ask for truth, length or elements.
func Decided(v starlark.Value) error {
	if u, ok := v.(Unknown); ok {
		return u.err()
	}
	return nil
}

// Known returns an error if v is or holds, at any depth, an Unknown or a Secret: for places that
// compare or format.
func Known(v starlark.Value) error {
	if !opaqueMade.Load() {
		return nil
	}
	var found error
	walk(v, maxDepth, func(v starlark.Value) bool {
		switch v := v.(type) {
		case Unknown:
			found = v.err()
		case Secret:
			found = ErrSecret
		}
		return found == nil
	})
	return found
}

// FirstUnknown finds an Unknown in v, at any depth.
func FirstUnknown(v starlark.Value) (Unknown, bool) {
	var u Unknown
	var ok bool
	if opaqueMade.Load() {
		walk(v, maxDepth, func(v starlark.Value) bool {
			if found, is := v.(Unknown); is {
				u, ok = found, true
			}
			return !ok
		})
	}
	return u, ok
}

// HasSecret reports whether v is or holds a Secret.
func HasSecret(v starlark.Value) bool {
	found := false
	if opaqueMade.Load() {
		walk(v, maxDepth, func(v starlark.Value) bool {
			if _, ok := v.(Secret); ok {
				found = true
			}
			return !found
		})
	}
	return found
}

// walk visits v and what it holds until visit returns false.
func walk(v starlark.Value, depth int, visit func(starlark.Value) bool) bool {
	if depth == 0 {
		return true
	}
	if !visit(v) {
		return false
	}
	switch v := v.(type) {
	case *starlark.List:
		for i := range v.Len() {
			if !walk(v.Index(i), depth-1, visit) {
				return false
			}
		}
	case starlark.Tuple:
		for _, e := range v {
			if !walk(e, depth-1, visit) {
				return false
			}
		}
	case *starlark.Dict:
		for _, item := range v.Items() {
			if !walk(item[1], depth-1, visit) {
				return false
			}
		}
	case *starlarkstruct.Struct:
		for _, name := range v.AttrNames() {
			if e, err := v.Attr(name); err == nil && !walk(e, depth-1, visit) {
				return false
			}
		}
	}
	return true
}
