package tools

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/shell"
	"phoenix-run/lab/guest/vfs"
)

// found is a file that find looks at.
type found struct {
	name, start string
	depth       int
	st          vfs.Info
	prune       bool
}

// predicate is one part of find's expression.
type predicate func(ctx context.Context, f *found) bool

type finder struct {
	p            *proc.Proc
	args         []string
	minimum      int
	maximum      int
	depthFirst   bool
	follow       bool
	acts         bool // an action is named, so that -print is not meant
	code         int
	batch        [][]string // -exec … +: command, then names
	quit         bool
	batchCommand [][]string
}

func find(ctx context.Context, p *proc.Proc) int {
	f := &finder{p: p, args: p.Args[1:], maximum: 1 << 30}
	for len(f.args) > 0 && (f.args[0] == "-L" || f.args[0] == "-H" || f.args[0] == "-P") {
		f.follow = f.args[0] == "-L"
		f.args = f.args[1:]
	}
	var starts []string
	for len(f.args) > 0 && !strings.HasPrefix(f.args[0], "-") && f.args[0] != "(" && f.args[0] != "!" {
		starts = append(starts, f.args[0])
		f.args = f.args[1:]
	}
	if len(starts) == 0 {
		starts = []string{"."}
	}
	test := func(context.Context, *found) bool { return true }
	if len(f.args) > 0 {
		var err error
		if test, err = f.or(); err == nil && len(f.args) > 0 {
			err = fmt.Errorf("paths must precede expression: `%s'", f.args[0])
		}
		if err != nil {
			p.Errorf("%v", err)
			return 1
		}
	}
	if !f.acts {
		plain := test
		test = func(ctx context.Context, x *found) bool {
			if !plain(ctx, x) {
				return false
			}
			p.Printf("%s\n", x.name)
			return true
		}
	}
	for _, start := range starts {
		f.walk(ctx, test, start, start, 0)
	}
	for i := range f.batchCommand {
		f.flush(ctx, i)
	}
	return f.code
}

func (f *finder) walk(ctx context.Context, test predicate, name, start string, depth int) {
	if f.quit || ctx.Err() != nil {
		return
	}
	look := f.p.FS.Lstat
	if f.follow {
		look = f.p.FS.Stat
	}
	st, err := look(f.p.Path(name))
	if err != nil && f.follow {
		st, err = f.p.FS.Lstat(f.p.Path(name))
	}
	if err != nil {
		f.bad(name, err)
		return
	}
	x := &found{name: name, start: start, depth: depth, st: st}
	run := func() {
		if depth >= f.minimum {
			test(ctx, x)
		}
	}
	if !f.depthFirst {
		run()
	}
	if st.IsDir() && depth < f.maximum && !x.prune && !f.quit {
		kids, err := f.p.FS.ReadDir(f.p.Path(name))
		if err != nil {
			f.bad(name, err)
		}
		for _, kid := range kids {
			f.walk(ctx, test, strings.TrimSuffix(name, "/")+"/"+kid.Name(), start, depth+1)
		}
	}
	if f.depthFirst {
		run()
	}
}

func (f *finder) bad(name string, err error) {
	f.p.Errorf("‘%s’: %s", name, proc.Text(err))
	f.code = 1
}

func (f *finder) next() (string, error) {
	if len(f.args) < 2 {
		return "", fmt.Errorf("missing argument to `%s'", f.args[0])
	}
	value := f.args[1]
	f.args = f.args[2:]
	return value, nil
}

func (f *finder) or() (predicate, error) {
	left, err := f.and()
	for err == nil && len(f.args) > 0 && (f.args[0] == "-o" || f.args[0] == "-or") {
		f.args = f.args[1:]
		a := left
		var b predicate
		b, err = f.and()
		left = func(ctx context.Context, x *found) bool { return a(ctx, x) || b(ctx, x) }
	}
	return left, err
}

func (f *finder) and() (predicate, error) {
	left, err := f.not()
	for err == nil && len(f.args) > 0 && f.args[0] != "-o" && f.args[0] != "-or" && f.args[0] != ")" {
		if f.args[0] == "-a" || f.args[0] == "-and" {
			f.args = f.args[1:]
		}
		a := left
		var b predicate
		b, err = f.not()
		left = func(ctx context.Context, x *found) bool { return a(ctx, x) && b(ctx, x) }
	}
	return left, err
}

