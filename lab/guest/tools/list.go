package tools

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// letters is a mode as ls -l shows it.
func letters(m uint32) string {
	kind := map[uint32]byte{vfs.Dir: 'd', vfs.Symlink: 'l', vfs.Char: 'c', vfs.Block: 'b', vfs.Fifo: 'p', vfs.Socket: 's'}[m&vfs.TypeMask]
	if kind == 0 {
		kind = '-'
	}
	out := []byte{kind}
	for shift := 6; shift >= 0; shift -= 3 {
		for i, c := range []byte("rwx") {
			if m>>shift&(4>>i) == 0 {
				c = '-'
			}
			out = append(out, c)
		}
	}
	for i, special := range []struct {
		bit  uint32
		c, C byte
	}{{0o4000, 's', 'S'}, {0o2000, 's', 'S'}, {0o1000, 't', 'T'}} {
		if m&special.bit != 0 {
			at := 3 * (i + 1)
			if out[at] == 'x' {
				out[at] = special.c
			} else {
				out[at] = special.C
			}
		}
	}
	return string(out)
}

// kindName is a file's type as stat and find's %F name it.
func kindName(st vfs.Info) string {
	switch st.Stat & vfs.TypeMask {
	case vfs.Dir:
		return "directory"
	case vfs.Symlink:
		return "symbolic link"
	case vfs.Char:
		return "character special file"
	case vfs.Block:
		return "block special file"
	case vfs.Fifo:
		return "fifo"
	case vfs.Socket:
		return "socket"
	}
	if st.Size() == 0 {
		return "regular empty file"
	}
	return "regular file"
}

func ls(_ context.Context, p *proc.Proc) int {
	o := parse(p, "l a A d 1 h n F p R r t S i s L g o C x U f Z color? all=a almost-all=A directory=d human-readable=h inode=i recursive=R reverse=r numeric-uid-gid=n time-style: full-time classify=F dereference=L group-directories-first")
	if o == nil {
		return 2
	}
	names := o.Args
	if len(names) == 0 {
		names = []string{"."}
	}
	code := 0
	var plain, folders []string
	infos := map[string]vfs.Info{}
	for _, name := range names {
		st, err := p.FS.Lstat(p.Path(name))
		if err == nil && st.IsLink() && (!o.has("l") && !o.has("d") || o.has("L") || strings.HasSuffix(name, "/")) {
			if target, terr := p.FS.Stat(p.Path(name)); terr == nil {
				st = target
			}
		}
		if err != nil {
			p.Errorf("cannot access '%s': %s", name, proc.Text(err))
			code = 2
			continue
		}
		infos[name] = st
		if st.IsDir() && !o.has("d") {
			folders = append(folders, name)
		} else {
			plain = append(plain, name)
		}
	}
	l := &lister{p: p, o: o}
	l.show("", plain, infos)
	for i, name := range folders {
		if len(names) > 1 || o.has("R") {
			if i > 0 || len(plain) > 0 {
				p.Printf("\n")
			}
		}
		if !l.folder(name, len(names) > 1 || o.has("R")) {
			code = max(code, 2)
		}
	}
	return code
}

type lister struct {
	p *proc.Proc
	o *options
}

func (l *lister) folder(name string, titled bool) bool {
	p, o := l.p, l.o
	kids, err := p.FS.ReadDir(p.Path(name))
	if err != nil {
		p.Errorf("cannot open directory '%s': %s", name, proc.Text(err))
		return false
	}
	if titled {
		p.Printf("%s:\n", name)
	}
	infos := map[string]vfs.Info{}
	var names []string
	if o.has("a") || o.has("f") {
		for _, dot := range []string{".", ".."} {
			if st, err := p.FS.Stat(p.Path(name) + "/" + dot); err == nil {
				infos[dot] = st
				names = append(names, dot)
			}
		}
	}
	blocks := int64(0)
	for _, kid := range kids {
		if strings.HasPrefix(kid.Name(), ".") && !o.has("a") && !o.has("A") && !o.has("f") {
			continue
		}
		infos[kid.Name()] = kid
		names = append(names, kid.Name())
		blocks += (kid.Size() + 4095) / 4096 * 4
	}
	if o.has("l") || o.has("s") || o.has("n") {
		p.Printf("total %d\n", blocks)
	}
	l.show(name, names, infos)
	ok := true
	if o.has("R") {
		for _, kid := range names {
			if infos[kid].IsDir() && kid != "." && kid != ".." {
				p.Printf("\n")
				ok = l.folder(strings.TrimSuffix(name, "/")+"/"+kid, true) && ok
			}
		}
	}
	return ok
}

