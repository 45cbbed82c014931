package proxmox_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"phoenix-run/lab/guest"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/pve"
	"phoenix-run/runner"
)

// storm is a fault script that can be turned off, so that what is left can be looked at.
type storm struct {
	on     atomic.Bool
	faults lab.Faults
}

func (s *storm) Fault(r lab.Request) lab.Fault {
	if !s.on.Load() {
		return lab.Fault{}
	}
	return s.faults.Fault(r)
}

// fleet is a world with n machines to be made, and faults.
func fleet(t testing.TB, n int, faults lab.Faults) (*world, *storm) {
	t.Helper()
	s := &storm{faults: faults}
	w := newWorld(t, func(o *lab.Options, _ *guest.Options) {
		o.Faults = s
		o.Speed.AgentPing = -1
	})
	w.api = map[string]any{"url": w.server.URL(), "user": "phoenix@pve", "password": testPassword, "tls_fingerprint": w.server.Fingerprint()}
	w.defaults = map[string]any{"transport": "agent", "ssh_user": "phoenix", "ssh_public_keys": []string{keyA}, "boot_disk_size_gb": 8,
		"restart": "if_needed"}
	for i := range n {
		w.vms = append(w.vms, map[string]any{"vm_id": 1001 + i, "vm_name": fmt.Sprintf("vm%02d", i), "cpu_cores": 1 + i%4,
			"memory_mb": 1024 << (i % 3), "tags": []string{"fleet"}, "startup_order": i})
	}
	return w, s
}

// state tells all that matters of every machine, without what chance decides.
func (w *world) state() []string {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	vms, err := w.other.VMs(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, vm := range vms {
		s, err := w.other.Settings(ctx, vm.Node, vm.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, key := range []string{"digest", "meta", "smbios1", "vmgenid"} {
			delete(s.Live, key)
		}
		nic := pve.ParseNIC(s.Live["net0"])
		nic.MAC = ""
		s.Live["net0"] = nic.String()
		var keys []string
		for _, key := range slices.Sorted(maps.Keys(s.Live)) {
			keys = append(keys, key+"="+s.Live[key])
		}
		all = append(all, fmt.Sprintf("%d %s %s %s pending %v: %s", vm.ID, vm.Name, vm.Node, vm.Status, s.Pending, strings.Join(keys, " ")))
	}
	return all
}

const fleetSize = 20

// rounds gives how many of n rounds are gone through.
func rounds(n int) int {
	if raced {
		return max(1, n/10)
	}
	return n
}

// TestFaults: with a tenth of all requests going wrong in one of Proxmox's ways, the environment comes
// up as without faults.
func TestFaults(t *testing.T) {
	w, _ := fleet(t, fleetSize, nil)
	w.must(runner.Apply, "letsgo")
	want := w.state()
	if len(want) != fleetSize+1 {
		t.Fatalf("%d machines, with the template", len(want))
	}
	slots := make(chan struct{}, 10)
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(rounds(50)) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				w, storm := fleet(t, fleetSize, lab.Random(seed, 0.1))
				storm.on.Store(true)
				_, err := w.run(t.Context(), runner.Apply, "letsgo")
				storm.on.Store(false)
				if err != nil {
					t.Fatal(err)
				}
				if got := w.state(); !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if again := w.must(runner.Plan, "letsgo").changes(); len(again) > 0 {
					t.Errorf("the next run would change %v", again)
				}
			})
		}
	})
}

var errKilled = errors.New("killed")

// TestKilledAtAnyRequest ends a run at each of its requests in turn, before or after the request is
// carried out, and runs it again.
func TestKilledAtAnyRequest(t *testing.T) {
	const size = 2
	var total atomic.Int32
	w, storm := fleet(t, size, lab.FaultFunc(func(lab.Request) lab.Fault { total.Add(1); return lab.Fault{} }))
	storm.on.Store(true)
	w.must(runner.Apply, "letsgo")
	storm.on.Store(false)
	want := w.state()
	if total.Load() < 20 {
		t.Fatalf("the run has only %d requests", total.Load())
	}
	step := 1
	if raced {
		step = 7
	}
	for at := 1; at <= int(total.Load()); at += step {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			killedAt(t, size, at, want)
		})
	}
}

func killedAt(t *testing.T, size, at int, want []string) {
	var reached atomic.Bool
	ctx, kill := context.WithCancelCause(t.Context())
	var seen atomic.Int32
	w, storm := fleet(t, size, lab.FaultFunc(func(lab.Request) lab.Fault {
		switch n := int(seen.Add(1)); {
		case n < at:
			return lab.Fault{}
		case n == at && at%2 == 0:
			reached.Store(true)
			kill(errKilled)
			return lab.Fault{CutAfter: true}
		}
		reached.Store(true)
		kill(errKilled)
		return lab.Fault{CutBefore: true}
	}))
	storm.on.Store(true)
	_, err := w.run(ctx, runner.Apply, "letsgo")
	storm.on.Store(false)
	kill(nil)
	if !reached.Load() {
		if err != nil {
			t.Fatal(err)
		}
		return // this one needed fewer requests
	}
	if err == nil {
		t.Errorf("killed at request %d, the run says that all is well", at)
	}
	if _, err := w.run(t.Context(), runner.Apply, "letsgo"); err != nil {
		t.Errorf("killed at request %d, the next run fails: %v", at, err)
		return
	}
	if got := w.state(); !slices.Equal(got, want) {
		t.Errorf("killed at request %d, got\n%s\nwant\n%s", at, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if again := w.must(runner.Plan, "letsgo").changes(); len(again) > 0 {
		t.Errorf("killed at request %d, the run after the next would change %v", at, again)
	}
}
