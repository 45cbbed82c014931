package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns the reference of all keys of the three files, as Markdown: a section for each
// file, a table for each object in it.
func Reference() string {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", f.name, f.doc)
		w := tables{out: &b, seen: map[reflect.Type]bool{}}
		w.table("", f.typ)
	}
	b.WriteString("## Secrets\n\nA key of type *secret* takes the secret itself (with a warning), or where it comes from:\n" +
		"`{\"env\": NAME}`, `{\"file\": PATH}` or `{\"command\": [PROGRAM, ARGUMENT, ...]}`. It is read when it is needed;\n" +
		"a newline at its end is taken off.\n")
	return b.String()
}

// tables writes the table of a struct, then those of the structs in it.
type tables struct {
	out  *strings.Builder
	seen map[reflect.Type]bool
}

func (w tables) table(title string, t reflect.Type) {
	if title != "" {
		fmt.Fprintf(w.out, "### `%s`\n\n", title)
	}
	if short, ok := shorthandOf(t); ok {
		fmt.Fprintf(w.out, "Written as %s.\n\n", short.words())
	}
	w.out.WriteString("| Key | Type | Description | Default |\n| :-- | :-- | :-- | :-- |\n")
	fields := fieldsOf(t)
	for _, f := range fields {
		fmt.Fprintf(w.out, "| `%s` | %s | %s | %s |\n", f.key, typeName(f), cell(f.doc), defaultOf(f))
	}
	w.out.WriteString("\n")
	for _, f := range fields {
		inner, path := f.typ, f.key
		if title != "" {
			path = title + "." + f.key
		}
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map {
			switch inner.Kind() {
			case reflect.Slice:
				path += "[]"
			case reflect.Map:
				path += ".NAME"
			}
			inner = inner.Elem()
		}
		short, _ := shorthandOf(inner)
		if inner.Kind() != reflect.Struct || inner == refType || short.only || w.seen[inner] {
			continue
		}
		if inner == defaultsType {
			w.out.WriteString("`vm_defaults` takes the keys of `virtual_machines[]` but `" + strings.Join(ownKeys(), "`, `") + "`.\n\n")
			continue
		}
		w.seen[inner] = true
		w.table(path, inner)
	}
}

// ownKeys returns the keys that a machine has and vm_defaults has not.
func ownKeys() []string {
	var keys []string
	for _, f := range fieldsOf(reflect.TypeFor[VM]()) {
		if f.own {
			keys = append(keys, f.key)
		}
	}
	return keys
}

func typeName(f field) string {
	t, prefix := f.typ, ""
	for {
		switch t.Kind() {
		case reflect.Pointer:
			t = t.Elem()
			continue
		case reflect.Slice:
			t, prefix = t.Elem(), prefix+"list of "
			continue
		case reflect.Map:
			if t.Elem().Kind() != reflect.Interface {
				t, prefix = t.Elem(), prefix+"objects by name: "
				continue
			}
		}
		break
	}
	switch {
	case t == refType && f.scalar:
		return prefix + "string, number, boolean or secret"
	case t == refType:
		return prefix + "secret"
	case len(f.enum) > 0:
		return prefix + "`" + strings.Join(f.enum, "`, `") + "`"
	case t.Kind() == reflect.Int && f.min != nil && f.max != nil:
		return fmt.Sprintf("%sinteger, %d to %d", prefix, *f.min, *f.max)
	case t.Kind() == reflect.Int && f.min != nil:
		return fmt.Sprintf("%sinteger, from %d", prefix, *f.min)
	case t.Kind() == reflect.Int:
		return prefix + "integer"
	case t.Kind() == reflect.Bool:
		return prefix + "boolean"
	case t.Kind() == reflect.Struct:
		if short, ok := shorthandOf(t); ok {
			return prefix + short.words()
		}
		return prefix + "object"
	case t.Kind() == reflect.Map:
		return prefix + "object"
	}
	return prefix + "string"
}

func defaultOf(f field) string {
	switch {
	case f.required:
		return "**Required**"
	case f.hasDef:
		return "`" + f.def + "`"
	case f.typ.Kind() == reflect.Slice:
		return "`[]`"
	case f.typ.Kind() == reflect.Map:
		return "`{}`"
	case f.typ.Kind() == reflect.String && f.key != "$schema":
		return "`\"\"`"
	case f.typ.Kind() == reflect.Bool:
		return "`false`"
	}
	return ""
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