func (l *lister) show(dir string, names []string, infos map[string]vfs.Info) {
	p, o := l.p, l.o
	switch {
	case o.has("t"):
		slices.SortStableFunc(names, func(a, b string) int { return infos[b].ModTime().Compare(infos[a].ModTime()) })
	case o.has("S"):
		slices.SortStableFunc(names, func(a, b string) int { return int(infos[b].Size() - infos[a].Size()) })
	case !o.has("U") && !o.has("f"):
		slices.Sort(names)
	}
	if o.has("r") {
		slices.Reverse(names)
	}
	long := o.has("l") || o.has("n") || o.has("g") || o.has("o") || o.has("full-time")
	var rows [][]string
	for _, name := range names {
		st := infos[name]
		shown := name
		if o.has("F") || o.has("p") {
			switch {
			case st.IsDir():
				shown += "/"
			case o.has("F") && st.IsLink() && !long:
				shown += "@"
			case o.has("F") && st.IsRegular() && st.Perm()&0o111 != 0:
				shown += "*"
			}
		}
		var row []string
		if o.has("i") {
			row = append(row, strconv.FormatUint(st.Ino, 10))
		}
		if long {
			user, group := account.UserName(p.FS, st.UserID), account.GroupName(p.FS, st.GroupID)
			if o.has("n") {
				user, group = strconv.Itoa(st.UserID), strconv.Itoa(st.GroupID)
			}
			size := strconv.FormatInt(st.Size(), 10)
			if o.has("h") {
				size = human(st.Size())
			}
			row = append(row, letters(st.Stat), strconv.Itoa(st.Links))
			if !o.has("g") {
				row = append(row, user)
			}
			if !o.has("o") {
				row = append(row, group)
			}
			row = append(row, size, lsTime(st.ModTime(), o))
			if st.IsLink() {
				full := name
				if dir != "" {
					full = dir + "/" + name
				}
				if target, err := p.FS.Readlink(p.Path(full)); err == nil {
					shown += " -> " + target
				}
			}
		}
		rows = append(rows, append(row, shown))
	}
	columns(p, rows)
}

// columns prints rows with their fields aligned; numbers to the right, the last field as it is.
func columns(p *proc.Proc, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			if i >= len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row[:len(row)-1] {
			if cell != "" && cell[0] >= '0' && cell[0] <= '9' {
				fmt.Fprintf(&b, "%*s ", widths[i], cell)
			} else {
				fmt.Fprintf(&b, "%-*s ", widths[i], cell)
			}
		}
		p.Printf("%s%s\n", b.String(), row[len(row)-1])
	}
}

func lsTime(t time.Time, o *options) string {
	switch style := o.val("time-style"); {
	case o.has("full-time"), style == "full-iso":
		return t.Format("2006-01-02 15:04:05.000000000 -0700")
	case style == "long-iso":
		return t.Format("2006-01-02 15:04")
	case strings.HasPrefix(style, "+"):
		return strftime(style[1:], t)
	case time.Since(t) > 182*24*time.Hour:
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}

// human is a size as -h shows it.
func human(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"K", "M", "G", "T"} {
		if f /= 1024; f < 1023.5 {
			break
		}
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f%s", f, unit)
	}
	return fmt.Sprintf("%.0f%s", f, unit)
}

func stat(_ context.Context, p *proc.Proc) int {
	o := parse(p, "c: L f t format=c printf: dereference=L file-system=f terse=t")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	code := 0
	for _, name := range o.Args {
		look := p.FS.Lstat
		if o.has("L") {
			look = p.FS.Stat
		}
		st, err := look(p.Path(name))
		if err != nil {
			p.Errorf("cannot statx '%s': %s", name, proc.Text(err))
			code = 1
			continue
		}
		switch {
		case o.has("f") && o.has("c"):
			p.Printf("%s\n", strings.NewReplacer("%T", "ext2/ext3", "%n", name, "%s", "4096", "%S", "4096").Replace(o.val("c")))
		case o.has("printf"):
			format, err := unescape(o.val("printf"))
			if err != nil {
				p.Errorf("%v", err)
				return 1
			}
			p.Printf("%s", statFormat(p, format, name, st))
		case o.has("c"):
			p.Printf("%s\n", statFormat(p, o.val("c"), name, st))
		case o.has("t"):
			p.Printf("%s\n", statFormat(p, "%n %s %b %f %u %g %D %i %h %t %T %X %Y %Z %W %o", name, st))
		default:
			p.Printf("%s\n", statFormat(p, "  File: %N\n  Size: %-10s\tBlocks: %-10b IO Block: %-6o %F\nDevice: %Dh/%dd\tInode: %-10i  Links: %h\nAccess: (%04a/%10A)  Uid: (%5u/%8U)   Gid: (%5g/%8G)\nAccess: %x\nModify: %y\nChange: %z\n Birth: -", name, st))
		}
	}
	return code
}

