package runner

import (
	"context"

	"go.starlark.net/starlark"

	"phoenix-run/runner/event"
)

// Task is one strand of a run: main, or one item of each. It has a Starlark thread of its own.
type Task struct {
	Run  *Run
	Host string // label of the item, "" for main

	ctx    context.Context
	thread *starlark.Thread
	top    bool   // a module's top level: nothing may be done here
	parent *Task  // for backtraces
	at     string // where the parent started it
}

const taskLocal = "phoenix-run.task"

// FromThread gives the task that a Starlark thread belongs to.
func FromThread(thread *starlark.Thread) *Task {
	task, _ := thread.Local(taskLocal).(*Task)
	return task
}

// Context ends when the run is cancelled.
func (t *Task) Context() context.Context { return t.ctx }

// Top reports whether the task is a module's top level, where nothing may be done.
func (t *Task) Top() bool { return t.top }

// thread makes the task's Starlark thread.
func (r *Run) thread(t *Task, name string) *starlark.Thread {
	thread := &starlark.Thread{
		Name: name,
		Print: func(th *starlark.Thread, msg string) {
			r.Emit(event.Event{Type: event.Log, Host: t.Host, Position: position(th), Message: msg})
		},
		Load: func(*starlark.Thread, string) (starlark.StringDict, error) {
			panic("runner: modules are loaded by package load")
		},
	}
	thread.SetLocal(taskLocal, t)
	thread.SetMaxExecutionSteps(r.opts.MaxSteps)
	thread.OnMaxSteps = func(th *starlark.Thread) {
		th.Cancel("too many steps: the computation does not seem to end (at " + position(th) + ")")
	}
	t.thread = thread
	return thread
}

// Log tells a line of what the task's host says.
func (t *Task) Log(host, message string) {
	t.Run.Emit(event.Event{Type: event.Log, Host: host, Message: message, Position: t.Position()})
}

// Progress tells a line of a running command, for those who want to see everything.
func (t *Task) Progress(host, line string) {
	t.Run.Emit(event.Event{Type: event.Progress, Host: host, Message: line})
}

// Warn tells something that does not stop the run but that people should mend.
func (t *Task) Warn(host, message string) {
	t.Run.Emit(event.Event{Type: event.Warning, Host: host, Message: message, Position: t.Position()})
}

// Begin tells that something that may take long has begun.
func (t *Task) Begin(host, address, message string) {
	t.Run.Emit(event.Event{Type: event.Begin, Host: host, Address: address, Message: message, Position: t.Position()})
}

// Position is where the task's program is: file:line:column of the innermost Starlark frame.
func (t *Task) Position() string { return position(t.thread) }

func position(thread *starlark.Thread) string {
	if thread == nil {
		return ""
	}
	for i := range thread.CallStackDepth() {
		frame := thread.CallFrame(i)
		if frame.Pos.Filename() != "<builtin>" && frame.Pos.Line > 0 {
			return frame.Pos.String()
		}
	}
	return ""
}
