package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

// ErrStopped is returned instead of beginning an operation after the run was told to stop.
var ErrStopped = errors.New("stopped before this step")

// OpError is an operation that failed: which, where it was to work, and why.
type OpError struct {
	Address  op.Address
	Step     string // read, diff, apply, verify, journal
	Position string
	Err      error
}

func (e *OpError) Error() string {
	where := e.Address.Kind + " " + e.Address.ID
	if e.Address.Host != "" {
		where = "host " + e.Address.Host + ": " + where
	}
	switch e.Step {
	case "read":
		return where + ": can't read what is there: " + e.Err.Error()
	case "verify":
		return where + ": " + e.Err.Error()
	}
	return where + ": " + e.Err.Error()
}

func (e *OpError) Unwrap() error { return e.Err }

// MismatchError says that a thing is not as predicted after it was changed without an error.
type MismatchError struct {
	Attrs             []string
	Predicted, Actual op.Attrs
}

func (e *MismatchError) Error() string {
	if e.Actual == nil {
		return "it was changed without an error, but is not there afterwards"
	}
	if e.Predicted == nil {
		return "it was removed without an error, but is still there afterwards"
	}
	parts := make([]string, len(e.Attrs))
	for i, name := range e.Attrs {
		parts[i] = fmt.Sprintf("%s is %v, not %v", name, short(e.Actual[name]), short(e.Predicted[name]))
	}
	return "it was changed without an error, but afterwards " + strings.Join(parts, ", ")
}

func short(v any) string {
	text := fmt.Sprint(v)
	if s, ok := v.(string); ok {
		text = fmt.Sprintf("%q", s)
	}
	if len(text) > 80 {
		text = text[:77] + "…"
	}
	return text
}

// Do carries out an operation in the run's mode. Both modes take the same way up to the last step.
func (t *Task) Do(o op.Operation) (op.Outcome, error) {
	r := t.Run
	start, pos := time.Now(), t.Position()
	addr := r.unique(o.Address())
	fail := func(step string, err error) (op.Outcome, error) {
		opErr := &OpError{Address: addr, Step: step, Position: pos, Err: err}
		r.Emit(event.Event{Type: event.Operation, Host: addr.Host, Address: addr.String(), Status: event.Failed,
			Position: pos, Duration: time.Since(start).Seconds(), Error: &event.Error{Message: err.Error()}})
		return op.Outcome{Address: addr}, opErr
	}
	if err := t.mayBegin(); err != nil {
		return op.Outcome{Address: addr}, &OpError{Address: addr, Step: "read", Position: pos, Err: err}
	}
	ctx, done := t.untilStop()
	current, err := o.Read(ctx, r.View)
	done()
	var off *op.OffError
	if errors.As(err, &off) { // the plan of this task ends here, as at any other value that only an apply can know
		return op.Outcome{Address: addr}, &value.UnknownError{Value: op.Unknown{From: off.Cause.Address, Attr: "what is on " + off.Host + ", which is off, and so the result"}}
	}
	if err != nil && t.stoppedWaiting() {
		err = ErrStopped
	}
	if err != nil {
		return fail("read", err)
	}
	change, err := o.Diff(current)
	if err != nil {
		return fail("diff", err)
	}
	if change.Cause == nil {
		change.Cause = current.Maybe
	}
	change.Confidence = confidence(change)

	after := op.State{Attrs: change.After}
	_, landmark := o.(op.Landmark)
	if change.Action == op.None {
		after = current
		e := event.Event{Type: event.Operation, Host: addr.Host, Address: addr.String(), Status: event.OK, Landmark: landmark && current.Exists(),
			Position: pos, Duration: time.Since(start).Seconds(), Message: change.Note}
		if change.Cause != nil { // nothing to do as things are, but an earlier step may change that
			e.Change = &event.Change{Action: op.None, Confidence: change.Confidence, Cause: change.Cause}
		}
		r.Emit(e)
		return op.Outcome{Address: addr, Change: change, State: after}, nil
	}
	if r.Planning() {
		o.Predict(r.View, change)
		r.View.Touch(addr)
		if r.opts.Recorder != nil {
			r.opts.Recorder.Planned(addr, change)
		}
	} else {
		after, err = t.apply(addr, o, change)
		if err != nil {
			step := "apply"
			var mismatch *MismatchError
			if errors.As(err, &mismatch) {
				step = "verify"
			}
			return fail(step, err)
		}
	}
	r.Emit(event.Event{Type: event.Operation, Host: addr.Host, Address: addr.String(), Status: event.Changed, Landmark: landmark && change.After != nil,
		Position: pos, Duration: time.Since(start).Seconds(), Message: change.Note, Change: shown(change)})
	return op.Outcome{Address: addr, Change: change, State: after}, nil
}

