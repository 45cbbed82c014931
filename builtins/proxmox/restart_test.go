package proxmox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"phoenix-run/runner"
	"phoenix-run/runner/event"
)

// one is a world with one machine that runs.
func one(t *testing.T, restart string) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web", "restart": restart, "cpu_cores": 2, "ssh_user": "phoenix"}}
	w.must(runner.Apply, "create", "1001")
	return w
}

func TestWhatNeedsARestartIsPending(t *testing.T) {
	w := one(t, "never")
	w.vms[0]["cpu_cores"] = 4
	w.vms[0]["nameserver"] = "192.0.2.53"
	for _, mode := range []runner.Mode{runner.Plan, runner.Apply} {
		s := w.must(mode, "create", "1001")
		if got, want := s.said(event.Warning), "pending until the machine restarts: cpu_cores, nameserver (restart is never); to restart it: phoenix-run reboot 1001"; got != want {
			t.Errorf("%s: got %q, want %q", mode, got, want)
		}
	}
	if s := w.settings(1001); s.Live["cores"] != "2" || s.Config["cores"] != "4" || !slices.Equal(s.Pending, []string{"cores"}) {
		t.Errorf("live %s, coming %s, pending %v", s.Live["cores"], s.Config["cores"], s.Pending)
	}
	again := w.must(runner.Plan, "create", "1001")
	if got := again.said(event.Warning); !strings.Contains(got, "pending until the machine restarts: cpu_cores (") {
		t.Errorf("the next run does not tell: %q", got)
	}
	if got := again.changes(); len(got) > 0 {
		t.Errorf("what is pending is changed again: %v", got)
	}
	if got := w.must(runner.Apply, "status", "--drift").said(event.Log); !strings.Contains(got, "web: cpu_cores takes effect at the next restart") {
		t.Errorf("status does not tell:\n%s", got)
	}
	w.must(runner.Apply, "reboot", "1001")
	if s := w.settings(1001); s.Live["cores"] != "4" {
		t.Errorf("after the reboot cores is %s", s.Live["cores"])
	}
	if got := w.must(runner.Apply, "create", "1001").said(event.Warning); got != "" {
		t.Errorf("after the reboot: %q", got)
	}
}

func TestRestartIfNeeded(t *testing.T) {
	w := one(t, "if_needed")
	w.vms[0]["memory_mb"] = 8192
	w.vms[0]["ssh_user"] = "admin"
	got := w.settles("create", "1001")
	want := []string{"update web/restart:1001 map[pending:[]]", "update web/vm:1001 map[memory_mb:8192 ssh_user:admin]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if s := w.settings(1001); s.Live["memory"] != "8192" || len(s.Pending) > 0 {
		t.Errorf("memory is %s, pending %v", s.Live["memory"], s.Pending)
	}

	w.byHand(1001, map[string]string{"cores": "3"}) // someone's change is undone: nothing is pending then
	if got := w.settles("create", "1001"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	w.vms[0]["description"] = "takes effect at once"
	if got := w.settles("create", "1001"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	if err := w.other.Shutdown(t.Context(), "pve", 1001, 0, true, nil); err != nil {
		t.Fatal(err)
	}
	w.vms[0]["cpu_cores"] = 1
	if got := strings.Join(w.settles("create", "1001"), "\n"); strings.Contains(got, "restart") {
		t.Errorf("a machine that is off is restarted: %s", got)
	}
}

func TestRestartAsks(t *testing.T) {
	w := one(t, "ask")
	var asked []string
	answer, fault := false, error(nil)
	w.ask = func(q string) (bool, error) { asked = append(asked, q); return answer, fault }

	w.vms[0]["cpu_cores"] = 4
	if plan := strings.Join(w.must(runner.Plan, "create", "1001").changes(), "\n"); !strings.Contains(plan, "restart:1001") || len(asked) > 0 {
		t.Errorf("planned %s, asked %v", plan, asked)
	}
	s := w.must(runner.Apply, "create", "1001")
	if len(asked) != 1 || !strings.Contains(asked[0], "new cpu_cores") || !strings.Contains(s.said(event.Warning), "the answer was no") {
		t.Errorf("asked %q, warned %q", asked, s.said(event.Warning))
	}
	fault = errors.New("there is no terminal to ask on; give --yes")
	if got := w.must(runner.Apply, "create", "1001").said(event.Warning); !strings.Contains(got, "give --yes") {
		t.Errorf("warned %q", got)
	}
	answer, fault = true, nil
	if got := w.settles("create", "1001"); len(got) != 1 || !strings.Contains(got[0], "restart:1001") {
		t.Errorf("got %q", got)
	}
	if s := w.settings(1001); s.Live["cores"] != "4" {
		t.Errorf("cores is %s", s.Live["cores"])
	}
}
