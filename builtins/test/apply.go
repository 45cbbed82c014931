package test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aymanbagabas/go-udiff"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/builtins/core"
	"phoenix-run/builtins/host"
	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
	"phoenix-run/runner/plan"
	"phoenix-run/runner/value"
)

type applyArgs struct {
	Feature starlark.Value `star:"feature" doc:"a feature's function or name, or a function of the host alone"`
	VM      starlark.Value `star:"vm" default:"None" doc:"what the configuration says of the machine; its defaults, if not given"`
	Options builtin.Rest   `star:"options" doc:"the feature's options"`
}

type interruptedArgs struct {
	After   string         `star:"after" doc:"the change after which the run is killed, as it stands in changes"`
	Feature starlark.Value `star:"feature" doc:"a feature's function or name, or a function of the host alone"`
	VM      starlark.Value `star:"vm" default:"None" doc:"what the configuration says of the machine; its defaults, if not given"`
	Options builtin.Rest   `star:"options" doc:"the feature's options"`
}

const doneFields = "struct with changes (\"create file /etc/motd\", \"update service docker (restart)\", …, in their order), unsure (those that a dry run is not certain of), ok (how many operations found nothing to do), log (lines that were printed), warnings, deferred (where a dry run ended early; None if it did not) and value (what the function returned)"

var applyMethod = builtin.Method(builtin.Spec{
	Name: "apply", Effect: builtin.Reads, Returns: doneFields,
	Summary: "Applies a feature as people do: a dry run before the machine is even there, a dry run, an apply, and an apply again. The first must not fail; the second must change nothing and say what the apply does; the second apply must change nothing. The result is the first apply's.",
	Errors:  []string{"A dry run of a machine that is not made yet fails, or ends early.", "The dry run changed something, or said something else than the apply did: what.", "An apply of the saved plan would be refused: the change, and why.", "A second apply changes something again: what.", "The feature failed: its own error."},
	Example: "def test_greeting(t):\n    done = t.machine().apply(lambda host: host.file(\"/etc/greeting\", content = \"hello\\n\"))\n    assert.eq(done.changes, [\"create file /etc/greeting\"])",
}, func(c *builtin.Call, m *Machine, a applyArgs) (starlark.Value, error) {
	guard := &watching{}
	unmade := plan.NewRecorder(plan.NewSalt())
	if err := m.planUnmade(c, a, unmade); err != nil {
		return nil, err
	}
	if !m.given && !m.used.Load() {
		// The machine is as one that was just made: what was planned before it was there holds for it.
		guard.watch("before the machine was there", unmade)
	}
	before, recorder := m.lab.State(), plan.NewRecorder(plan.NewSalt())
	planned, err := m.run(c, runner.Plan, a, how{recorder: recorder})
	if err != nil {
		return nil, err
	}
	if m.lab.State() != before {
		return nil, &FailedError{"the dry run changed something on the machine"}
	}
	guard.watch("", recorder)
	done, err := m.run(c, runner.Apply, a, how{guard: guard})
	if err != nil {
		return nil, err
	}
	if err := planned.compare(done); err != nil {
		return nil, err
	}
	if len(guard.refused) > 0 {
		return nil, &FailedError{"an apply of the saved plan would be refused:\n  " + strings.Join(guard.refused, "\n  ")}
	}
	again, err := m.run(c, runner.Apply, a, how{})
	if err != nil {
		return nil, fmt.Errorf("again: %w", err)
	}
	if len(again.changes) > 0 {
		return nil, &FailedError{"a second apply changes something again:\n  " + strings.Join(again.detailed(), "\n  ")}
	}
	return done.value(), nil
})

var planMethod = builtin.Method(builtin.Spec{
	Name: "plan", Effect: builtin.Reads, Returns: doneFields,
	Summary: "Does a dry run of a feature, which must change nothing.",
	Errors:  []string{"The dry run changed something."},
	Example: "def test_plan(t):\n    planned = t.machine().plan(lambda host: host.package(\"nginx\"))\n    assert.eq(planned.changes, [\"update package nginx\"])",
}, func(c *builtin.Call, m *Machine, a applyArgs) (starlark.Value, error) {
	before := m.lab.State()
	planned, err := m.run(c, runner.Plan, a, how{})
	if err != nil {
		return nil, err
	}
	if m.lab.State() != before {
		return nil, &FailedError{"the dry run changed something on the machine"}
	}
	return planned.value(), nil
})

var onceMethod = builtin.Method(builtin.Spec{
	Name: "apply_once", Effect: builtin.Reads, Returns: doneFields,
	Summary: "Applies a feature, and no more: for what is meant to do something each time.",
	Example: "def test_once(t):\n    done = t.machine().apply_once(lambda host: host.command(\"date\"))\n    assert.eq(done.changes, [\"run command date\"])",
}, func(c *builtin.Call, m *Machine, a applyArgs) (starlark.Value, error) {
	done, err := m.run(c, runner.Apply, a, how{})
	if err != nil {
		return nil, err
	}
	return done.value(), nil
})

