package core

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/event"
	"phoenix-run/runner/value"
)

// Functions are the builtins that stand alone.
var Functions = builtin.Module{
	Doc:   "Functions that belong to no module.",
	Funcs: []*builtin.Builtin{Each, Attempt, printTable},
}

type tableArgs struct {
	Columns []string       `star:"columns" doc:"the headings"`
	Rows    starlark.Value `star:"rows" doc:"lists with one value for each column"`
}

var printTable = builtin.Func(builtin.Spec{
	Name: "print_table", Effect: builtin.Reads,
	Summary: "Prints rows as a table with aligned columns.",
	Example: "print_table([\"name\", \"memory\"], [[vm.name, vm.memory_mb] for vm in config.vms()])",
}, func(c *builtin.Call, a tableArgs) (starlark.Value, error) {
	if err := value.Decided(a.Rows); err != nil {
		return nil, err
	}
	rows, ok := a.Rows.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("print_table: rows: got %s, want a list of lists", a.Rows.Type())
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(a.Columns, "\t"))
	for row := range starlark.Elements(rows) {
		cells, ok := row.(starlark.Iterable)
		if !ok {
			return nil, fmt.Errorf("print_table: a row is a %s, want a list", row.Type())
		}
		var texts []string
		for cell := range starlark.Elements(cells) {
			text := cell.String()
			if s, ok := starlark.AsString(cell); ok {
				text = s
			}
			if cell == starlark.None {
				text = ""
			}
			texts = append(texts, text)
		}
		fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	for line := range strings.Lines(b.String()) {
		c.Task.Run.Emit(event.Event{Type: event.Log, Host: c.Task.Host, Message: strings.TrimRight(line, " \n")})
	}
	return starlark.None, nil
})
