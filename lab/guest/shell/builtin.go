package shell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"phoenix-run/lab/guest/proc"
)

// shortOptions are the single letters of set.
const shortOptions = "aCefhnuvx"

var longOptions = map[string]byte{
	"allexport": 'a', "errexit": 'e', "noclobber": 'C', "noexec": 'n', "noglob": 'f', "nounset": 'u',
	"verbose": 'v', "xtrace": 'x',
}

// option sets one of set -o's options, if there is such a one.
func (sh *Shell) option(name string, on bool) bool {
	if name == "pipefail" && sh.bash {
		sh.pipe = on
		return true
	}
	c, found := longOptions[name]
	if found {
		sh.opts[c] = on
	}
	return found
}

type builtin func(sh *Shell, args []string, u *undo) int

// builtinNamed finds a command that works on the shell itself.
func (sh *Shell) builtinNamed(name string) builtin {
	if b := builtins[name]; b != nil {
		return b
	}
	if sh.bash {
		return bashBuiltins[name]
	}
	return nil
}

var builtins, bashBuiltins map[string]builtin

// The tables are filled here because eval and its like look commands up in them.
func init() {
	ok := func(*Shell, []string, *undo) int { return 0 }
	builtins = map[string]builtin{
		":": ok, "true": ok, "hash": ok, "jobs": ok, "times": ok, "alias": ok, "unalias": ok, "fg": ok, "bg": ok,
		"false":    func(*Shell, []string, *undo) int { return 1 },
		"break":    loopControl,
		"continue": loopControl,
		"return":   exit,
		"exit":     exit,
		"eval":     eval,
		"exec":     exec,
		"export":   export,
		"readonly": export,
		"local":    local,
		"set":      set,
		"shift":    shift,
		"unset":    unset,
		"trap":     trap,
		"cd":       cd,
		"pwd":      pwd,
		"read":     read,
		"umask":    umask,
		"wait":     wait,
		"command":  command,
		"type":     typeOf,
		"getopts":  getopts,
		"ulimit":   ulimit,
		".":        dot,
	}
	bashBuiltins = map[string]builtin{"source": dot, "shopt": ok}
}

func ulimit(sh *Shell, args []string, _ *undo) int {
	if slices.Contains(args, "-n") {
		sh.p.Printf("1024\n")
	} else if len(args) < 3 {
		sh.p.Printf("unlimited\n")
	}
	return 0
}

func loopControl(sh *Shell, args []string, _ *undo) int {
	n := 1
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil || n < 1 {
			sh.errorf("%s: Illegal number: %s", args[0], args[1])
			sh.flow = exiting
			return 2
		}
	}
	if sh.loops == 0 {
		return 0
	}
	sh.levels = min(n, sh.loops)
	sh.flow = map[bool]flow{true: breaking, false: continuing}[args[0] == "break"]
	return 0
}

func exit(sh *Shell, args []string, _ *undo) int {
	status := sh.status
	if len(args) > 1 {
		var err error
		if status, err = strconv.Atoi(args[1]); err != nil {
			sh.errorf("%s: Illegal number: %s", args[0], args[1])
			sh.flow = exiting
			return 2
		}
	}
	sh.flow = exiting
	if args[0] == "return" && sh.calls > 0 {
		sh.flow = returning
	}
	return status & 0xff
}

func eval(sh *Shell, args []string, _ *undo) int {
	text := strings.Join(args[1:], " ")
	sh.status = 0
	line := sh.line
	sh.audit(text, func() { sh.run(strings.NewReader(text)) })
	sh.line = line
	return sh.status
}

func exec(sh *Shell, args []string, u *undo) int {
	if len(args) == 1 {
		u.keep = true
		return 0
	}
	args = args[1:]
	if args[0] == "--" {
		args = args[1:]
	}
	p := sh.p
	sh.flow = exiting
	env := p.Env
	p.Env = sh.export()
	file, err := p.LookPath(args[0])
	if err == nil {
		prog, before, loadErr := p.System.Load(p, file)
		if err = loadErr; err == nil {
			p.Args = args
			if before != nil {
				p.Args = slices.Concat(before, []string{file}, args[1:])
			}
			clear(sh.traps)
			return prog(sh.ctx, p)
		}
	}
	p.Env = env
	return sh.cantRun(map[bool]string{true: "", false: "exec: "}[sh.bash]+args[0], err)
}

