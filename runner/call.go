package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.starlark.net/starlark"

	"phoenix-run/runner/value"
)

// Call calls fn in a task of its own, as main of a playbook is called; label names the task in events.
// A plan that ends where fn looks at something unknown is no error: it is told as an event, and the
// result is unknown.
func (r *Run) Call(ctx context.Context, label string, fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) (result starlark.Value, err error) {
	task := &Task{Run: r, ctx: ctx, Host: label}
	thread := r.thread(task, label)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("phoenix-run has a fault here, please report it: %v\n%s", p, debug.Stack())
		}
	}()
	defer context.AfterFunc(ctx, func() { thread.Cancel(context.Cause(ctx).Error()) })()
	result, err = starlark.Call(thread, fn, args, kwargs)
	var unknown *value.UnknownError
	if r.Planning() && errors.As(err, &unknown) {
		r.deferTask(task, err, unknown)
		return value.NewUnknown(unknown.Value.From, unknown.Value.Attr), nil
	}
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return result, err
}
