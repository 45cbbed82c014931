// Package builtin declares what Starlark can call. One declaration, a Spec and a struct of arguments,
// gives the unpacking, the error texts, the reference and the editor stubs.
//
//	type fileArgs struct {
//		Path    string       `star:"path" doc:"absolute path of the file"`
//		Content builtin.Text `star:"content" default:"None" doc:"what the file holds"`
//		Mode    builtin.Mode `star:"mode" default:"None" doc:"permissions, as in \"0644\""`
//	}
//	var file = builtin.Method(builtin.Spec{Name: "file", Summary: "…"},
//		func(c *builtin.Call, h *Host, a fileArgs) (starlark.Value, error) { … })
package builtin

import (
	"context"
	"fmt"

	"go.starlark.net/starlark"

	"phoenix-run/runner"
)

// Effect tells what a builtin may do.
type Effect string

// Effects.
const (
	Pure      Effect = "computes" // touches nothing outside the program; may be used at top level
	Reads     Effect = "reads"
	Operation Effect = "operation" // idempotent; only predicted in a dry run
)

// Spec is what people are told about a builtin.
type Spec struct {
	Name    string // as called, without the module or receiver: "file"
	Summary string // what it does, first sentence first
	Effect  Effect
	Returns string
	Errors  []string // what can go wrong, and what to do then
	Example string   // Starlark, run as a test
}

// Param is one parameter, as the reference shows it.
type Param struct {
	Name, Type, Default, Doc string
	Required                 bool
}

// Builtin is a declared function or method.
type Builtin struct {
	Spec
	Params []Param
	call   func(c *Call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)
}

// Call is one call of a builtin.
type Call struct {
	Thread *starlark.Thread
	Task   *runner.Task
	Name   string // as errors show it: "host.file"
	recv   any
	given  map[string]bool
}

// Context ends when the run is cancelled.
func (c *Call) Context() context.Context { return c.Task.Context() }

// Given reports whether the caller passed the parameter, be it None.
func (c *Call) Given(param string) bool { return c.given[param] }

// Func declares a function.
func Func[A any](spec Spec, fn func(c *Call, args A) (starlark.Value, error)) *Builtin {
	u := newUnpacker[A](spec.Name)
	return &Builtin{Spec: spec, Params: u.params, call: func(c *Call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var a A
		if err := u.unpack(c, &a, args, kwargs); err != nil {
			return nil, err
		}
		return fn(c, a)
	}}
}

// Method declares a method of the Starlark objects that Go's R stands behind.
func Method[R, A any](spec Spec, fn func(c *Call, recv R, args A) (starlark.Value, error)) *Builtin {
	return Func(spec, func(c *Call, args A) (starlark.Value, error) { return fn(c, c.recv.(R), args) })
}

// Value makes the builtin callable under prefix ("host." or ""), on recv if it is a method.
func (b *Builtin) Value(prefix string, recv any) *starlark.Builtin {
	name := prefix + b.Name
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		task := runner.FromThread(thread)
		if task == nil {
			return nil, fmt.Errorf("%s can only be called in a run", name)
		}
		if b.Effect != Pure {
			if task.Top() {
				return nil, fmt.Errorf("%s belongs into a function: a module's top level may not read or change anything", name)
			}
			if err := task.Context().Err(); err != nil {
				return nil, context.Cause(task.Context())
			}
		}
		v, err := b.call(&Call{Thread: thread, Task: task, Name: name, recv: recv}, args, kwargs)
		if v == nil && err == nil {
			v = starlark.None
		}
		return v, err
	})
}