func export(sh *Shell, args []string, _ *undo) int {
	if len(args) == 1 || args[1] == "-p" {
		for _, name := range slices.Sorted(maps.Keys(sh.vars)) {
			v := sh.vars[name]
			if args[0] == "export" && v.Exported || args[0] == "readonly" && v.ReadOnly {
				sh.p.Printf("%s %s='%s'\n", args[0], name, strings.ReplaceAll(v.Str, "'", `'"'"'`))
			}
		}
		return 0
	}
	for _, arg := range args[1:] {
		if arg == "-n" {
			continue
		}
		name, value, given := strings.Cut(arg, "=")
		if !syntax.ValidName(name) {
			sh.errorf("%s: %s: bad variable name", args[0], arg)
			sh.flow = exiting
			return 2
		}
		v := sh.vars[name]
		if given {
			v.Set, v.Kind, v.Str = true, expand.String, value
		}
		if args[0] == "export" {
			v.Exported = args[1] != "-n"
		}
		if !sh.set(name, v) {
			return sh.status
		}
		if args[0] == "readonly" {
			v.ReadOnly = true
			sh.vars[name] = v
		}
	}
	return 0
}

func local(sh *Shell, args []string, _ *undo) int {
	if len(sh.scopes) == 0 {
		sh.errorf("local: not in a function")
		sh.flow = exiting
		return 2
	}
	scope := sh.scopes[len(sh.scopes)-1]
	for _, arg := range args[1:] {
		name, value, given := strings.Cut(arg, "=")
		if strings.HasPrefix(name, "-") {
			continue
		}
		if _, known := scope[name]; !known {
			scope[name] = sh.vars[name]
		}
		if given {
			sh.assign(name, value)
		} else if sh.bash {
			delete(sh.vars, name)
		}
	}
	return 0
}

// declare is export, readonly, local and bash's declare where the parser takes them for keywords.
func (sh *Shell) declare(c *syntax.DeclClause) {
	args := []string{c.Variant.Value}
	if args[0] == "declare" || args[0] == "typeset" {
		args[0] = "local"
	}
	sh.subst = 0
	for _, a := range c.Args {
		if a.Name == nil || a.Naked {
			word := a.Value
			if word == nil {
				args = append(args, a.Name.Value)
				continue
			}
			more, ok := sh.fields([]*syntax.Word{word})
			if !ok {
				return
			}
			args = append(args, more...)
			continue
		}
		v, ok := sh.value(a)
		if !ok {
			return
		}
		if v.Kind == expand.Indexed {
			if args[0] == "local" && len(sh.scopes) > 0 {
				local(sh, []string{"local", a.Name.Value}, nil)
			}
			sh.set(a.Name.Value, v)
			continue
		}
		args = append(args, a.Name.Value+"="+v.Str)
	}
	if args[0] == "local" && len(sh.scopes) == 0 && c.Variant.Value != "local" {
		for _, arg := range args[1:] {
			if name, value, given := strings.Cut(arg, "="); given {
				sh.assign(name, value)
			}
		}
		sh.status = 0
		return
	}
	sh.status = builtins[args[0]](sh, args, nil)
}

func set(sh *Shell, args []string, _ *undo) int {
	args = args[1:]
	if len(args) == 0 {
		for _, name := range slices.Sorted(maps.Keys(sh.vars)) {
			sh.p.Printf("%s='%s'\n", name, strings.ReplaceAll(sh.vars[name].Str, "'", `'"'"'`))
		}
		return 0
	}
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" || arg == "-" {
			sh.params = slices.Clone(args[1:])
			return 0
		}
		if len(arg) < 2 || arg[0] != '-' && arg[0] != '+' {
			break
		}
		args = args[1:]
		for _, c := range arg[1:] {
			switch {
			case c == 'o' && len(args) == 0:
				return 0
			case c == 'o':
				if !sh.option(args[0], arg[0] == '-') {
					sh.errorf("set: Illegal option %co %s", arg[0], args[0])
					sh.flow = exiting
					return 2
				}
				args = args[1:]
			case strings.ContainsRune(shortOptions, c):
				sh.opts[byte(c)] = arg[0] == '-'
			default:
				sh.errorf("set: Illegal option %c%c", arg[0], c)
				sh.flow = exiting
				return 2
			}
		}
	}
	if len(args) > 0 {
		sh.params = slices.Clone(args)
	}
	return 0
}

