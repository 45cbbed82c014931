package runner

import (
	"context"
	"errors"
	"fmt"

	"phoenix-run/runner/op"
)

// interrupted reports whether an error says that the connection was lost while the work was under
// way, so that it may or may not have happened.
func interrupted(err error) bool {
	var cut interface{ MayHaveHappened() bool }
	return errors.As(err, &cut) && cut.MayHaveHappened()
}

// decide looks what became of a step that was cut off, and does what is left of it, once. A step that
// can't be read back is never done again unasked; nor is one that was done in part, if the run is bound
// to a plan: the plan does not hold what is left.
func (t *Task) decide(ctx context.Context, o op.Operation, change op.Change, cut error) error {
	current, err := o.Read(ctx, t.Run.View)
	if err != nil {
		return errors.Join(cut, fmt.Errorf("what became of it can't be read: %w", err))
	}
	left, err := o.Diff(current)
	if err != nil {
		return errors.Join(cut, fmt.Errorf("what became of it: %w", err))
	}
	switch {
	case left.Action == op.None:
		return nil
	case left.Action == op.Run:
		return cut
	}
	same := left.Action == change.Action && op.Equal(left.Before, change.Before) && op.Equal(left.After, change.After)
	if !same && t.Run.opts.Guard != nil {
		return fmt.Errorf("%w; it was done in part, which the plan doesn't hold: plan again", cut)
	}
	if err := t.mayBegin(); err != nil {
		return errors.Join(cut, err)
	}
	err = o.Apply(ctx, left)
	o.Predict(t.Run.View, left)
	t.Run.View.Move()
	if err != nil {
		return errors.Join(cut, fmt.Errorf("the second try: %w", err))
	}
	return nil
}
