package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

func (sh *Shell) stmts(list []*syntax.Stmt) {
	for _, s := range list {
		sh.stmt(s)
		if sh.flow != onward {
			return
		}
	}
}

// stop tells whether the shell is to do nothing more.
func (sh *Shell) stop() bool {
	if sh.ctx.Err() != nil {
		sh.status, sh.flow = proc.StatusOf(sh.ctx), exiting
	}
	return sh.flow != onward
}

func (sh *Shell) stmt(s *syntax.Stmt) {
	sh.runPending()
	if sh.stop() {
		return
	}
	sh.line = s.Pos().Line()
	if s.Background {
		plain := *s
		plain.Background = false
		wait, child := sh.fork(func(c *proc.Proc) {
			if null, err := c.FS.Open("/dev/null", 0, 0); err == nil {
				c.Set(0, proc.FileDesc(null))
			}
		}, func(sub *Shell) { sub.stmt(&plain) })
		sh.jobs[child.PID], sh.last, sh.status = wait, child.PID, 0
		return
	}
	undo, ok := sh.redirect(s.Redirs)
	if s.Negated {
		sh.quiet++
	}
	if ok && s.Cmd != nil {
		sh.cmd(s.Cmd, undo)
	} else if ok && sh.flow == onward {
		sh.status = 0
	}
	if s.Negated {
		sh.quiet--
	}
	undo.run()
	if s.Negated && sh.flow != exiting {
		sh.status = map[bool]int{true: 1, false: 0}[sh.status == 0]
		return
	}
	if sh.opts['e'] && sh.status != 0 && sh.quiet == 0 && sh.flow == onward && !isList(s.Cmd) {
		sh.flow = exiting
	}
}

// isList tells whether a command is one of && and ||, whose own parts have been looked at.
func isList(c syntax.Command) bool {
	b, ok := c.(*syntax.BinaryCmd)
	return ok && (b.Op == syntax.AndStmt || b.Op == syntax.OrStmt)
}

func (sh *Shell) cmd(c syntax.Command, undo *undo) {
	switch c := c.(type) {
	case *syntax.CallExpr:
		sh.call(c, undo)
	case *syntax.Block:
		sh.stmts(c.Stmts)
	case *syntax.Subshell:
		wait, child := sh.fork(nil, func(sub *Shell) { sub.stmts(c.Stmts) })
		sh.ended(wait(sh.ctx), child)
	case *syntax.BinaryCmd:
		sh.binary(c)
	case *syntax.IfClause:
		sh.ifClause(c)
	case *syntax.WhileClause:
		sh.while(c)
	case *syntax.ForClause:
		sh.forLoop(c)
	case *syntax.CaseClause:
		sh.caseClause(c)
	case *syntax.FuncDecl:
		sh.funcs[c.Name.Value] = c.Body
		sh.status = 0
	case *syntax.DeclClause:
		sh.declare(c)
	case *syntax.ArithmCmd:
		n, err := expand.Arithm(sh.config(), c.X)
		if !sh.failed(err) {
			sh.status = map[bool]int{true: 0, false: 1}[n != 0]
		}
	case *syntax.TestClause:
		sh.bashTest(c)
	case *syntax.TimeClause:
		if c.Stmt != nil {
			sh.stmt(c.Stmt)
		}
	default:
		sh.errorf("Syntax error: this shell has no %T", c)
		sh.status, sh.flow = 2, exiting
	}
}

func (sh *Shell) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		sh.quiet++
		sh.stmt(c.X)
		sh.quiet--
		if sh.flow == onward && (sh.status == 0) == (c.Op == syntax.AndStmt) {
			sh.stmt(c.Y)
		}
	default:
		sh.pipeline(stages(c, nil))
	}
}

// stage is one command of a pipeline.
type stage struct {
	stmt *syntax.Stmt
	all  bool // its errors go into the pipe too
}

