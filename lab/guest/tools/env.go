package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
)

// cantRun says why a program can't run another one.
func cantRun(p *proc.Proc, name string, err error, before ...string) int {
	said := strings.Join(before, "")
	if errors.Is(err, proc.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		p.Errorf("%s‘%s’: No such file or directory", said, name)
		return 127
	}
	p.Errorf("%s‘%s’: %s", said, name, proc.Text(err))
	return 126
}

func env(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "+ i u: 0 C: S: ignore-environment=i unset=u null=0 chdir=C")
	if o == nil {
		return 125
	}
	child := p.Child()
	if o.has("i") {
		child.Env = map[string]string{}
	}
	for _, name := range o.set["u"] {
		delete(child.Env, name)
	}
	if o.has("C") {
		child.Dir = p.Path(o.val("C"))
	}
	args := o.Args
	if len(args) > 0 && args[0] == "-" {
		child.Env, args = map[string]string{}, args[1:]
	}
	for len(args) > 0 {
		name, value, found := strings.Cut(args[0], "=")
		if !found {
			break
		}
		child.Env[name] = value
		args = args[1:]
	}
	if len(args) == 0 {
		child.CloseFiles()
		for _, name := range slices.Sorted(maps.Keys(child.Env)) {
			p.Printf("%s=%s%s", name, child.Env[name], map[bool]string{true: "\x00", false: "\n"}[o.has("0")])
		}
		return 0
	}
	child.Args = args
	code, err := p.Spawn(ctx, child)
	if err != nil {
		return cantRun(p, args[0], err)
	}
	return code
}

func printenv(_ context.Context, p *proc.Proc) int {
	if len(p.Args) == 1 {
		for _, name := range slices.Sorted(maps.Keys(p.Env)) {
			p.Printf("%s=%s\n", name, p.Env[name])
		}
		return 0
	}
	code := 0
	for _, name := range p.Args[1:] {
		value, found := p.Env[name]
		if !found {
			code = 1
			continue
		}
		p.Printf("%s\n", value)
	}
	return code
}

// wrapper runs the rest of its command line; spec are its own options.
func wrapper(spec string) proc.Program {
	return func(ctx context.Context, p *proc.Proc) int {
		o := parse(p, "+ "+spec)
		if o == nil {
			return 125
		}
		if len(o.Args) == 0 {
			return missing(p)
		}
		return runCommand(ctx, p, o.Args)
	}
}

// duration reads sleep's and timeout's form: a number with s, m, h or d.
func duration(s string) (time.Duration, bool) {
	unit := time.Second
	if s != "" {
		if u, found := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]; found {
			unit, s = u, s[:len(s)-1]
		}
	}
	if s == "infinity" {
		return 1 << 62, true
	}
	n, err := strconv.ParseFloat(s, 64)
	return time.Duration(n * float64(unit)), err == nil && n >= 0
}

func sleep(ctx context.Context, p *proc.Proc) int {
	if len(p.Args) == 1 {
		return missing(p)
	}
	var total time.Duration
	for _, arg := range p.Args[1:] {
		d, ok := duration(arg)
		if !ok {
			p.Errorf("invalid time interval ‘%s’\nTry 'sleep --help' for more information.", arg)
			return 1
		}
		total += d
	}
	timer := time.NewTimer(total)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return 0
}

func timeout(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "+ s: k: v foreground preserve-status signal=s kill-after=k verbose=v")
	if o == nil {
		return 125
	}
	if len(o.Args) < 2 {
		return missing(p) + 124
	}
	limit, ok := duration(o.Args[0])
	if !ok {
		p.Errorf("invalid time interval ‘%s’", o.Args[0])
		return 125
	}
	sig := proc.SIGTERM
	if o.has("s") {
		var err error
		if sig, err = proc.ParseSignal(o.val("s")); err != nil {
			p.Errorf("%s: invalid signal", o.val("s"))
			return 125
		}
	}
	child := p.Child(o.Args[1:]...)
	if !o.has("foreground") {
		child.Group = 0 // one of its own, so that all of it can be ended
	}
	wait, err := p.Start(child)
	if err != nil {
		return cantRun(p, o.Args[1], err, "failed to run command ")
	}
	inTime, cancel := context.WithCancel(ctx)
	defer cancel()
	if limit > 0 {
		inTime, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	code := wait(inTime)
	if inTime.Err() == nil || ctx.Err() != nil {
		return code
	}
	// The group is gone already if the child ended just now.
	_ = p.System.Table().Kill(-child.Group, sig, 0) //nolint:errcheck // see above
	if grace, ok := duration(o.val("k")); ok && o.has("k") {
		late, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		wait(late)
		if late.Err() != nil && ctx.Err() == nil {
			_ = p.System.Table().Kill(-child.Group, proc.SIGKILL, 0) //nolint:errcheck // see above
			wait(ctx)
			return 128 + int(proc.SIGKILL)
		}
	}
	code = wait(ctx)
	if o.has("preserve-status") {
		return code
	}
	if sig == proc.SIGKILL {
		return 128 + int(proc.SIGKILL)
	}
	return 124
}

