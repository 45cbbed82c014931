package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"

	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
	"phoenix-run/runner/op"
)

// lost is a connection that broke while something was under way.
type lost struct{ started bool }

func (l *lost) Error() string         { return "the connection was lost" }
func (l *lost) MayHaveHappened() bool { return l.started }

// fragile is a setting whose first writes are cut off.
type fragile struct {
	setting
	tries *int
	cut   func(try int, write func(text string)) error // nil: the write is whole
	run   bool                                         // it is a thing that is run, like a restart
}

func (f *fragile) Diff(current op.State) (op.Change, error) {
	if f.run {
		return op.Change{Action: op.Run, After: op.Attrs{"value": f.value}}, nil
	}
	return f.setting.Diff(current)
}

func (f *fragile) Apply(ctx context.Context, change op.Change) error {
	*f.tries++
	write := func(text string) {
		f.w.mu.Lock()
		defer f.w.mu.Unlock()
		f.w.things[f.host+"/"+f.name] = text
	}
	if f.cut != nil {
		if err := f.cut(*f.tries, write); err != nil {
			return err
		}
	}
	return f.setting.Apply(ctx, change)
}

type guard struct{}

func (guard) Allow(op.Address, op.Change) error { return nil }

// A step that was cut off is looked at, and what is left of it is done; once, and never a thing that
// can't be told to have been done.
func TestInterrupted(t *testing.T) {
	cutOnce := func(half string, started bool) func(int, func(string)) error {
		return func(try int, write func(string)) error {
			if try > 1 {
				return nil
			}
			if half != "" {
				write(half)
			}
			return &lost{started}
		}
	}
	for _, tt := range []struct {
		name  string
		cut   func(int, func(string)) error
		run   bool
		bound bool
		tries int
		say   string // of the error; "": it ends well
	}{
		{name: "it was done", cut: cutOnce("new", true), tries: 1},
		{name: "nothing was done", cut: cutOnce("", true), tries: 2},
		{name: "nothing was done, bound to a plan", cut: cutOnce("", true), bound: true, tries: 2},
		{name: "done in part", cut: cutOnce("ne", true), tries: 2},
		{name: "done in part, bound to a plan", cut: cutOnce("ne", true), bound: true, tries: 1, say: "plan again"},
		{name: "it never began", cut: cutOnce("", false), tries: 1, say: "the connection was lost"},
		{name: "cut again", cut: func(int, func(string)) error { return &lost{true} }, tries: 2, say: "the second try"},
		{name: "a thing that is run", cut: cutOnce("", true), run: true, tries: 1, say: "the connection was lost"},
		{name: "another failure", cut: func(int, func(string)) error { return errors.New("disk full") }, tries: 1, say: "disk full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, tries := newWorld(), 0
			w.things["web/a"] = "old"
			set := builtin.Func(builtin.Spec{Name: "set", Effect: builtin.Operation}, func(c *builtin.Call, _ struct{}) (starlark.Value, error) {
				return c.Do(&fragile{setting: setting{w: w, host: "web", name: "a", value: "new"}, tries: &tries, cut: tt.cut, run: tt.run})
			})
			src := load.Source{Embedded: fstest.MapFS{"playbooks/p.star": {Data: []byte("def main():\n    set()\n")}}}
			o := runner.Options{Mode: runner.Apply, Source: src, Builtins: starlark.StringDict{"set": set.Value("", nil)},
				Sink: event.SinkFunc(func(event.Event) {})}
			if tt.bound {
				o.Guard = guard{}
			}
			r := runner.New(o)
			m, _, err := runner.FindPlaybook(src, []string{"p"})
			if err != nil {
				t.Fatal(err)
			}
			call, err := r.Prepare(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Playbook(t.Context(), call)
			if tt.say == "" && err != nil || tt.say != "" && !strings.Contains(fmt.Sprint(err), tt.say) {
				t.Errorf("got %v", err)
			}
			if tries != tt.tries {
				t.Errorf("it was tried %d times, want %d", tries, tt.tries)
			}
			if got := w.things["web/a"]; err == nil && got != "new" {
				t.Errorf("it is %q", got)
			}
		})
	}
}