func stages(c *syntax.BinaryCmd, list []stage) []stage {
	add := func(s *syntax.Stmt) {
		if b, ok := s.Cmd.(*syntax.BinaryCmd); ok && (b.Op == syntax.Pipe || b.Op == syntax.PipeAll) && !s.Negated && len(s.Redirs) == 0 {
			list = stages(b, list)
			return
		}
		list = append(list, stage{stmt: s})
	}
	add(c.X)
	list[len(list)-1].all = c.Op == syntax.PipeAll
	add(c.Y)
	return list
}

func (sh *Shell) pipeline(list []stage) {
	var in *vfs.PipeEnd
	waits := make([]func() int, 0, len(list))
	for i, st := range list {
		var out, next *vfs.PipeEnd
		if i < len(list)-1 {
			next, out = vfs.NewPipe()
		}
		wait, _ := sh.fork(func(c *proc.Proc) {
			if in != nil {
				c.Set(0, proc.NewDesc(in, nil, in))
			}
			if out != nil {
				d := proc.NewDesc(nil, out, out)
				if st.all {
					c.Set(2, d.Dup())
				}
				c.Set(1, d)
			}
		}, func(sub *Shell) { sub.stmt(st.stmt) })
		waits = append(waits, func() int { return wait(sh.ctx) })
		in = next
	}
	status := 0
	for _, wait := range waits {
		code := wait()
		if code != 0 || !sh.pipe {
			status = code
		}
	}
	sh.status = status
}

func (sh *Shell) ifClause(c *syntax.IfClause) {
	for c != nil {
		if c.ThenPos.IsValid() {
			sh.quiet++
			sh.stmts(c.Cond)
			sh.quiet--
			if sh.flow != onward {
				return
			}
			if sh.status == 0 {
				sh.stmts(c.Then)
				return
			}
			sh.status = 0
			c = c.Else
			continue
		}
		sh.stmts(c.Then)
		return
	}
}

func (sh *Shell) while(c *syntax.WhileClause) {
	sh.loops++
	defer func() { sh.loops-- }()
	status := 0
	for !sh.stop() {
		sh.quiet++
		sh.stmts(c.Cond)
		sh.quiet--
		if sh.flow != onward {
			if sh.leave() {
				break
			}
			continue
		}
		if (sh.status == 0) == c.Until {
			break
		}
		sh.stmts(c.Do)
		status = sh.status
		if sh.flow != onward && sh.leave() {
			break
		}
	}
	if sh.flow == onward {
		sh.status = status
	}
}

// leave works out what break, continue and the like mean for this loop: whether it ends.
func (sh *Shell) leave() bool {
	switch sh.flow {
	case breaking:
		if sh.levels--; sh.levels == 0 {
			sh.flow = onward
		}
		return true
	case continuing:
		if sh.levels--; sh.levels > 0 {
			return true
		}
		sh.flow = onward
		return false
	}
	return true
}

func (sh *Shell) forLoop(c *syntax.ForClause) {
	var items []string
	var name string
	switch loop := c.Loop.(type) {
	case *syntax.WordIter:
		name, items = loop.Name.Value, sh.params
		if loop.InPos.IsValid() {
			var ok bool
			if items, ok = sh.fields(loop.Items); !ok {
				return
			}
		}
	case *syntax.CStyleLoop:
		sh.cLoop(loop, c.Do)
		return
	}
	sh.loops++
	defer func() { sh.loops-- }()
	sh.status = 0
	for _, item := range items {
		if sh.stop() {
			return
		}
		sh.assign(name, item)
		sh.stmts(c.Do)
		if sh.flow != onward && sh.leave() {
			return
		}
	}
}

// cLoop is bash's for ((…)).
func (sh *Shell) cLoop(loop *syntax.CStyleLoop, do []*syntax.Stmt) {
	value := func(x syntax.ArithmExpr) int {
		if x == nil {
			return 1
		}
		n, err := expand.Arithm(sh.config(), x)
		sh.failed(err)
		return n
	}
	sh.loops++
	defer func() { sh.loops-- }()
	for value(loop.Init); !sh.stop() && value(loop.Cond) != 0; value(loop.Post) {
		sh.stmts(do)
		if sh.flow != onward && sh.leave() {
			return
		}
	}
}

