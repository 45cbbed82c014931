// Package runner is the engine: it loads playbooks, executes them in plan or apply mode, and tells
// what happens as events. It knows no Proxmox, no SSH and no Portainer.
package runner

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.starlark.net/starlark"

	"phoenix-run/runner/event"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

// Mode tells what a run may do.
type Mode string

// Modes.
const (
	Plan  Mode = "plan"  // read, and predict
	Apply Mode = "apply" // read, change, read again
)

// Options say how a run is made.
type Options struct {
	Mode     Mode
	Source   load.Source
	Builtins starlark.StringDict // what modules see besides the language's own
	Parallel int                 // hosts at once; 0: 32
	Sink     event.Sink
	Redactor *secret.Redactor
	Guard    Guard        // what may be applied; nil: everything
	Recorder Recorder     // what a plan is told of before it is shown; nil: nobody
	Journal  Journal      // where intents are recorded; nil: nowhere
	Loader   *load.Loader // modules of another run to share; nil: the run loads its own from Source
	// MaxSteps bounds the computation of one task; 0: 50 million steps of the Starlark machine.
	MaxSteps uint64
}

// Recorder is told of each planned change with its values as they are; what it keeps must hold no secret.
type Recorder interface {
	Planned(addr op.Address, change op.Change)
}

// Guard is asked before each change of an apply; package plan's is bound to what was reviewed.
type Guard interface {
	Allow(addr op.Address, change op.Change) error
}

// Journal records an apply so that it can be reported and resumed.
type Journal interface {
	// Intent is called, and must be on disk, before anything is changed.
	Intent(addr op.Address, change op.Change, arguments op.Attrs) error
	// Done is called after the change, with the error if it failed.
	Done(addr op.Address, after op.State, err error) error
	// Recall tells what an earlier, interrupted run did about a step that can't be read back.
	Recall(addr op.Address, arguments op.Attrs) (Recollection, error)
}

// Recollection is what a resumed run's journal knows of a step.
type Recollection struct {
	Done  bool     // it was done: State is its result
	State op.State // of the done step
}

// Run is one execution of one playbook.
type Run struct {
	ID   string
	opts Options

	View   *op.View
	loader *load.Loader

	mu        sync.Mutex
	seq       int
	counts    map[event.Status]int
	planned   event.Counts
	addresses map[op.Address]int
	hooks     []*hook

	stopped context.Context // ends at Stop
	stop    context.CancelFunc
}

// New makes a run.
func New(opts Options) *Run {
	if opts.Parallel <= 0 {
		opts.Parallel = 32
	}
	if opts.MaxSteps == 0 {
		opts.MaxSteps = 50_000_000
	}
	if opts.Redactor == nil {
		opts.Redactor = new(secret.Redactor)
	}
	r := &Run{
		ID:        ulid.MustNew(ulid.Now(), rand.Reader).String(),
		opts:      opts,
		View:      op.NewView(opts.Mode == Plan),
		counts:    map[event.Status]int{},
		addresses: map[op.Address]int{},
	}
	r.stopped, r.stop = context.WithCancel(context.Background())
	if r.loader = opts.Loader; r.loader != nil {
		return r
	}
	predeclared := lang.Universe()
	for name, v := range opts.Builtins {
		predeclared[name] = v
	}
	predeclared.Freeze()
	r.loader = load.New(opts.Source, predeclared, func(name string) *starlark.Thread {
		return r.thread(&Task{Run: r, ctx: context.Background(), Host: "", top: true}, name)
	})
	return r
}

// Mode tells whether the run plans or applies.
func (r *Run) Mode() Mode { return r.opts.Mode }

// Planning reports whether the run only plans.
func (r *Run) Planning() bool { return r.opts.Mode == Plan }

// Loader gives the run's modules.
func (r *Run) Loader() *load.Loader { return r.loader }

// Redactor holds the secrets that the run knows of.
func (r *Run) Redactor() *secret.Redactor { return r.opts.Redactor }

// Stop makes the run begin nothing new and ends its waits; an operation that has begun is finished.
func (r *Run) Stop() { r.stop() }

// Stopping reports whether Stop was called.
func (r *Run) Stopping() bool { return r.stopped.Err() != nil }

// Counts gives how many operations ended how.
func (r *Run) Counts() map[event.Status]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[event.Status]int, len(r.counts))
	for k, v := range r.counts {
		out[k] = v
	}
	return out
}

// Planned gives the planned changes by confidence.
func (r *Run) Planned() event.Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.planned
}

// Emit completes, redacts, counts and passes on an event.
func (r *Run) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	e.Schema, e.Run, e.Seq, e.Time = event.Schema, r.ID, r.seq, time.Now().UTC()
	if e.Type == event.Operation {
		r.counts[e.Status]++
		r.count(e)
	}
	if e.Type == event.Task && e.Status == event.Deferred {
		r.planned.Deferred++
		r.counts[event.Deferred]++
	}
	if r.opts.Sink != nil {
		r.opts.Sink.Emit(redacted(e, r.opts.Redactor))
	}
}

func (r *Run) count(e event.Event) {
	if e.Change == nil {
		return
	}
	if e.Status != event.Changed {
		r.planned.Unchanged++
		return
	}
	switch e.Change.Confidence {
	case op.Likely:
		r.planned.Likely++
	case op.Uncertain:
		r.planned.Unknown++
	default:
		r.planned.Certain++
	}
}

// unique makes the address different from all that the run has seen: the second command of the same
// text on the same host becomes "…#2", in plan and apply alike, since hosts work in order.
func (r *Run) unique(a op.Address) op.Address {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses[a]++
	if n := r.addresses[a]; n > 1 {
		a.ID += "#" + itoa(n)
	}
	return a
}
