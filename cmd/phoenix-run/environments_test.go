package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"phoenix-run/lab/proxmox"
	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// variation is one way in which the guide's environment may be configured.
type variation struct {
	Memory, Cores [2]int
	Tags          []string
	Boot          bool
	Port          int
	Stage         string
	Qdrant        bool
	Docker        string // log driver of the second machine
	// PlanFaults and ApplyFaults are the shares of the requests to Proxmox that go wrong.
	PlanFaults, ApplyFaults float64
}

var variations = rapid.Custom(func(t *rapid.T) variation {
	of := func(n ...int) int { return rapid.SampledFrom(n).Draw(t, "n") }
	return variation{
		Memory: [2]int{of(2048, 4096), of(4096, 6144)}, Cores: [2]int{of(1, 2), of(2, 4)},
		Tags: rapid.SampledFrom([][]string{{}, {"lab"}, {"db", "lab"}}).Draw(t, "tags"), Boot: rapid.Bool().Draw(t, "boot"),
		Port: of(8002, 8003), Stage: rapid.SampledFrom([]string{"development", "testing"}).Draw(t, "stage"),
		Qdrant: rapid.Bool().Draw(t, "qdrant"), Docker: rapid.SampledFrom([]string{"json-file", "journald"}).Draw(t, "driver"),
		PlanFaults: float64(of(0, 0, 5)) / 100, ApplyFaults: float64(of(0, 0, 5)) / 100,
	}
})

// write makes the variation the rehearsal's configuration.
func (v variation) write(r *rehearsal) {
	r.t.Helper()
	stacks := []any{map[string]any{"name": "thinkheads_ai_app", "environment": v.Stage}}
	if v.Qdrant {
		stacks = append(stacks, "qdrant_service")
	}
	docker := map[string]any{"name": "docker", "options": map[string]any{"daemon": map[string]any{"log-driver": v.Docker}}}
	r.writeJSON("phoenix_vm_configs.json", map[string]any{
		"vm_defaults": map[string]any{"template_name": "ubuntu-22.04-cloud-template-v3"},
		"virtual_machines": []any{
			map[string]any{"vm_id": 1001, "vm_name": "portainer", "memory_mb": v.Memory[0], "cpu_cores": v.Cores[0],
				"features": []any{"docker"}, "docker_stacks": []any{"portainer"}},
			map[string]any{"vm_id": 1002, "vm_name": "qdrant-db", "memory_mb": v.Memory[1], "cpu_cores": v.Cores[1], "tags": v.Tags,
				"start_on_boot": v.Boot, "features": []any{docker}, "docker_stacks": stacks},
		}})
	variables := []any{map[string]any{"name": "DATABASE_USER", "value": "u"}, map[string]any{"name": "DATABASE_PASS", "value": "p-a-s-s", "secret": false},
		map[string]any{"name": "API_PORT", "value": fmt.Sprint(v.Port)}}
	r.writeJSON("phoenix_stacks_config.json", map[string]any{"docker_stacks": map[string]any{
		"qdrant_service": map[string]any{"compose_file_path": "persistent-storage/qdrant/docker-compose.yml"},
		"thinkheads_ai_app": map[string]any{"compose_file_path": "persistent-storage/thinkheads_ai/docker-compose.yml",
			"environments": map[string]any{"development": map[string]any{"variables": variables}, "testing": map[string]any{"variables": variables}}}}})
}

func (r *rehearsal) writeJSON(name string, v any) {
	r.t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(name, string(text))
}

// play runs phoenix-run and gives its events, and how it ended.
func (r *rehearsal) play(args ...string) ([]event.Event, error) {
	r.t.Helper()
	cmd := r.program(append([]string{"--output", "json"}, args...)...)
	out, err := cmd.Output()
	var events []event.Event
	for line := range bytes.Lines(out) {
		var e event.Event
		if err := json.Unmarshal(line, &e); err != nil {
			r.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events, err
}

// changesOf lists what was, or would be, done as "action address", sorted; and the addresses that a plan
// does not call certain.
func changesOf(events []event.Event) (list []string, soft map[string]bool) {
	soft = map[string]bool{}
	for _, e := range events {
		if e.Type != event.Operation || e.Change == nil {
			continue
		}
		if e.Change.Confidence != op.Certain {
			soft[e.Address] = true
		}
		if e.Status == event.Changed {
			list = append(list, string(e.Change.Action)+" "+e.Address)
		}
	}
	slices.Sort(list)
	return list, soft
}

func firm(list []string, soft map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(list), func(change string) bool {
		_, address, _ := strings.Cut(change, " ")
		return soft[address]
	})
}

// TestRandomEnvironments goes from one configuration of the guide's environment to the next, two dozen times:
// a plan changes nothing in Proxmox, in a machine or in Portainer, however many requests fail while it is
// made; what it calls certain is what is done; an apply that fails on the way is run again; and then nothing is
// left to do. The number in a failing test's name makes the same configurations again.
func TestRandomEnvironments(t *testing.T) {
	t.Parallel()
	const courses = 24
	var rate atomic.Uint64 // of faults, in thousandths
	seed := uint64(0)
	o := quickLab
	o.Faults = proxmox.FaultFunc(func(r proxmox.Request) proxmox.Fault {
		if rate.Load() == 0 {
			return proxmox.Fault{}
		}
		return proxmox.Random(atomic.LoadUint64(&seed), float64(rate.Load())/1000).Fault(r)
	})
	r := newRehearsal(t, o)
	under := func(share float64, do func()) {
		rate.Store(uint64(share * 1000))
		defer rate.Store(0)
		do()
	}
	for n := range courses {
		atomic.StoreUint64(&seed, uint64(n))
		ok := t.Run(fmt.Sprint(n), func(t *testing.T) {
			r.t = t
			v := variations.Example(n)
			t.Logf("%+v", v)
			v.write(r)
			before := r.changes()
			if v.PlanFaults > 0 {
				under(v.PlanFaults, func() { r.play("--dry-run", "letsgo") }) //nolint:errcheck // it may fail, and must change nothing
			}
			planned, err := r.play("--dry-run", "letsgo")
			if err != nil {
				t.Fatalf("the plan failed: %v\n%v", err, planned[len(planned)-1].Error)
			}
			if now := r.changes(); now != before {
				t.Fatalf("%d requests of a plan changed something", now-before)
			}
			var applied []event.Event
			under(v.ApplyFaults, func() { applied, err = r.play("letsgo") })
			switch {
			case v.ApplyFaults > 0 && err != nil:
				if applied, err = r.play("letsgo"); err != nil {
					t.Fatalf("run again it failed: %v\n%v", err, applied[len(applied)-1].Error)
				}
			case err != nil:
				t.Fatalf("the apply failed: %v\n%v", err, applied[len(applied)-1].Error)
			default:
				want, soft := changesOf(planned)
				have, _ := changesOf(applied)
				if want, have := firm(want, soft), firm(have, soft); !slices.Equal(want, have) {
					t.Fatalf("certain in the plan: %q\ndone: %q", want, have)
				}
			}
			again, err := r.play("--dry-run", "letsgo")
			if left, _ := changesOf(again); err != nil || len(left) > 0 {
				t.Fatalf("after the apply there is still to do: %q (%v)", left, err)
			}
		})
		if !ok {
			break // the next ones would begin elsewhere
		}
	}
}
