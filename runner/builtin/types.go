package builtin

import (
	"fmt"
	"io/fs"
	"reflect"
	"strconv"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
	"phoenix-run/secret"
)

// Text is a parameter that takes a string, a secret, or what is not yet known.
type Text struct{ v any }

// TextOf makes a Text of a plain string.
func TextOf(s string) Text { return Text{s} }

// SecretText makes a Text of a secret.
func SecretText(s secret.Value) Text { return Text{s} }

// IsSet reports whether the caller gave it.
func (t Text) IsSet() bool { return t.v != nil }

// Attr is the text as an attribute: string, secret.Value or op.Unknown; nil if not given.
func (t Text) Attr() any { return t.v }

// Reveal gives the text, a secret's too, and false if it is unknown or not given.
func (t Text) Reveal() (string, bool) {
	switch v := t.v.(type) {
	case string:
		return v, true
	case secret.Value:
		return v.Reveal(), true
	}
	return "", false
}

// Rest takes the keyword arguments that no other parameter has, in their order; it stands last.
type Rest []starlark.Tuple

// Flag is a parameter that takes True, False or what is not yet known, such as a result's changed.
type Flag struct {
	Set, Value bool
	Unknown    *op.Unknown
}

// FlagOf reads a value that a program has at hand, such as a result's changed.
func FlagOf(v starlark.Value) (Flag, error) {
	var f Flag
	err := setFlag(reflect.ValueOf(&f).Elem(), v)
	return f, err
}

// Mode is a parameter for permissions: "0644", or 0o644.
type Mode struct {
	Set  bool
	Bits fs.FileMode
}

// String is the mode as attributes hold it: "0644".
func (m Mode) String() string { return FormatMode(m.Bits) }

// FormatMode writes permissions as attributes hold them, set-id and sticky bits included.
func FormatMode(bits fs.FileMode) string { return fmt.Sprintf("%04o", uint32(bits)) }

// setter puts a Starlark value into a field, or says what would have been right.
type setter func(into reflect.Value, v starlark.Value) error

// setterFor gives the setter for a field's type, and the type's name in the reference.
func setterFor(t reflect.Type) (setter, string) {
	switch t {
	case reflect.TypeFor[starlark.Value]():
		return func(into reflect.Value, v starlark.Value) error { into.Set(reflect.ValueOf(v)); return nil }, "any"
	case reflect.TypeFor[starlark.Callable]():
		return setCallable, "function"
	case reflect.TypeFor[Text]():
		return setText, "string | secret"
	case reflect.TypeFor[Flag]():
		return setFlag, "bool"
	case reflect.TypeFor[Mode]():
		return setMode, "mode"
	case reflect.TypeFor[time.Duration]():
		return known(setDuration), "duration"
	case reflect.TypeFor[[]string]():
		return known(setStrings), "list of string"
	case reflect.TypeFor[any]():
		return setAny, "any"
	case reflect.TypeFor[map[string]any]():
		return setMap, "dict"
	case reflect.TypeFor[[]any]():
		return setList, "list"
	}
	switch t.Kind() {
	case reflect.String:
		return known(setString), "string"
	case reflect.Bool:
		return known(setBool), "bool"
	case reflect.Int, reflect.Int64:
		return known(setInt), "int"
	case reflect.Float64:
		return known(setFloat), "float"
	case reflect.Pointer:
		set, name := setterFor(t.Elem())
		if set == nil {
			return nil, ""
		}
		return func(into reflect.Value, v starlark.Value) error {
			into.Set(reflect.New(t.Elem()))
			return set(into.Elem(), v)
		}, name
	}
	return nil, ""
}

// known refuses what can't be looked at yet: the builtin needs the value itself.
func known(set setter) setter {
	return func(into reflect.Value, v starlark.Value) error {
		if err := value.Known(v); err != nil {
			return err
		}
		return set(into, v)
	}
}

func want(kind string, v starlark.Value) error {
	return fmt.Errorf("got %s, want %s", v.Type(), kind)
}

// setString takes bytes too: a file's name need not be UTF-8, which is all that a literal can hold.
func setString(into reflect.Value, v starlark.Value) error {
	if b, ok := v.(starlark.Bytes); ok {
		into.SetString(string(b))
		return nil
	}
	s, ok := starlark.AsString(v)
	if !ok {
		return want("string", v)
	}
	into.SetString(s)
	return nil
}

func setBool(into reflect.Value, v starlark.Value) error {
	b, ok := v.(starlark.Bool)
	if !ok {
		return want("bool", v)
	}
	into.SetBool(bool(b))
	return nil
}