func shift(sh *Shell, args []string, _ *undo) int {
	n := 1
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil || n < 0 {
			sh.errorf("shift: Illegal number: %s", args[1])
			sh.flow = exiting
			return 2
		}
	}
	if n > len(sh.params) {
		if sh.bash {
			return 1
		}
		sh.errorf("shift: can't shift that many")
		sh.flow = exiting
		return 2
	}
	sh.params = sh.params[n:]
	return 0
}

func unset(sh *Shell, args []string, _ *undo) int {
	functions := false
	for _, arg := range args[1:] {
		switch {
		case arg == "-f":
			functions = true
		case arg == "-v":
		case functions:
			delete(sh.funcs, arg)
		case sh.vars[arg].ReadOnly:
			sh.errorf("unset: %s: is read only", arg)
			sh.flow = exiting
			return 2
		default:
			delete(sh.vars, arg)
		}
	}
	return 0
}

func cd(sh *Shell, args []string, _ *undo) int {
	args = args[1:]
	for len(args) > 0 && (args[0] == "-L" || args[0] == "-P" || args[0] == "--") {
		args = args[1:]
	}
	to := sh.vars["HOME"].Str
	if len(args) > 0 {
		to = args[0]
	}
	if to == "-" {
		to = sh.vars["OLDPWD"].Str
		sh.p.Printf("%s\n", to)
	}
	dir := path.Clean(sh.p.Path(to))
	st, err := sh.p.FS.Stat(dir)
	if err == nil && !st.IsDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = sh.p.FS.Access(dir, 1)
	}
	if err != nil || to == "" {
		if sh.bash {
			sh.errorf("cd: %s: %s", to, proc.Text(err))
			return 1
		}
		sh.errorf("cd: can't cd to %s", to)
		return 2
	}
	sh.assign("OLDPWD", sh.vars["PWD"].Str)
	sh.assign("PWD", dir)
	sh.p.Dir = dir
	return 0
}

func pwd(sh *Shell, args []string, _ *undo) int {
	dir := sh.p.Dir
	if slices.Contains(args, "-P") {
		real, err := sh.p.FS.RealPath(dir, false)
		if err != nil {
			sh.errorf("pwd: %s", proc.Text(err))
			return 1
		}
		dir = real
	}
	sh.p.Printf("%s\n", dir)
	return 0
}

func umask(sh *Shell, args []string, _ *undo) int {
	args = slices.DeleteFunc(slices.Clone(args[1:]), func(a string) bool { return a == "-S" })
	if len(args) == 0 {
		sh.p.Printf("%04o\n", sh.p.FS.Umask)
		return 0
	}
	n, err := strconv.ParseUint(args[0], 8, 12)
	if err != nil {
		sh.errorf("umask: Illegal mode: %s", args[0])
		sh.flow = exiting
		return 2
	}
	sh.p.FS.Umask = uint32(n) & 0o777
	return 0
}

func wait(sh *Shell, args []string, _ *undo) int {
	ctx, done := sh.interruptible()
	defer done()
	if len(args) == 1 {
		for pid, end := range sh.jobs {
			end(ctx)
			if ctx.Err() != nil {
				return 128 + int(proc.SIGTERM)
			}
			delete(sh.jobs, pid)
		}
		return 0
	}
	status := 0
	for _, arg := range args[1:] {
		pid, err := strconv.Atoi(strings.TrimPrefix(arg, "%"))
		end := sh.jobs[pid]
		if err != nil || end == nil {
			status = 127
			continue
		}
		status = end(ctx)
		if ctx.Err() == nil {
			delete(sh.jobs, pid)
		}
	}
	return status
}

