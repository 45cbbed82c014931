package lang

import (
	"fmt"
	"slices"

	"go.starlark.net/lib/json"
	"go.starlark.net/lib/math"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

// deepLookers are the functions of the language that compare, hash, convert or format what their
// arguments hold; shallowLookers look at the arguments alone.
var (
	deepLookers    = []string{"str", "repr", "sorted", "min", "max", "any", "all", "hash", "set"}
	shallowLookers = []string{"bool", "len", "int", "float", "list", "tuple", "enumerate", "zip",
		"reversed", "range", "ord", "chr", "abs", "type", "dir", "hasattr", "bytes"}
)

// Universe gives what every module can use: the language's own functions, made honest about unknown
// values and secrets, and the data modules json, math and struct.
func Universe() starlark.StringDict {
	u := starlark.StringDict{
		knownName:   starlark.NewBuiltin(knownName, checker(value.Known)),
		decidedName: starlark.NewBuiltin(decidedName, checker(value.Decided)),
		methodsName: starlark.NewBuiltin(methodsName, methods),
		"getattr":   starlark.NewBuiltin("getattr", getattr),
		"struct":    starlark.NewBuiltin("struct", starlarkstruct.Make),
		"math":      mathModule(),
		"json":      jsonModule(),
		"known":     starlark.NewBuiltin("known", known),
		orPlanName:  starlark.NewBuiltin("or_plan", orPlan),
	}
	for _, name := range deepLookers {
		u[name] = guarded(name, value.Known)
	}
	for _, name := range shallowLookers {
		u[name] = guarded(name, value.Decided)
	}
	u["dict"] = guarded("dict", knownKeys)
	return u
}

func checker(check func(starlark.Value) error) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		if err := check(args[0]); err != nil {
			return nil, err
		}
		return args[0], nil
	}
}

// methodsOf is a value whose methods check their arguments: for methods that are taken in one place and
// called in another, where no rewriting sees what they are given.
type methodsOf struct{ starlark.HasAttrs }

// Attr gives a method that looks at its arguments with a check in front.
func (m methodsOf) Attr(name string) (starlark.Value, error) {
	v, err := m.HasAttrs.Attr(name)
	if method, ok := v.(*starlark.Builtin); ok && lookingMethods[name] {
		return guardedCall(method), err
	}
	return v, err
}

// withMethods gives v as methodsOf, if it is of one of the language's own types.
func withMethods(v starlark.Value) starlark.Value {
	switch v := v.(type) {
	case starlark.String:
		return methodsOf{v}
	case starlark.Bytes:
		return methodsOf{v}
	case *starlark.List:
		return methodsOf{v}
	case *starlark.Dict:
		return methodsOf{v}
	case *starlark.Set:
		return methodsOf{v}
	}
	return v
}

func methods(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return withMethods(args[0]), nil
}

// getattr is the language's own; the methods that it gives check their arguments.
func getattr(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		args = append(starlark.Tuple{withMethods(args[0])}, args[1:]...)
	}
	return starlark.Universe["getattr"].(*starlark.Builtin).CallInternal(thread, args, kwargs)
}

// guardedCall is fn with its receiver's elements and its arguments checked first, at any depth.
func guardedCall(fn *starlark.Builtin) *starlark.Builtin {
	return starlark.NewBuiltin(fn.Name(), func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if receiverLooks[fn.Name()] {
			if err := value.Known(fn.Receiver()); err != nil {
				return nil, err
			}
		}
		for _, arg := range args {
			if err := value.Known(arg); err != nil {
				return nil, err
			}
		}
		for _, kv := range kwargs {
			if err := value.Known(kv[1]); err != nil {
				return nil, err
			}
		}
		return fn.CallInternal(thread, args, kwargs)
	})
}

// mathModule is the language's math, which computes with known numbers only.
func mathModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for name, member := range math.Module.Members {
		if fn, ok := member.(*starlark.Builtin); ok {
			member = guardedCall(fn)
		}
		members[name] = member
	}
	return &starlarkstruct.Module{Name: "math", Members: members}
}

