package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"phoenix-run/secret"
)

// field is what the tags of a struct field say.
type field struct {
	index    int
	typ      reflect.Type
	key, doc string
	def      string
	hasDef   bool
	enum     []string
	min, max *int
	format   string
	required bool
	own      bool
	scalar   bool
}

var (
	refType      = reflect.TypeFor[secret.Ref]()
	defaultsType = reflect.TypeFor[defaults]()
	fieldCache   sync.Map // reflect.Type → []field
)

// fieldsOf returns the keys of struct type t in their order. It panics on a tag that can't be read:
// that is a mistake in this package, and any test finds it.
func fieldsOf(t reflect.Type) []field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := sf.Tag.Get("json")
		if sf.Tag.Get("read") == "no" {
			continue
		}
		f := field{
			index: i, typ: sf.Type, key: key,
			doc: sf.Tag.Get("doc"), format: sf.Tag.Get("format"),
			min: bound(sf, "min"), max: bound(sf, "max"),
			required: sf.Tag.Get("required") == "true",
			own:      sf.Tag.Get("own") == "true",
			scalar:   sf.Tag.Get("scalar") == "true",
		}
		f.def, f.hasDef = sf.Tag.Lookup("default")
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		if _, known := formats[f.format]; f.format != "" && !known {
			panic(fmt.Sprintf("config: %v.%s has the unknown format %q", t, sf.Name, f.format))
		}
		if f.own && t == defaultsType {
			continue
		}
		fields = append(fields, f)
	}
	fieldCache.Store(t, fields)
	return fields
}

func bound(sf reflect.StructField, tag string) *int {
	text, ok := sf.Tag.Lookup(tag)
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("config: %s of %s: %v", tag, sf.Name, err))
	}
	return &n
}

// setDefaults gives every field of the struct v its default.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		switch {
		case !f.hasDef:
			if fv.Kind() == reflect.Struct && fv.Type() != refType {
				setDefaults(fv)
			}
		case fv.Kind() == reflect.String:
			fv.SetString(f.def)
		case fv.Kind() == reflect.Int:
			n, err := strconv.Atoi(f.def)
			if err != nil {
				panic(fmt.Sprintf("config: default of %s: %v", f.key, err))
			}
			fv.SetInt(int64(n))
		case fv.Kind() == reflect.Bool:
			fv.SetBool(f.def == "true")
		default: // a struct that has a short form: its default is written in it
			d := decoder{report: &report{}}
			d.decode(&node{kind: kindString, text: f.def}, fv, f)
			if len(d.report.faults) > 0 {
				panic(fmt.Sprintf("config: default of %s: %s", f.key, d.report.faults[0].Message))
			}
		}
	}
}