func xargs(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "+ 0 n: I: r d: L: P: t a: s: x null=0 max-args=n replace=I no-run-if-empty=r delimiter=d max-lines=L max-procs=P verbose=t arg-file=a max-chars=s exit=x")
	if o == nil {
		return 1
	}
	file := "-"
	if o.has("a") {
		file = o.val("a")
	}
	b, err := readInput(p, file)
	if err != nil {
		p.Errorf("Cannot open input file ‘%s’: %s", file, proc.Text(err))
		return 1
	}
	items := xargsItems(string(b), o)
	command := o.Args
	if len(command) == 0 {
		command = []string{"/bin/echo"}
	}
	size := len(items)
	if o.has("n") || o.has("L") {
		n, err := strconv.Atoi(o.val("n") + o.val("L"))
		if err != nil || n < 1 {
			p.Errorf("invalid number for -n option")
			return 1
		}
		size = n
	}
	null, err := p.Open("/dev/null", os.O_RDONLY, 0)
	if err != nil {
		p.Errorf("/dev/null: %s", proc.Text(err))
		return 1
	}
	defer null.Close() //nolint:errcheck // only read
	code := 0
	run := func(args []string) bool {
		if o.has("t") {
			p.Stderr.Write([]byte(strings.Join(args, " ") + "\n")) //nolint:errcheck // nobody left to tell
		}
		child := p.Child(args...)
		child.Set(0, null.Dup())
		status, err := p.Spawn(ctx, child)
		switch {
		case err != nil:
			p.Errorf("%s: %s", args[0], map[bool]string{true: "No such file or directory", false: proc.Text(err)}[errors.Is(err, proc.ErrNotFound)])
			code = 127
			return false
		case status == 255:
			p.Errorf("%s: exited with status 255; aborting", args[0])
			code = 124
			return false
		case status > 128:
			code = 125
			return false
		case status != 0:
			code = 123
		}
		return true
	}
	if o.has("I") {
		for _, item := range items {
			args := make([]string, len(command))
			for i, w := range command {
				args[i] = strings.ReplaceAll(w, o.val("I"), item)
			}
			if !run(args) {
				break
			}
		}
		return code
	}
	if len(items) == 0 {
		if !o.has("r") {
			run(command)
		}
		return code
	}
	for chunk := range slices.Chunk(items, max(1, size)) {
		if !run(slices.Concat(command, chunk)) {
			break
		}
	}
	return code
}

// xargsItems splits the input: at NULs, a delimiter, lines, or blanks with quotes and backslashes.
func xargsItems(s string, o *options) []string {
	switch {
	case o.has("0"), o.has("d"):
		sep := "\x00"
		if o.has("d") {
			sep, _ = escapes(o.val("d"), false)
		}
		items := strings.Split(strings.TrimSuffix(s, sep), sep)
		if s == "" {
			return nil
		}
		return items
	case o.has("I"), o.has("L"):
		var items []string
		for line := range strings.Lines(s) {
			if line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " \t"); line != "" {
				items = append(items, line)
			}
		}
		return items
	}
	var items []string
	var b strings.Builder
	quote, in := byte(0), false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
			in = true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				items = append(items, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		items = append(items, b.String())
	}
	return items
}

func yes(ctx context.Context, p *proc.Proc) int {
	text := "y"
	if len(p.Args) > 1 {
		text = strings.Join(p.Args[1:], " ")
	}
	block := []byte(strings.Repeat(text+"\n", 512))
	for ctx.Err() == nil {
		if _, err := p.Stdout.Write(block); err != nil {
			return 1
		}
	}
	return 1
}

func which(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a s")
	if o == nil {
		return 2
	}
	code := 0
	for _, name := range o.Args {
		file, err := p.LookPath(name)
		if err != nil {
			code = 1
			continue
		}
		p.Printf("%s\n", file)
	}
	return code
}

