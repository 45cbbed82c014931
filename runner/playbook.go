package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/event"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
	"phoenix-run/runner/value"
)

// UsageError is a wrong call of a playbook, or one that asks for help; Usage is the playbook's own text.
type UsageError struct {
	Message, Usage string
	Help           bool // the text was asked for
}

func (e *UsageError) Error() string { return e.Message }

// FindPlaybook finds the playbook that the words of a command line name, and gives the words that are
// left for it. A path is taken as it is; else the longest run of words that names one counts:
// "sync stack qdrant to 1002" is sync_stack.star with "qdrant to 1002". Letter case, "_" and ".star"
// don't matter, and NAME answers for NAME_vm.
func FindPlaybook(src load.Source, words []string) (load.Module, []string, error) {
	if len(words) == 0 {
		return load.Module{}, nil, &UsageError{Message: "which playbook?"}
	}
	if strings.ContainsRune(words[0], '/') {
		m, err := src.Resolve("//"+strings.TrimPrefix(words[0], "./"), load.Module{})
		return m, words[1:], err
	}
	names := src.List("playbooks")
	for n := countNames(words); n > 0; n-- {
		wanted := fold(strings.Join(words[:n], "_"))
		for _, candidate := range []string{wanted, wanted + "vm"} {
			i := slices.IndexFunc(names, func(name string) bool { return fold(name) == candidate })
			if i < 0 {
				continue
			}
			m, err := src.Resolve("@playbooks//"+names[i]+".star", load.Module{})
			return m, words[n:], err
		}
	}
	if m, err := src.Resolve("//"+withEnding(words[0]), load.Module{}); err == nil {
		return m, words[1:], nil
	}
	return load.Module{}, nil, noPlaybook(words, names)
}

// noPlaybook says which playbook was probably meant: by the words as far as they may be a name, or by
// the first alone.
func noPlaybook(words, names []string) error {
	text := fmt.Sprintf("no playbook %q", words[0])
	for n := countNames(words); n > 0; n-- {
		if near := lang.Nearest(strings.ToLower(strings.Join(words[:n], "_")), names); near != "" {
			text += fmt.Sprintf("; did you mean %s?", strings.Join(append([]string{near}, words[n:]...), " "))
			break
		}
	}
	slices.Sort(names)
	return &UsageError{Message: text + "\nplaybooks: " + strings.Join(names, ", ")}
}

func withEnding(name string) string { return strings.TrimSuffix(name, ".star") + ".star" }

func countNames(words []string) int {
	n := 0
	for n < len(words) && n < 3 && !strings.HasPrefix(words[n], "-") {
		n++
	}
	return n
}

func fold(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.ToLower(name), ".star"), "_", "")
}

// Call is a playbook's main with its arguments, ready to be executed.
type Call struct {
	module load.Module
	main   *starlark.Function
	args   starlark.Tuple
	kwargs []starlark.Tuple
}

// Prepare loads a playbook and makes the command line's words the arguments of its main. Nothing is
// executed but the modules' top levels, which may do nothing: a wrong call, or one that asks for help
// (--help), is a *UsageError, and leaves no trace.
func (r *Run) Prepare(module load.Module, words []string) (*Call, error) {
	loaded, err := r.loader.Module(module)
	if err != nil {
		return nil, err
	}
	main, ok := loaded.Globals["main"].(*starlark.Function)
	if !ok {
		return nil, &UsageError{Message: module.Name() + " has no function main, so it is no playbook; features and libraries are loaded by playbooks"}
	}
	if asksForHelp(main, words) {
		return nil, &UsageError{Help: true, Usage: Usage(module, loaded.Doc, main)}
	}
	args, kwargs, err := arguments(main, words)
	if err != nil {
		return nil, &UsageError{Message: err.Error(), Usage: Usage(module, loaded.Doc, main)}
	}
	return &Call{module: module, main: main, args: args, kwargs: kwargs}, nil
}

// Playbook executes a prepared call. Errors carry the whole way through the playbook; Describe shows it.
func (r *Run) Playbook(ctx context.Context, call *Call) (result starlark.Value, err error) {
	task := &Task{Run: r, ctx: ctx}
	thread := r.thread(task, "main")
	stop := context.AfterFunc(ctx, func() { thread.Cancel(context.Cause(ctx).Error()) })
	defer stop()
	r.Emit(event.Event{Type: event.RunStart, Mode: string(r.opts.Mode), Message: call.module.Name()})
	result, err = starlark.Call(thread, call.main, call.args, call.kwargs)
	var unknown *value.UnknownError
	if r.Planning() && errors.As(err, &unknown) {
		r.deferTask(task, err, unknown)
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return result, err
}

// End tells that the run is over; err is what it failed with.
func (r *Run) End(err error, seconds float64) {
	e := event.Event{Type: event.RunEnd, Status: event.OK, Counts: r.Counts(), Duration: seconds}
	if r.Planning() {
		p := r.Planned()
		e.Plan = &p
	}
	if err != nil {
		e.Status, e.Error = event.Failed, r.Describe(err)
	}
	r.Emit(e)
}
