package layertest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"phoenix-run/lab"
	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/api"
	"phoenix-run/lab/portainer"
)

// seeds are how many different courses of trouble are played.
const seeds = 50

// trouble is what goes wrong in one seed: requests to the server, and the machines' engines. It starts
// when it is let loose, and ends after a few faults.
type trouble struct {
	mu     sync.Mutex
	loose  bool
	random *rand.Rand
	left   int
	told   []string
	docker docker.Faults
}

func newTrouble(seed uint64) *trouble {
	return &trouble{random: rand.New(rand.NewPCG(seed, 77)), left: 1 + int(seed%4), //nolint:gosec // it is to repeat
		docker: docker.SeededFaults(seed, 0.15, int(seed%3), func(image string) bool { return !strings.Contains(image, "portainer") })}
}

func (f *trouble) let(loose bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loose = loose
}

func (f *trouble) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, fmt.Sprintf(format, args...))
}

// Request implements portainer.Faults: 500, 502, 504, no answer and restarts, before or after the work.
// Signing in is left alone.
func (f *trouble) Request(r *http.Request) portainer.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.loose || f.left == 0 || strings.HasPrefix(r.URL.Path, "/api/auth") || !strings.HasPrefix(r.URL.Path, "/api/") || f.random.Float64() > 0.12 {
		return portainer.Fault{}
	}
	f.left--
	fault := portainer.Fault{After: f.random.IntN(2) == 0}
	switch f.random.IntN(5) {
	case 0:
		fault.Status = http.StatusInternalServerError
	case 1:
		fault.Status = http.StatusBadGateway
	case 2:
		fault.Status = http.StatusGatewayTimeout
	case 3:
		fault.Drop = true
	default:
		fault.Restart = true
	}
	f.told = append(f.told, fmt.Sprintf("%s %s: %+v", r.Method, r.URL.Path, fault))
	return fault
}

func (f *trouble) options() lab.Options {
	when := func(err func() error) error {
		f.mu.Lock()
		loose := f.loose
		f.mu.Unlock()
		if !loose {
			return nil
		}
		e := err()
		if e != nil {
			f.note("Docker: %v", e)
		}
		return e
	}
	return lab.Options{
		Portainer: portainer.Options{Faults: f},
		Docker: docker.Options{Faults: docker.Faults{
			Pull: func(host, image string) error { return when(func() error { return f.docker.Pull(host, image) }) },
			Start: func(host string, c api.Container) error {
				return when(func() error { return f.docker.Start(host, c) })
			},
		}},
	}
}

// Whatever goes wrong in a sync, the next one that meets no trouble makes all as declared: nothing is
// there twice, nothing half, and the one after it changes nothing.
func TestFaults(t *testing.T) {
	slots := make(chan struct{}, 6) // mostly they wait
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			f := newTrouble(seed)
			w := newWorld(t, f.options())
			w.version(versions[seed%uint64(len(versions))])
			defer func() {
				if t.Failed() {
					t.Logf("trouble was:\n%s", strings.Join(f.told, "\n"))
				}
			}()
			updating := seed%2 == 1
			if updating {
				w.must("sync", "portainer")
				w.change("shop.yml", "nginx:1", "nginx:2")
				w.set("shop.conf", "colour = green\n")
				w.change("phoenix_stacks_config.json", "it's $5", "it's $8")
			}
			f.let(true)
			if seed%10 == 3 {
				w.guest("1003", "docker stop portainer_agent")
				f.note("the agent of 1003 was stopped")
			}
			w.play("sync", "portainer") // may fail, and may not
			f.let(false)
			w.must("sync", "portainer")
			w.whole(updating)
			w.quiet("sync", "portainer")
		})
	}
}

// whole checks that all is there that was declared, and nothing else.
func (w *world) whole(updated bool) {
	w.t.Helper()
	c := w.client()
	environments, err := c.Environments(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	stacks, err := c.Stacks(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(environments) != 3 || len(stacks) != 3 {
		w.t.Errorf("%d environments, %d stacks", len(environments), len(stacks))
	}
	for vm, want := range map[string]string{"1002": "plain-only-1 shop-cache-1 shop-web-1", "1003": "plain-only-1"} {
		names := strings.Fields(w.guest(vm, `docker ps --format '{{.Names}}' --filter label=com.docker.compose.project | sort`))
		if got := strings.Join(names, " "); got != want {
			w.t.Errorf("on %s run %q, want %q", vm, got, want)
		}
	}
	image, greeting, colour := "nginx:1", `it's $5 #1 "now"`, "colour = red\n"
	if updated {
		image, greeting, colour = "nginx:2", `it's $8 #1 "now"`, "colour = green\n"
	}
	w.runs("1002", "shop-web-1", image)
	w.mounts("shop-web-1", "/etc/shop.conf", colour)
	if env := w.environ("1002", "shop-web-1"); env["GREETING"] != greeting {
		w.t.Errorf("variables: %q", env)
	}
	if text := w.guest("1002", "ls /var/lib/phoenix-run/stacks"); strings.Contains(text, "last-working") {
		w.t.Errorf("what ran last is still noted: %s", text)
	}
}

// The machine's disk is full in the midst of a deployment, and an image is missing: told in Docker's
// words, and mended by the next run.
func TestDiskFullAndImageMissing(t *testing.T) {
	for name, fault := range map[string]error{"no space left on device": docker.ErrDiskFull, "manifest unknown": docker.ErrManifest("redis:7")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			broken := true
			w := newWorld(t, lab.Options{Docker: docker.Options{Faults: docker.Faults{Pull: func(_, image string) error {
				mu.Lock()
				defer mu.Unlock()
				if broken && strings.Contains(image, "redis") {
					return fault
				}
				return nil
			}}}})
			r := w.play("sync", "portainer")
			if r.err == nil || !strings.Contains(r.text(), name) {
				t.Fatalf("not told: %s", r.text())
			}
			mu.Lock()
			broken = false
			mu.Unlock()
			w.must("sync", "portainer")
			w.whole(false)
			w.quiet("sync", "portainer")
		})
	}
}
