package layertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"phoenix-run/examples"
	"phoenix-run/lab"
)

// missing ends a test whose real part is not there: on a machine of ours it is skipped, in CI it fails.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	text := "NOT TESTED against a real Docker Engine: " + fmt.Sprintf(format, args...)
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// engine is a real Docker Engine in a network and a mount namespace of its own.
type engine struct {
	t       *testing.T
	pid     int
	socket  string
	state   string // what its containers see as /var/lib/phoenix-run
	compose string
	server  string // the program of all images
}

// startEngine starts dockerd with its own socket and data.
func startEngine(t *testing.T) *engine {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "only root can start one")
	}
	for _, name := range []string{"dockerd", "docker", "unshare", "nsenter", "ip", "iptables"} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "%v; scripts/test-deps installs it", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		missing(t, "%v", err)
	}
	// A short path: a socket's has at most 107 characters.
	dir, err := os.MkdirTemp("/tmp", "engine-")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, socket: filepath.Join(dir, "sock"), state: filepath.Join(dir, "state"), server: filepath.Join(dir, "server"),
		compose: filepath.Join(cache, "phoenix-run", "docker-compose-v2.40.3")}
	if _, err := os.Stat(e.compose); err != nil {
		missing(t, "docker compose: %v; scripts/test-deps builds it", err)
	}
	if err := os.Mkdir(e.state, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	const script = `set -e
mount --make-rprivate /
ip link set lo up
mount -t tmpfs none /var/lib
mkdir -p /var/lib/phoenix-run
mount --bind "$1/state" /var/lib/phoenix-run
exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" -H "unix://$1/sock"`
	cmd := exec.Command("unshare", "--mount", "--net", "sh", "-c", script, "sh", dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.pid = cmd.Process.Pid
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	t.Cleanup(func() {
		e.run("sh", "-c", "docker ps -aq | xargs -r docker rm -f") //nolint:errcheck // the daemon ends next
		cmd.Process.Signal(syscall.SIGTERM)                        //nolint:errcheck // it may be gone
		select {
		case <-gone:
		case <-time.After(time.Minute):
			cmd.Process.Kill() //nolint:errcheck // it may be gone
			<-gone
		}
		log.Close()       //nolint:errcheck // only written to
		os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	})
	for deadline := time.Now().Add(3 * time.Minute); ; {
		if _, err := e.run("docker", "version"); err == nil {
			return e
		}
		select {
		case err := <-gone:
			gone <- err
			text, _ := os.ReadFile(log.Name()) //nolint:errcheck // for the message
			missing(t, "dockerd does not run here: %v\n%s", err, text[max(0, len(text)-2000):])
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("dockerd does not answer")
		}
	}
}

// run runs a command as a client of the engine.
func (e *engine) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(e.socket), "DOCKER_HOST=unix://" + e.socket}
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", name, args, err, diag.String())
	}
	return out.String(), nil
}

func (e *engine) must(name string, args ...string) string {
	e.t.Helper()
	out, err := e.run(name, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// images makes images FROM scratch, of one small program.
func (e *engine) images(names ...string) {
	e.t.Helper()
	build := exec.Command("go", "build", "-trimpath", "-o", e.server, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		e.t.Fatalf("%v\n%s", err, out)
	}
	root := filepath.Join(filepath.Dir(e.server), "root")
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		e.t.Fatal(err)
	}
	for _, name := range []string{"server", "bash"} { // one health check of the examples calls bash
		if err := os.Link(e.server, filepath.Join(root, "bin", name)); err != nil {
			e.t.Fatal(err)
		}
	}
	e.must("sh", "-c", `tar -C "$1" -c . | docker import -c 'ENTRYPOINT ["/bin/server"]' - "$2"`, "sh", root, names[0])
	for _, name := range names[1:] {
		e.must("docker", "tag", names[0], name)
	}
}

// get asks a published port of the engine's machine.
func (e *engine) get(url string) string {
	e.t.Helper()
	return e.must("nsenter", "-t", fmt.Sprint(e.pid), "-n", e.server, "get", url)
}

// deploy does with a stack what Portainer does: the text in a folder, the variables raw in stack.env.
func (e *engine) deploy(s portainerStack, text string) {
	e.t.Helper()
	dir := filepath.Join(filepath.Dir(e.socket), "compose", fmt.Sprint(s.ID))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		e.t.Fatal(err)
	}
	env := ""
	for _, v := range s.Env {
		env += v.Name + "=" + v.Value + "\n"
	}
	for name, content := range map[string]string{"docker-compose.yml": text, "stack.env": env} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	e.must(e.compose, "-p", s.Name, "--project-directory", dir, "-f", filepath.Join(dir, "docker-compose.yml"), "--env-file", filepath.Join(dir, "stack.env"), "up", "-d", "--quiet-pull")
}

