package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"go.starlark.net/starlark"

	"phoenix-run/runner/event"
	"phoenix-run/runner/value"
)

// Item is one element of an each.
type Item struct {
	Label string // names the item in events and errors, and in After of others
	Value starlark.Value
	After []string // labels that must have succeeded before
}

// ItemError is the failure of one item; Err keeps the item's own backtrace.
type ItemError struct {
	Label string
	Err   error
}

func (e *ItemError) Error() string { return e.Label + ": " + e.Err.Error() }
func (e *ItemError) Unwrap() error { return e.Err }

// EachError says which items of an each failed, and which were skipped because of them.
type EachError struct {
	Failed  []*ItemError
	Skipped []string
	Total   int
}

func (e *EachError) Error() string {
	text := fmt.Sprintf("%d of %d failed", len(e.Failed), e.Total)
	for _, f := range e.Failed {
		text += "; " + f.Error()
	}
	if len(e.Skipped) > 0 {
		text += fmt.Sprintf("; skipped: %v", e.Skipped)
	}
	return text
}

func (e *EachError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f
	}
	return errs
}

// CheckOrder finds labels that stand twice, name nobody, or wait for each other in a circle.
func CheckOrder(items []Item) error {
	after := map[string][]string{}
	for _, it := range items {
		if _, twice := after[it.Label]; twice {
			return fmt.Errorf("two items are called %q", it.Label)
		}
		after[it.Label] = it.After
	}
	const visiting, visited = 1, 2
	state := map[string]int{}
	var visit func(label string, chain []string) error
	visit = func(label string, chain []string) error {
		switch state[label] {
		case visited:
			return nil
		case visiting:
			return fmt.Errorf("items wait for each other: %v", append(chain, label))
		}
		state[label] = visiting
		for _, dep := range after[label] {
			if err := visit(dep, append(chain, label)); err != nil {
				return err
			}
		}
		state[label] = visited
		return nil
	}
	for _, it := range items {
		if err := visit(it.Label, nil); err != nil {
			return err
		}
	}
	return nil
}

// Each calls fn with every item, parallel at once (0: the run's default), an item after those it
// waits for, and gives the results in the items' order. fn and the items are frozen first; each item
// has its own thread. An item that waits for a failed one is skipped; others go on. The result of an
// item whose plan stopped at something unknown is unknown.
func (t *Task) Each(thread *starlark.Thread, fn starlark.Callable, items []Item, parallel int) ([]starlark.Value, error) {
	if t.top {
		return nil, errors.New("each belongs into a function: a module's top level may not do anything")
	}
	if err := CheckOrder(items); err != nil {
		return nil, err
	}
	fn.Freeze()
	for _, it := range items {
		it.Value.Freeze()
	}
	if parallel <= 0 {
		parallel = t.Run.opts.Parallel
	}
	results := make([]result, len(items))
	finished := make(map[string]chan struct{}, len(items))
	index := make(map[string]int, len(items))
	for i, it := range items {
		finished[it.Label] = make(chan struct{})
		index[it.Label] = i
	}
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i, it := range items {
		all.Go(func() {
			defer close(finished[it.Label])
			for _, dep := range it.After {
				done, ok := finished[dep]
				if !ok {
					continue // not part of this run: --limit left it out
				}
				<-done
				if r := results[index[dep]]; r.failed() {
					results[i] = result{skipped: dep}
					t.Run.Emit(event.Event{Type: event.Task, Host: it.Label, Status: event.Skipped,
						Message: "skipped, since " + dep + " failed"})
					t.Run.countTask(event.Skipped)
					return
				}
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = t.item(thread, fn, it)
		})
	}
	all.Wait()
	return collect(items, results)
}

type result struct {
	value   starlark.Value
	err     error
	skipped string // the label that failed before
}

func (r result) failed() bool { return r.err != nil || r.skipped != "" }

func collect(items []Item, results []result) ([]starlark.Value, error) {
	values := make([]starlark.Value, len(items))
	failure := &EachError{Total: len(items)}
	for i, r := range results {
		switch {
		case r.err != nil:
			failure.Failed = append(failure.Failed, &ItemError{items[i].Label, r.err})
		case r.skipped != "":
			failure.Skipped = append(failure.Skipped, items[i].Label)
		}
		values[i] = r.value
	}
	if len(failure.Failed) > 0 {
		return nil, failure
	}
	return values, nil
}

// item runs one item on a thread of its own.
func (t *Task) item(parent *starlark.Thread, fn starlark.Callable, it Item) (res result) {
	child := &Task{Run: t.Run, Host: it.Label, ctx: t.ctx, parent: t, at: position(parent)}
	thread := t.Run.thread(child, it.Label)
	defer func() {
		if p := recover(); p != nil {
			res = result{err: fmt.Errorf("phoenix-run has a fault here, please report it: %v\n%s", p, debug.Stack())}
			t.Run.endTask(child, res.err)
		}
	}()
	stop := context.AfterFunc(t.ctx, func() { thread.Cancel(context.Cause(t.ctx).Error()) })
	defer stop()
	if t.Run.Stopping() {
		return result{err: ErrStopped}
	}
	v, err := starlark.Call(thread, fn, starlark.Tuple{it.Value}, nil)
	var unknown *value.UnknownError
	if t.Run.Planning() && errors.As(err, &unknown) {
		t.Run.deferTask(child, err, unknown)
		return result{value: value.NewUnknown(unknown.Value.From, unknown.Value.Attr)}
	}
	t.Run.endTask(child, err)
	if err != nil {
		return result{err: err}
	}
	v.Freeze()
	return result{value: v}
}

// deferTask tells that a task's plan ends where it looked at something unknown.
func (r *Run) deferTask(t *Task, err error, unknown *value.UnknownError) {
	r.Emit(event.Event{Type: event.Task, Host: t.Host, Status: event.Deferred, Error: r.Describe(err),
		Position: innermost(err), Message: "planned up to here; the rest depends on " + value.Describe(unknown.Value)})
}

// endTask tells that a task has ended.
func (r *Run) endTask(t *Task, err error) {
	e := event.Event{Type: event.Task, Host: t.Host, Status: event.OK}
	if err != nil {
		e.Status, e.Error, e.Position = event.Failed, r.Describe(err), innermost(err)
		var opErr *OpError
		if !errors.As(err, &opErr) { // an operation's failure was counted already
			r.countTask(event.Failed)
		}
	}
	r.Emit(e)
}

func (r *Run) countTask(s event.Status) {
	r.mu.Lock()
	r.counts[s]++
	r.mu.Unlock()
}
