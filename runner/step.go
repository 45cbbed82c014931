package runner

import (
	"context"
	"time"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// Wait carries out a step that changes nothing but may take long, and tells of it like an operation.
// Its context ends as soon as the run is told to stop, since a wait leaves nothing half done.
func (t *Task) Wait(addr op.Address, what string, fn func(ctx context.Context) error) error {
	r := t.Run
	if err := t.mayBegin(); err != nil {
		return &OpError{Address: addr, Step: "read", Position: t.Position(), Err: err}
	}
	start, pos := time.Now(), t.Position()
	t.Begin(addr.Host, addr.String(), what)
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.stopped, func() { cancel(ErrStopped) })()
	err := fn(ctx)
	r.View.Move()
	if err != nil && t.ctx.Err() == nil && r.Stopping() {
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
