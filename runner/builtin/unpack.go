package builtin

import (
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/lang"
)

// unpacker fills an argument struct; it is made once per builtin and holds no call's values.
type unpacker struct {
	name   string
	params []Param
	fields []field
	rest   int // index of the field for all other keyword arguments; -1: there is none
}

type field struct {
	index    int
	name     string
	set      setter
	required bool
	initial  reflect.Value // the default; invalid for the zero value
}

// newUnpacker reads the declaration of A. A wrong one panics at start-up, where tests see it.
func newUnpacker[A any](name string) *unpacker {
	t := reflect.TypeFor[A]()
	u := &unpacker{name: name, rest: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		param := f.Tag.Get("star")
		if param == "" {
			panic(fmt.Sprintf("builtin %s: field %s has no star tag", name, f.Name))
		}
		if f.Type == reflect.TypeFor[Rest]() {
			u.rest = i
			u.params = append(u.params, Param{Name: "**" + param, Type: "any", Default: "{}", Doc: f.Tag.Get("doc")})
			continue
		}
		set, typeName := setterFor(f.Type)
		if set == nil {
			panic(fmt.Sprintf("builtin %s: field %s: no way to unpack a %s", name, f.Name, f.Type))
		}
		def, optional := f.Tag.Lookup("default")
		fl := field{index: i, name: param, set: set, required: !optional}
		if optional && def != "None" {
			v, err := literal(def)
			if err != nil {
				panic(fmt.Sprintf("builtin %s: default of %s: %v", name, param, err))
			}
			fl.initial = reflect.New(f.Type).Elem()
			if err := set(fl.initial, v); err != nil {
				panic(fmt.Sprintf("builtin %s: default of %s: %v", name, param, err))
			}
		}
		u.fields = append(u.fields, fl)
		u.params = append(u.params, Param{Name: param, Type: typeName, Default: def, Doc: f.Tag.Get("doc"), Required: !optional})
	}
	return u
}

// literal evaluates a default as it stands in the tag.
func literal(text string) (starlark.Value, error) {
	return starlark.EvalOptions(lang.Options(), &starlark.Thread{}, "default", text, nil)
}

func (u *unpacker) unpack(c *Call, into any, args starlark.Tuple, kwargs []starlark.Tuple) error {
	target := reflect.ValueOf(into).Elem()
	for _, f := range u.fields {
		if f.initial.IsValid() {
			target.Field(f.index).Set(f.initial)
		}
	}
	if len(args) > len(u.fields) {
		return fmt.Errorf("%s: got %d arguments, takes at most %d", c.Name, len(args), len(u.fields))
	}
	c.given = make(map[string]bool, len(args)+len(kwargs))
	put := func(f field, v starlark.Value) error {
		if c.given[f.name] {
			return fmt.Errorf("%s: %s is given twice", c.Name, f.name)
		}
		c.given[f.name] = true
		if v == starlark.None && !f.required {
			return nil
		}
		if err := f.set(target.Field(f.index), v); err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name, f.name, err)
		}
		return nil
	}
	for i, v := range args {
		if err := put(u.fields[i], v); err != nil {
			return err
		}
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		f, ok := u.field(name)
		if !ok && u.rest >= 0 {
			target.Field(u.rest).Set(reflect.Append(target.Field(u.rest), reflect.ValueOf(kv)))
			continue
		}
		if !ok {
			return u.unknown(c, name)
		}
		if err := put(f, kv[1]); err != nil {
			return err
		}
	}
	var missing []string
	for _, f := range u.fields {
		if f.required && !c.given[f.name] {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: missing %s", c.Name, strings.Join(missing, ", "))
	}
	return nil
}

func (u *unpacker) field(name string) (field, bool) {
	for _, f := range u.fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func (u *unpacker) unknown(c *Call, name string) error {
	names := make([]string, len(u.fields))
	for i, f := range u.fields {
		names[i] = f.name
	}
	if near := lang.Nearest(name, names); near != "" {
		return fmt.Errorf("%s: there is no parameter %s; did you mean %s?", c.Name, name, near)
	}
	return fmt.Errorf("%s: there is no parameter %s; there are %s", c.Name, name, strings.Join(names, ", "))
}