func command(sh *Shell, args []string, u *undo) int {
	args = args[1:]
	verbose := false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		verbose = verbose || strings.ContainsAny(args[0], "vV")
		args = args[1:]
	}
	if len(args) == 0 {
		return 0
	}
	if !verbose {
		sh.plain(args, u)
		return sh.status
	}
	status := 0
	if !sh.bash {
		args = args[:1]
	}
	for _, name := range args {
		what, _ := sh.describe(name)
		if what == "" {
			status = 127
			if sh.bash {
				status = 1
			}
			continue
		}
		sh.p.Printf("%s\n", what)
	}
	return status
}

// describe says what a name runs: a path, or the name itself for what the shell has.
func (sh *Shell) describe(name string) (what, kind string) {
	switch {
	case sh.funcs[name] != nil:
		return name, "a shell function"
	case sh.builtinNamed(name) != nil, sh.builtin[name] != nil:
		return name, "a shell builtin"
	case syntax.IsKeyword(name):
		return name, "a shell keyword"
	}
	p := *sh.p
	p.Env = map[string]string{"PATH": sh.vars["PATH"].Str}
	file, err := p.LookPath(name)
	if err != nil {
		return "", ""
	}
	return file, file
}

func typeOf(sh *Shell, args []string, _ *undo) int {
	status := 0
	for _, name := range args[1:] {
		if _, kind := sh.describe(name); kind != "" {
			sh.p.Printf("%s is %s\n", name, kind)
			continue
		}
		if sh.bash {
			sh.errorf("type: %s: not found", name)
			status = 1
			continue
		}
		sh.p.Printf("%s: not found\n", name)
		status = 127
	}
	return status
}

func dot(sh *Shell, args []string, _ *undo) int {
	if len(args) < 2 {
		return 2
	}
	name := sh.p.Path(args[1])
	if !strings.Contains(args[1], "/") {
		for dir := range strings.SplitSeq(sh.vars["PATH"].Str, ":") {
			if st, err := sh.p.FS.Stat(path.Join(dir, args[1])); err == nil && !st.IsDir() {
				name = path.Join(dir, args[1])
				break
			}
		}
	}
	text, err := sh.p.FS.ReadFile(name)
	if err != nil {
		if sh.bash {
			sh.errorf("%s: %s", args[1], proc.Text(err))
			return 1
		}
		sh.errorf(".: cannot open %s: %s", args[1], dashText(err))
		sh.flow = exiting
		return 2
	}
	kept := sh.params
	if len(args) > 2 {
		sh.params = args[2:]
	}
	sh.calls++
	sh.status = 0
	sh.run(strings.NewReader(string(text)))
	sh.calls--
	if len(args) > 2 {
		sh.params = kept
	}
	if sh.flow == returning {
		sh.flow = onward
	}
	return sh.status
}

