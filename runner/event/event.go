// Package event is what a run tells of itself. Everything that is shown or stored is made from events.
package event

import (
	"time"

	"phoenix-run/runner/op"
)

// Schema is the version of the events' form; it changes when a field changes its meaning or goes.
const Schema = 1

// Type tells what an event is about.
type Type string

// Types of events, in the order in which a run emits them.
const (
	RunStart  Type = "run_start"
	Begin     Type = "begin"     // an operation or a wait has begun that may take long
	Operation Type = "operation" // an operation has ended
	Log       Type = "log"       // a line from print(), or from a task
	Progress  Type = "progress"  // a line of a running command
	Warning   Type = "warning"
	Task      Type = "task" // a host's task has ended
	RunEnd    Type = "run_end"
)

// Status is how an operation or a task ended.
type Status string

// Statuses.
const (
	OK       Status = "ok"
	Changed  Status = "changed" // in plan mode: would change
	Failed   Status = "failed"
	Skipped  Status = "skipped"
	Deferred Status = "deferred" // the plan can't know this before an apply
)

// Event is one line of a run's story. Secrets are out of it before it is emitted.
type Event struct {
	Schema   int            `json:"schema"`
	Run      string         `json:"run"`
	Seq      int            `json:"seq"`
	Time     time.Time      `json:"time"`
	Type     Type           `json:"type"`
	Mode     string         `json:"mode,omitempty"` // run_start: plan or apply
	Host     string         `json:"host,omitempty"`
	Address  string         `json:"address,omitempty"`
	Landmark bool           `json:"landmark,omitempty"` // what people look for at the end: a machine, an environment, a stack
	Status   Status         `json:"status,omitempty"`
	Change   *Change        `json:"change,omitempty"`   // of a step that is only likely to do nothing: action none
	Position string         `json:"position,omitempty"` // file:line:column
	Duration float64        `json:"duration,omitempty"` // seconds
	Message  string         `json:"message,omitempty"`
	Error    *Error         `json:"error,omitempty"`
	Counts   map[Status]int `json:"counts,omitempty"`
	Plan     *Counts        `json:"plan,omitempty"` // run_end of a plan
}

// Change is an op.Change as people and files may see it.
type Change struct {
	Action     op.Action     `json:"action"`
	Before     op.Attrs      `json:"before"`
	After      op.Attrs      `json:"after"`
	Unknown    []string      `json:"unknown,omitempty"`
	Confidence op.Confidence `json:"confidence,omitempty"`
	Cause      *op.Cause     `json:"cause,omitempty"`
	Note       string        `json:"note,omitempty"`
}

// Error is a failure as people see it.
type Error struct {
	Message   string   `json:"message"`
	Backtrace []string `json:"backtrace,omitempty"` // outermost first: "file:line:column in function"
	Excerpt   string   `json:"excerpt,omitempty"`   // the source line, and a caret
}

// Counts are the planned changes by confidence.
type Counts struct {
	Certain  int `json:"certain"`
	Likely   int `json:"likely"`
	Unknown  int `json:"unknown"`
	Deferred int `json:"deferred"`
	// Unchanged counts steps that find nothing to do as things are, but come after one that may change that.
	Unchanged int `json:"likely_unchanged,omitempty"`
}

// Sink receives events in order, one at a time.
type Sink interface{ Emit(Event) }

// SinkFunc is a function as a Sink.
type SinkFunc func(Event)

// Emit calls the function.
func (f SinkFunc) Emit(e Event) { f(e) }
