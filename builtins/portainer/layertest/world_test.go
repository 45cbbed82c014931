// Package layertest plays the environment layer, from a machine with Docker to every stack running,
// against the lab: the playbooks as they come with the binary, over the real protocols.
package layertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"phoenix-run/builtins"
	"phoenix-run/config"
	"phoenix-run/lab"
	"phoenix-run/lab/record"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
	"phoenix-run/secret"
)

// world is a lab with machines that have Docker, and a configuration for them.
type world struct {
	t   *testing.T
	dir string // of the configuration
	lab *lab.Lab
	opt lab.Options
}

// base is a lab whose machines are up, made once; tests work on copies.
var base = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "layertest-")
	if err != nil {
		return "", err
	}
	w := &world{dir: filepath.Join(dir, "config"), opt: lab.Options{Dir: filepath.Join(dir, "lab")}}
	if err := w.write(files{}); err != nil {
		return dir, err
	}
	if w.lab, err = lab.Start(context.Background(), w.opt); err != nil {
		return dir, err
	}
	for _, id := range []string{"1001", "1002", "1003"} {
		if r := w.play("create", id); r.err != nil {
			return dir, errors.Join(r.err, w.lab.Close())
		}
	}
	return dir, w.lab.Close()
})

func TestMain(m *testing.M) {
	flag.Parse()
	// They wait for the lab most of the time, so more go side by side than there are processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if dir, _ := base(); dir != "" { //nolint:errcheck // told by the tests that used it
		os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	}
	os.Exit(code)
}

