package op

import "context"

// Operation is one idempotent step on one thing. The engine runs the same steps in both modes:
//
//	Read (through the view) → Diff → plan: Predict | apply: Apply, then Read again and compare
type Operation interface {
	Address() Address
	// Read tells how the thing is now, through the view.
	Read(ctx context.Context, v *View) (State, error)
	// Diff tells what would have to change. It is pure: no input or output, no clock, no chance.
	Diff(current State) (Change, error)
	// Predict records in the view what the change leads to: the cells it writes, and the marks of
	// what it may change beyond them. When applying, the same calls make the view forget what it
	// remembers of those places.
	Predict(v *View, change Change)
	// Apply does the change.
	Apply(ctx context.Context, change Change) error
}

// Once is implemented by operations that can't be read back, such as a plain command: nothing tells
// afterwards whether they were done. Their end is not compared, and resuming a run asks the journal.
type Once interface {
	Operation
	// Arguments identify the work, for the journal.
	Arguments() Attrs
}

// Verifier is implemented by operations that say themselves whether what is there after an apply is
// what was predicted; others have each predicted attribute compared.
type Verifier interface {
	Operation
	// Verify names the attributes that are not as they should be.
	Verify(change Change, actual State) []string
}

// Landmark is implemented by operations on what people look for at the end of a run, beside all the
// steps that led there: a machine, an environment, a stack.
type Landmark interface{ IsLandmark() }

// Outcome is what became of an operation.
type Outcome struct {
	Address Address
	Change  Change
	State   State // how the thing is after it; in plan mode as predicted
}

// Changed reports whether anything was, or would be, done; maybe is true if only an apply can tell.
func (o Outcome) Changed() (changed, maybe bool) {
	return o.Change.Action != None, o.Change.Open
}