func getopts(sh *Shell, args []string, _ *undo) int {
	if len(args) < 3 {
		sh.errorf("Usage: getopts optstring var [arg]")
		sh.flow = exiting
		return 2
	}
	spec, name, words := args[1], args[2], sh.params
	if len(args) > 3 {
		words = args[3:]
	}
	index, err := strconv.Atoi(sh.vars["OPTIND"].Str)
	if err != nil || index < 1 {
		index, sh.optPos = 1, 0
	}
	finish := func(opt string, status int) int {
		sh.assign(name, opt)
		sh.assign("OPTIND", strconv.Itoa(index))
		return status
	}
	delete(sh.vars, "OPTARG")
	if index > len(words) {
		sh.optPos = 0
		return finish("?", 1)
	}
	word := words[index-1]
	if sh.optPos == 0 {
		if word == "--" {
			index++
			return finish("?", 1)
		}
		if len(word) < 2 || word[0] != '-' {
			return finish("?", 1)
		}
		sh.optPos = 1
	}
	opt := word[sh.optPos : sh.optPos+1]
	sh.optPos++
	next := func() {
		index++
		sh.optPos = 0
	}
	at := strings.Index(strings.TrimPrefix(spec, ":"), opt)
	silent := strings.HasPrefix(spec, ":")
	plain := strings.TrimPrefix(spec, ":")
	if at < 0 || opt == ":" {
		if sh.optPos >= len(word) {
			next()
		}
		if silent {
			sh.assign("OPTARG", opt)
		} else {
			fmt.Fprintf(sh.p.Stderr, "Illegal option -%s\n", opt) //nolint:errcheck // nobody left to tell
		}
		return finish("?", 0)
	}
	if at+1 >= len(plain) || plain[at+1] != ':' {
		if sh.optPos >= len(word) {
			next()
		}
		return finish(opt, 0)
	}
	if sh.optPos < len(word) {
		sh.assign("OPTARG", word[sh.optPos:])
		next()
		return finish(opt, 0)
	}
	next()
	if index > len(words) {
		if silent {
			sh.assign("OPTARG", opt)
			return finish(":", 0)
		}
		fmt.Fprintf(sh.p.Stderr, "No arg for -%s option\n", opt) //nolint:errcheck // nobody left to tell
		return finish("?", 0)
	}
	sh.assign("OPTARG", words[index-1])
	next()
	return finish(opt, 0)
}

// interruptible is a context that also ends when the shell catches a signal.
func (sh *Shell) interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancel(sh.ctx)
	sh.mu.Lock()
	sh.wake = cancel
	if len(sh.pending) > 0 {
		cancel()
	}
	sh.mu.Unlock()
	return ctx, func() {
		sh.mu.Lock()
		sh.wake = nil
		sh.mu.Unlock()
		cancel()
	}
}

func trap(sh *Shell, args []string, _ *undo) int {
	args = args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		for sig, action := range sh.traps {
			name := "EXIT"
			if sig != 0 {
				name = sig.Name()
			}
			sh.p.Printf("trap -- '%s' %s\n", strings.ReplaceAll(action, "'", `'"'"'`), name)
		}
		return 0
	}
	action, names := args[0], args[1:]
	reset := action == "-"
	if len(names) == 0 {
		names, reset = args, true
	}
	for _, name := range names {
		sig, err := proc.ParseSignal(name)
		if name == "EXIT" || name == "0" {
			sig, err = 0, nil
		}
		if err != nil {
			if sh.bash && (name == "ERR" || name == "DEBUG" || name == "RETURN") {
				continue
			}
			sh.errorf("trap: %s: bad trap", name)
			return 1
		}
		sh.mu.Lock()
		if reset {
			delete(sh.traps, sig)
		} else {
			sh.traps[sig] = action
		}
		sh.mu.Unlock()
	}
	sh.p.System.Table().Catch(sh.p.PID, sh.catch)
	return 0
}

// catch takes a signal that has a trap. It is called from other processes.
func (sh *Shell) catch(sig proc.Signal) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	action, found := sh.traps[sig]
	if !found || sig == proc.SIGKILL {
		return false
	}
	if action != "" {
		sh.pending = append(sh.pending, sig)
		if sh.wake != nil {
			sh.wake()
		}
	}
	return true
}

// runPending runs the traps of the signals that have come.
func (sh *Shell) runPending() {
	for !sh.inTrap {
		sh.mu.Lock()
		if len(sh.pending) == 0 {
			sh.mu.Unlock()
			return
		}
		action := sh.traps[sh.pending[0]]
		sh.pending = sh.pending[1:]
		sh.mu.Unlock()
		status, was := sh.status, sh.flow
		sh.inTrap, sh.flow = true, onward
		sh.run(strings.NewReader(action))
		sh.inTrap = false
		if sh.flow != exiting {
			sh.status, sh.flow = status, was
		}
	}
}

// bashTest is [[ … ]].
func (sh *Shell) bashTest(c *syntax.TestClause) {
	ok, err := sh.test(c.X)
	if err != nil {
		if !errors.Is(err, errReported) {
			sh.errorf("%v", err)
		}
		sh.status = 2
		return
	}
	sh.status = map[bool]int{true: 0, false: 1}[ok]
}
