package runner

import (
	"time"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// Wait carries out a step that changes nothing but may take long, and tells of it like an operation.
// In a plan it is not carried out for a host that isn't there yet.
func (t *Task) Wait(addr op.Address, what string, fn func() error) error {
	r := t.Run
	if err := t.mayBegin(); err != nil {
		return &OpError{Address: addr, Step: "read", Position: t.Position(), Err: err}
	}
	start, pos := time.Now(), t.Position()
	t.Begin(addr.Host, addr.String(), what)
	err := fn()
	e := event.Event{Type: event.Operation, Host: addr.Host, Address: addr.String(), Status: event.OK,
		Position: pos, Duration: time.Since(start).Seconds(), Message: what}
	if err != nil {
		e.Status, e.Error = event.Failed, &event.Error{Message: err.Error()}
		err = &OpError{Address: addr, Step: "apply", Position: pos, Err: err}
	}
	r.Emit(e)
	return err
}