// flock takes a lock on an open file, or on a file while a command runs.
func flock(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "+ n s x e u w: E: c: o F v nonblock=n nb=n shared=s exclusive=x unlock=u timeout=w wait=w conflict-exit-code=E close=o no-fork=F command=c verbose=v")
	if o == nil {
		return 64
	}
	if len(o.Args) == 0 {
		p.Errorf("not enough arguments")
		return 64
	}
	conflict := 1
	if o.has("E") {
		conflict = number(o.val("E"))
	}
	var d *proc.Desc
	command := o.Args[1:]
	if fd, err := strconv.Atoi(o.Args[0]); err == nil && len(command) == 0 {
		if d = p.Files[fd]; d == nil || d.File == nil {
			p.Errorf("%d: Bad file descriptor", fd)
			return 65
		}
	} else {
		file, err := p.Open(o.Args[0], os.O_RDONLY|os.O_CREATE, 0o666)
		if err != nil {
			p.Errorf("cannot open lock file %s: %s", o.Args[0], proc.Text(err))
			return 66
		}
		defer file.Close() //nolint:errcheck // closing it gives the lock back
		d = file
	}
	if o.has("u") {
		p.FS.FS.Unlock(d)
		return 0
	}
	limit := ctx
	if wait, ok := duration(o.val("w")); ok && o.has("w") {
		var cancel context.CancelFunc
		limit, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	for !p.FS.FS.Lock(d.File, d, o.has("s")) {
		if o.has("n") {
			return conflict
		}
		select {
		case <-limit.Done():
			return conflict
		case <-time.After(5 * time.Millisecond):
		}
	}
	d.OnClose(func() { p.FS.FS.Unlock(d) })
	if len(command) > 1 && command[0] == "-c" {
		command = []string{"/bin/sh", "-c", command[1]}
	}
	if o.has("c") {
		command = []string{"/bin/sh", "-c", o.val("c")}
	}
	if len(command) == 0 {
		return 0
	}
	return runCommand(ctx, p, command)
}

func kill(_ context.Context, p *proc.Proc) int {
	args := p.Args[1:]
	sig := proc.SIGTERM
	if len(args) > 0 && args[0] == "-l" {
		if len(args) > 1 {
			if s, err := proc.ParseSignal(args[1]); err == nil {
				if s > 128 {
					s -= 128
				}
				p.Printf("%s\n", s.Name())
				return 0
			}
		}
		p.Printf("HUP INT QUIT KILL USR1 USR2 PIPE ALRM TERM CHLD CONT STOP\n")
		return 0
	}
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		name := args[0][1:]
		args = args[1:]
		if (name == "s" || name == "n") && len(args) > 0 {
			name, args = args[0], args[1:]
		}
		s, err := proc.ParseSignal(name)
		if err != nil {
			p.Errorf("invalid signal number or name: %s", name)
			return 2
		}
		sig = s
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.Errorf("usage: kill [-s sigspec | -signum | -sigspec] [pid | job]... or\nkill -l [exitstatus]")
		return 2
	}
	code := 0
	for _, arg := range args {
		pid, err := strconv.Atoi(arg)
		if err != nil {
			p.Errorf("Illegal number: %s", arg)
			return 2
		}
		if pid == 0 {
			pid = -p.Group
		}
		if err := p.System.Table().Kill(pid, sig, p.FS.Cred.UID); err != nil {
			p.Errorf("%s", proc.Text(err))
			code = 1
		}
	}
	return code
}

