package builtins_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"phoenix-run/lab/guest"
	"phoenix-run/lab/machine"
	"phoenix-run/remote"
	"phoenix-run/remote/agent"
)

// rig makes simulated machines that are all alike: each is a copy of one that was booted once.
type rig struct {
	backend *guest.Backend
	image   *guest.Guest
	fresh   string // fingerprint of a machine that has just booted
	next    atomic.Int64
}

func spec() machine.Spec {
	return machine.Spec{Name: "web", Cores: 2, Sockets: 1, MemoryMiB: 2048, DiskBytes: 10 << 30, Image: "cloud.qcow2", Agent: true,
		MAC: []string{"BC:24:11:00:00:01"}, CloudInit: machine.CloudInit{InstanceID: "i-web", User: "root"}}
}

// quickDir is a folder in memory where there is one: machines that live for some milliseconds need no disk.
func quickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "phoenix-run-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newRig(t testing.TB) *rig {
	t.Helper()
	backend, err := guest.NewBackend(guest.Options{Dir: filepath.Join(quickDir(t), "guests"),
		SSHPort:  freePort(t), // its own: the addresses of two rigs are the same
		Lease:    func(id int) (string, error) { return fmt.Sprintf("127.78.%d.%d", id/250, id%250+1), nil },
		BootTime: time.Nanosecond, CloudInitTime: time.Nanosecond, InstallTime: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := backend.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{backend: backend}
	m, err := backend.Create(t.Context(), 1, spec())
	if err != nil {
		t.Fatal(err)
	}
	r.image = m.(*guest.Guest)
	r.boot(t, r.image)
	if err := r.image.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.next.Store(1)
	g, done := r.machine(t)
	defer done()
	for same := 0; same < 20; time.Sleep(5 * time.Millisecond) { // until its boot has come to rest
		if now := g.Fingerprint(); now != r.fresh {
			same, r.fresh = 0, now
		}
		same++
	}
	return r
}

const stampFile = "/var/lib/cloud/instance/boot-finished"

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its number is wanted
	return l.Addr().(*net.TCPAddr).Port
}

// boot starts a machine and waits until its agent answers and its cloud-init has ended.
func (r *rig) boot(t fataler, g *guest.Guest) {
	if err := g.Start(context.Background(), spec()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if g.Agent() != nil {
			_, running := g.ReadFile("/run/cloud-init/result.json")
			stamp, unfinished := g.ReadFile(stampFile)
			if running == nil && unfinished == nil {
				if len(stamp) > 0 { // the one file that tells machines apart: it holds the time
					if err := g.WriteFile(stampFile, nil, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if r.fresh == "" || g.Fingerprint() == r.fresh {
					return
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the machine does not come up")
		}
	}
}

// fataler is what testing.TB and rapid.T share.
type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// machine gives a new machine like all others; done removes it.
func (r *rig) machine(t fataler) (g *guest.Guest, done func()) {
	m, err := r.backend.Clone(context.Background(), int(r.next.Add(1)), r.image, spec())
	if err != nil {
		t.Fatal(err)
	}
	g = m.(*guest.Guest)
	r.boot(t, g)
	return g, func() {
		if err := g.Destroy(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// wire is the way to a machine's guest agent, which may break.
type wire struct {
	g *guest.Guest

	mu    sync.Mutex
	calls int
	// cut decides what becomes of the nth call (from 1): whether it reaches the machine, and whether its
	// answer comes back. nil: all do.
	cut func(n int) (reaches, answers bool)
}

var errCut = errors.New("the line was cut")

func (w *wire) turn() (reaches, answers bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.cut == nil {
		return true, true
	}
	return w.cut(w.calls)
}

// Exec implements remote.Agent.
func (w *wire) Exec(ctx context.Context, argv []string, stdin []byte) (remote.Result, error) {
	reaches, answers := w.turn()
	if !reaches {
		return remote.Result{}, fmt.Errorf("%w: %w", remote.ErrNotStarted, errCut)
	}
	a := w.g.Agent()
	if a == nil {
		return remote.Result{}, fmt.Errorf("%w: no agent", remote.ErrNotStarted)
	}
	pid, err := a.Exec(ctx, argv, stdin)
	if err != nil {
		return remote.Result{}, fmt.Errorf("%w: %w", remote.ErrNotStarted, err)
	}
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		s, err := a.ExecStatus(ctx, pid)
		switch {
		case err != nil:
			return remote.Result{}, err
		case !s.Exited:
			time.Sleep(pause)
			continue
		case !answers:
			return remote.Result{}, errCut
		}
		code := s.Code
		if s.Signal > 0 {
			code = 128 + s.Signal
		}
		return remote.Result{Stdout: s.Stdout, Stderr: s.Stderr, Code: code, Truncated: s.StdoutTruncated}, nil
	}
}

// WriteFile implements remote.Agent.
func (w *wire) WriteFile(ctx context.Context, path string, content []byte) error {
	reaches, answers := w.turn()
	if !reaches {
		return errCut
	}
	if err := w.g.Agent().WriteFile(ctx, path, content); err != nil {
		return err
	}
	if !answers {
		return errCut
	}
	return nil
}

// ReadFile implements remote.Agent.
func (w *wire) ReadFile(ctx context.Context, path string) ([]byte, bool, error) {
	if reaches, answers := w.turn(); !reaches || !answers {
		return nil, false, errCut
	}
	content, eof, err := w.g.Agent().ReadFile(ctx, path, 0, 16<<20)
	return content, !eof, err
}

// dial gives a connection to the machine, over the guest agent's own protocol of scripts.
func (w *wire) dial(readOnly bool) remote.Conn { return agent.New(w, "agent of web", readOnly) }

// sh runs a script on the machine, past phoenix-run.
func sh(t fataler, g *guest.Guest, script string) string {
	r, err := (&wire{g: g}).Exec(context.Background(), []string{"/bin/sh", "-c", script}, nil)
	if err != nil || r.Code != 0 {
		t.Fatalf("%s: %v, exit status %d: %s%s", script, err, r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSpace(string(r.Stdout))
}

// inventory is a machine's state as text, for people who look for a difference.
const inventory = `for d in /srv /opt /etc /var/tmp /root /home; do find $d; done | sort | while read -r f; do
if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"
elif [ -f "$f" ]; then echo "$f $(stat -c '%a %U %G' "$f") $(sha256sum < "$f")"
else echo "$f $(stat -c '%a %U %G' "$f")"; fi; done; dpkg-query -W; systemctl list-units`

// difference lists what two machines do not have in common.
func difference(t fataler, a, b *guest.Guest) string {
	return diffLines(sh(t, a, inventory), sh(t, b, inventory))
}

func diffLines(a, b string) string {
	have, other := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for _, l := range have {
		if !slices.Contains(other, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range other {
		if !slices.Contains(have, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}