// newWorld makes a copy of the base and starts its lab.
func newWorld(t *testing.T, o lab.Options) *world {
	t.Helper()
	from, err := base()
	if err != nil {
		t.Fatalf("the machines: %v", err)
	}
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "config"), opt: o}
	w.opt.Dir = filepath.Join(t.TempDir(), "lab")
	if err := os.CopyFS(w.opt.Dir, os.DirFS(filepath.Join(from, "lab"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"network.json", "requests.jsonl", "known_hosts"} { // addresses of its own
		if err := os.RemoveAll(filepath.Join(w.opt.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(w.opt.Dir, "id_ed25519"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.write(files{}); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() { w.lab.Close() }) //nolint:errcheck // the test has seen what counts
	return w
}

func (w *world) start() {
	w.t.Helper()
	l, err := lab.Start(w.t.Context(), w.opt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.lab = l
}

// files are the configuration's, by path.
type files map[string]string

// standard is a server and two machines with stacks, one with variables and a file.
var standard = files{
	"phoenix_vm_configs.json": `{
  "vm_defaults": { "features": ["docker"] },
  "virtual_machines": [
    { "vm_id": 1001, "vm_name": "main", "tags": ["core"], "docker_stacks": ["portainer"] },
    { "vm_id": 1002, "vm_name": "apps", "tags": ["prod", "web"], "docker_stacks": ["shop", "plain"] },
    { "vm_id": 1003, "vm_name": "data", "docker_stacks": ["plain"] }
  ]
}`,
	"phoenix_stacks_config.json": `{
  "docker_stacks": {
    "shop": {
      "compose_file_path": "shop.yml",
      "environments": { "production": {
        "variables": [
          { "name": "GREETING", "value": "it's $5 #1 \"now\"" },
          { "name": "DB_PASSWORD", "value": { "file": "password" } }
        ],
        "files": [ { "source": "shop.conf", "destination_in_container": "/etc/shop.conf", "service": "web" } ]
      } }
    },
    "plain": { "compose_file_path": "plain.yml" }
  }
}`,
	"phoenix_hypervisor_config.json": `{
  "portainer_api": { "password": { "file": "admin" } },
  "portainer": { "version": "2.45.0" }
}`,
	"shop.yml": `services:
  web:
    image: nginx:1
    environment:
      GREETING: ${GREETING}
      PASSWORD: ${DB_PASSWORD}
  cache:
    image: redis:7
`,
	"plain.yml": "services:\n  only:\n    image: nginx:1\n",
	"shop.conf": "colour = red\n",
	"password":  "hunter2-$ecret",
	"admin":     "correct horse battery",
}

// write puts the standard files into the folder, with others in their place.
func (w *world) write(other files) error {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	for name, text := range standard {
		if _, there := other[name]; there {
			continue
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for name, text := range other {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// set writes files, and leaves the others as they are.
func (w *world) set(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(w.dir, name)), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// change replaces a text in a file of the configuration.
func (w *world) change(name, old, text string) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		w.t.Fatalf("%s does not hold %q", name, old)
	}
	w.set(name, strings.Replace(string(b), old, text, 1))
}

// version sets portainer.version.
func (w *world) version(v string) {
	w.t.Helper()
	w.set("phoenix_hypervisor_config.json", strings.Replace(standard["phoenix_hypervisor_config.json"], "2.45.0", v, 1))
}

// result is how a run went.
type result struct {
	err      error
	events   []event.Event
	requests []record.Entry // of the run, to Portainer alone
	took     time.Duration
}

type sink struct {
	mu     sync.Mutex
	events []event.Event
	seen   func(event.Event)
}

func (s *sink) Emit(e event.Event) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	if s.seen != nil {
		s.seen(e)
	}
}

// play runs a playbook; plan, with --dry-run.
func (w *world) play(words ...string) result {
	return w.run(context.Background(), runner.Apply, nil, words...)
}
func (w *world) plan(words ...string) result {
	return w.run(context.Background(), runner.Plan, nil, words...)
}

func (w *world) run(ctx context.Context, mode runner.Mode, seen func(event.Event), words ...string) result {
	info := w.lab.Info()
	before := w.logged()
	source := load.Source{Project: w.dir, Embedded: builtins.Modules()}
	cfg, _, err := config.Load(w.dir, config.Options{Features: source.List("features"), NeedProxmox: true, Override: func(h *config.Hypervisor) {
		h.ProxmoxAPI = config.ProxmoxAPI{URL: info.URL, Node: info.Node, Token: secret.Literal(info.Token), TLSFingerprint: info.Fingerprint}
		h.SSH.PrivateKeyFile, h.SSH.Port = info.SSHKeyFile, info.SSHPort
		h.SSH.KnownHostsFile = info.KnownHosts
	}})
	if err != nil {
		return result{err: err}
	}
	s := &sink{seen: seen}
	redactor := new(secret.Redactor)
	session := builtins.New(builtins.Options{Config: cfg, Planning: mode == runner.Plan})
	run := runner.New(runner.Options{Mode: mode, Source: source, Sink: s, Redactor: redactor, Builtins: session.Predeclared()})
	module, rest, err := runner.FindPlaybook(source, words)
	if err != nil {
		return result{err: err}
	}
	call, err := run.Prepare(module, rest)
	if err != nil {
		return result{err: errors.Join(err, session.Close())}
	}
	began := time.Now()
	_, err = run.Playbook(ctx, call)
	err = errors.Join(err, session.Close())
	r := result{err: err, events: s.events, took: time.Since(began)}
	for _, e := range w.logged()[len(before):] {
		if e.Service == record.Portainer {
			r.requests = append(r.requests, e)
		}
	}
	return r
}

// logged reads the lab's log of requests.
func (w *world) logged() []record.Entry {
	f, err := os.Open(filepath.Join(w.opt.Dir, "requests.jsonl"))
	if err != nil {
		return nil
	}
	defer f.Close()
	var list []record.Entry
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var e record.Entry
		if json.Unmarshal(scanner.Bytes(), &e) == nil {
			list = append(list, e)
		}
	}
	return list
}

// changed are the addresses of what a run changed, or would change: "update apps/stack:shop", sorted.
func (r result) changed() []string {
	var list []string
	for _, e := range r.events {
		if e.Type == event.Operation && e.Status == event.Changed {
			list = append(list, fmt.Sprintf("%s %s", e.Change.Action, e.Address))
		}
	}
	slices.Sort(list)
	return list
}

// text is all that a run told.
func (r result) text() string {
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintln(&b, e.Host, e.Address, e.Status, e.Message)
		if e.Error != nil {
			fmt.Fprintln(&b, e.Error.Message)
		}
	}
	fmt.Fprintln(&b, r.err)
	return b.String()
}

// count tells how many requests of a run were made with a method and a path's end.
func (r result) count(method, end string) int {
	n := 0
	for _, e := range r.requests {
		if e.Method == method && strings.HasSuffix(e.Path, end) {
			n++
		}
	}
	return n
}

// must plays a playbook that has to succeed.
func (w *world) must(words ...string) result {
	w.t.Helper()
	r := w.play(words...)
	if r.err != nil {
		w.t.Fatalf("%v: %v", words, r.err)
	}
	return r
}

// quiet plays a sync that must change nothing, neither here nor there.
func (w *world) quiet(words ...string) result {
	w.t.Helper()
	r := w.must(words...)
	if c := r.changed(); len(c) > 0 {
		w.t.Errorf("%v changed %v", words, c)
	}
	for _, e := range r.requests {
		if e.Changed || e.Method != "GET" && !strings.HasSuffix(e.Path, "/auth") {
			w.t.Errorf("%v: %s %s", words, e.Method, e.Path)
		}
	}
	return r
}