func ps(_ context.Context, p *proc.Proc) int {
	list := p.System.Table().List()
	args := strings.Join(p.Args[1:], " ")
	fields := []string{"pid", "tty", "time", "comm"}
	switch {
	case strings.Contains(args, "aux"):
		fields = []string{"user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "args"}
	case strings.Contains(args, "-ef"), strings.Contains(args, "-eaf"):
		fields = []string{"user", "pid", "ppid", "c", "stime", "tty", "time", "args"}
	}
	var only []int
	for i, arg := range p.Args {
		value := ""
		if i+1 < len(p.Args) {
			value = p.Args[i+1]
		}
		switch {
		case arg == "-o" || arg == "-eo":
			fields = strings.Split(value, ",")
		case strings.HasPrefix(arg, "-o") && len(arg) > 2:
			fields = strings.Split(arg[2:], ",")
		case arg == "-p":
			for s := range strings.SplitSeq(value, ",") {
				only = append(only, number(s))
			}
		}
	}
	var head []string
	for _, f := range fields {
		name, title, titled := strings.Cut(f, "=")
		if !titled {
			title = strings.ToUpper(name)
		}
		head = append(head, title)
	}
	var rows [][]string
	if strings.Join(head, "") != "" {
		rows = append(rows, head)
	}
	hits := 0
	for _, e := range list {
		if only != nil && !slices.Contains(only, e.PID) {
			continue
		}
		hits++
		var row []string
		for _, f := range fields {
			name, _, _ := strings.Cut(f, "=")
			row = append(row, psField(name, e))
		}
		rows = append(rows, row)
	}
	columns(p, rows)
	if only != nil && hits == 0 {
		return 1
	}
	return 0
}

func psField(name string, e proc.Listing) string {
	switch name {
	case "pid":
		return strconv.Itoa(e.PID)
	case "ppid":
		return strconv.Itoa(e.PPID)
	case "user", "euser", "uname":
		return e.User
	case "comm", "ucmd":
		return path.Base(e.Args[0])
	case "args", "cmd", "command":
		return strings.Join(e.Args, " ")
	case "stat", "s":
		return "S"
	case "tty":
		return "?"
	case "time", "cputime":
		return "00:00:00"
	case "start", "stime":
		return e.Started.Format("15:04")
	case "etimes":
		return strconv.Itoa(int(time.Since(e.Started).Seconds()))
	}
	return "0"
}

// pgrep is pgrep, pkill and pidof.
func pgrep(_ context.Context, p *proc.Proc) int {
	o := parse(p, "f x u: l a n o c s: 9 e signal=s full=f exact=x list-name=l list-full=a count=c")
	if o == nil || len(o.Args) == 0 {
		return 2
	}
	name := path.Base(p.Args[0])
	re, err := compile(o.Args[0], true, false)
	if err != nil {
		p.Errorf("%v", err)
		return 2
	}
	var hits []proc.Listing
	for _, e := range p.System.Table().List() {
		text := path.Base(e.Args[0])
		if o.has("f") {
			text = strings.Join(e.Args, " ")
		}
		match := re.MatchString(text)
		if o.has("x") || name == "pidof" {
			match = text == o.Args[0]
		}
		if match && e.PID != p.PID && (!o.has("u") || e.User == o.val("u")) {
			hits = append(hits, e)
		}
	}
	if len(hits) == 0 {
		return 1
	}
	sig := proc.SIGTERM
	if o.has("9") {
		sig = proc.SIGKILL
	}
	if o.has("s") {
		if sig, err = proc.ParseSignal(o.val("s")); err != nil {
			return 2
		}
	}
	for _, e := range hits {
		switch name {
		case "pkill":
			if err := p.System.Table().Kill(e.PID, sig, p.FS.Cred.UID); err != nil {
				p.Errorf("killing pid %d failed: %s", e.PID, proc.Text(err))
				return 1
			}
		case "pidof":
			p.Printf("%d ", e.PID)
		default:
			line := strconv.Itoa(e.PID)
			switch {
			case o.has("a"):
				line += " " + strings.Join(e.Args, " ")
			case o.has("l"):
				line += " " + path.Base(e.Args[0])
			}
			p.Printf("%s\n", line)
		}
	}
	if name == "pidof" {
		p.Printf("\n")
	}
	return 0
}

// split cuts a file into pieces named PREFIXaa and so on.
func splitFile(_ context.Context, p *proc.Proc) int {
	o := parse(p, "l: b: d a: lines=l bytes=b numeric-suffixes=d suffix-length=a")
	if o == nil {
		return 1
	}
	name, prefix := "-", "x"
	if len(o.Args) > 0 {
		name = o.Args[0]
	}
	if len(o.Args) > 1 {
		prefix = o.Args[1]
	}
	content, err := readInput(p, name)
	if err != nil {
		p.Errorf("cannot open '%s' for reading: %s", name, proc.Text(err))
		return 1
	}
	next := func(in *bufio.Reader) ([]byte, error) {
		if o.has("b") {
			n, err := count(o.val("b"))
			if err != nil {
				return nil, err
			}
			piece := make([]byte, n)
			k, err := io.ReadFull(in, piece)
			return piece[:k], err
		}
		n := int64(1000)
		if o.has("l") {
			if n, err = count(o.val("l")); err != nil {
				return nil, err
			}
		}
		var piece []byte
		for range n {
			line, err := in.ReadBytes('\n')
			piece = append(piece, line...)
			if err != nil {
				return piece, err
			}
		}
		return piece, nil
	}
	in := bufio.NewReader(bytes.NewReader(content))
	for i := 0; ; i++ {
		piece, err := next(in)
		if len(piece) > 0 {
			suffix := string([]byte{byte('a' + i/26), byte('a' + i%26)})
			if o.has("d") {
				suffix = strconv.Itoa(100 + i)[1:]
			}
			if err := p.FS.WriteFile(p.Path(prefix+suffix), piece, 0o666); err != nil {
				p.Errorf("%s%s: %s", prefix, suffix, proc.Text(err))
				return 1
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return 0
			}
			p.Errorf("%v", err)
			return 1
		}
	}
}