// guarded is the language's own function, with its arguments checked first.
func guarded(name string, check func(starlark.Value) error) *starlark.Builtin {
	original := starlark.Universe[name].(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		for _, arg := range args {
			if err := check(arg); err != nil {
				return nil, err
			}
		}
		kwargs = slices.Clone(kwargs)
		for i, kv := range kwargs {
			if err := check(kv[1]); err != nil && name != "dict" {
				return nil, err
			}
			if key, ok := kv[1].(starlark.Callable); ok && kv[0] == starlark.String("key") {
				kwargs[i] = starlark.Tuple{kv[0], checkedKey(key, check)}
			}
		}
		return original.CallInternal(thread, args, kwargs)
	})
}

// knownKeys checks the keys of a list of pairs, as dict takes it.
func knownKeys(v starlark.Value) error {
	if err := value.Decided(v); err != nil {
		return err
	}
	pairs, ok := v.(starlark.Iterable)
	if _, mapping := v.(starlark.IterableMapping); !ok || mapping {
		return nil
	}
	for pair := range starlark.Elements(pairs) {
		if err := value.Decided(pair); err != nil {
			return err
		}
		if two, ok := pair.(starlark.Indexable); ok && two.Len() == 2 {
			if err := value.Known(two.Index(0)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkedKey is the key function of sorted, min or max, whose results are compared.
func checkedKey(key starlark.Callable, check func(starlark.Value) error) starlark.Callable {
	return starlark.NewBuiltin(key.Name(), func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		v, err := starlark.Call(thread, key, args, kwargs)
		if err != nil {
			return nil, err
		}
		return v, check(v)
	})
}

// known asks whether a value, and all that it holds, can be looked at now.
func known(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "value", &v); err != nil {
		return nil, err
	}
	_, unknown := value.FirstUnknown(v)
	return starlark.Bool(!unknown), nil
}

// orPlan is a value, or what stands for it in a plan while it can't be looked at.
func orPlan(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var standIn starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args[1:], kwargs, "value", &standIn); err != nil {
		return nil, err
	}
	if _, unknown := value.FirstUnknown(args[0]); unknown {
		return standIn, nil
	}
	return args[0], nil
}

// jsonModule is the language's json, whose results are unknown or secret where what went in was.
func jsonModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for name, member := range json.Module.Members {
		original := member.(*starlark.Builtin)
		members[name] = starlark.NewBuiltin("json."+name, func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			for _, arg := range args {
				if u, ok := value.FirstUnknown(arg); ok {
					return value.NewUnknown(u.Value.From, b.Name()+"("+u.Value.Attr+")"), nil
				}
				if value.HasSecret(arg) {
					return secretJSON(name, arg)
				}
			}
			return original.CallInternal(thread, args, kwargs)
		})
	}
	members["encode_indent"] = starlark.NewBuiltin("json.encode_indent", encodeIndent(members))
	return &starlarkstruct.Module{Name: "json", Members: members}
}

// encodeIndent is encode and indent in one, with two spaces and a newline at the end, as files have it.
func encodeIndent(members starlark.StringDict) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var v starlark.Value
		prefix, indent := "", "  "
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "value", &v, "prefix?", &prefix, "indent?", &indent); err != nil {
			return nil, err
		}
		text, err := starlark.Call(thread, members["encode"], starlark.Tuple{v}, nil)
		if err != nil {
			return nil, err
		}
		s, ok := text.(starlark.String)
		if !ok { // unknown or secret
			return text, nil
		}
		text, err = starlark.Call(thread, members["indent"], starlark.Tuple{s}, []starlark.Tuple{
			{starlark.String("prefix"), starlark.String(prefix)}, {starlark.String("indent"), starlark.String(indent)}})
		if err != nil {
			return nil, err
		}
		return text.(starlark.String) + "\n", nil
	}
}

func secretJSON(name string, arg starlark.Value) (starlark.Value, error) {
	if name != "encode" {
		return nil, value.ErrSecret
	}
	plain, err := value.ToGo(arg)
	if err != nil {
		return nil, err
	}
	text, err := op.RevealJSON(plain)
	if err != nil {
		return nil, fmt.Errorf("json.encode: %w", err)
	}
	return value.NewSecret(text), nil
}