func (sh *Shell) caseClause(c *syntax.CaseClause) {
	word, ok := sh.literal(c.Word)
	if !ok {
		return
	}
	sh.status = 0
	through := false
	for _, item := range c.Items {
		hit := through
		for _, p := range item.Patterns {
			if hit {
				break
			}
			pattern, err := expand.Pattern(sh.config(), p)
			if sh.failed(err) {
				return
			}
			hit = Match(pattern, word)
		}
		if hit {
			sh.stmts(item.Stmts)
			if item.Op != syntax.Fallthrough {
				return
			}
			through = true
		}
	}
}

// call runs a simple command.
func (sh *Shell) call(c *syntax.CallExpr, undo *undo) {
	sh.subst = 0
	args, ok := sh.arguments(c.Args)
	if !ok {
		return
	}
	type value struct {
		name string
		v    expand.Variable
	}
	var values []value
	for _, a := range c.Assigns {
		v, ok := sh.value(a)
		if !ok {
			return
		}
		values = append(values, value{a.Name.Value, v})
		if len(args) == 0 && !sh.set(a.Name.Value, v) {
			return
		}
	}
	sh.trace(args, undo)
	if len(args) == 0 {
		sh.status = sh.subst
		return
	}
	if sh.stop() {
		return
	}
	// Assignments before a command are for it alone.
	before := map[string]expand.Variable{}
	for _, a := range values {
		if _, kept := before[a.name]; !kept {
			before[a.name] = sh.vars[a.name]
		}
		a.v.Exported = true
		if !sh.set(a.name, a.v) {
			return
		}
	}
	sh.command(args, undo)
	for name, v := range before {
		if v.Declared() {
			sh.vars[name] = v
		} else {
			delete(sh.vars, name)
		}
	}
}

// arguments expands a command's words. Those of export and its like are not split after name=.
func (sh *Shell) arguments(words []*syntax.Word) ([]string, bool) {
	if len(words) > 1 && slices.Contains([]string{"export", "readonly", "local"}, words[0].Lit()) {
		args := []string{words[0].Lit()}
		for _, w := range words[1:] {
			if lit, ok := w.Parts[0].(*syntax.Lit); ok && strings.Contains(lit.Value, "=") {
				one, ok := sh.literal(w)
				if !ok {
					return nil, false
				}
				args = append(args, one)
				continue
			}
			more, ok := sh.fields([]*syntax.Word{w})
			if !ok {
				return nil, false
			}
			args = append(args, more...)
		}
		return args, true
	}
	return sh.fields(words)
}

// value expands what an assignment gives to its variable.
func (sh *Shell) value(a *syntax.Assign) (expand.Variable, bool) {
	old := sh.vars[a.Name.Value]
	v := old
	v.Set, v.Kind = true, expand.String
	if a.Array != nil {
		var words []*syntax.Word
		for _, e := range a.Array.Elems {
			words = append(words, e.Value)
		}
		list, ok := sh.fields(words)
		v.Kind, v.List = expand.Indexed, list
		if a.Append {
			v.List = append(slices.Clone(old.List), list...)
		}
		return v, ok
	}
	text := ""
	if a.Value != nil {
		var ok bool
		if text, ok = sh.literal(a.Value); !ok {
			return v, false
		}
	}
	if a.Append {
		text = old.Str + text
	}
	v.Str, v.List = text, nil
	return v, true
}

func (sh *Shell) set(name string, v expand.Variable) bool {
	if sh.vars[name].ReadOnly {
		sh.errorf("%s: is read only", name)
		sh.status, sh.flow = 2, exiting
		return false
	}
	if sh.opts['a'] {
		v.Exported = true
	}
	sh.vars[name] = v
	return true
}

