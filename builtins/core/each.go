// Package core is what playbooks have besides the modules: each, features, attempt, and what their
// arguments need.
package core

import (
	"fmt"

	"go.starlark.net/starlark"

	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

type eachArgs struct {
	Items    starlark.Value    `star:"items" doc:"what to work on; an item is named by its name, or by itself"`
	Fn       starlark.Callable `star:"fn" doc:"called with each item"`
	Parallel int               `star:"parallel" default:"0" doc:"how many at once; 0: as --parallel says, 32 by default"`
	After    starlark.Callable `star:"after" default:"None" doc:"gives the names of the items that must have succeeded before this one; others than those in items are not waited for"`
}

// Each is the builtin of that name.
var Each = builtin.Func(builtin.Spec{
	Name: "each", Effect: builtin.Reads,
	Summary: "Calls fn with every item, several at once, and gives the results in the items' order. Function and items are frozen first, so nothing is shared by accident. An item that waits for a failed one is skipped, others go on; at the end each fails if an item did.",
	Returns: "list of what fn returned; in a dry run, unknown for an item whose plan ended early",
	Errors: []string{
		"Items failed: each with its own backtrace.",
		"Items wait for each other in a circle, or have the same name.",
	},
	Example: "def work(vm):\n    print(vm.name)\n\ndef main():\n    each(config.vms(), work, after = lambda vm: vm.depends_on)",
}, each)

func each(c *builtin.Call, a eachArgs) (starlark.Value, error) {
	if err := value.Decided(a.Items); err != nil {
		return nil, err
	}
	iterable, ok := a.Items.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("each: items: got %s, want a list", a.Items.Type())
	}
	var items []runner.Item
	for v := range starlark.Elements(iterable) {
		item := runner.Item{Label: label(v, len(items)), Value: v}
		if a.After != nil {
			deps, err := starlark.Call(c.Thread, a.After, starlark.Tuple{v}, nil)
			if err != nil {
				return nil, err
			}
			if item.After, err = labels(deps); err != nil {
				return nil, fmt.Errorf("each: after of %s: %w", item.Label, err)
			}
		}
		items = append(items, item)
	}
	values, err := c.Task.Each(c.Thread, a.Fn, items, a.Parallel)
	if err != nil {
		return nil, err
	}
	return starlark.NewList(values), nil
}

// label names an item: a string by itself, an object by its name, anything else by its text.
func label(v starlark.Value, index int) string {
	if s, ok := starlark.AsString(v); ok {
		return s
	}
	if obj, ok := v.(starlark.HasAttrs); ok {
		if name, err := obj.Attr("name"); err == nil && name != nil {
			if s, ok := starlark.AsString(name); ok {
				return s
			}
		}
	}
	if d, ok := v.(*starlark.Dict); ok {
		if name, found, err := d.Get(starlark.String("name")); err == nil && found {
			if s, ok := starlark.AsString(name); ok {
				return s
			}
		}
	}
	if _, ok := v.(value.Unknown); ok {
		return fmt.Sprintf("item %d", index+1)
	}
	return v.String()
}

func labels(v starlark.Value) ([]string, error) {
	if err := value.Decided(v); err != nil {
		return nil, err
	}
	if v == starlark.None {
		return nil, nil
	}
	if s, ok := starlark.AsString(v); ok {
		return []string{s}, nil
	}
	iterable, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("got %s, want a list of names", v.Type())
	}
	var out []string
	for e := range starlark.Elements(iterable) {
		if err := value.Known(e); err != nil {
			return nil, err
		}
		out = append(out, label(e, len(out)))
	}
	return out, nil
}
