package hosttest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/core"
	"phoenix-run/builtins/host"
	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
)

// Machine is what cases run on.
type Machine struct {
	// Dial connects as root; with planning, to read only.
	Dial func(ctx context.Context, planning bool) (remote.Conn, error)
	Has  []Need
	// State tells of everything on the machine that a dry run must leave alone; nil: that nothing was
	// changed is seen by the connection's own refusal.
	State func(t testing.TB) string
}

// Run runs the cases that the machine has everything for: a dry run that changes nothing, an apply that
// does what the dry run said, a check with ordinary tools, and an apply that changes nothing more.
func Run(t *testing.T, m Machine, cases []Case) {
	m = m.kept(t)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, need := range c.Needs {
				if !slices.Contains(m.Has, need) {
					t.Skipf("the machine has no %s", need)
				}
			}
			m.run(t, c)
		})
	}
}

// kept is the machine with one connection for reading and one for all else, until the test ends.
func (m Machine) kept(t *testing.T) Machine {
	conns := map[bool]remote.Conn{}
	dial := m.Dial
	m.Dial = func(ctx context.Context, planning bool) (remote.Conn, error) {
		if conns[planning] == nil {
			conn, err := dial(ctx, planning)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { conn.Close() })
			conns[planning] = conn
		}
		return keptConn{conns[planning]}, nil
	}
	return m
}

// keptConn stays when whoever uses it is done.
type keptConn struct{ remote.Conn }

func (keptConn) Close() error { return nil }

func (m Machine) run(t *testing.T, c Case) {
	project := t.TempDir()
	write(t, project, "case.star", "def main():\n    "+strings.ReplaceAll(strings.TrimSpace(c.Playbook), "\n", "\n    ")+"\n")
	for name, text := range c.Files {
		write(t, project, name, text)
	}
	m.script(t, "setup", c.Setup)
	before := ""
	if m.State != nil {
		before = m.State(t)
	}
	planned := m.Playbook(t, project, runner.Plan)
	if m.State != nil {
		if after := m.State(t); after != before {
			t.Errorf("the dry run changed something on the machine:\nbefore:\n%s\nafter:\n%s", before, after)
		}
	}
	if len(planned) == 0 && !c.Idle {
		t.Error("the dry run foresees no change")
	}
	done, said, err := m.Play(t, project, runner.Apply)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if !strings.Contains(said, c.Says) {
		t.Errorf("people were told %q, want %q in it", said, c.Says)
	}
	if !slices.Equal(planned, done) && (!c.Late || len(planned) > len(done) || !slices.Equal(planned, done[:len(planned)])) {
		t.Errorf("the dry run said\n  %s\nand the apply did\n  %s", strings.Join(planned, "\n  "), strings.Join(done, "\n  "))
	}
	if c.Changes > 0 && len(done) != c.Changes {
		t.Errorf("%d changes, want %d:\n  %s", len(done), c.Changes, strings.Join(done, "\n  "))
	}
	m.script(t, "check", c.Check)
	again := m.Playbook(t, project, runner.Apply)
	if len(again) > 0 && !c.Repeats {
		t.Errorf("the second apply changed\n  %s", strings.Join(again, "\n  "))
	}
	if c.Repeats && len(again) == 0 && !c.Idle {
		t.Error("the second apply did nothing")
	}
	m.script(t, "check after the second apply", c.Check)
	if m.State != nil && !c.Repeats {
		before := m.State(t)
		if left := m.Playbook(t, project, runner.Plan); len(left) > 0 {
			t.Errorf("after the apply, a dry run still foresees\n  %s", strings.Join(left, "\n  "))
		}
		if after := m.State(t); after != before {
			t.Errorf("the last dry run changed something on the machine:\nbefore:\n%s\nafter:\n%s", before, after)
		}
	}
}

// Playbook plays the project's case.star and gives its changes: "create host/file:/etc/motd".
func (m Machine) Playbook(t *testing.T, project string, mode runner.Mode) []string {
	t.Helper()
	changes, _, err := m.Play(t, project, mode)
	if err != nil {
		t.Fatalf("%s: %v", mode, err)
	}
	return changes
}

// Play is Playbook for those that are to fail.
func (m Machine) Play(t *testing.T, project string, mode runner.Mode) (changes []string, said string, err error) {
	h := host.New("m", func(ctx context.Context) (remote.Conn, error) { return m.Dial(ctx, mode == runner.Plan) })
	defer h.Close()
	run := runner.New(runner.Options{Mode: mode, Source: load.Source{Project: project},
		Builtins: starlark.StringDict{"host": h, "attempt": core.Attempt.Value("", nil)},
		Sink: event.SinkFunc(func(e event.Event) {
			if e.Type == event.Operation && e.Status == event.Changed {
				changes = append(changes, string(e.Change.Action)+" "+e.Address)
			}
			if e.Type == event.Log {
				said += e.Message + "\n"
			}
		})})
	call, err := run.Prepare(load.Module{Path: "case.star"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = run.Playbook(t.Context(), call)
	return changes, said, err
}

func (m Machine) script(t *testing.T, what, text string) {
	t.Helper()
	if text == "" {
		return
	}
	conn, err := m.Dial(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := conn.Run(t.Context(), remote.Command{Script: "set -ex\n" + text})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if r.Code != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", what, r.Code, r.Stdout, r.Stderr)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