// statFormat fills stat's directives, with widths and flags.
func statFormat(p *proc.Proc, format, name string, st vfs.Info) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 >= len(format) {
			b.WriteByte(format[i])
			continue
		}
		start := i
		i++
		for i < len(format) && strings.IndexByte("#-+ 0123456789.", format[i]) >= 0 {
			i++
		}
		if i >= len(format) {
			b.WriteString(format[start:])
			break
		}
		spec := format[start+1 : i]
		value := statField(p, format[i], name, st)
		if format[i] == 'a' && strings.HasPrefix(spec, "0") {
			width, _ := strconv.Atoi(spec) //nolint:errcheck // digits only
			b.WriteString(strings.Repeat("0", max(0, width-len(value))) + value)
			continue
		}
		fmt.Fprintf(&b, "%"+strings.Trim(spec, "#+0")+"s", value)
	}
	return b.String()
}

func statField(p *proc.Proc, c byte, name string, st vfs.Info) string {
	seconds := strconv.FormatInt(st.ModTime().Unix(), 10)
	long := st.ModTime().Format("2006-01-02 15:04:05.000000000 -0700")
	switch c {
	case '%':
		return "%"
	case 'n':
		return name
	case 'N':
		if st.IsLink() {
			if target, err := p.FS.Readlink(p.Path(name)); err == nil {
				return "'" + name + "' -> '" + target + "'"
			}
		}
		return "'" + name + "'"
	case 's':
		return strconv.FormatInt(st.Size(), 10)
	case 'b':
		return strconv.FormatInt((st.Size()+4095)/4096*8, 10)
	case 'B':
		return "512"
	case 'f':
		return strconv.FormatUint(uint64(st.Stat), 16)
	case 'a':
		return strconv.FormatUint(uint64(st.Perm()), 8)
	case 'A':
		return letters(st.Stat)
	case 'u':
		return strconv.Itoa(st.UserID)
	case 'U':
		if u, found := account.UserWith(p.FS, st.UserID); found {
			return u.Name
		}
		return "UNKNOWN"
	case 'g':
		return strconv.Itoa(st.GroupID)
	case 'G':
		if g, found := account.GroupWith(p.FS, st.GroupID); found {
			return g.Name
		}
		return "UNKNOWN"
	case 'i':
		return strconv.FormatUint(st.Ino, 10)
	case 'h':
		return strconv.Itoa(st.Links)
	case 'F':
		return kindName(st)
	case 'X', 'Y', 'Z':
		return seconds
	case 'W':
		return "0"
	case 'x', 'y', 'z':
		return long
	case 'w':
		return "-"
	case 'd':
		return "2049"
	case 'D':
		return "801"
	case 't':
		return strconv.FormatInt(int64(st.Rdev>>8), 16)
	case 'T':
		return strconv.FormatInt(int64(st.Rdev&0xff), 16)
	case 'o':
		return "4096"
	case 'm':
		return "/"
	case 'C':
		return "?"
	}
	return "?"
}

func readlink(_ context.Context, p *proc.Proc) int {
	o := parse(p, "f e m n q s v z canonicalize=f canonicalize-existing=e canonicalize-missing=m no-newline=n zero=z quiet=q silent=s verbose=v")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	code := 0
	for _, name := range o.Args {
		var out string
		var err error
		switch o.last("fem") {
		case "":
			out, err = p.FS.Readlink(p.Path(name))
		default:
			out, err = canonical(p, name, o.last("fem"))
		}
		if err != nil {
			if o.has("v") {
				p.Errorf("%s: %s", name, proc.Text(err))
			}
			code = 1
			continue
		}
		if !o.has("n") {
			out += map[bool]string{true: "\x00", false: "\n"}[o.has("z")]
		}
		p.Printf("%s", out)
	}
	return code
}

