// Package suite runs the tests of features and playbooks: functions test_NAME(t) of *_test.star files,
// on simulated machines that the caller brings.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/builtins"
	"phoenix-run/builtins/test"
	"phoenix-run/config"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
	"phoenix-run/secret"
)

// Status is how a test ended.
type Status string

// Statuses.
const (
	Passed Status = "passed"
	Failed Status = "failed"
)

// Result is what became of one test, or of a file that can't be loaded.
type Result struct {
	File     string       `json:"file"`           // as positions name it
	Test     string       `json:"test,omitempty"` // the function; "" for a file that can't be loaded
	Status   Status       `json:"status"`
	Duration float64      `json:"duration"` // seconds
	Log      []string     `json:"log,omitempty"`
	Error    *event.Error `json:"error,omitempty"`
}

// Options say what is run.
type Options struct {
	Source   load.Source
	Files    []load.Module // as Find gives them
	Match    *regexp.Regexp
	Parallel int // tests at once; 0: one
	Lab      test.Lab
	Each     func(Result) // is told of each result, in the order of the files
}

// Run runs the tests of all files, and gives how many passed and failed. A failed test is no error.
func Run(ctx context.Context, o Options) (passed, failed int, err error) {
	s := &suite{Options: o, slots: make(chan struct{}, max(1, o.Parallel))}
	if s.config, err = testConfig(); err != nil {
		return 0, 0, err
	}
	var all []chan Result
	var work sync.WaitGroup
	for _, file := range o.Files {
		all = append(all, s.file(ctx, file, &work)...)
	}
	for _, one := range all {
		r := <-one
		if r.Status == Passed {
			passed++
		} else {
			failed++
		}
		if o.Each != nil {
			o.Each(r)
		}
	}
	work.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return passed, failed, err
}

type suite struct {
	Options
	config *config.Config
	slots  chan struct{}
}

// file loads a file and begins its tests, in the order in which they stand there.
func (s *suite) file(ctx context.Context, m load.Module, work *sync.WaitGroup) []chan Result {
	redactor := new(secret.Redactor)
	for _, v := range s.config.Literals() {
		redactor.AddValue(v)
	}
	// What is outside of the simulated machines can be read at most.
	session := builtins.New(builtins.Options{Config: s.config, Planning: true})
	names := session.Predeclared()
	names["assert"] = test.Assert.Value()
	run := runner.New(runner.Options{Mode: runner.Apply, Source: s.Source, Builtins: names, Redactor: redactor})
	loaded, err := run.Loader().Module(m)
	if err != nil {
		one := make(chan Result, 1)
		one <- Result{File: m.Name(), Status: Failed, Error: run.Describe(err)}
		return []chan Result{one}
	}
	var results []chan Result
	var tests sync.WaitGroup
	for _, fn := range functions(loaded) {
		if s.Match != nil && !s.Match.MatchString(fn.Name()) {
			continue
		}
		one := make(chan Result, 1)
		results = append(results, one)
		tests.Go(func() {
			s.slots <- struct{}{}
			defer func() { <-s.slots }()
			one <- s.test(ctx, run.Loader(), m, fn, redactor)
		})
	}
	work.Go(func() {
		tests.Wait()
		session.Close() //nolint:errcheck // nothing was connected that could fail to close
	})
	return results
}

// functions are a module's tests, as they stand in the file.
func functions(loaded *load.Loaded) []*starlark.Function {
	var list []*starlark.Function
	for name, v := range loaded.Globals {
		fn, ok := v.(*starlark.Function)
		if ok && strings.HasPrefix(name, "test_") && fn.Position().Filename() == loaded.Module.Name() {
			list = append(list, fn)
		}
	}
	slices.SortFunc(list, func(a, b *starlark.Function) int { return int(a.Position().Line - b.Position().Line) })
	return list
}

// test runs one test in a run of its own.
func (s *suite) test(ctx context.Context, loader *load.Loader, m load.Module, fn *starlark.Function, redactor *secret.Redactor) Result {
	start := time.Now()
	result := Result{File: m.Name(), Test: fn.Name(), Status: Passed}
	run := runner.New(runner.Options{Mode: runner.Apply, Loader: loader, Redactor: redactor, Sink: event.SinkFunc(func(e event.Event) {
		if e.Type == event.Log {
			result.Log = append(result.Log, e.Message)
		}
	})})
	t := test.NewT(s.Lab, s.config)
	var args starlark.Tuple
	if fn.NumParams() > 0 {
		args = starlark.Tuple{t}
	}
	_, err := run.Call(ctx, "", fn, args, nil)
	err = errors.Join(err, t.Close())
	if err != nil {
		result.Status, result.Error = Failed, run.Describe(err)
		if result.Error != nil {
			result.Error.Message = redactor.Redact(result.Error.Message)
		}
	}
	result.Duration = time.Since(start).Seconds()
	return result
}

// testConfig is the configuration that tests see: one machine, with the defaults of everything.
func testConfig() (_ *config.Config, err error) {
	dir, err := os.MkdirTemp("", "phoenix-test-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	text := `{"virtual_machines": [{"vm_id": 1001, "vm_name": "machine"}]}`
	if err := os.WriteFile(filepath.Join(dir, config.VMFile), []byte(text), 0o600); err != nil {
		return nil, err
	}
	cfg, _, err := config.Load(dir, config.Options{Override: func(h *config.Hypervisor) {
		h.PortainerAPI.Password = secret.Literal("the password in tests")
	}})
	if err != nil {
		return nil, fmt.Errorf("the configuration of tests: %w", err)
	}
	return cfg, nil
}
