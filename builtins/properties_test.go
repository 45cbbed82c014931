package builtins_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"
	"pgregory.net/rapid"

	"phoenix-run/builtins"
	"phoenix-run/builtins/host"
	"phoenix-run/lab/guest"
	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/journal"
	"phoenix-run/runner/load"
	"phoenix-run/runner/op"
	"phoenix-run/runner/plan"
	"phoenix-run/runner/value"
	"phoenix-run/secret"
)

// The properties that make a plan worth reviewing, on random playbooks of every kind of operation, on
// machines in random states, over lines that break at random places. A failure names its seed;
// -rapid.seed=N plays it again, another N others.

// casesEach is how many random cases each of the four properties is held against.
const casesEach = 500

// TestMain sets how long and on which cases rapid runs, unless a flag does: the same in each run, so that a
// change of the code, and not of the dice, makes a test fail.
func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(casesEach), "rapid.seed": "20261201", "rapid.shrinktime": "10s"} {
		if given[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// direct is a machine's shell without a transport between: the cheapest remote.Conn there is.
type direct struct {
	w        *wire
	readOnly bool
}

func (d *direct) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	if d.readOnly && !c.ReadOnly {
		return remote.Result{}, remote.ErrPlanWrite
	}
	return d.w.Exec(ctx, []string{"/bin/sh", "-c", c.Script}, c.Stdin)
}

func (d *direct) Upload(ctx context.Context, u remote.Upload) error {
	content, err := io.ReadAll(u.Content)
	if err != nil {
		return err
	}
	q := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	r, err := d.Run(ctx, remote.Command{Stdin: content, Script: fmt.Sprintf(
		"t=%s; cat > $t && chown %s $t && chmod %04o $t && mv -fT $t %s", q(u.Path+".phx-new"), q(u.Owner+":"+u.Group), u.Mode, q(u.Path))})
	if err == nil && r.Code != 0 {
		err = &remote.FileError{Conn: "direct", Op: "upload", Path: u.Path, Result: r}
	}
	return err
}

func (d *direct) Download(ctx context.Context, path string, w io.Writer) error {
	content, _, err := d.w.ReadFile(ctx, path)
	if err == nil {
		_, err = w.Write(content)
	}
	return err
}

func (d *direct) Close() error   { return nil }
func (d *direct) String() string { return "direct" }

// planted is the secret that playbooks write into files.
const planted = "hunter22hunter22"

// course is one playbook on one machine.
type course struct {
	g       *guest.Guest
	state   string // the script that made the machine's state
	book    playbook
	framed  bool // over the agent's protocol of scripts; else without a transport
	wire    *wire
	guard   runner.Guard
	journal runner.Journal
}

// told is what a run said of itself.
type told struct {
	err      error
	events   []event.Event
	recorder *plan.Recorder
	modules  map[string]string
}

// run executes the playbook once, in a session of its own.
func (c *course) run(mode runner.Mode) told {
	if c.wire == nil {
		c.wire = &wire{g: c.g}
	}
	dial := func(context.Context) (remote.Conn, error) {
		if c.framed {
			return c.wire.dial(mode == runner.Plan), nil
		}
		return &direct{c.wire, mode == runner.Plan}, nil
	}
	session := builtins.New(builtins.Options{Planning: mode == runner.Plan})
	names := session.Predeclared()
	names["web"] = host.New("web", dial)
	names["secret_text"] = value.NewSecret(secret.New(planted))
	out := told{recorder: plan.NewRecorder(plan.NewSalt())}
	var mu sync.Mutex
	redactor := new(secret.Redactor)
	redactor.Add(planted)
	o := runner.Options{Mode: mode, Builtins: names, Redactor: redactor, Guard: c.guard, Journal: c.journal,
		Source: load.Source{Embedded: fstest.MapFS{"playbooks/p.star": {Data: []byte(c.book.text)}}},
		Sink: event.SinkFunc(func(e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			out.recorder.Emit(e)
			out.events = append(out.events, e)
		})}
	if mode == runner.Plan {
		o.Recorder = out.recorder
	}
	r := runner.New(o)
	call, err := r.Prepare(load.Module{Path: "playbooks/p.star", Embedded: true}, nil)
	if err != nil {
		return told{err: err}
	}
	_, out.err = r.Playbook(context.Background(), call)
	r.End(out.err, 0)
	out.modules = r.Loader().Digests()
	return out
}

// changes lists what was, or would be, done as "action address", sorted; keep picks, nil takes all.
func (o told) changes(keep func(event.Event) bool) []string {
	var out []string
	for _, e := range o.events {
		if e.Type == event.Operation && e.Status == event.Changed && (keep == nil || keep(e)) {
			out = append(out, string(e.Change.Action)+" "+e.Address)
		}
	}
	slices.Sort(out)
	return out
}

// soft are the addresses that a plan does not call certain: changes that are likely or unknown, and steps
// that find nothing to do unless an earlier one changes that.
func (o told) soft() map[string]bool {
	out := map[string]bool{}
	for _, e := range o.events {
		if e.Type == event.Operation && e.Change != nil && e.Change.Confidence != op.Certain {
			out[e.Address] = true
		}
	}
	return out
}

func (o told) deferred() bool {
	return slices.ContainsFunc(o.events, func(e event.Event) bool { return e.Type == event.Task && e.Status == event.Deferred })
}

// failedAt is the address of the operation that failed.
func (o told) failedAt() string {
	for _, e := range o.events {
		if e.Type == event.Operation && e.Status == event.Failed {
			return e.Address
		}
	}
	return ""
}

func (o told) log() string {
	var b strings.Builder
	for _, e := range o.events {
		if e.Type == event.Operation || e.Type == event.Task {
			fmt.Fprintf(&b, "  %s %s %s", e.Type, e.Status, e.Address)
			if e.Change != nil {
				fmt.Fprintf(&b, " %s %s", e.Change.Action, e.Change.Confidence)
				if e.Change.Cause != nil {
					fmt.Fprintf(&b, " (%s)", e.Change.Cause.Address)
				}
			}
			if e.Error != nil {
				fmt.Fprintf(&b, " %s", e.Error.Message)
			}
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "  error: %v", o.err)
	return b.String()
}

// start makes a machine in a random state and a playbook for it. A calm playbook has no branches on what has
// changed: a run that is cut off before such a step leaves it undone, unless it is a handler of a feature.
func (r *rig) start(t *rapid.T, calm bool) (*course, func()) {
	book := genPlaybook(t, 1, 6, calm)
	state := genState(t)
	framed := rapid.IntRange(0, 7).Draw(t, "transport") == 0
	g, done := r.machine(t)
	sh(t, g, state)
	t.Logf("state:\n%s\nplaybook:\n%s", state, book.text)
	return &course{g: g, state: state, book: book, framed: framed}, done
}

// TestPlanIsTrue: a plan changes nothing; what it calls certain is what the apply does, change by change;
// and after the apply there is nothing left to do.
func TestPlanIsTrue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		c, done := r.start(t, false)
		defer done()
		before := c.g.Fingerprint()
		planned := c.run(runner.Plan)
		if c.g.Fingerprint() != before {
			t.Fatalf("the plan changed something:\n%s", planned.log())
		}
		if errors.Is(planned.err, remote.ErrPlanWrite) {
			t.Fatalf("the plan tried to change something: %v", planned.err)
		}
		applied := c.run(runner.Apply)
		compare(t, planned, applied)
		if applied.err != nil || !c.book.settles {
			return
		}
		after := c.g.Fingerprint()
		again := c.run(runner.Plan)
		left := again.changes(func(e event.Event) bool {
			return e.Change.Action != op.Run && !(c.book.always && e.Change.Confidence != op.Certain)
		})
		if again.err != nil || len(left) > 0 {
			t.Fatalf("after the apply it would still do %v\n%s", left, again.log())
		}
		if c.g.Fingerprint() != after {
			t.Fatal("the second plan changed something")
		}
	})
}

