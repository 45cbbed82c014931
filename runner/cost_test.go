package runner_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
)

// noops is how many operations that find nothing to do the engine's own cost is measured on.
const noops = 10_000

// planNoops plans a playbook of operations on a host in memory that is as it should be.
func planNoops(tb testing.TB, w *world) {
	text := fmt.Sprintf("def main():\n    for i in range(%d):\n        set('web', 'setting-%%d' %% i, 'value')\n", noops)
	told := 0
	r := runner.New(runner.Options{Mode: runner.Plan, Builtins: w.builtins(),
		Source: load.Source{Embedded: fstest.MapFS{"playbooks/p.star": {Data: []byte(text)}}},
		Sink: event.SinkFunc(func(e event.Event) {
			if e.Status == event.OK {
				told++
			}
		})})
	call, err := r.Prepare(load.Module{Path: "playbooks/p.star", Embedded: true}, nil)
	if err == nil {
		_, err = r.Playbook(tb.Context(), call)
	}
	if err != nil || told != noops {
		tb.Fatalf("%d operations found nothing to do: %v", told, err)
	}
}

func steadyWorld() *world {
	w := newWorld()
	for i := range noops {
		w.things[fmt.Sprintf("web/setting-%d", i)] = "value"
	}
	return w
}

// TestCost: 10,000 operations that find nothing to do cost the engine at most 100 MiB in plan mode, all
// that is given back on the way included; the benchmark has the time, which is to be below 1 s. Here it
// may take thirty times that, for machines that do other things too.
func TestCost(t *testing.T) {
	w := steadyWorld()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	planNoops(t, w)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d operations: %s, %d MiB allocated, %.0f bytes each", noops, took.Round(time.Millisecond), allocated>>20, float64(allocated)/noops)
	if limit := uint64(100 << 20); allocated > limit {
		t.Errorf("%d MiB were allocated, at most %d are allowed", allocated>>20, limit>>20)
	}
	if took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// BenchmarkPlan is the time and the memory that 10,000 operations that find nothing to do cost.
func BenchmarkPlan(b *testing.B) {
	w := steadyWorld()
	b.ReportAllocs()
	for b.Loop() {
		planNoops(b, w)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/10000ops")
}
