package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder fills Go values from nodes as their struct tags say, and reports what does not fit.
type decoder struct{ report *report }

// checker is a struct that has rules beyond those of its tags. check is called once its keys are
// decoded.
type checker interface{ check(r *report, n *node) }

// decode fills v from n. f holds the rules of the key that n is the value of.
func (d decoder) decode(n *node, v reflect.Value, f field) {
	switch {
	case v.Type() == refType:
		d.ref(n, v, f)
	case v.Kind() == reflect.Pointer:
		if n.kind == kindNull { // takes a value of vm_defaults back
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), f)
	case v.Kind() == reflect.Struct:
		v.SetZero()
		setDefaults(v)
		d.structure(n, v)
	case v.Kind() == reflect.Slice:
		d.slice(n, v, f)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, f)
	default:
		d.scalar(n, v, f)
	}
}

// structure decodes an object, or one of the struct's short forms.
func (d decoder) structure(n *node, v reflect.Value) {
	short, has := shorthandOf(v.Type())
	if has && n.kind != kindObject {
		d.short(n, v, short)
		return
	}
	if !d.want(n, kindObject, "") {
		return
	}
	if has && short.only {
		d.report.fault(n, "is an object; %s is allowed", short.words())
		return
	}
	d.object(n, v)
}

// object decodes the keys of an object into the struct v; keys that are absent stay as they are.
func (d decoder) object(n *node, v reflect.Value) {
	fields := fieldsOf(v.Type())
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	meant := map[string]bool{} // keys that an unknown one was probably meant to be
	for _, m := range n.members {
		i := slices.Index(keys, m.key.text)
		if i >= 0 {
			d.decode(m.value, v.Field(fields[i].index), fields[i])
			continue
		}
		d.unknownKey(n, m.key, v.Type(), keys, meant)
	}
	for _, f := range fields {
		if f.required && n.get(f.key) == nil && !meant[f.key] {
			d.report.fault(n, "%s is missing: %s", f.key, strings.TrimSuffix(lowerFirst(f.doc), "."))
		}
	}
	if c, ok := v.Addr().Interface().(checker); ok {
		c.check(d.report, n)
	}
}

func (d decoder) unknownKey(n, key *node, t reflect.Type, keys []string, meant map[string]bool) {
	if t == defaultsType {
		for _, f := range fieldsOf(reflect.TypeFor[VM]()) {
			if f.own && f.key == key.text {
				d.report.fault(key, "belongs to a single machine; give it in virtual_machines")
				return
			}
		}
	}
	var free []string // a key that is there already was not meant
	for _, k := range keys {
		if n.get(k) == nil {
			free = append(free, k)
		}
	}
	if near := nearest(key.text, free); near != "" {
		meant[near] = true
		d.report.fault(key, "unknown key; did you mean %q?", near)
		return
	}
	d.report.fault(key, "unknown key; allowed are %s", list(withoutSchema(keys)))
}

func (d decoder) slice(n *node, v reflect.Value, f field) {
	if !d.want(n, kindArray, "") {
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.decode(item, list.Index(i), f)
	}
	v.Set(list)
}

func (d decoder) mapping(n *node, v reflect.Value, f field) {
	if !d.want(n, kindObject, "") {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.members))
	for _, e := range n.members {
		if v.Type().Elem().Kind() == reflect.Interface {
			m.SetMapIndex(reflect.ValueOf(e.key.text), freeValue(e.value))
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.value, item, f)
		m.SetMapIndex(reflect.ValueOf(e.key.text), item)
	}
	v.Set(m)
}

// freeValue returns what n holds as a map's value; null too is one.
func freeValue(n *node) reflect.Value {
	if x := n.free(); x != nil {
		return reflect.ValueOf(x)
	}
	return reflect.Zero(reflect.TypeFor[any]())
}

func (d decoder) scalar(n *node, v reflect.Value, f field) {
	switch v.Kind() {
	case reflect.String:
		if !d.want(n, kindString, allowed(f)) {
			return
		}
		v.SetString(n.text)
		if len(f.enum) > 0 && !slices.Contains(f.enum, n.text) {
			d.report.fault(n, "is %q; allowed are %s%s", n.text, list(f.enum), didYouMean(n.text, f.enum))
		} else if wrong := checkFormat(f.format, n.text); wrong != "" {
			d.report.fault(n, "%s", wrong)
		}
	case reflect.Bool:
		if d.want(n, kindBool, "") {
			v.SetBool(n.truth)
		}
	case reflect.Int:
		if d.want(n, kindNumber, allowed(f)) {
			d.integer(n, v, f)
		}
	}
}

func (d decoder) integer(n *node, v reflect.Value, f field) {
	i, err := strconv.Atoi(n.text)
	if err != nil {
		d.report.fault(n, "is %s; a whole number is needed%s", n.text, allowed(f))
		return
	}
	if f.min != nil && i < *f.min || f.max != nil && i > *f.max {
		d.report.fault(n, "is %d%s", i, allowed(f))
		return
	}
	v.SetInt(int64(i))
}

// allowed tells the bounds or the words of a key.
func allowed(f field) string {
	switch {
	case len(f.enum) > 0:
		return "; allowed are " + list(f.enum)
	case f.min != nil && f.max != nil:
		return "; allowed are " + strconv.Itoa(*f.min) + " to " + strconv.Itoa(*f.max)
	case f.min != nil:
		return "; at least " + strconv.Itoa(*f.min) + " is needed"
	}
	return ""
}

// want reports whether n is of that kind, and a fault if not. It never shows the value: it may be
// a secret in the wrong place.
func (d decoder) want(n *node, k kind, more string) bool {
	switch {
	case n.kind == k:
		return true
	case n.kind == kindNull:
		d.report.fault(n, "is null; %s is needed, or leave the key out%s", k, more)
	case n.kind == kindString && (k == kindNumber || k == kindBool):
		d.report.fault(n, "is a string; %s is needed, without quotes%s", k, more)
	default:
		d.report.fault(n, "is %s; %s is needed%s", n.kind, k, more)
	}
	return false
}