// compare holds a plan against the apply that followed it.
func compare(t *rapid.T, planned, applied told) {
	both := fmt.Sprintf("plan:\n%s\napply:\n%s", planned.log(), applied.log())
	soft := planned.soft()
	hard := func(e event.Event) bool { return !soft[e.Address] }
	want, have := planned.changes(hard), applied.changes(hard)
	if planned.deferred() || applied.err != nil || planned.err != nil { // one of them got further
		if planned.deferred() && applied.err == nil {
			for _, w := range want {
				if !slices.Contains(have, w) {
					t.Fatalf("planned as certain and not done: %s\n%s", w, both)
				}
			}
		}
	} else if !slices.Equal(want, have) {
		t.Fatalf("certain in the plan: %v\ndone: %v\n%s", want, have, both)
	}
	if len(soft) > 0 || planned.deferred() {
		return
	}
	// All was certain: then so is how it ends.
	if (planned.err == nil) != (applied.err == nil) || planned.failedAt() != applied.failedAt() {
		t.Fatalf("the plan ended with %v, the apply with %v\n%s", planned.err, applied.err, both)
	}
}

// keep writes the plan to a file and reads it back, as people do between review and apply.
func (o told) keep(t *rapid.T, dir string) *plan.Plan {
	p := &plan.Plan{Format: plan.Format, Playbook: "playbooks/p.star", Embedded: true, Modules: o.modules}
	o.recorder.Fill(p)
	path := filepath.Join(dir, "plan.json")
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(planted)) {
		t.Fatalf("the plan file holds a secret:\n%s", text)
	}
	back, err := plan.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// TestApplyIsBound: an apply of a saved plan does a subset of it, whatever has become of the machine