// receive takes over the files that phoenix-run has put on a machine of the lab.
func (e *engine) receive(w *world, vm string) {
	e.t.Helper()
	const root = "/var/lib/phoenix-run"
	for name := range strings.Lines(w.guest(vm, "find "+root+" -type f")) {
		name = strings.TrimSpace(name)
		to := filepath.Join(e.state, strings.TrimPrefix(name, root))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			e.t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(w.guest(vm, "cat "+name)), 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
}

// What phoenix-run sends really deploys: the guide's stacks and some of the tests' own go through a
// sync in the lab, and what Portainer has then goes to a real Docker Engine with a real compose.
func TestRealEngine(t *testing.T) {
	e := startEngine(t)
	e.images("qdrant/qdrant:v1.15.4", "traefik/whoami:v1.11.0", "nginx:1", "redis:7")
	w := newWorld(t, lab.Options{})
	guide(t, w)
	values := manyValues()
	w.valuesStack(values, "    image: nginx:1\n    ports: [\"7000:6333\"]\n")
	w.must("sync", "portainer")

	c := w.client()
	deployed := func() {
		stacks, err := c.Stacks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e.receive(w, "1002")
		for _, s := range stacks {
			text, err := c.StackFile(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != "plain" { // it runs twice, on two machines
				e.deploy(s, text)
			}
		}
	}
	deployed()

	var got map[string]string
	if err := json.Unmarshal([]byte(e.get("http://127.0.0.1:7000/env")), &got); err != nil {
		t.Fatal(err)
	}
	same(t, got, values)
	if err := json.Unmarshal([]byte(e.get("http://127.0.0.1:8002/env")), &got); err != nil {
		t.Fatal(err)
	}
	same(t, got, map[string]string{"DATABASE_USER": "dev_user", "DATABASE_PASS": "DEV_SECRET_PASSWORD", "WHOAMI_PORT_NUMBER": "8002"})
	if text, want := e.get("http://127.0.0.1:8002/file/app/.env"), w.text("persistent-storage/thinkheads_ai/configs/dev.env"); text != want {
		t.Errorf("/app/.env holds %q, not %q", text, want)
	}
	if text := e.get("http://127.0.0.1:8002/write/app/.env"); !strings.Contains(text, "read-only file system") {
		t.Errorf("writing to the mounted file: %s", text)
	}
	e.healthy("qdrant_service-qdrant-1")
	if text := e.get("http://127.0.0.1:6333/env"); text == "" {
		t.Error("qdrant's port does not answer")
	}

	// A changed file recreates the service that mounts it, and no other.
	ids := func() (web, cache string) {
		return e.must("docker", "inspect", "-f", "{{.Id}}", "shop-web-1"), e.must("docker", "inspect", "-f", "{{.Id}}", "shop-cache-1")
	}
	web, cache := ids()
	w.set("shop.conf", "colour = blue\n")
	w.must("sync", "portainer")
	deployed()
	if newWeb, newCache := ids(); newWeb == web || newCache != cache {
		t.Error("not just the service that mounts the file was made anew")
	}
	// And nothing changes where nothing differs.
	web, cache = ids()
	deployed()
	if newWeb, newCache := ids(); newWeb != web || newCache != cache {
		t.Error("deploying the same again made containers anew")
	}
}

// healthy waits until a container's own health check is content.
func (e *engine) healthy(name string) {
	e.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		state := strings.TrimSpace(e.must("docker", "inspect", "-f", "{{.State.Health.Status}}", name))
		if state == "healthy" {
			return
		}
		if state == "unhealthy" || time.Now().After(deadline) {
			e.t.Fatalf("%s is %s", name, state)
		}
	}
}

// guide adds the guide's stacks to the configuration, on the machine apps.
func guide(t *testing.T, w *world) {
	t.Helper()
	sub, err := fs.Sub(examples.FS, "guide")
	if err != nil {
		t.Fatal(err)
	}
	var catalogue struct {
		Stacks map[string]json.RawMessage `json:"docker_stacks"`
	}
	text, err := fs.ReadFile(sub, "phoenix_stacks_config.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &catalogue); err != nil {
		t.Fatal(err)
	}
	add := ""
	for _, name := range slices.Sorted(maps.Keys(catalogue.Stacks)) {
		add += fmt.Sprintf("%q: %s, ", name, catalogue.Stacks[name])
	}
	w.change("phoenix_stacks_config.json", `"plain": {`, add+`"plain": {`)
	w.change("phoenix_vm_configs.json", `["shop"`, `["qdrant_service", { "name": "thinkheads_ai_app", "environment": "development" }, "shop"`)
	err = fs.WalkDir(sub, "persistent-storage", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(sub, name)
		if err == nil {
			w.set(path.Clean(name), string(content))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
