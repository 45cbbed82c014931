package plan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
	"phoenix-run/runner/plan"
	"phoenix-run/secret"
)

var motd = op.Address{Host: "web", Kind: "file", ID: "/etc/motd"}

// reviewed makes a plan of one change.
func reviewed(t *testing.T, change op.Change) *plan.Plan {
	t.Helper()
	r := plan.NewRecorder(plan.NewSalt())
	r.Planned(motd, change)
	r.Emit(event.Event{Type: event.Operation, Status: event.Changed, Host: "web", Address: motd.String(),
		Change: &event.Change{Action: change.Action, Before: change.Before, After: change.After, Confidence: change.Confidence, Unknown: change.Unknown()}})
	p := &plan.Plan{Format: plan.Format}
	r.Fill(p)
	return p
}

func TestGuardAllowsWhatWasReviewedAndNothingElse(t *testing.T) {
	file := func(content, mode string) op.Attrs { return op.Attrs{"content": content, "mode": mode} }
	unknown := op.Unknown{From: op.Address{Host: "web", Kind: "vm", ID: "101"}, Attr: "address"}
	update := op.Change{Action: op.Update, Before: file("a", "0644"), After: file("b", "0644"), Confidence: op.Certain}
	create := op.Change{Action: op.Create, After: file("b", "0644"), Confidence: op.Certain}
	likely := op.Change{Action: op.Create, After: file("b", "0644"), Confidence: op.Likely}
	open := op.Change{Action: op.Create, After: op.Attrs{"content": unknown, "mode": "0644"}, Confidence: op.Certain}
	other := op.Address{Host: "web", Kind: "file", ID: "/etc/passwd"}
	for _, tt := range []struct {
		name    string
		planned op.Change
		addr    op.Address
		actual  op.Change
		refusal string // "" means allowed
	}{
		{"the same", update, motd, update, ""},
		{"the same creation", create, motd, create, ""},
		{"another thing", update, other, update, "which the plan does not have"},
		{"a stronger action", update, motd, op.Change{Action: op.Delete, Before: file("a", "0644")}, "the plan has update"},
		{"a replacement for an update", update, motd, op.Change{Action: op.Replace, Before: file("a", "0644"), After: file("b", "0644")}, "the plan has update"},
		{"edited by hand since", update, motd, op.Change{Action: op.Update, Before: file("x", "0644"), After: file("b", "0644")}, "has changed since the plan was made (content)"},
		{"made by hand since", create, motd, op.Change{Action: op.Create, Before: file("x", "0644"), After: file("b", "0644")}, "it was not there"},
		{"removed by hand since", update, motd, op.Change{Action: op.Update, After: file("b", "0644")}, "it is gone"},
		{"another end", create, motd, op.Change{Action: op.Create, After: file("c", "0644")}, "content of web/file:/etc/motd would not become what the plan has"},
		{"another mode", create, motd, op.Change{Action: op.Create, After: file("b", "0777")}, "mode of"},
		{"an unknown that is known now", open, motd, op.Change{Action: op.Create, After: file("10.0.0.5", "0644")}, ""},
		{"likely, and so it is", likely, motd, create, ""},
		{"likely absent, but there", likely, motd, op.Change{Action: op.Update, Before: file("x", "0600"), After: file("b", "0644")}, ""},
		{"likely, with another end", likely, motd, op.Change{Action: op.Create, After: file("c", "0644")}, "content of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := plan.NewGuard(reviewed(t, tt.planned), false).Allow(tt.addr, tt.actual)
			switch {
			case tt.refusal == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.refusal != "" && (err == nil || !strings.Contains(err.Error(), tt.refusal)):
				t.Errorf("got %v, want %q", err, tt.refusal)
			}
		})
	}
}

func TestGuardOfADeferredHost(t *testing.T) {
	p := reviewed(t, op.Change{Action: op.Create, After: op.Attrs{"content": "b"}, Confidence: op.Certain})
	p.Deferred = []plan.Deferral{{Host: "db", Position: "p.star:7:3"}}
	addr := op.Address{Host: "db", Kind: "file", ID: "/x"}
	change := op.Change{Action: op.Create, After: op.Attrs{"content": "b"}}
	if err := plan.NewGuard(p, false).Allow(addr, change); err == nil || !strings.Contains(err.Error(), "--allow-deferred") {
		t.Errorf("got %v", err)
	}
	if err := plan.NewGuard(p, true).Allow(addr, change); err != nil {
		t.Error(err)
	}
}

func TestPlanFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.json")
	p := reviewed(t, op.Change{Action: op.Create, Confidence: op.Certain, After: op.Attrs{"password": secret.New("hunter22-hunter22"), "content": "b"}})
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter22") {
		t.Error("the plan file holds a secret")
	}
	back, err := plan.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	same := op.Change{Action: op.Create, After: op.Attrs{"password": secret.New("hunter22-hunter22"), "content": "b"}}
	if err := plan.NewGuard(back, false).Allow(motd, same); err != nil {
		t.Errorf("after a round trip: %v", err)
	}
	other := op.Change{Action: op.Create, After: op.Attrs{"password": secret.New("another-one"), "content": "b"}}
	if err := plan.NewGuard(back, false).Allow(motd, other); err == nil {
		t.Error("another secret was allowed")
	}
	t.Run("edited", func(t *testing.T) {
		var doc map[string]any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		doc["words"] = []string{"other"}
		edited, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, edited, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := plan.Read(path); err == nil || !strings.Contains(err.Error(), "edited") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("writable by others", func(t *testing.T) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := plan.Read(path); err == nil || !strings.Contains(err.Error(), "others may write") {
			t.Errorf("got %v", err)
		}
	})
}
