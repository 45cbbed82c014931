package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"phoenix-run/builtins"
	"phoenix-run/report"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/journal"
	"phoenix-run/runner/load"
)

// job is one execution of a playbook.
type job struct {
	env      *environment
	mode     runner.Mode
	module   load.Module
	words    []string
	guard    runner.Guard
	recorder runner.Recorder // told of planned changes, and of events if it wants them
	resume   string          // id of the run that is resumed
	quiet    bool            // show nothing but failures, whatever --output says
	finished *runner.Run
}

// runPlaybook is the action of "phoenix-run [run] PLAYBOOK".
func runPlaybook(c *cli.Context) error {
	words := c.Args().Slice()
	if len(words) == 0 {
		if err := cli.ShowAppHelp(c); err != nil {
			return err
		}
		return codeError(exitUsage)
	}
	if words[0] == "help" {
		words = append(words[1:], "--help")
	}
	if words[0] == "--help" || words[0] == "-h" {
		return cli.ShowAppHelp(c)
	}
	if slices.Contains(words, "--help") || slices.Contains(words, "-h") {
		return explain(c, words)
	}
	env, err := open(c.Context, c)
	if err != nil {
		return err
	}
	defer env.close()
	module, rest, err := runner.FindPlaybook(env.source, words)
	if err != nil {
		return err
	}
	j := &job{env: env, mode: runner.Apply, module: module, words: rest}
	if c.Bool("dry-run") {
		j.mode = runner.Plan
	}
	if err := j.execute(c); err != nil {
		return err
	}
	if j.mode == runner.Plan && c.Bool("detailed-exitcode") {
		return detailed(j.finished.Planned())
	}
	return nil
}

// explain shows a playbook's own help, for which no configuration is needed.
func explain(c *cli.Context, words []string) error {
	src := source(c)
	module, rest, err := runner.FindPlaybook(src, words)
	if err != nil {
		return err
	}
	session := builtins.New(builtins.Options{Planning: true})
	run := runner.New(runner.Options{Mode: runner.Plan, Source: src, Builtins: session.Predeclared()})
	_, err = run.Prepare(module, rest)
	return errors.Join(err, session.Close())
}

// detailed is the exit code of a dry run: whether there are changes, and whether all are known.
func detailed(n event.Counts) error {
	switch {
	case n.Unknown+n.Deferred > 0:
		return codeError(exitUnknown)
	case n.Certain+n.Likely > 0:
		return codeError(exitChanges)
	}
	return nil
}

// execute runs the job and shows it.
func (j *job) execute(c *cli.Context) error {
	format := report.Format(c.String("output"))
	if j.quiet {
		format = report.Quiet
	}
	shown, err := report.New(format, os.Stdout, c.Bool("verbose"))
	if err != nil {
		return errUsage{err}
	}
	sinks := tee{shown}
	options := runner.Options{Mode: j.mode, Source: j.env.source, Parallel: c.Int("parallel"),
		Redactor: j.env.redactor, Guard: j.guard}
	if j.recorder != nil {
		options.Recorder = j.recorder
		if sink, ok := j.recorder.(event.Sink); ok {
			sinks = append(sinks, sink)
		}
	}
	session := builtins.New(builtins.Options{Config: j.env.config, Limit: c.String("limit"),
		Planning: j.mode == runner.Plan, State: j.env.state, Verbose: c.Bool("verbose"), Confirm: confirmName,
		Ask: yesOrNo(c.Bool("yes")), AskHostKey: askHostKey})
	options.Builtins = session.Predeclared()
	late := &lateJournal{}
	if j.mode == runner.Apply {
		options.Journal = late
		sinks = append(sinks, late)
	}
	options.Sink = sinks
	run := runner.New(options)
	j.finished = run
	call, err := run.Prepare(j.module, j.words)
	if err != nil {
		return errors.Join(j.unprepared(run, err), session.Close())
	}
	if j.mode == runner.Apply {
		if err := late.open(j, c, run); err != nil {
			return err
		}
	}
	ctx, done := interruptible(c.Context, run)
	defer done()
	start := time.Now()
	_, err = run.Playbook(ctx, call)
	err = errors.Join(err, session.Close())
	run.End(err, time.Since(start).Seconds())
	if closeErr := late.close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		if run.Stopping() || ctx.Err() != nil {
			j.resumeHint(run.ID)
			return &shownError{errors.Join(errInterrupted, err)}
		}
		j.failureHint(run.ID)
		return &shownError{err}
	}
	return nil
}

// unprepared shows why a playbook can't be executed: a wrong call as it is, a fault in a module with
// the place and the way to it.
func (j *job) unprepared(run *runner.Run, err error) error {
	var usage *runner.UsageError
	if errors.As(err, &usage) {
		return err
	}
	run.End(err, 0)
	return &shownError{errUsage{err}}
}

func (j *job) resumeHint(id string) {
	if j.mode == runner.Apply {
		fmt.Fprintf(os.Stderr, "phoenix-run: to go on: phoenix-run resume %s\n", id)
	}
}

// failureHint says where a failed apply is recorded, and how to go on with it.
func (j *job) failureHint(id string) {
	if j.mode == runner.Apply {
		fmt.Fprintf(os.Stderr, "phoenix-run: all of this run is in %s; once it is mended, go on with: phoenix-run resume %s\n", journal.Path(j.env.state, id), id)
	}
}

// tee gives each event to several sinks.
type tee []event.Sink

// Emit passes e on.
func (t tee) Emit(e event.Event) {
	for _, s := range t {
		s.Emit(e)
	}
}

// lateJournal is the journal of a run, whose id is known only when the run is made.
type lateJournal struct{ *journal.Journal }

func (l *lateJournal) open(j *job, c *cli.Context, run *runner.Run) error {
	earlier, salt, err := journal.Chain(j.env.state, j.resume)
	if err != nil {
		return err
	}
	header := journal.Header{Run: run.ID, Playbook: j.module.Path, Embedded: j.module.Embedded, Words: j.words,
		Options: planOptions(c), Salt: salt, Resumes: j.resume}
	l.Journal, err = journal.Create(j.env.state, header, j.env.redactor.Redact)
	if err != nil || j.resume == "" {
		return err
	}
	l.Resume(earlier, askAgain(c.Bool("yes")))
	return nil
}

// Emit keeps the event once the journal is open.
func (l *lateJournal) Emit(e event.Event) {
	if l.Journal != nil {
		l.Journal.Emit(e)
	}
}

func (l *lateJournal) close() error {
	if l.Journal == nil {
		return nil
	}
	return l.Close()
}

// planOptions are the options that decide what a run does.
func planOptions(c *cli.Context) map[string]string {
	options := map[string]string{}
	if v := c.String("limit"); v != "" {
		options["limit"] = v
	}
	if c.Bool("lab") {
		options["lab"] = "true"
		if dir := c.String("lab-dir"); dir != "" {
			options["lab-dir"] = dir
		}
	}
	return options
}
