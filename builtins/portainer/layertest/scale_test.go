package layertest

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"phoenix-run/lab"
	"phoenix-run/lab/portainer"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
)

// slow holds each answer back, once it is told to.
type slow struct{ on atomic.Bool }

func (s *slow) Request(*http.Request) portainer.Fault {
	if !s.on.Load() {
		return portainer.Fault{}
	}
	return portainer.Fault{Delay: 5 * time.Millisecond}
}

// Fifty environments with four stacks each: what a sync for nothing asks is counted strictly. Its time,
// with five milliseconds for each answer, is told, and bounded generously: machines that test are
// loaded. People see it going on: each machine and each stack is told as it is done.
func TestFiftyEnvironments(t *testing.T) {
	const machines, stacks = 50, 4
	slow := &slow{}
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "config"), opt: lab.Options{Dir: filepath.Join(t.TempDir(), "lab"), Portainer: portainer.Options{Faults: slow}}}
	vms := `{ "vm_id": 1001, "vm_name": "main", "docker_stacks": ["portainer"] }`
	for i := range machines {
		vms += fmt.Sprintf(`, { "vm_id": %d, "vm_name": "vm%d", "docker_stacks": ["s0", "s1", "s2", "s3"] }`, 2000+i, i)
	}
	catalogue := ""
	for i := range stacks {
		catalogue += fmt.Sprintf(`, "s%d": { "compose_file_path": "plain.yml", "variables": [{ "name": "N", "value": "%[1]d" }] }`, i)
	}
	err := w.write(files{
		"phoenix_vm_configs.json":    `{ "vm_defaults": { "features": ["docker"] }, "virtual_machines": [` + vms + `] }`,
		"phoenix_stacks_config.json": `{ "docker_stacks": {` + strings.TrimPrefix(catalogue, ",") + `} }`,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() { w.lab.Close() }) //nolint:errcheck // the test has seen what counts
	made := w.must("letsgo")
	t.Logf("brought up in %v, with %d requests", made.took, len(made.requests))

	slow.on.Store(true)
	var told atomic.Int64
	r := w.run(context.Background(), runner.Apply, func(e event.Event) {
		if e.Type == event.Operation && (strings.Contains(e.Address, "/stack:") || strings.Contains(e.Address, "/environment:")) {
			told.Add(1)
		}
	}, "sync", "portainer")
	if r.err != nil || len(r.changed()) > 0 {
		t.Fatalf("%v %v", r.changed(), r.err)
	}
	// Status, administrator, sign-in, environments, tags, stacks; one list of containers for each
	// machine; one file for each stack.
	if n, most := len(r.requests), 8+machines+machines*stacks; n > most {
		t.Errorf("%d requests, at most %d are meant", n, most)
	}
	if n := told.Load(); n != 1+machines+machines*stacks {
		t.Errorf("%d environments and stacks were told of", n)
	}
	t.Logf("a sync for nothing: %v, %d requests", r.took, len(r.requests))
	if r.took > time.Minute {
		t.Errorf("it took %v", r.took)
	}
}
