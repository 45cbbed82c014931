package journal_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"phoenix-run/runner/journal"
	"phoenix-run/runner/op"
	"phoenix-run/runner/plan"
)

func create(t *testing.T, dir, run string) *journal.Journal {
	t.Helper()
	j, err := journal.Create(dir, journal.Header{Run: run, Playbook: "playbooks/p.star", Salt: plan.NewSalt()},
		func(s string) string { return strings.ReplaceAll(s, "hunter22", "(secret)") })
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func command(id string) (op.Address, op.Attrs) {
	return op.Address{Host: "web", Kind: "command", ID: id}, op.Attrs{"script": id}
}

// TestResume: what was done is answered, what was only begun is asked about, what failed is done again.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	first := create(t, dir, "A")
	change := op.Change{Action: op.Run}
	for _, id := range []string{"done", "failed", "begun"} {
		addr, args := command(id)
		must(t, first.Intent(addr, change, args))
		switch id {
		case "done":
			must(t, first.Done(addr, op.State{Attrs: op.Attrs{"stdout": "7 hunter22", "code": 0}}, nil))
		case "failed":
			must(t, first.Done(addr, op.State{}, errors.New("no")))
		}
	}
	// No Close: the process was killed; and half a line was under way.
	f, err := os.OpenFile(journal.Path(dir, "A"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"kind":"int`)
	must(t, err)
	must(t, f.Close())

	records, err := journal.Read(dir, "A")
	must(t, err)
	second := create(t, dir, "B")
	asked := ""
	second.Resume(records, func(addr op.Address) (bool, error) {
		asked = addr.ID
		return false, nil
	})
	for _, tt := range []struct {
		id   string
		args op.Attrs
		done bool
	}{
		{"done", nil, true},
		{"done", op.Attrs{"script": "another"}, false},
		{"failed", nil, false},
		{"begun", nil, true}, // asked, and not again
		{"new", nil, false},
	} {
		addr, args := command(tt.id)
		if tt.args != nil {
			args = tt.args
		}
		got, err := second.Recall(addr, args)
		must(t, err)
		if got.Done != tt.done {
			t.Errorf("%s: done = %v, want %v", tt.id, got.Done, tt.done)
		}
		if tt.id == "done" && tt.done {
			if got.State.Attrs["code"] != int64(0) || got.State.Attrs["stdout"] != "7 (secret)" {
				t.Errorf("recalled %v", got.State.Attrs)
			}
		}
	}
	if asked != "begun" {
		t.Errorf("asked about %q", asked)
	}
}

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "A")
	must(t, j.Close())
	info, err := os.Stat(journal.Path(dir, "A"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := journal.Read(dir, "../A"); err == nil {
		t.Error("a path was taken for a run")
	}
	if _, err := journal.Read(dir, "B"); err == nil || !strings.Contains(err.Error(), "there is no run B") {
		t.Errorf("got %v", err)
	}
}
