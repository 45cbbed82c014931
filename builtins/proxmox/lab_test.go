package proxmox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"phoenix-run/builtins"
	"phoenix-run/config"
	"phoenix-run/lab/guest"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/lab/record"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
	"phoenix-run/secret"
)

const (
	testToken    = "11111111-2222-3333-4444-555555555555"
	testPassword = "correct horse battery"
)

// instant makes the lab's tasks take next to no time.
var instant = lab.Speed{
	Clone: time.Millisecond, Copy: time.Millisecond, Create: time.Millisecond, Start: time.Millisecond, Stop: time.Millisecond,
	Config: time.Millisecond, Resize: time.Millisecond, Destroy: time.Millisecond, Snapshot: time.Millisecond,
	Migrate: time.Millisecond, Template: time.Millisecond, HA: time.Millisecond,
}

// world is a lab and a project folder whose playbooks work on it.
type world struct {
	t      testing.TB
	dir    string
	server *lab.Server
	guests *guest.Backend
	other  *pve.Client // another client: someone who works on the machines by hand
	api    map[string]any
	ssh    map[string]any

	features []string // of the project
	defaults map[string]any
	vms      []map[string]any
	ask      func(string) (bool, error)
	verbose  bool
	parallel int
}

// newWorld starts a lab; change may alter its settings.
func newWorld(t testing.TB, change func(*lab.Options, *guest.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), defaults: map[string]any{"transport": "agent"}}
	dir := t.TempDir()
	log, err := record.Open(filepath.Join(dir, "requests.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	g := guest.Options{
		Dir: filepath.Join(dir, "guests"), Lease: func(int) (string, error) { return "127.0.0.1", nil },
		Listen: func(ctx context.Context, _ string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		},
		BootTime: time.Millisecond, CloudInitTime: time.Millisecond, InstallTime: time.Millisecond,
	}
	o := lab.Options{Dir: filepath.Join(dir, "proxmox"), Log: log, Speed: instant, Seed: lab.DefaultSeed(testPassword, testToken)}
	if change != nil {
		change(&o, &g)
	}
	if w.guests, err = guest.NewBackend(g); err != nil {
		t.Fatal(err)
	}
	switch b := o.Backend.(type) {
	case nil:
		o.Backend = w.guests
	case *gate:
		b.Backend = w.guests
	}
	if w.server, err = lab.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.server.Close(), log.Close()); err != nil {
			t.Error(err)
		}
		checkSchema(t, o.Version, filepath.Join(dir, "requests.jsonl"))
	})
	w.api = map[string]any{"url": w.server.URL(), "token": "phoenix@pve!run=" + testToken, "tls_fingerprint": w.server.Fingerprint()}
	w.other, err = pve.Open(pve.Options{URL: w.server.URL(), Token: secret.New("phoenix@pve!run=" + testToken), Fingerprint: w.server.Fingerprint()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.other.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// load writes the project's files and reads them as the program does.
func (w *world) load() *config.Config {
	w.t.Helper()
	hypervisor := map[string]any{"proxmox_api": w.api}
	if w.ssh != nil {
		hypervisor["ssh"] = w.ssh
	}
	for name, v := range map[string]any{
		"phoenix_hypervisor_config.json": hypervisor,
		"phoenix_vm_configs.json":        map[string]any{"vm_defaults": w.defaults, "virtual_machines": w.vms},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	c, _, err := config.Load(w.dir, config.Options{NeedProxmox: true, Features: w.features})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// story is what a run told.
type story struct {
	events []event.Event
}

// run executes a playbook.
func (w *world) run(ctx context.Context, mode runner.Mode, words ...string) (story, error) {
	w.t.Helper()
	c := w.load()
	src := load.Source{Project: w.dir, Embedded: builtins.Modules()}
	session := builtins.New(builtins.Options{Config: c, Planning: mode == runner.Plan, Ask: w.ask, Verbose: w.verbose})
	var s story
	var mu sync.Mutex
	r := runner.New(runner.Options{Mode: mode, Source: src, Builtins: session.Predeclared(), Parallel: w.parallel,
		Sink: event.SinkFunc(func(e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			s.events = append(s.events, e)
		})})
	module, rest, err := runner.FindPlaybook(src, words)
	if err != nil {
		w.t.Fatal(err)
	}
	call, err := r.Prepare(module, rest)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = r.Playbook(ctx, call)
	return s, errors.Join(err, session.Close())
}

// must executes a playbook that has to succeed.
func (w *world) must(mode runner.Mode, words ...string) story {
	w.t.Helper()
	s, err := w.run(w.t.Context(), mode, words...)
	if err != nil {
		w.t.Fatalf("%s of %s: %v", mode, strings.Join(words, " "), err)
	}
	return s
}

// changes lists what was, or would be, changed, with the attributes' new values, sorted.
func (s story) changes() []string {
	list := []string{}
	for _, e := range s.events {
		if e.Type != event.Operation || e.Change == nil {
			continue
		}
		after := map[string]any{}
		for name, v := range e.Change.After {
			if before, ok := e.Change.Before[name]; !ok || fmt.Sprint(before) != fmt.Sprint(v) {
				after[name] = v
			}
		}
		list = append(list, fmt.Sprintf("%s %s %v", e.Change.Action, e.Address, after))
	}
	slices.Sort(list)
	return list
}

// said joins all messages of a type.
func (s story) said(kind event.Type) string {
	var lines []string
	for _, e := range s.events {
		if e.Type == kind {
			lines = append(lines, e.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// settles checks that a dry run tells what an apply does, and that nothing is left to do after it. It
// gives what was changed.
func (w *world) settles(words ...string) []string {
	w.t.Helper()
	planned := w.must(runner.Plan, words...).changes()
	applied := w.must(runner.Apply, words...).changes()
	if !slices.Equal(planned, applied) {
		w.t.Errorf("planned and applied differ:\n%s\n--\n%s", strings.Join(planned, "\n"), strings.Join(applied, "\n"))
	}
	for _, mode := range []runner.Mode{runner.Plan, runner.Apply} {
		if again := w.must(mode, words...).changes(); len(again) > 0 {
			w.t.Errorf("a second %s is not empty:\n%s", mode, strings.Join(again, "\n"))
		}
	}
	return applied
}

// byHand changes a machine as someone else would.
func (w *world) byHand(id int, set map[string]string, remove ...string) {
	w.t.Helper()
	if err := w.other.Configure(w.t.Context(), "pve", id, set, remove, ""); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) settings(id int) pve.Settings {
	w.t.Helper()
	s, err := w.other.Settings(w.t.Context(), "pve", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}