func (f *finder) not() (predicate, error) {
	if len(f.args) == 0 {
		return nil, complain("invalid expression; you have used a binary operator with nothing after it.")
	}
	switch f.args[0] {
	case "!", "-not":
		f.args = f.args[1:]
		inner, err := f.not()
		return func(ctx context.Context, x *found) bool { return !inner(ctx, x) }, err
	case "(":
		f.args = f.args[1:]
		inner, err := f.or()
		if err == nil && (len(f.args) == 0 || f.args[0] != ")") {
			err = complain("invalid expression; I was expecting to find a ')' somewhere but did not see one.")
		}
		if err == nil {
			f.args = f.args[1:]
		}
		return inner, err
	}
	return f.primary()
}

func (f *finder) primary() (predicate, error) {
	op := f.args[0]
	if p, found := f.simple(op); found {
		f.args = f.args[1:]
		return p, nil
	}
	if op == "-exec" || op == "-execdir" || op == "-ok" {
		return f.exec()
	}
	value, err := f.next()
	if err != nil && strings.HasPrefix(op, "-") && !knownPrimaries[op] {
		return nil, fmt.Errorf("unknown predicate `%s'", op)
	}
	if err != nil {
		return nil, err
	}
	return f.valued(op, value)
}

var knownPrimaries = map[string]bool{
	"-name": true, "-iname": true, "-path": true, "-wholename": true, "-type": true, "-user": true, "-group": true, "-perm": true,
	"-size": true, "-mtime": true, "-mmin": true, "-newer": true, "-maxdepth": true, "-mindepth": true, "-printf": true,
	"-regex": true, "-links": true, "-uid": true, "-gid": true, "-inum": true, "-fstype": true, "-ipath": true, "-regextype": true,
}

func (f *finder) simple(op string) (predicate, bool) {
	act := func(do predicate) (predicate, bool) {
		f.acts = true
		return do, true
	}
	switch op {
	case "-true", "-mount", "-xdev", "-noleaf", "-daystart", "-ignore_readdir_race":
		return func(context.Context, *found) bool { return true }, true
	case "-false":
		return func(context.Context, *found) bool { return false }, true
	case "-depth":
		f.depthFirst = true
		return func(context.Context, *found) bool { return true }, true
	case "-empty":
		return func(_ context.Context, x *found) bool {
			if x.st.IsDir() {
				kids, err := f.p.FS.ReadDir(f.p.Path(x.name))
				return err == nil && len(kids) == 0
			}
			return x.st.IsRegular() && x.st.Size() == 0
		}, true
	case "-readable", "-writable", "-executable":
		want := map[string]uint32{"-readable": 4, "-writable": 2, "-executable": 1}[op]
		return func(_ context.Context, x *found) bool { return f.p.FS.Access(f.p.Path(x.name), want) == nil }, true
	case "-nouser":
		return func(_ context.Context, x *found) bool {
			_, known := account.UserWith(f.p.FS, x.st.UserID)
			return !known
		}, true
	case "-print":
		return act(func(_ context.Context, x *found) bool { f.p.Printf("%s\n", x.name); return true })
	case "-print0":
		return act(func(_ context.Context, x *found) bool { f.p.Printf("%s\x00", x.name); return true })
	case "-prune":
		return func(_ context.Context, x *found) bool { x.prune = true; return true }, true
	case "-quit":
		return act(func(context.Context, *found) bool { f.quit = true; return true })
	case "-ls":
		return act(func(_ context.Context, x *found) bool {
			f.p.Printf("%9d %6d %s %3d %-8s %-8s %8d %s %s\n", x.st.Ino, (x.st.Size()+1023)/1024, letters(x.st.Stat), x.st.Links,
				account.UserName(f.p.FS, x.st.UserID), account.GroupName(f.p.FS, x.st.GroupID), x.st.Size(), x.st.ModTime().Format("Jan _2 15:04"), x.name)
			return true
		})
	case "-delete":
		f.depthFirst = true
		return act(func(_ context.Context, x *found) bool {
			remove := f.p.FS.Unlink
			if x.st.IsDir() {
				remove = f.p.FS.Rmdir
			}
			if x.name == "." {
				return true
			}
			if err := remove(f.p.Path(x.name)); err != nil {
				f.p.Errorf("cannot delete ‘%s’: %s", x.name, proc.Text(err))
				f.code = 1
				return false
			}
			return true
		})
	}
	return nil, false
}