var interruptedMethod = builtin.Method(builtin.Spec{
	Name: "interrupted", Effect: builtin.Reads, Returns: doneFields,
	Summary: "Applies a feature in a run that is killed right after a change. What an apply does after that shows whether anything was lost.",
	Errors:  []string{"There was no such change: those that there were."},
	Example: "def test_restart_is_not_lost(t):\n    m = t.machine(services = [\"app\"])\n\n    def app(host):\n        conf = host.file(\"/etc/app.conf\", content = \"a = 1\\n\")\n        host.on_change(conf, \"restart app\", lambda: host.service(\"app\", restarted = True))\n\n    m.interrupted(\"create file /etc/app.conf\", app)\n    assert.eq(m.apply(app).changes, [\"update service app (restart)\"])",
}, func(c *builtin.Call, m *Machine, a interruptedArgs) (starlark.Value, error) {
	done, err := m.run(c, runner.Apply, applyArgs{a.Feature, a.VM, a.Options}, how{kill: a.After})
	if !done.killed {
		if err != nil {
			return nil, err
		}
		return nil, failed("", "there was no change %q to kill the run after; there were:\n  %s", a.After, strings.Join(done.texts(), "\n  "))
	}
	return done.value(), nil
})

// errKilled ends a run that a test wants to be cut off.
var errKilled = errors.New("the test cut the run off here")

// doings are what a run did, or would do.
type doings struct {
	mu       sync.Mutex
	changes  []doing
	ok       int
	log      []string
	warnings []string
	deferred string
	result   starlark.Value
	killed   bool
}

// doing is one change.
type doing struct {
	thing, note string // "file /etc/motd", "restart"
	certain     bool
	change      *event.Change
}

func (d doing) String() string {
	text := string(d.change.Action) + " " + d.thing
	if d.note != "" {
		text += " (" + d.note + ")"
	}
	return text
}

// foretells reports whether a planned change is the one that was done. How a thing that the plan was
// not certain of would differ, it could not know.
func (d doing) foretells(done doing) bool {
	return d.thing == done.thing && (!d.certain || d.change.Action == done.change.Action)
}

// planUnmade does a dry run for a machine that does not exist yet, as when a whole environment is
// planned: nothing of it can be read.
func (m *Machine) planUnmade(c *builtin.Call, a applyArgs, recorder *plan.Recorder) error {
	d := &doings{}
	run := runner.New(runner.Options{Mode: runner.Plan, Loader: c.Task.Run.Loader(), Redactor: c.Task.Run.Redactor(), Recorder: recorder,
		Sink: event.SinkFunc(func(e event.Event) {
			recorder.Emit(e)
			d.take(e)
		})})
	run.View.Missing(m.name, op.Cause{Address: op.Address{Host: m.name, Kind: "vm", ID: "new"}, Why: "is a new machine"})
	h := host.New(m.name, func(context.Context) (remote.Conn, error) {
		return nil, errors.New("the machine is not there yet")
	})
	fn := starlark.NewBuiltin("apply", func(thread *starlark.Thread, _ *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		return m.call(thread, a, h)
	})
	if _, err := run.Call(c.Context(), m.name, fn, nil, nil); err != nil {
		return fmt.Errorf("plan of a machine that is not there yet: %w", err)
	}
	if d.deferred != "" {
		return &FailedError{"the dry run of a machine that is not there yet ends early: " + d.deferred}
	}
	return nil
}

// watching asks the guards of saved plans about each change, and lets all of them happen.
type watching struct {
	mu      sync.Mutex
	plans   []watched
	refused []string
}

type watched struct {
	made  string
	guard *plan.Guard
}

func (w *watching) watch(made string, r *plan.Recorder) {
	p := &plan.Plan{}
	r.Fill(p)
	w.plans = append(w.plans, watched{made, plan.NewGuard(p, true)})
}

// Allow notes what would be refused.
func (w *watching) Allow(addr op.Address, change op.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.plans {
		if err := one.guard.Allow(addr, change); err != nil {
			text := err.Error()
			if one.made != "" {
				text += " (planned " + one.made + ")"
			}
			w.refused = append(w.refused, text)
		}
	}
	return nil
}

// how says what is special about a run.
type how struct {
	kill     string         // the change after which it is cut off
	recorder *plan.Recorder // of a dry run
	guard    runner.Guard   // of an apply
}

// run runs a feature in a run of its own.
func (m *Machine) run(c *builtin.Call, mode runner.Mode, a applyArgs, how how) (*doings, error) {
	d := &doings{result: starlark.None}
	ctx, cancel := context.WithCancelCause(c.Context())
	defer cancel(nil)
	outer := c.Task.Run
	options := runner.Options{Mode: mode, Loader: outer.Loader(), Redactor: outer.Redactor(), Guard: how.guard,
		Sink: event.SinkFunc(func(e event.Event) {
			if how.recorder != nil {
				how.recorder.Emit(e)
			}
			if d.take(e) == how.kill && how.kill != "" {
				d.killed = true
				cancel(errKilled)
			}
		})}
	if how.recorder != nil {
		options.Recorder = how.recorder
	}
	run := runner.New(options)
	m.used.Store(true)
	var again atomic.Bool
	h := host.New(m.name, func(ctx context.Context) (remote.Conn, error) {
		if again.Swap(true) {
			return m.lab.Dial(ctx, mode == runner.Plan) // who connects twice wants to know whether that is possible
		}
		conn, err := m.conn(ctx, mode == runner.Plan)
		return kept{conn}, err
	})
	fn := starlark.NewBuiltin("apply", func(thread *starlark.Thread, _ *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		return m.call(thread, a, h)
	})
	result, err := run.Call(ctx, m.name, fn, nil, nil)
	if result != nil {
		d.result = result
	}
	if err != nil {
		// Wrapped, since it comes from another thread: the way through the test itself is to be shown as well.
		err = fmt.Errorf("%s: %w", mode, err)
	}
	return d, err
}

