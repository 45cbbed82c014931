// Package shell is a guest's /bin/sh and /bin/bash: it runs what mvdan.cc/sh's parser reads, on the
// guest's own files and processes and nothing else. Its texts are dash's, or bash's under that name.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"phoenix-run/lab/guest/proc"
)

// flow is why the statements that follow are not run.
type flow int

const (
	onward flow = iota
	breaking
	continuing
	returning
	exiting
)

// Shell is one shell process.
type Shell struct {
	ctx     context.Context
	p       *proc.Proc
	name    string // $0
	pid     int    // $$, which subshells keep
	bash    bool
	params  []string
	vars    map[string]expand.Variable
	funcs   map[string]*syntax.Stmt
	scopes  []map[string]expand.Variable // what the variables were before functions made them local
	opts    map[byte]bool
	pipe    bool // pipefail
	status  int
	subst   int // status of the last command substitution
	line    uint
	flow    flow
	levels  int // loops still to be left
	loops   int
	calls   int // functions and sourced files around
	quiet   int // >0: a failure here is no reason for errexit to end the shell
	optPos  int // getopts: position in a word with several options
	jobs    map[int]func(context.Context) int
	last    int // $!
	builtin map[string]proc.Program

	mu      sync.Mutex
	traps   map[proc.Signal]string // 0 is EXIT
	pending []proc.Signal
	wake    context.CancelFunc // ends a wait that a caught signal interrupts
	inTrap  bool
}

// New makes a shell program. builtin are commands that it runs itself instead of a file.
func New(builtin map[string]proc.Program) proc.Program {
	return func(ctx context.Context, p *proc.Proc) int {
		sh := &Shell{
			ctx: ctx, p: p, name: p.Args[0], pid: p.PID, bash: strings.TrimPrefix(path.Base(p.Args[0]), "-") == "bash",
			vars: map[string]expand.Variable{}, funcs: map[string]*syntax.Stmt{}, opts: map[byte]bool{},
			jobs: map[int]func(context.Context) int{}, traps: map[proc.Signal]string{}, builtin: builtin,
		}
		for name, value := range p.Env {
			if syntax.ValidName(name) {
				sh.vars[name] = expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: value}
			}
		}
		sh.assign("IFS", " \t\n")
		sh.assign("OPTIND", "1")
		sh.assign("PPID", fmt.Sprint(p.PPID))
		if sh.vars["PWD"].Str != p.Dir {
			sh.assign("PWD", p.Dir)
		}
		return sh.main()
	}
}

// main reads the command line and runs what it says.
func (sh *Shell) main() int {
	args := sh.p.Args[1:]
	command, fromStdin := false, false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		if strings.HasPrefix(arg, "--") {
			continue // --norc, --noprofile, --login, --posix
		}
		for i := 1; i < len(arg); i++ {
			switch c := arg[i]; c {
			case 'c':
				command = true
			case 's':
				fromStdin = true
			case 'o':
				if len(args) == 0 || !sh.option(args[0], arg[0] == '-') {
					sh.errorf("Illegal option -o %s", strings.Join(args, " "))
					return 2
				}
				args = args[1:]
			case 'l', 'i', 'p', 'm':
			default:
				if !strings.ContainsRune(shortOptions, rune(c)) {
					fmt.Fprintf(sh.p.Stderr, "%s: 0: Illegal option -%c\n", sh.name, c) //nolint:errcheck // last words
					return 2
				}
				sh.opts[c] = arg[0] == '-'
			}
		}
	}
	switch {
	case command:
		if len(args) == 0 {
			fmt.Fprintf(sh.p.Stderr, "%s: 0: -c requires an argument\n", sh.name) //nolint:errcheck // last words
			return 2
		}
		if len(args) > 1 {
			sh.name, sh.params = args[1], args[2:]
		}
		sh.run(strings.NewReader(args[0]))
	case !fromStdin && len(args) > 0:
		sh.name, sh.params = args[0], args[1:]
		text, err := sh.p.FS.ReadFile(sh.p.Path(args[0]))
		if err != nil {
			if sh.bash {
				fmt.Fprintf(sh.p.Stderr, "bash: %s: %s\n", args[0], proc.Text(err)) //nolint:errcheck // last words
				return 127
			}
			fmt.Fprintf(sh.p.Stderr, "%s: 0: cannot open %s: %s\n", sh.p.Args[0], args[0], dashText(err)) //nolint:errcheck // last words
			return 2
		}
		sh.run(strings.NewReader(string(text)))
	default:
		sh.params = args
		sh.commands(&bytewise{sh})
	}
	return sh.end()
}

// end runs what is to be run at the shell's exit.
func (sh *Shell) end() int {
	sh.runPending()
	if action := sh.traps[0]; action != "" && sh.ctx.Err() == nil {
		delete(sh.traps, 0)
		status := sh.status
		sh.flow = onward
		sh.run(strings.NewReader(action))
		if sh.flow != exiting {
			sh.status = status
		}
	}
	return sh.status & 0xff
}

// bytewise reads the shell's standard input no further than the parser needs: what follows a command
// belongs to the command.
type bytewise struct{ sh *Shell }

