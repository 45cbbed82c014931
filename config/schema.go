package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// files are the three files and the types they are read into.
var files = []struct {
	name string
	typ  reflect.Type
	doc  string
}{
	{VMFile, reflect.TypeFor[vmFile](), "The virtual machines of an environment."},
	{StackFile, reflect.TypeFor[stackFile](), "The catalogue of Docker stacks."},
	{HypervisorFile, reflect.TypeFor[Hypervisor](), "How to reach Proxmox, the virtual machines and Portainer."},
}

// SchemaName returns the name of a configuration file's JSON Schema: NAME.schema.json.
func SchemaName(file string) string {
	return file[:len(file)-len(".json")] + ".schema.json"
}

// Schemas returns the JSON Schemas (draft 2020-12) of the three files, by SchemaName.
func Schemas() map[string][]byte {
	out := make(map[string][]byte, len(files))
	for _, f := range files {
		g := generator{defs: object{}}
		schema := g.structure(f.typ)
		schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		schema["title"] = f.name
		schema["description"] = f.doc
		if len(g.defs) > 0 {
			schema["$defs"] = g.defs
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(schema); err != nil {
			panic(fmt.Sprintf("config: schema of %s: %v", f.name, err)) // maps of strings always encode
		}
		out[SchemaName(f.name)] = b.Bytes()
	}
	return out
}

type object = map[string]any

// generator makes schemas from types, and keeps those of structs in $defs.
type generator struct{ defs object }

// value returns the schema of a key's value.
func (g generator) value(t reflect.Type, f field) object {
	switch {
	case t == refType:
		return g.ref(f)
	case t.Kind() == reflect.Pointer:
		return object{"anyOf": []any{g.value(t.Elem(), f), object{"type": "null"}}}
	case t.Kind() == reflect.Struct:
		return g.named(t)
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": g.value(t.Elem(), f)}
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface:
		return object{"type": "object"}
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": g.value(t.Elem(), f)}
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Int:
		s := object{"type": "integer"}
		if f.min != nil {
			s["minimum"] = *f.min
		}
		if f.max != nil {
			s["maximum"] = *f.max
		}
		return s
	}
	s := object{"type": "string"}
	if len(f.enum) > 0 {
		s["enum"] = f.enum
	}
	if f.format != "" {
		s["minLength"] = 1
		if p := formats[f.format].pattern; p != "" && p != "." {
			s["pattern"] = p
		}
	}
	return s
}

// named returns a reference to the schema of a struct, with its short forms.
func (g generator) named(t reflect.Type) object {
	name := t.Name()
	if _, made := g.defs[name]; !made {
		g.defs[name] = nil // a struct may hold itself
		g.defs[name] = g.forms(t)
	}
	return object{"$ref": "#/$defs/" + name}
}

func (g generator) forms(t reflect.Type) object {
	short, ok := shorthandOf(t)
	if !ok {
		return g.structure(t)
	}
	var forms []any
	for _, f := range fieldsOf(t) {
		switch {
		case f.key == short.text && short.word != "":
			forms = append(forms, object{"const": short.word})
		case f.key == short.text || f.key == short.number:
			forms = append(forms, g.value(f.typ, f))
		}
	}
	if !short.only {
		forms = append(forms, g.structure(t))
	}
	return object{"anyOf": forms}
}

// structure returns the schema of a struct's object form.
func (g generator) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range fieldsOf(t) {
		s := g.value(f.typ, f)
		s["description"] = f.doc
		if f.hasDef {
			s["default"] = plainDefault(f)
		}
		properties[f.key] = s
		if f.required {
			required = append(required, f.key)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func plainDefault(f field) any {
	switch f.typ.Kind() {
	case reflect.Int:
		if n, err := strconv.Atoi(f.def); err == nil {
			return n
		}
	case reflect.Bool:
		return f.def == "true"
	}
	return f.def
}

// ref returns the schema of a secret.
func (g generator) ref(f field) object {
	const name = "secret"
	if _, made := g.defs[name]; !made {
		s := g.structure(reflect.TypeFor[refObject]())
		s["minProperties"], s["maxProperties"] = 1, 1
		g.defs[name] = s
	}
	plain := object{"type": "string", "minLength": 1}
	if f.scalar {
		plain = object{"type": []string{"string", "number", "boolean"}}
	}
	return object{"anyOf": []any{plain, object{"$ref": "#/$defs/" + name}}}
}
