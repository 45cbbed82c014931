package layertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"phoenix-run/portainer"
	"phoenix-run/secret"
)

type (
	portainerEnvironment = portainer.Environment
	portainerStack       = portainer.Stack
)

// clock is one that a test moves.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) move(minutes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += time.Duration(minutes) * time.Minute
}

// address is a guest's.
func (w *world) address(vm string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.lab.Info().GuestsFile)
	if err != nil {
		w.t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil || all[vm] == "" {
		w.t.Fatalf("no address of %s in %s: %v", vm, text, err)
	}
	return all[vm]
}

// guest runs a command on a machine, as its administrator would.
func (w *world) guest(vm, command string) string {
	w.t.Helper()
	key, err := os.ReadFile(w.lab.Info().SSHKeyFile)
	if err != nil {
		w.t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := ssh.Dial("tcp", w.address(vm)+":2222", &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey()}) //nolint:gosec // the test's own lab
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	session, err := conn.NewSession()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := session.CombinedOutput(command)
	if err != nil {
		w.t.Fatalf("on %s: %s: %v\n%s", vm, command, err, out)
	}
	return string(out)
}

// inspected is what docker inspect tells of a container.
type inspected struct {
	ID     string `json:"Id"`
	Config struct {
		Image string
		Env   []string
	}
	State  struct{ Running bool }
	Mounts []struct {
		Source, Destination string
		RW                  bool
	}
}

// container looks at a container on a machine; its ID is "" where it is not there.
func (w *world) container(vm, name string) inspected {
	w.t.Helper()
	out := w.guest(vm, "docker inspect "+name+" 2>/dev/null || true")
	var list []inspected
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) == 0 {
		return inspected{}
	}
	return list[0]
}

func (w *world) runs(vm, name, image string) {
	w.t.Helper()
	if c := w.container(vm, name); !c.State.Running || c.Config.Image != image {
		w.t.Errorf("%s on %s: running %v, image %q, want %q", name, vm, c.State.Running, c.Config.Image, image)
	}
}

func (w *world) environ(vm, name string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, e := range w.container(vm, name).Config.Env {
		name, value, _ := strings.Cut(e, "=")
		all[name] = value
	}
	return all
}

// mounts checks what a container of 1002 mounts at a path, read-only.
func (w *world) mounts(name, path, want string) {
	w.t.Helper()
	for _, m := range w.container("1002", name).Mounts {
		if m.Destination == path {
			if text := w.guest("1002", "cat "+m.Source); text != want || m.RW {
				w.t.Errorf("%s holds %q, writable %v; want %q", path, text, m.RW, want)
			}
			if mode := w.guest("1002", "stat -c %a "+m.Source); mode != "600\n" {
				w.t.Errorf("mode of %s: %s", m.Source, mode)
			}
			return
		}
	}
	w.t.Errorf("%s does not mount %s", name, path)
}

// client is an administrator's own, beside phoenix-run.
func (w *world) client() *portainer.Client {
	w.t.Helper()
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	text := w.guest("1001", "cat $(docker volume inspect -f '{{.Mountpoint}}' portainer_data)/certs/cert.pem")
	if err := os.WriteFile(ca, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	c, err := portainer.Open(portainer.Options{URL: "https://" + w.address("1001") + ":9443", Password: secret.New(strings.TrimSpace(w.text("admin"))), CAFile: ca})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() }) //nolint:errcheck // only idle connections
	return c
}

// text reads a file of the configuration.
func (w *world) text(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// backups counts Portainer's backups, which only their owner may read.
func (w *world) backups(want int) {
	w.t.Helper()
	list, err := filepath.Glob(filepath.Join(w.dir, ".phoenix", "backups", "*"))
	if err != nil || len(list) != want {
		w.t.Fatalf("backups: %v %v", list, err)
	}
	for _, file := range list {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
			w.t.Errorf("%s: %v %v", file, info, err)
		}
	}
}