func setInt(into reflect.Value, v starlark.Value) error {
	i, ok := v.(starlark.Int)
	if !ok {
		return want("int", v)
	}
	n, ok := i.Int64()
	if !ok {
		return fmt.Errorf("%s is too large", i)
	}
	into.SetInt(n)
	return nil
}

func setFloat(into reflect.Value, v starlark.Value) error {
	f, ok := starlark.AsFloat(v)
	if !ok {
		return want("number", v)
	}
	into.SetFloat(f)
	return nil
}

// setDuration takes seconds as a number, or a text such as "5s", "2m" or "1h30m".
func setDuration(into reflect.Value, v starlark.Value) error {
	switch v := v.(type) {
	case starlark.Int, starlark.Float:
		f, _ := starlark.AsFloat(v)
		into.SetInt(int64(f * float64(time.Second)))
	case starlark.String:
		d, err := time.ParseDuration(string(v))
		if err != nil {
			return fmt.Errorf("%s is no duration: write seconds, or \"5s\", \"2m\", \"1h30m\"", v)
		}
		into.SetInt(int64(d))
	default:
		return want("seconds or a text such as \"5s\"", v)
	}
	if into.Int() < 0 {
		return fmt.Errorf("%s is negative", v)
	}
	return nil
}

// setStrings takes a list of strings, or one string for a list of one.
func setStrings(into reflect.Value, v starlark.Value) error {
	if s, ok := starlark.AsString(v); ok {
		into.Set(reflect.ValueOf([]string{s}))
		return nil
	}
	iterable, ok := v.(starlark.Iterable)
	if !ok {
		return want("list of strings", v)
	}
	list := []string{}
	for e := range starlark.Elements(iterable) {
		s, ok := starlark.AsString(e)
		if !ok {
			return fmt.Errorf("element %d: %w", len(list), want("string", e))
		}
		list = append(list, s)
	}
	into.Set(reflect.ValueOf(list))
	return nil
}

func setText(into reflect.Value, v starlark.Value) error {
	switch v := v.(type) {
	case starlark.String:
		into.Set(reflect.ValueOf(Text{string(v)}))
	case starlark.Bytes:
		into.Set(reflect.ValueOf(Text{string(v)}))
	case value.Secret:
		into.Set(reflect.ValueOf(Text{v.Value}))
	case value.Unknown:
		into.Set(reflect.ValueOf(Text{v.Value}))
	default:
		return want("string", v)
	}
	return nil
}

func setFlag(into reflect.Value, v starlark.Value) error {
	switch v := v.(type) {
	case starlark.Bool:
		into.Set(reflect.ValueOf(Flag{Set: true, Value: bool(v)}))
	case value.Unknown:
		u := v.Value
		into.Set(reflect.ValueOf(Flag{Set: true, Unknown: &u}))
	default:
		return want("bool", v)
	}
	return nil
}

func setMode(into reflect.Value, v starlark.Value) error {
	if err := value.Known(v); err != nil {
		return err
	}
	var n uint64
	switch v := v.(type) {
	case starlark.Int:
		n, _ = v.Uint64()
	case starlark.String:
		var err error
		if n, err = strconv.ParseUint(string(v), 8, 32); err != nil {
			return fmt.Errorf("%s is no mode: write it as in \"0644\"", v)
		}
	default:
		return want("mode as in \"0644\"", v)
	}
	if n > 0o7777 {
		return fmt.Errorf("%s is no mode: the largest is \"7777\"", v)
	}
	into.Set(reflect.ValueOf(Mode{true, fs.FileMode(n)}))
	return nil
}

func setCallable(into reflect.Value, v starlark.Value) error {
	if u, ok := v.(value.Unknown); ok {
		return value.Decided(u)
	}
	fn, ok := v.(starlark.Callable)
	if !ok {
		return want("function", v)
	}
	into.Set(reflect.ValueOf(fn))
	return nil
}

func setAny(into reflect.Value, v starlark.Value) error {
	g, err := value.ToGo(v)
	if err != nil {
		return err
	}
	if g != nil {
		into.Set(reflect.ValueOf(g))
	}
	return nil
}

func setMap(into reflect.Value, v starlark.Value) error {
	if err := value.Decided(v); err != nil {
		return err
	}
	g, err := value.ToGo(v)
	if err != nil {
		return err
	}
	m, ok := g.(map[string]any)
	if !ok {
		return want("dict", v)
	}
	into.Set(reflect.ValueOf(m))
	return nil
}

func setList(into reflect.Value, v starlark.Value) error {
	if err := value.Decided(v); err != nil {
		return err
	}
	g, err := value.ToGo(v)
	if err != nil {
		return err
	}
	list, ok := g.([]any)
	if !ok {
		return want("list", v)
	}
	into.Set(reflect.ValueOf(list))
	return nil
}
