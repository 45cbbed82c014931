package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"text/template"
)

var templateFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err := enc.Encode(v)
		return strings.TrimSuffix(b.String(), "\n"), err
	},
	"split":    strings.Split,
	"join":     strings.Join,
	"title":    func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
	"lower":    strings.ToLower,
	"upper":    strings.ToUpper,
	"println":  func(args ...any) string { return fmt.Sprintln(args...) },
	"truncate": func(s string, n int) string { return s[:min(n, len(s))] },
}

func compile(format string) (*template.Template, error) {
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("").Funcs(templateFuncs).Parse(format)
	if err != nil {
		return nil, &exitError{64, fmt.Sprintf("template parsing error: %v", err)}
	}
	return t, nil
}

// row is one line of a list: columns by name, in the format's spelling.
type row interface{ Label(name string) string }

// list prints rows as a table of columns (heading, then field), with a template, or one JSON a line.
func list[R row](c *Command, format string, columns [][2]string, rows []R) error {
	table := format == "" || format == "table"
	if strings.HasPrefix(format, "table ") {
		table, format = true, strings.TrimPrefix(format, "table ")
	} else if table {
		var fields []string
		for _, col := range columns {
			fields = append(fields, "{{."+col[1]+"}}")
		}
		format = strings.Join(fields, "\t")
	}
	if format == "json" {
		format = "{{json .}}"
	}
	t, err := compile(format)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if table {
		out.WriteString(heading(format, columns) + "\n")
	}
	for _, r := range rows {
		if err := t.Execute(&out, r); err != nil {
			return &exitError{1, fmt.Sprintf("template parsing error: %v", err)}
		}
		out.WriteByte('\n')
	}
	if !table {
		_, err := c.Stdout.Write(out.Bytes())
		return err
	}
	w := tabwriter.NewWriter(c.Stdout, 10, 1, 3, ' ', 0)
	if _, err := w.Write(out.Bytes()); err != nil {
		return err
	}
	return w.Flush()
}

// heading is the table's first line: the columns that the format names, in its order.
func heading(format string, columns [][2]string) string {
	var parts []string
	for _, cell := range strings.Split(strings.NewReplacer(`\t`, "\t").Replace(format), "\t") {
		text := strings.ToUpper(strings.Trim(cell, "{}. "))
		for _, col := range columns {
			if cell == "{{."+col[1]+"}}" {
				text = col[0]
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\t")
}

// object prints one value with a template, or as JSON.
func (c *Command) object(format string, v any) error {
	if format == "json" {
		format = "{{json .}}"
	}
	t, err := compile(format)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return &exitError{1, fmt.Sprintf("template parsing error: %v", err)}
	}
	return c.printf("%s\n", out.String())
}

// generic is a value as its JSON has it, for templates: maps, with ID beside Id as docker allows both.
func generic(v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	if id, found := m["Id"]; found {
		m["ID"] = id
	}
	return m, nil
}