// meanwhile; and all of it where nothing has.
func TestApplyIsBound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		c, done := r.start(t, false)
		defer done()
		planned := c.run(runner.Plan)
		if planned.err != nil {
			return
		}
		kept := planned.keep(t, dir)
		moved := rapid.Bool().Draw(t, "moved")
		if moved {
			sh(t, c.g, genState(t))
		}
		c.guard = plan.NewGuard(kept, false)
		applied := c.run(runner.Apply)
		both := fmt.Sprintf("plan:\n%s\napply:\n%s", planned.log(), applied.log())
		held := map[string]op.Action{}
		for _, s := range kept.Steps {
			held[s.Address.String()] = s.Change.Action
		}
		for _, e := range applied.events {
			if e.Type != event.Operation || e.Status != event.Changed {
				continue
			}
			action, ok := held[e.Address]
			softer := action == op.Create && e.Change.Action == op.Update && planned.soft()[e.Address]
			if !ok || !e.Change.Action.Within(action) && !softer {
				t.Fatalf("%s %s was done, and is not in the plan\n%s", e.Change.Action, e.Address, both)
			}
		}
		var refused *plan.RefusedError
		if !moved && len(planned.soft()) == 0 && !planned.deferred() && errors.As(applied.err, &refused) {
			t.Fatalf("nothing has moved, and it refuses: %v\n%s", refused, both)
		}
	})
}

// TestPlanOverBrokenLines: whatever breaks while it plans, a plan changes nothing.
func TestPlanOverBrokenLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		c, done := r.start(t, false)
		defer done()
		before := c.g.Fingerprint()
		at := rapid.IntRange(1, 8).Draw(t, "breaks at")
		reaches := rapid.Bool().Draw(t, "and the call reaches the machine")
		c.wire = &wire{g: c.g, cut: func(n int) (bool, bool) { return n != at || reaches, n != at }}
		planned := c.run(runner.Plan)
		if c.g.Fingerprint() != before {
			t.Fatalf("the plan changed something:\n%s", planned.log())
		}
		if c.wire.calls >= at && planned.err == nil {
			t.Fatalf("the line broke, and the plan says nothing of it:\n%s", planned.log())
		}
	})
}

// mortal is a journal whose writer can be killed.
type mortal struct {
	*journal.Journal
	dead *bool
}

func (m mortal) Intent(a op.Address, c op.Change, args op.Attrs) error {
	if *m.dead {
		return errCut
	}
	return m.Journal.Intent(a, c, args)
}

func (m mortal) Done(a op.Address, s op.State, err error) error {
	if *m.dead {
		return errCut
	}
	return m.Journal.Done(a, s, err)
}

// TestKilledAnywhere: an apply that is killed at any point, between a call and its effect or between the
// effect and its answer, and is then run again or resumed, ends where an uninterrupted one does.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		c, done := r.start(t, true)
		defer done()
		twin, twinDone := r.machine(t)
		defer twinDone()
		sh(t, twin, c.state)
		whole := (&course{g: twin, book: c.book}).run(runner.Apply)
		if whole.err != nil {
			return
		}
		at := rapid.IntRange(1, 30).Draw(t, "dies at call")
		effect := rapid.Bool().Draw(t, "after its effect")
		dead, happened := false, false
		c.wire = &wire{g: c.g, cut: func(n int) (bool, bool) {
			if n < at {
				return true, true
			}
			if n == at {
				dead, happened = true, effect
				return effect, false
			}
			return false, false
		}}
		n++
		first, second := fmt.Sprintf("A%d", n), fmt.Sprintf("B%d", n)
		j, err := journal.Create(dir, journal.Header{Run: first, Salt: plan.NewSalt()}, func(s string) string { return s })
		if err != nil {
			t.Fatal(err)
		}
		c.journal = mortal{j, &dead}
		killed := c.run(runner.Apply)
		c.wire, c.journal = &wire{g: c.g}, nil
		if c.book.appends || rapid.Bool().Draw(t, "resumed") {
			records, err := journal.Read(dir, first)
			if err != nil {
				t.Fatal(err)
			}
			next, err := journal.Create(dir, journal.Header{Run: second, Salt: plan.NewSalt()}, func(s string) string { return s })
			if err != nil {
				t.Fatal(err)
			}
			next.Resume(records, func(a op.Address) (again bool, err error) {
				return !happened || !strings.Contains(a.ID, appending), nil
			})
			c.journal = next
		}
		again := c.run(runner.Apply)
		if again.err != nil {
			t.Fatalf("killed at call %d:\n%s\nand then:\n%s", at, killed.log(), again.log())
		}
		if c.g.Fingerprint() != twin.Fingerprint() {
			t.Fatalf("killed at call %d (effect %v):\n%s\nand run again it ends elsewhere:\n%s\nuninterrupted:\n%s\n%s", at, effect, killed.log(), again.log(), whole.log(), difference(t, c.g, twin))
		}
	})
}

var _ starlark.Value = (*host.Host)(nil)
