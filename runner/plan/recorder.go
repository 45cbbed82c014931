package plan

import (
	"slices"
	"strings"
	"sync"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// Recorder collects a dry run's changes. It is told of each change itself, for digests, and of each
// event, for what people see.
type Recorder struct {
	mu       sync.Mutex
	digest   op.Digester
	steps    []Step
	byAddr   map[string]int
	deferred []Deferral
	counts   event.Counts
}

// NewRecorder makes a recorder whose digests have this salt.
func NewRecorder(salt []byte) *Recorder {
	return &Recorder{digest: op.Digester{Salt: salt}, byAddr: map[string]int{}}
}

// Planned is told of a change before it is shown.
func (r *Recorder) Planned(addr op.Address, change op.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := Step{Address: addr, Before: r.digests(change.Before), After: r.digests(change.After)}
	r.byAddr[addr.String()] = len(r.steps)
	r.steps = append(r.steps, step)
}

// digests gives the digest of each attribute that is known; nil for a thing that does not exist.
func (r *Recorder) digests(attrs op.Attrs) map[string]string {
	if attrs == nil {
		return nil
	}
	out := make(map[string]string, len(attrs))
	for name, v := range attrs {
		if !op.HasUnknown(v) {
			out[name] = r.digest.Value(v)
		}
	}
	return out
}

// Emit takes what people see from the run's events.
func (r *Recorder) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case e.Type == event.Operation && e.Status == event.Changed:
		if i, ok := r.byAddr[e.Address]; ok {
			r.steps[i].Change, r.steps[i].Position = e.Change, e.Position
		}
	case e.Type == event.Task && e.Status == event.Deferred:
		r.deferred = append(r.deferred, Deferral{e.Host, e.Position, e.Message})
	case e.Type == event.RunEnd && e.Plan != nil:
		r.counts = *e.Plan
	}
}

// Fill gives the plan what was recorded.
func (r *Recorder) Fill(p *Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Hosts are planned at the same time: by host, so that the same plan is the same file.
	slices.SortStableFunc(r.steps, func(a, b Step) int { return strings.Compare(a.Address.Host, b.Address.Host) })
	slices.SortStableFunc(r.deferred, func(a, b Deferral) int { return strings.Compare(a.Host, b.Host) })
	p.Steps, p.Deferred, p.Counts, p.Salt = r.steps, r.deferred, r.counts, r.digest.Salt
}