// mayBegin refuses to begin anything in a cancelled or stopping run, or at a module's top level.
func (t *Task) mayBegin() error {
	switch {
	case t.top:
		return errors.New("operations belong into a function: a module's top level may not do anything")
	case t.ctx.Err() != nil:
		return context.Cause(t.ctx)
	case t.Run.Stopping():
		return ErrStopped
	}
	return nil
}

// apply does what plan mode only predicts, and looks whether it came true.
func (t *Task) apply(addr op.Address, o op.Operation, change op.Change) (op.State, error) {
	r := t.Run
	if lost, ok := op.FirstLost(map[string]any(change.After)); ok {
		return op.State{}, &value.UnknownError{Value: lost}
	}
	if r.opts.Guard != nil {
		if err := r.opts.Guard.Allow(addr, change); err != nil {
			return op.State{}, err
		}
	}
	once, isOnce := o.(op.Once)
	var arguments op.Attrs
	if isOnce {
		arguments = once.Arguments()
	}
	if r.opts.Journal != nil {
		if isOnce {
			recalled, err := r.opts.Journal.Recall(addr, arguments)
			if err != nil {
				return op.State{}, err
			}
			if recalled.Done {
				return recalled.State, nil
			}
		}
	}
	if err := r.before(t.ctx, addr.Host); err != nil {
		return op.State{}, err
	}
	if r.opts.Journal != nil {
		if err := r.opts.Journal.Intent(addr, change, arguments); err != nil {
			return op.State{}, fmt.Errorf("the journal can't be written, so nothing was changed: %w", err)
		}
	}
	if err := t.mayBegin(); err != nil {
		return op.State{}, err
	}
	err := o.Apply(t.ctx, change)
	o.Predict(r.View, change) // forgets what was remembered of the places it touches
	r.View.Move()
	if !isOnce && interrupted(err) {
		err = t.decide(t.ctx, o, change, err)
	}
	after := op.State{Attrs: change.After}
	if err == nil && !isOnce {
		after, err = verify(t.ctx, r.View, o, change)
	}
	if isOnce {
		if result, ok := o.(interface{ Result() op.Attrs }); ok && err == nil {
			after.Attrs = result.Result()
		}
	}
	if r.opts.Journal != nil {
		err = errors.Join(err, r.opts.Journal.Done(addr, after, err))
	}
	return after, err
}

func verify(ctx context.Context, v *op.View, o op.Operation, change op.Change) (op.State, error) {
	actual, err := o.Read(ctx, v)
	if err != nil {
		return op.State{}, fmt.Errorf("it was changed, but can't be read back: %w", err)
	}
	switch {
	case change.After == nil && actual.Exists(), change.After != nil && !actual.Exists():
		return actual, &MismatchError{Predicted: change.After, Actual: actual.Attrs}
	case change.After == nil:
		return actual, nil
	}
	bad := op.Incompatible(change.After, actual.Attrs)
	if own, ok := o.(op.Verifier); ok {
		bad = own.Verify(change, actual)
	}
	if len(bad) > 0 {
		return actual, &MismatchError{Attrs: bad, Predicted: change.After, Actual: actual.Attrs}
	}
	return actual, nil
}

func confidence(c op.Change) op.Confidence {
	switch {
	case c.Open:
		return op.Uncertain
	case c.Cause != nil:
		return op.Likely
	}
	return op.Certain
}

// shown is a change as events hold it.
func shown(c op.Change) *event.Change {
	return &event.Change{Action: c.Action, Before: c.Before, After: c.After, Unknown: c.Unknown(),
		Confidence: c.Confidence, Cause: c.Cause, Note: c.Note}
}
