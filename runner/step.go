package runner

import (
	"context"
	"time"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// untilStop gives a context that ends as soon as the run is told to stop, for what leaves nothing half
// done: waits and reads. done gives it back.
func (t *Task) untilStop() (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(t.ctx)
	unwatch := context.AfterFunc(t.Run.stopped, func() { cancel(ErrStopped) })
	return ctx, func() {
		unwatch()
		cancel(nil)
	}
}

// stoppedWaiting reports whether it is Stop that ended what untilStop's context was for.
func (t *Task) stoppedWaiting() bool { return t.ctx.Err() == nil && t.Run.Stopping() }

// Wait carries out a step that changes nothing but may take long, and tells of it like an operation.
// Its context ends as soon as the run is told to stop, since a wait leaves nothing half done.
func (t *Task) Wait(addr op.Address, what string, fn func(ctx context.Context) error) error {
	r := t.Run
	if err := t.mayBegin(); err != nil {
		return &OpError{Address: addr, Step: "read", Position: t.Position(), Err: err}
	}
	start, pos := time.Now(), t.Position()
	t.Begin(addr.Host, addr.String(), what)
	ctx, done := t.untilStop()
	err := fn(ctx)
	r.View.Move()
	done()
	if err != nil && t.stoppedWaiting() {
		err = ErrStopped
	}
	e := event.Event{Type: event.Operation, Host: addr.Host, Address: addr.String(), Status: event.OK,
		Position: pos, Duration: time.Since(start).Seconds(), Message: what}
	if err != nil {
		e.Status, e.Error = event.Failed, &event.Error{Message: err.Error()}
		err = &OpError{Address: addr, Step: "apply", Position: pos, Err: err}
	}
	r.Emit(e)
	return err
}
