package value

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

// FromGo makes a Starlark value of what op.Attrs can hold. Maps become dicts in the order of their keys.
func FromGo(v any) starlark.Value {
	switch v := op.Normal(v).(type) {
	case bool:
		return starlark.Bool(v)
	case int64:
		return starlark.MakeInt64(v)
	case float64:
		return starlark.Float(v)
	case string:
		return starlark.String(v)
	case secret.Value:
		return NewSecret(v)
	case op.Unknown:
		return UnknownOf(v)
	case []any:
		list := make([]starlark.Value, len(v))
		for i, e := range v {
			list[i] = FromGo(e)
		}
		return starlark.NewList(list)
	case map[string]any:
		d := starlark.NewDict(len(v))
		for _, k := range sortedKeys(v) {
			// A string key of a new dict can't be refused.
			if err := d.SetKey(starlark.String(k), FromGo(v[k])); err != nil {
				panic(err)
			}
		}
		return d
	}
	return starlark.None
}

// StructFromGo makes a struct of a map, with nested maps as dicts.
func StructFromGo(m map[string]any) *starlarkstruct.Struct {
	fields := make(starlark.StringDict, len(m))
	for k, v := range m {
		fields[k] = FromGo(v)
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, fields)
}

// ToGo makes of v what op.Attrs can hold. Unknown and Secret keep their nature.
func ToGo(v starlark.Value) (any, error) {
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.Int:
		n, ok := v.Int64()
		if !ok {
			return nil, fmt.Errorf("%s is too large a number", v)
		}
		return n, nil
	case starlark.Float:
		return float64(v), nil
	case starlark.String:
		return string(v), nil
	case starlark.Bytes:
		return string(v), nil
	case Secret:
		return v.Value, nil
	case Unknown:
		return v.Value, nil
	case *starlark.Dict:
		m := make(map[string]any, v.Len())
		for _, item := range v.Items() {
			k, ok := starlark.AsString(item[0])
			if !ok {
				return nil, fmt.Errorf("a key is a %s, want string", item[0].Type())
			}
			e, err := ToGo(item[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			m[k] = e
		}
		return m, nil
	case *starlarkstruct.Struct:
		m := map[string]any{}
		for _, k := range v.AttrNames() {
			e, err := v.Attr(k)
			if err != nil {
				return nil, err
			}
			if m[k], err = ToGo(e); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
		return m, nil
	case starlark.Iterable:
		list := []any{}
		for e := range starlark.Elements(v) {
			g, err := ToGo(e)
			if err != nil {
				return nil, err
			}
			list = append(list, g)
		}
		return list, nil
	}
	return nil, fmt.Errorf("a %s can't be stored", v.Type())
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