// canonical resolves a path: f lets the last part be missing, e nothing, m anything.
func canonical(p *proc.Proc, name, how string) (string, error) {
	full := p.Path(name)
	if how != "m" {
		return p.FS.RealPath(full, how == "f")
	}
	rest := ""
	for at := path.Clean(full); ; at = path.Dir(at) {
		if real, err := p.FS.RealPath(at, true); err == nil {
			return path.Join(real, rest), nil
		}
		rest = path.Join(path.Base(at), rest)
	}
}

func realpath(_ context.Context, p *proc.Proc) int {
	o := parse(p, "e m s q z L P canonicalize-existing=e canonicalize-missing=m strip=s no-symlinks=s quiet=q zero=z relative-to:")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	code := 0
	for _, name := range o.Args {
		how := o.last("em")
		if how == "" {
			how = "f"
		}
		out, err := canonical(p, name, how)
		if o.has("s") {
			out, err = path.Clean(p.Path(name)), nil
		}
		if err != nil {
			if !o.has("q") {
				p.Errorf("%s: %s", name, proc.Text(err))
			}
			code = 1
			continue
		}
		if to := o.val("relative-to"); to != "" {
			out = relative(p.Path(to), out)
		}
		p.Printf("%s%s", out, map[bool]string{true: "\x00", false: "\n"}[o.has("z")])
	}
	return code
}

func basename(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a s: z multiple=a suffix=s zero=z")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	names, suffix := o.Args, o.val("s")
	if !o.has("a") && !o.has("s") {
		names = o.Args[:1]
		if len(o.Args) > 1 {
			suffix = o.Args[1]
		}
	}
	for _, name := range names {
		out := path.Base(name)
		if cut := strings.TrimSuffix(out, suffix); cut != "" {
			out = cut
		}
		p.Printf("%s\n", out)
	}
	return 0
}

func dirname(_ context.Context, p *proc.Proc) int {
	o := parse(p, "z zero=z")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	for _, name := range o.Args {
		trimmed := strings.TrimRight(name, "/")
		out := "."
		switch at := strings.LastIndexByte(trimmed, '/'); {
		case trimmed == "" && name != "":
			out = "/"
		case at == 0:
			out = "/"
		case at > 0:
			out = strings.TrimRight(trimmed[:at], "/")
		}
		p.Printf("%s\n", out)
	}
	return 0
}

func du(_ context.Context, p *proc.Proc) int {
	o := parse(p, "s h k m b a c d: x summarize=s human-readable=h bytes=b all=a total=c max-depth=d apparent-size=b one-file-system=x")
	if o == nil {
		return 1
	}
	names := o.Args
	if len(names) == 0 {
		names = []string{"."}
	}
	code := 0
	deepest := 1 << 30
	if o.has("s") {
		deepest = 0
	} else if o.has("d") {
		n, err := strconv.Atoi(o.val("d"))
		if err != nil {
			p.Errorf("invalid maximum depth ‘%s’", o.val("d"))
			return 1
		}
		deepest = n
	}
	var walk func(string, int) (int64, error)
	walk = func(name string, depth int) (int64, error) {
		st, err := p.FS.Lstat(p.Path(name))
		if err != nil {
			return 0, err
		}
		size := (st.Size() + 4095) / 4096 * 4096
		if o.has("b") {
			size = st.Size()
		}
		if st.IsDir() {
			kids, err := p.FS.ReadDir(p.Path(name))
			if err != nil {
				return 0, err
			}
			for _, kid := range kids {
				n, err := walk(strings.TrimSuffix(name, "/")+"/"+kid.Name(), depth+1)
				if err != nil {
					return 0, err
				}
				size += n
			}
		}
		if depth <= deepest && (st.IsDir() || o.has("a") || depth == 0) {
			shown := strconv.FormatInt(size/1024, 10)
			switch {
			case o.has("b"):
				shown = strconv.FormatInt(size, 10)
			case o.has("h"):
				shown = human(size)
			case o.has("m"):
				shown = strconv.FormatInt((size+1<<20-1)>>20, 10)
			}
			p.Printf("%s\t%s\n", shown, name)
		}
		return size, nil
	}
	for _, name := range names {
		if _, err := walk(name, 0); err != nil {
			p.Errorf("cannot access '%s': %s", name, proc.Text(errors.Unwrap(err)))
			code = 1
		}
	}
	return code
}