// call calls the feature on h, as features.apply does.
func (m *Machine) call(thread *starlark.Thread, a applyArgs, h *host.Host) (starlark.Value, error) {
	task := runner.FromThread(thread)
	call := &builtin.Call{Thread: thread, Task: task, Name: "apply"}
	fn, ok := a.Feature.(starlark.Callable)
	if name, isName := starlark.AsString(a.Feature); isName {
		found, err := core.Function(call, name)
		if err != nil {
			return nil, err
		}
		fn, ok = found, true
	}
	if !ok {
		return nil, fmt.Errorf("feature: got %s, want a function or the name of a feature", a.Feature.Type())
	}
	args := starlark.Tuple{h}
	if f, isFunction := fn.(*starlark.Function); !isFunction || f.NumParams() > 1 {
		vm := a.VM
		if vm == nil {
			var err error
			if vm, err = m.t.spec(m.name, nil); err != nil {
				return nil, err
			}
		}
		args = append(args, vm)
	}
	return h.Feature(call, fn.Name(), func() (starlark.Value, error) {
		return starlark.Call(thread, fn, args, a.Options)
	})
}

// repeated tells apart the steps of a run that work on the same thing.
var repeated = regexp.MustCompile(`#[0-9]+$`)

// take notes an event, and gives its change as text if it is one.
func (d *doings) take(e event.Event) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case e.Type == event.Log:
		d.log = append(d.log, e.Message)
	case e.Type == event.Warning:
		d.warnings = append(d.warnings, e.Message)
	case e.Type == event.Task && e.Status == event.Deferred:
		d.deferred = e.Message
	case e.Type == event.Operation && e.Status == event.OK:
		d.ok++
	case e.Type == event.Operation && e.Status == event.Changed:
		_, thing, _ := strings.Cut(e.Address, "/")
		kind, id, _ := strings.Cut(thing, ":")
		id = repeated.ReplaceAllString(id, "")
		one := doing{thing: kind + " " + id, note: e.Message, certain: e.Change.Confidence == op.Certain, change: e.Change}
		d.changes = append(d.changes, one)
		return one.String()
	}
	return ""
}

func (d *doings) texts() []string {
	texts := []string{}
	for _, c := range d.changes {
		texts = append(texts, c.String())
	}
	return texts
}

// detailed are the changes with what differs.
func (d *doings) detailed() []string {
	var list []string
	for _, c := range d.changes {
		text := c.String()
		for _, name := range (op.Change{Before: c.change.Before, After: c.change.After}).Changed() {
			text += fmt.Sprintf("\n    %s: %v → %v", name, c.change.Before[name], c.change.After[name])
		}
		list = append(list, text)
	}
	return list
}

// compare tells how a dry run and the apply after it differ: what the dry run is not certain of may
// stay away, and what comes after the point where it ended may come besides.
func (d *doings) compare(done *doings) error {
	at := 0
	for _, c := range done.changes {
		for at < len(d.changes) && !d.changes[at].foretells(c) && !d.changes[at].certain {
			at++
		}
		if at == len(d.changes) && d.deferred != "" {
			return nil
		}
		if at == len(d.changes) || !d.changes[at].foretells(c) {
			return d.mismatch(done)
		}
		at++
	}
	if slices.ContainsFunc(d.changes[at:], func(c doing) bool { return c.certain }) {
		return d.mismatch(done)
	}
	return nil
}

func (d *doings) mismatch(done *doings) error {
	list := func(all []string) string { return strings.Join(append(all, ""), "\n") }
	return &FailedError{"the dry run did not say what the apply does:\n" +
		udiff.Unified("dry run", "apply", list(d.texts()), list(done.texts()))}
}

func (d *doings) value() starlark.Value {
	unsure := []string{}
	for _, c := range d.changes {
		if !c.certain {
			unsure = append(unsure, c.String())
		}
	}
	fields := starlark.StringDict{
		"changes": value.FromGo(d.texts()), "unsure": value.FromGo(unsure), "ok": starlark.MakeInt(d.ok),
		"log": value.FromGo(orNone(d.log)), "warnings": value.FromGo(orNone(d.warnings)), "deferred": starlark.None, "value": d.result,
	}
	if d.deferred != "" {
		fields["deferred"] = starlark.String(d.deferred)
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, fields)
}

func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