func (b *bytewise) Read(p []byte) (int, error) {
	n, err := b.sh.p.Stdin.Read(p[:1])
	if err != nil && !errors.Is(err, io.EOF) {
		return n, io.EOF // a shell that can't read is at its end
	}
	return n, err
}

// lang is the dialect that the parser takes.
func (sh *Shell) lang() syntax.LangVariant {
	if sh.bash {
		return syntax.LangBash
	}
	return syntax.LangPOSIX
}

// run runs a script, line after line.
func (sh *Shell) run(r io.Reader) { sh.each(r, false) }

// commands runs what a session types, line after line, each of them a command for the audit.
func (sh *Shell) commands(r io.Reader) { sh.each(r, true) }

func (sh *Shell) each(r io.Reader, audited bool) {
	parser := syntax.NewParser(syntax.Variant(sh.lang()))
	open := false
	// The parser hands a line over at its end, so that the last one must have one too.
	for stmts, err := range parser.InteractiveSeq(io.MultiReader(r, strings.NewReader("\n"))) {
		if err != nil {
			sh.syntaxError(err)
			return
		}
		if open = parser.Incomplete(); open {
			continue
		}
		if audited && len(stmts) > 0 {
			sh.audit(print(stmts), func() { sh.stmts(stmts) })
		} else {
			sh.stmts(stmts)
		}
		if sh.flow != onward {
			return
		}
	}
	if open {
		sh.errorf("%s: end of file unexpected", map[bool]string{true: "syntax error", false: "Syntax error"}[sh.bash])
		sh.status, sh.flow = 2, exiting
	}
}

// audit runs one command of a session and has it written down.
func (sh *Shell) audit(text string, run func()) {
	told := sh.p.Audit
	if told == nil {
		run()
		return
	}
	outer := sh.p.FS.Trace
	end := told(sh.p, text)
	sh.p.Audit = nil
	run()
	sh.p.Audit = told
	end(sh.status)
	sh.p.FS.Trace = outer
}

func print(stmts []*syntax.Stmt) string {
	var b strings.Builder
	printer := syntax.NewPrinter()
	for i, stmt := range stmts {
		if i > 0 {
			b.WriteString("; ")
		}
		if err := printer.Print(&b, stmt); err != nil {
			return err.Error()
		}
	}
	return b.String()
}

func (sh *Shell) syntaxError(err error) {
	var parse syntax.ParseError
	var lang syntax.LangError
	switch {
	case errors.As(err, &parse):
		sh.line = parse.Pos.Line()
		text := parse.Text
		if parse.Incomplete {
			text = "end of file unexpected (" + text + ")"
		}
		sh.errorf("%s: %s", map[bool]string{true: "syntax error", false: "Syntax error"}[sh.bash], text)
	case errors.As(err, &lang):
		sh.line = lang.Pos.Line()
		text := lang.Feature
		if text == "herestrings" {
			text = "redirection unexpected" // dash's words
		}
		sh.errorf("Syntax error: %s", text)
	default:
		sh.errorf("Syntax error: %v", err)
	}
	sh.status, sh.flow = 2, exiting
}

// where is how the shell's messages begin.
func (sh *Shell) where() string {
	if sh.bash {
		return fmt.Sprintf("%s: line %d: ", sh.name, max(sh.line, 1))
	}
	return fmt.Sprintf("%s: %d: ", sh.name, max(sh.line, 1))
}

// errorf writes a message as the shell's own.
func (sh *Shell) errorf(format string, args ...any) {
	fmt.Fprintf(sh.p.Stderr, "%s%s\n", sh.where(), fmt.Sprintf(format, args...)) //nolint:errcheck // nobody left to tell
}

// fork runs body in a copy of the shell, a process of its own.
func (sh *Shell) fork(setup func(*proc.Proc), body func(*Shell)) (wait func(context.Context) int, child *proc.Proc) {
	child = sh.p.Child(sh.p.Args...)
	if setup != nil {
		setup(child)
	}
	sub := &Shell{
		p: child, name: sh.name, pid: sh.pid, bash: sh.bash, params: sh.params,
		vars: maps.Clone(sh.vars), funcs: maps.Clone(sh.funcs), opts: maps.Clone(sh.opts), pipe: sh.pipe,
		status: sh.status, line: sh.line, loops: sh.loops, calls: sh.calls, quiet: sh.quiet, last: sh.last,
		jobs: map[int]func(context.Context) int{}, traps: map[proc.Signal]string{}, builtin: sh.builtin,
	}
	// A subshell's own changes to local variables end with it.
	sub.scopes = make([]map[string]expand.Variable, len(sh.scopes))
	for i := range sub.scopes {
		sub.scopes[i] = map[string]expand.Variable{}
	}
	for sig, action := range sh.traps {
		if action == "" {
			sub.traps[sig] = ""
		}
	}
	wait = child.Go(func(ctx context.Context, _ *proc.Proc) int {
		sub.ctx = ctx
		body(sub)
		return sub.end()
	})
	return wait, child
}

// dashText is an error as dash puts it when it can't open a file.
func dashText(err error) string {
	switch text := proc.Text(err); text {
	case "No such file or directory":
		return "No such file"
	default:
		return text
	}
}
