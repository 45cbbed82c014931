package load

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"phoenix-run/runner/lang"
)

// Loader executes modules. Top-level code can't reach a machine, so loading is quick and one lock
// over it all keeps every module single and every cycle found.
type Loader struct {
	source      Source
	predeclared starlark.StringDict
	newThread   func(name string) *starlark.Thread

	mu      sync.Mutex
	modules map[Module]*Loaded
	names   map[string]*Loaded // by Module.Name
}

// Loaded is an executed and frozen module.
type Loaded struct {
	Module  Module
	Globals starlark.StringDict
	File    *syntax.File
	Text    []byte
	Digest  string // sha256 of the text
	Doc     string
}

// New makes a loader. newThread makes the thread on which a module's top level runs.
func New(source Source, predeclared starlark.StringDict, newThread func(name string) *starlark.Thread) *Loader {
	return &Loader{source: source, predeclared: predeclared, newThread: newThread,
		modules: map[Module]*Loaded{}, names: map[string]*Loaded{}}
}

// Source is where the loader looks.
func (l *Loader) Source() Source { return l.source }

// Load gives the module that name stands for when from loads it, executing it if nobody has before.
func (l *Loader) Load(name string, from Module) (*Loaded, error) {
	m, err := l.source.Resolve(name, from)
	if err != nil {
		return nil, err
	}
	return l.Module(m)
}

// Module gives a resolved module, executing it if nobody has before.
func (l *Loader) Module(m Module) (*Loaded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load(m, nil)
}

// CycleError names a cycle of loads, link by link.
type CycleError struct{ Chain []string }

func (e *CycleError) Error() string {
	return "modules load each other: " + strings.Join(e.Chain, " → ")
}

// load executes m and what it loads; chain holds the modules that wait for it. The lock is held.
func (l *Loader) load(m Module, chain []Module) (*Loaded, error) {
	if done, ok := l.modules[m]; ok {
		return done, nil
	}
	for i, waiting := range chain {
		if waiting == m {
			names := make([]string, 0, len(chain)-i+1)
			for _, c := range append(chain[i:], m) {
				names = append(names, c.Name())
			}
			return nil, &CycleError{names}
		}
	}
	text, err := l.source.Read(m)
	if err != nil {
		return nil, err
	}
	loaded := &Loaded{Module: m, Text: text, Digest: Digest(text)}
	l.names[m.Name()] = loaded // errors show its lines even if it does not compile

	file, program, err := lang.Compile(m.Name(), text, l.predeclared.Has)
	if err != nil {
		return nil, lang.Explain(err, text, l.predeclared.Keys())
	}
	loaded.File, loaded.Doc = file, lang.Doc(file.Stmts)
	chain = append(chain, m)
	thread := l.newThread(m.Name())
	thread.Load = func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
		next, err := l.source.Resolve(name, m)
		if err != nil {
			return nil, err
		}
		dep, err := l.load(next, chain)
		if err != nil {
			return nil, err
		}
		return public(dep.Globals), nil
	}
	loaded.Globals, err = program.Init(thread, l.predeclared)
	loaded.Globals.Freeze()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name(), err)
	}
	l.modules[m] = loaded
	return loaded, nil
}

// public leaves out what a module keeps to itself: names that begin with "_".
func public(globals starlark.StringDict) starlark.StringDict {
	out := maps.Clone(globals)
	maps.DeleteFunc(out, func(name string, _ starlark.Value) bool { return strings.HasPrefix(name, "_") })
	return out
}

// Text gives the source of a module by the name that positions show.
func (l *Loader) Text(name string) ([]byte, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	loaded, ok := l.names[name]
	if !ok {
		return nil, false
	}
	return loaded.Text, true
}

// Digests gives the digest of every module loaded so far, by name.
func (l *Loader) Digests() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]string, len(l.modules))
	for m, loaded := range l.modules {
		out[m.Name()] = loaded.Digest
	}
	return out
}

// IsNotFound reports whether err says that a module does not exist.
func IsNotFound(err error) bool {
	var e *NotFoundError
	return errors.As(err, &e)
}