func (f *finder) valued(op, value string) (predicate, error) {
	switch op {
	case "-name", "-iname":
		fold := op == "-iname"
		return func(_ context.Context, x *found) bool {
			name, pattern := path.Base(x.name), value
			if fold {
				name, pattern = strings.ToLower(name), strings.ToLower(pattern)
			}
			return shell.Match(pattern, name)
		}, nil
	case "-path", "-wholename", "-ipath":
		return func(_ context.Context, x *found) bool { return shell.Match(value, x.name) }, nil
	case "-regextype":
		return func(context.Context, *found) bool { return true }, nil
	case "-regex":
		re, err := compile(value, true, false)
		return func(_ context.Context, x *found) bool {
			at := re.FindStringIndex(x.name)
			return at != nil && at[0] == 0 && at[1] == len(x.name)
		}, err
	case "-type":
		kinds := map[string]uint32{"f": vfs.Regular, "d": vfs.Dir, "l": vfs.Symlink, "p": vfs.Fifo, "c": vfs.Char, "b": vfs.Block, "s": vfs.Socket}
		var want []uint32
		for k := range strings.SplitSeq(value, ",") {
			if kinds[k] == 0 {
				return nil, complain("Unknown argument to -type: %s", k)
			}
			want = append(want, kinds[k])
		}
		return func(_ context.Context, x *found) bool {
			for _, k := range want {
				if x.st.Stat&vfs.TypeMask == k {
					return true
				}
			}
			return false
		}, nil
	case "-user", "-uid":
		id, ok := account.ParseUser(f.p.FS, value)
		if !ok {
			return nil, fmt.Errorf("‘%s’ is not the name of a known user", value)
		}
		return func(_ context.Context, x *found) bool { return x.st.UserID == id }, nil
	case "-group", "-gid":
		id, ok := account.ParseGroup(f.p.FS, value)
		if !ok {
			return nil, fmt.Errorf("‘%s’ is not the name of an existing group", value)
		}
		return func(_ context.Context, x *found) bool { return x.st.GroupID == id }, nil
	case "-perm":
		text := strings.TrimLeft(value, "-/")
		want, err := mode(text, 0, false, 0)
		return func(_ context.Context, x *found) bool {
			switch value[0] {
			case '-':
				return x.st.Perm()&want == want
			case '/':
				return want == 0 || x.st.Perm()&want != 0
			}
			return x.st.Perm() == want
		}, err
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, complain("Expected a positive decimal integer argument to %s, but got ‘%s’", op, value)
		}
		if op == "-maxdepth" {
			f.maximum = n
		} else {
			f.minimum = n
		}
		return func(context.Context, *found) bool { return true }, nil
	case "-size":
		unit := int64(512)
		text := strings.TrimLeft(value, "+-")
		if u, found := map[byte]int64{'c': 1, 'w': 2, 'k': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'b': 512}[text[len(text)-1]]; found {
			unit, text = u, text[:len(text)-1]
		}
		return compareNumber(value, text, func(x *found) int64 { return (x.st.Size() + unit - 1) / unit })
	case "-mtime":
		return compareNumber(value, strings.TrimLeft(value, "+-"), func(x *found) int64 { return int64(time.Since(x.st.ModTime()) / (24 * time.Hour)) })
	case "-mmin":
		return compareNumber(value, strings.TrimLeft(value, "+-"), func(x *found) int64 { return int64(time.Since(x.st.ModTime()) / time.Minute) })
	case "-links":
		return compareNumber(value, strings.TrimLeft(value, "+-"), func(x *found) int64 { return int64(x.st.Links) })
	case "-inum":
		return compareNumber(value, strings.TrimLeft(value, "+-"), func(x *found) int64 { return int64(x.st.Ino) })
	case "-newer":
		st, err := f.p.FS.Stat(f.p.Path(value))
		if err != nil {
			return nil, fmt.Errorf("‘%s’: %s", value, proc.Text(err))
		}
		return func(_ context.Context, x *found) bool { return x.st.ModTime().After(st.ModTime()) }, nil
	case "-fstype":
		return func(context.Context, *found) bool { return value == "ext4" }, nil
	case "-printf":
		f.acts = true
		return func(_ context.Context, x *found) bool {
			f.p.Printf("%s", f.format(value, x))
			return true
		}, nil
	}
	return nil, fmt.Errorf("unknown predicate `%s'", op)
}

func compareNumber(value, digits string, of func(*found) int64) (predicate, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("invalid argument `%s'", value)
	}
	return func(_ context.Context, x *found) bool {
		switch value[0] {
		case '+':
			return of(x) > n
		case '-':
			return of(x) < n
		}
		return of(x) == n
	}, nil
}

