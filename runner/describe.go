package runner

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"phoenix-run/runner/event"
	"phoenix-run/runner/lang"
)

// Describe makes of an error what people see: the message, the whole way through the playbook
// (outermost first, tasks of each included), and the line at which it ended.
func (r *Run) Describe(err error) *event.Error {
	out := &event.Error{Message: message(err)}
	var last syntax.Position
	for _, eval := range evalErrors(err) {
		for _, frame := range eval.CallStack {
			if frame.Pos.Line == 0 || strings.HasPrefix(frame.Name, "__") {
				continue // a builtin has no place in a file
			}
			out.Backtrace = append(out.Backtrace, fmt.Sprintf("%s in %s", frame.Pos, frame.Name))
			last = frame.Pos
		}
	}
	var source *lang.SourceError
	if errors.As(err, &source) {
		last = source.Faults[0].Pos
	}
	out.Excerpt = r.excerpt(last)
	return out
}

// evalErrors finds every Starlark error in err's chain, outermost first: each thread has its own.
func evalErrors(err error) []*starlark.EvalError {
	var found []*starlark.EvalError
	for err != nil {
		if e, ok := err.(*starlark.EvalError); ok {
			found = append(found, e)
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			list := u.Unwrap()
			if len(list) == 0 {
				return found
			}
			err = list[0]
		default:
			return found
		}
	}
	return found
}

// message is the innermost text that still says what failed and where.
func message(err error) string {
	text := err.Error()
	for _, eval := range evalErrors(err) {
		if eval.Unwrap() != nil {
			text = eval.Unwrap().Error()
		} else {
			text = eval.Msg
		}
	}
	return strings.TrimPrefix(text, "Starlark computation cancelled: ")
}

// innermost is the place at which err ended, as file:line:column.
func innermost(err error) string {
	pos := ""
	for _, eval := range evalErrors(err) {
		for _, frame := range eval.CallStack {
			if frame.Pos.Line > 0 && !strings.HasPrefix(frame.Name, "__") {
				pos = frame.Pos.String()
			}
		}
	}
	return pos
}

// excerpt shows the source line of pos with a caret below its column.
func (r *Run) excerpt(pos syntax.Position) string {
	if pos.Line == 0 {
		return ""
	}
	text, ok := r.loader.Text(pos.Filename())
	if !ok {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	if int(pos.Line) > len(lines) {
		return ""
	}
	line := lines[pos.Line-1]
	var indent strings.Builder
	for i, c := range line {
		if i >= int(pos.Col)-1 {
			break
		}
		if c != '\t' {
			c = ' '
		}
		indent.WriteRune(c)
	}
	return fmt.Sprintf("%5d | %s\n      | %s^", pos.Line, line, indent.String())
}
