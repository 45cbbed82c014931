package proxmox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	wholelab "phoenix-run/lab"
	"phoenix-run/lab/guest"
	"phoenix-run/lab/machine"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/secret"
)

// overSSH is a world on the whole lab, whose guests are reached over SSH.
func overSSH(t *testing.T, o wholelab.Options) (*world, wholelab.Info) {
	t.Helper()
	o.Dir = t.TempDir()
	l, err := wholelab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	info := l.Info()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		checkSchema(t, o.Version, info.RequestsLog)
	})
	w := &world{t: t, dir: t.TempDir(), server: l.Proxmox(), defaults: map[string]any{}}
	w.api = map[string]any{"url": info.URL, "token": info.Token, "tls_fingerprint": info.Fingerprint}
	w.ssh = map[string]any{"private_key_file": info.SSHKeyFile, "port": info.SSHPort, "known_hosts_file": filepath.Join(w.dir, "known_hosts"), "host_key": "accept-new"}
	w.other, err = pve.Open(pve.Options{URL: info.URL, Token: secret.New(info.Token), Fingerprint: info.Fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.other.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, info
}

// marker is a feature that looks at a machine and writes to it.
const marker = `"""Leaves a mark."""

def marker(host, vm):
    """Writes the machine's name to a file."""
    host.file("/etc/marker", content = vm.name + "\n")
`

// TestTwoHundredMachines: a dry run of an environment that is as declared asks Proxmox at most four
// times, and three times for each machine.
func TestTwoHundredMachines(t *testing.T) {
	n := rounds(200)
	w, info := overSSH(t, wholelab.Options{Latency: 5 * time.Millisecond, Speed: instant, BootTime: time.Millisecond, CloudInitTime: time.Millisecond})
	if err := os.MkdirAll(filepath.Join(w.dir, "features"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "features", "marker.star"), []byte(marker), 0o600); err != nil {
		t.Fatal(err)
	}
	w.features = []string{"marker"}
	for i := range n {
		w.vms = append(w.vms, map[string]any{"vm_id": 1001 + i, "vm_name": fmt.Sprintf("vm%03d", i), "boot_disk_size_gb": 8, "features": []string{"marker"}})
	}
	begin := time.Now()
	if got := len(w.must(runner.Apply, "letsgo").changes()); got != 3*n {
		t.Errorf("%d changes, not %d", got, 3*n)
	}
	t.Logf("made %d machines in %s", n, time.Since(begin))

	before := requests(t, info.RequestsLog)
	begin = time.Now()
	s := w.must(runner.Plan, "letsgo")
	took := time.Since(begin)
	asked := requests(t, info.RequestsLog) - before
	t.Logf("looked at %d machines in %s with %d requests", n, took, asked)
	if changes := s.changes(); len(changes) > 0 {
		t.Errorf("the dry run would change %v", changes[:min(5, len(changes))])
	}
	if asked > 4+3*n {
		t.Errorf("%d requests for %d machines", asked, n)
	}
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}
	marks := 0
	for _, e := range s.events {
		if e.Type == event.Operation && strings.Contains(e.Address, "/etc/marker") {
			marks++
		}
	}
	if marks != n {
		t.Errorf("the feature looked at %d machines", marks)
	}
}

// requests counts what was asked of Proxmox.
func requests(t *testing.T, log string) int {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte(`"service":"proxmox"`))
}

// gate holds clones back until as many are under way as may be at once, batch by batch.
type gate struct {
	*guest.Backend
	width int

	mu      sync.Mutex
	inside  int // clones under way
	most    int // of them at once
	waiting int // of the batch
	open    chan struct{}
}

func (g *gate) Clone(ctx context.Context, id int, source machine.Machine, spec machine.Spec) (machine.Machine, error) {
	g.mu.Lock()
	g.inside++
	g.most = max(g.most, g.inside)
	open := g.open
	if g.waiting++; g.waiting == g.width {
		close(open)
		g.waiting, g.open = 0, make(chan struct{})
	}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.inside--
	}()
	select {
	case <-open:
		return g.Backend.Clone(ctx, id, source, spec)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestClonesAtOnce: as many clones are under way as one storage bears, all the time, and never more.
func TestClonesAtOnce(t *testing.T) {
	const atOnce = 4
	g := &gate{width: atOnce, open: make(chan struct{})}
	w := newWorld(t, func(o *lab.Options, _ *guest.Options) { o.Backend = g })
	for i := range 3 * atOnce {
		w.vms = append(w.vms, map[string]any{"vm_id": 1001 + i, "vm_name": fmt.Sprintf("vm%02d", i), "boot_disk_size_gb": 8})
	}
	w.must(runner.Apply, "letsgo")
	if g.most != atOnce {
		t.Errorf("%d clones at once", g.most)
	}
}