// format fills -printf's directives.
func (f *finder) format(format string, x *found) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		switch c := format[i]; {
		case c == '\\' && i+1 < len(format):
			end := i + 2
			if format[i+1] >= '0' && format[i+1] <= '7' {
				for end < len(format) && end < i+4 && format[end] >= '0' && format[end] <= '7' {
					end++
				}
			}
			text, _ := escapes(format[i:end], false)
			b.WriteString(text)
			i = end - 1
		case c == '%' && i+1 < len(format):
			start := i
			i++
			for i < len(format)-1 && strings.IndexByte("-+ #0123456789.", format[i]) >= 0 {
				i++
			}
			verb := format[i]
			var arg byte
			if strings.IndexByte("ACT", verb) >= 0 && i+1 < len(format) {
				i++
				arg = format[i]
			}
			fmt.Fprintf(&b, format[start:start+1]+strings.Trim(format[start+1:i], "ACT#")+"s", f.directive(verb, arg, x))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (f *finder) directive(verb, arg byte, x *found) string {
	st := x.st
	kind := map[uint32]string{vfs.Regular: "f", vfs.Dir: "d", vfs.Symlink: "l", vfs.Fifo: "p", vfs.Char: "c", vfs.Block: "b", vfs.Socket: "s"}
	switch verb {
	case '%':
		return "%"
	case 'p':
		return x.name
	case 'f':
		return path.Base(x.name)
	case 'h':
		if at := strings.LastIndexByte(x.name, '/'); at >= 0 {
			return x.name[:at]
		}
		return "."
	case 'P':
		return strings.TrimPrefix(strings.TrimPrefix(x.name, x.start), "/")
	case 'H':
		return x.start
	case 'd':
		return strconv.Itoa(x.depth)
	case 's':
		return strconv.FormatInt(st.Size(), 10)
	case 'k':
		return strconv.FormatInt((st.Size()+1023)/1024, 10)
	case 'b':
		return strconv.FormatInt((st.Size()+4095)/4096*8, 10)
	case 'm':
		return strconv.FormatUint(uint64(st.Perm()), 8)
	case 'M':
		return letters(st.Stat)
	case 'u':
		return account.UserName(f.p.FS, st.UserID)
	case 'U':
		return strconv.Itoa(st.UserID)
	case 'g':
		return account.GroupName(f.p.FS, st.GroupID)
	case 'G':
		return strconv.Itoa(st.GroupID)
	case 'i':
		return strconv.FormatUint(st.Ino, 10)
	case 'n':
		return strconv.Itoa(st.Links)
	case 'y':
		return kind[st.Stat&vfs.TypeMask]
	case 'Y':
		target, err := f.p.FS.Stat(f.p.Path(x.name))
		if err != nil {
			return "N"
		}
		return kind[target.Stat&vfs.TypeMask]
	case 'l':
		if st.IsLink() {
			if target, err := f.p.FS.Readlink(f.p.Path(x.name)); err == nil {
				return target
			}
		}
		return ""
	case 't', 'a', 'c':
		return st.ModTime().Format("Mon Jan _2 15:04:05.0000000000 2006")
	case 'T', 'A', 'C':
		switch arg {
		case '@':
			return fmt.Sprintf("%d.%09d0", st.ModTime().Unix(), st.ModTime().Nanosecond())
		case '+':
			return st.ModTime().Format("2006-01-02+15:04:05.0000000000")
		}
		return strftime("%"+string(arg), st.ModTime())
	case 'D':
		return "2049"
	case 'F':
		return "ext4"
	}
	return "%" + string(verb)
}

// exec is -exec … ; and -exec … {} +.
func (f *finder) exec() (predicate, error) {
	f.acts = true
	end := 1
	for end < len(f.args) && f.args[end] != ";" && (f.args[end] != "+" || f.args[end-1] != "{}") {
		end++
	}
	if end >= len(f.args) || end == 1 {
		return nil, fmt.Errorf("missing argument to `-exec'")
	}
	words, last := f.args[1:end], f.args[end]
	f.args = f.args[end+1:]
	if last == "+" {
		at := len(f.batchCommand)
		f.batchCommand = append(f.batchCommand, words[:len(words)-1])
		f.batch = append(f.batch, nil)
		return func(ctx context.Context, x *found) bool {
			f.batch[at] = append(f.batch[at], x.name)
			if len(f.batch[at]) >= 5000 {
				f.flush(ctx, at)
			}
			return true
		}, nil
	}
	return func(ctx context.Context, x *found) bool {
		args := make([]string, len(words))
		for i, w := range words {
			args[i] = strings.ReplaceAll(w, "{}", x.name)
		}
		return runCommand(ctx, f.p, args) == 0
	}, nil
}

func (f *finder) flush(ctx context.Context, i int) {
	if len(f.batch[i]) == 0 {
		return
	}
	args := append(append([]string{}, f.batchCommand[i]...), f.batch[i]...)
	f.batch[i] = nil
	if runCommand(ctx, f.p, args) != 0 {
		f.code = 1
	}
}

// runCommand runs another program with the same files; a missing one is said and is 127.
func runCommand(ctx context.Context, p *proc.Proc, args []string) int {
	code, err := p.Spawn(ctx, p.Child(args...))
	if err != nil {
		return cantRun(p, args[0], err)
	}
	return code
}