// command runs a function, a builtin or a program.
func (sh *Shell) command(args []string, undo *undo) {
	if body := sh.funcs[args[0]]; body != nil {
		sh.function(body, args[1:])
		return
	}
	sh.plain(args, undo)
}

// plain is command without functions.
func (sh *Shell) plain(args []string, undo *undo) {
	if run := sh.builtinNamed(args[0]); run != nil {
		sh.status = run(sh, args, undo)
		return
	}
	if prog := sh.builtin[args[0]]; prog != nil {
		kept := sh.p.Args
		sh.p.Args, sh.p.Prefix = args, sh.where()
		sh.status = prog(sh.ctx, sh.p)
		sh.p.Args, sh.p.Prefix = kept, ""
		return
	}
	sh.program(args)
}

func (sh *Shell) function(body *syntax.Stmt, params []string) {
	if len(sh.scopes) > 500 {
		sh.errorf("Maximum function recursion depth (500) reached")
		sh.status, sh.flow = 2, exiting
		return
	}
	kept, loops := sh.params, sh.loops
	sh.params, sh.loops = params, 0
	sh.calls++
	sh.scopes = append(sh.scopes, map[string]expand.Variable{})
	sh.stmt(body)
	scope := sh.scopes[len(sh.scopes)-1]
	sh.scopes = sh.scopes[:len(sh.scopes)-1]
	for name, v := range scope {
		if v.Declared() {
			sh.vars[name] = v
		} else {
			delete(sh.vars, name)
		}
	}
	sh.calls--
	sh.params, sh.loops = kept, loops
	if sh.flow == returning {
		sh.flow = onward
	}
}

// program runs a file of the guest.
func (sh *Shell) program(args []string) {
	child := sh.p.Child(args...)
	child.Env = sh.export()
	for sig, action := range sh.traps {
		if action == "" && sig != 0 {
			child.Ignored = withSignal(child.Ignored, sig)
		}
	}
	status, err := sh.p.Spawn(sh.ctx, child)
	if err != nil {
		sh.status = sh.cantRun(args[0], err)
		return
	}
	sh.ended(status, child)
}

// ended takes a child's status; of a death by signal dash tells.
func (sh *Shell) ended(status int, child *proc.Proc) {
	sh.status = status
	if sh.ctx.Err() != nil {
		return // the child goes on without this shell
	}
	text := map[proc.Signal]string{proc.SIGHUP: "Hangup", proc.SIGKILL: "Killed", proc.SIGTERM: "Terminated"}[child.Died]
	if text != "" && !sh.bash {
		fmt.Fprintln(sh.p.Stderr, text) //nolint:errcheck // nobody left to tell
	}
}

func withSignal(set map[proc.Signal]bool, sig proc.Signal) map[proc.Signal]bool {
	out := map[proc.Signal]bool{sig: true}
	for s := range set {
		out[s] = true
	}
	return out
}

// cantRun says why a command does not run.
func (sh *Shell) cantRun(name string, err error) int {
	switch {
	case errors.Is(err, proc.ErrNotFound):
		if sh.bash {
			sh.errorf("%s: command not found", name)
		} else {
			sh.errorf("%s: not found", name)
		}
		return 127
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if sh.bash {
			sh.errorf("%s: %s", name, proc.Text(err))
		} else {
			sh.errorf("%s: not found", name)
		}
		return 127
	}
	sh.errorf("%s: %s", name, proc.Text(err))
	return 126
}

// trace writes what set -x shows, to where errors went before the command's own redirections.
func (sh *Shell) trace(args []string, undo *undo) {
	if !sh.opts['x'] || len(args) == 0 {
		return
	}
	prefix := "+ "
	if ps4 := sh.vars["PS4"]; ps4.Set {
		prefix = ps4.Str
	}
	out := sh.p.Stderr
	if before := undo.was[2]; before != nil && before.W != nil {
		out = before.W
	}
	if _, err := out.Write([]byte(prefix + strings.Join(args, " ") + "\n")); err != nil {
		sh.opts['x'] = false
	}
}
