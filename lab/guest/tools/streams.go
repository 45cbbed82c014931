package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"phoenix-run/lab/guest/proc"
)

// input opens a file to read, "-" being the standard input.
func input(p *proc.Proc, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	d, err := p.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if d.File != nil && d.File.Stat().IsDir() {
		return nil, errors.Join(syscall.EISDIR, d.Close())
	}
	return &descFile{d}, nil
}

type descFile struct{ d *proc.Desc }

func (f *descFile) Read(b []byte) (int, error) {
	if f.d.R == nil {
		return 0, syscall.EBADF
	}
	return f.d.R.Read(b)
}
func (f *descFile) Write(b []byte) (int, error) {
	if f.d.W == nil {
		return 0, syscall.EBADF
	}
	return f.d.W.Write(b)
}
func (f *descFile) Close() error { return f.d.Close() }

// eachInput runs f on each file named, or on the standard input if none is, and goes on after errors.
func eachInput(p *proc.Proc, names []string, f func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	code := 0
	for _, name := range names {
		r, err := input(p, name)
		if err == nil {
			err = errors.Join(f(name, r), r.Close())
		}
		if errors.Is(err, errSaid) {
			code = 1
		} else if err != nil {
			p.Errorf("%s: %s", name, proc.Text(err))
			code = 1
		}
	}
	return code
}

func cat(_ context.Context, p *proc.Proc) int {
	o := parse(p, "n A v E T u s b number=n show-all=A show-nonprinting=v show-ends=E")
	if o == nil {
		return 1
	}
	n := 0
	return eachInput(p, o.Args, func(_ string, r io.Reader) error {
		if !o.has("n") && !o.has("A") && !o.has("E") {
			_, err := io.Copy(p.Stdout, r)
			return err
		}
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if line != "" {
				if o.has("n") {
					n++
					line = fmt.Sprintf("%6d\t%s", n, line)
				}
				if o.has("A") || o.has("E") {
					if text, found := strings.CutSuffix(line, "\n"); found {
						line = text + "$\n"
					}
				}
				if _, err := io.WriteString(p.Stdout, line); err != nil {
					return err
				}
			}
			if err != nil {
				return ignoreEOF(err)
			}
		}
	})
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// count reads a number with GNU's suffixes.
func count(s string) (int64, error) {
	mult := int64(1)
	for suffix, m := range map[string]int64{"b": 512, "kB": 1000, "K": 1 << 10, "k": 1 << 10, "MB": 1e6, "M": 1 << 20, "GB": 1e9, "G": 1 << 30, "T": 1 << 40, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, found := strings.CutSuffix(s, suffix); found && rest != "" && rest[len(rest)-1] >= '0' && rest[len(rest)-1] <= '9' {
			s, mult = rest, m
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n * mult, err
}

// oldCount turns head -5 into head -n 5.
func oldCount(p *proc.Proc) {
	if len(p.Args) > 1 && len(p.Args[1]) > 1 && p.Args[1][0] == '-' && p.Args[1][1] >= '0' && p.Args[1][1] <= '9' {
		p.Args = append([]string{p.Args[0], "-n", p.Args[1][1:]}, p.Args[2:]...)
	}
}

func head(_ context.Context, p *proc.Proc) int {
	oldCount(p)
	o := parse(p, "n: c: q v z lines=n bytes=c quiet=q silent=q verbose=v")
	if o == nil {
		return 1
	}
	what, bytewise := "10", o.has("c")
	if bytewise {
		what = o.val("c")
	} else if o.has("n") {
		what = o.val("n")
	}
	n, err := count(strings.TrimPrefix(what, "-"))
	if err != nil {
		p.Errorf("invalid number of %s: ‘%s’", map[bool]string{true: "bytes", false: "lines"}[bytewise], what)
		return 1
	}
	butLast := strings.HasPrefix(what, "-")
	first := true
	return eachInput(p, o.Args, func(name string, r io.Reader) error {
		if len(o.Args) > 1 && !o.has("q") || o.has("v") {
			if !first {
				p.Printf("\n")
			}
			p.Printf("==> %s <==\n", name)
		}
		first = false
		switch {
		case butLast:
			return allBut(p.Stdout, r, int(n), bytewise)
		case bytewise:
			// No byte more is read than asked for: the rest of the stream is for others.
			_, err := io.CopyN(p.Stdout, exact{r}, n)
			return ignoreEOF(err)
		}
		return headLines(p.Stdout, r, n)
	})
}

// exact hides everything but Read, so that io.CopyN's limit is what is read at most.
type exact struct{ io.Reader }

func headLines(w io.Writer, r io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	// GNU's head gives back what it read too much where it can; reading by bytes does the same here.
	var b [1]byte
	out := bufio.NewWriter(w)
	for n > 0 {
		k, err := r.Read(b[:])
		if k > 0 {
			if err := out.WriteByte(b[0]); err != nil {
				return err
			}
			if b[0] == '\n' {
				n--
			}
		}
		if err != nil {
			return errors.Join(ignoreEOF(err), out.Flush())
		}
	}
	return out.Flush()
}

func allBut(w io.Writer, r io.Reader, n int, bytewise bool) error {
	all, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if bytewise {
		_, err = w.Write(all[:max(0, len(all)-n)])
		return err
	}
	lines := bytes.SplitAfter(all, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	_, err = w.Write(bytes.Join(lines[:max(0, len(lines)-n)], nil))
	return err
}

func tail(_ context.Context, p *proc.Proc) int {
	oldCount(p)
	o := parse(p, "n: c: q v f F lines=n bytes=c quiet=q follow=f")
	if o == nil {
		return 1
	}
	what, bytewise := "10", o.has("c")
	if bytewise {
		what = o.val("c")
	} else if o.has("n") {
		what = o.val("n")
	}
	n, err := count(strings.TrimLeft(what, "+-"))
	if err != nil {
		p.Errorf("invalid number of lines: ‘%s’", what)
		return 1
	}
	return eachInput(p, o.Args, func(name string, r io.Reader) error {
		if len(o.Args) > 1 && !o.has("q") {
			p.Printf("==> %s <==\n", name)
		}
		all, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		parts := bytes.SplitAfter(all, []byte("\n"))
		if len(parts[len(parts)-1]) == 0 {
			parts = parts[:len(parts)-1]
		}
		if bytewise {
			from := max(0, len(all)-int(n))
			if what[0] == '+' {
				from = min(len(all), max(0, int(n)-1))
			}
			_, err = p.Stdout.Write(all[from:])
			return err
		}
		from := max(0, len(parts)-int(n))
		if what[0] == '+' {
			from = min(len(parts), max(0, int(n)-1))
		}
		_, err = p.Stdout.Write(bytes.Join(parts[from:], nil))
		return err
	})
}

func tee(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a i append=a ignore-interrupts=i")
	if o == nil {
		return 1
	}
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.has("a") {
		flag = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	code := 0
	outs := []io.Writer{p.Stdout}
	for _, name := range o.Args {
		d, err := p.Open(name, flag, 0o666)
		if err != nil {
			p.Errorf("%s: %s", name, proc.Text(err))
			code = 1
			continue
		}
		f := &descFile{d}
		defer f.Close() //nolint:errcheck // a tree's files fail when they are written
		outs = append(outs, f)
	}
	if _, err := io.Copy(io.MultiWriter(outs...), p.Stdin); err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	return code
}

func wc(_ context.Context, p *proc.Proc) int {
	o := parse(p, "l w c m lines=l words=w bytes=c chars=m")
	if o == nil {
		return 1
	}
	all := !o.has("l") && !o.has("w") && !o.has("c") && !o.has("m")
	single := len(o.Args) <= 1 && len(o.set) == 1
	var total [3]int
	width := wcWidth(p, o.Args, single)
	show := func(n [3]int, name string) {
		var out []string
		for i, key := range []string{"l", "w", "c"} {
			if all || o.has(key) || key == "c" && o.has("m") {
				out = append(out, fmt.Sprintf("%*d", width, n[i]))
			}
		}
		line := strings.Join(out, " ")
		if name != "-" && name != "" {
			line += " " + name
		}
		p.Printf("%s\n", line)
	}
	code := eachInput(p, o.Args, func(name string, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		n := [3]int{bytes.Count(b, []byte("\n")), len(bytes.Fields(b)), len(b)}
		if o.has("m") {
			n[2] = len([]rune(string(b)))
		}
		for i := range n {
			total[i] += n[i]
		}
		show(n, name)
		return nil
	})
	if len(o.Args) > 1 {
		show(total, "total")
	}
	return code
}

// wcWidth is how wide wc's columns are: as the largest number could be, 7 where that is not known.
func wcWidth(p *proc.Proc, names []string, single bool) int {
	if single {
		return 1
	}
	if len(names) == 0 {
		return 7
	}
	width, total := 1, int64(0)
	for _, name := range names {
		st, err := p.FS.Stat(p.Path(name))
		if name == "-" || err == nil && !st.IsRegular() {
			width = 7
			continue
		}
		total += st.Size()
	}
	return max(width, len(strconv.FormatInt(total, 10)))
}

// dd copies blocks. Its report goes to the standard error unless status=none.
func dd(_ context.Context, p *proc.Proc) int {
	v := map[string]string{"bs": "512"}
	for _, arg := range p.Args[1:] {
		key, value, found := strings.Cut(arg, "=")
		switch key {
		case "if", "of", "bs", "ibs", "obs", "count", "skip", "seek", "status", "iflag", "oflag", "conv":
			v[key] = value
		default:
			found = false
		}
		if !found {
			p.Errorf("unrecognized operand ‘%s’", arg)
			return 1
		}
	}
	if v["ibs"] != "" {
		v["bs"] = v["ibs"]
	}
	num := map[string]int64{"count": -1}
	for _, key := range []string{"bs", "count", "skip", "seek"} {
		if v[key] == "" {
			continue
		}
		n, err := count(v[key])
		if err != nil || n < 0 || key == "bs" && n == 0 {
			p.Errorf("invalid number: ‘%s’", v[key])
			return 1
		}
		num[key] = n
	}
	has := func(key, word string) bool { return strings.Contains(","+v[key]+",", ","+word+",") }
	var in io.Reader = p.Stdin
	if v["if"] != "" {
		f, err := input(p, v["if"])
		if err != nil {
			p.Errorf("failed to open '%s': %s", v["if"], proc.Text(err))
			return 1
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	out := p.Stdout
	if v["of"] != "" {
		flag := os.O_WRONLY | os.O_CREATE
		switch {
		case has("oflag", "append"):
			flag |= os.O_APPEND
		case !has("conv", "notrunc") && num["seek"] == 0:
			flag |= os.O_TRUNC
		}
		if has("conv", "excl") {
			flag |= os.O_EXCL
		}
		d, err := p.Open(v["of"], flag, 0o666)
		if err != nil {
			p.Errorf("failed to open '%s': %s", v["of"], proc.Text(err))
			return 1
		}
		f := &descFile{d}
		defer f.Close() //nolint:errcheck // a tree's files fail when they are written
		if num["seek"] > 0 && d.File != nil {
			to := num["seek"] * num["bs"]
			if has("oflag", "seek_bytes") {
				to = num["seek"]
			}
			if _, err := d.File.Seek(to, io.SeekStart); err != nil {
				p.Errorf("%s: cannot seek: %s", v["of"], proc.Text(err))
				return 1
			}
			if !has("conv", "notrunc") {
				if err := d.File.Truncate(to); err != nil {
					p.Errorf("%s: %s", v["of"], proc.Text(err))
					return 1
				}
			}
		}
		out = f
	}
	full := has("iflag", "fullblock")
	buf := make([]byte, num["bs"])
	skip := num["skip"]
	if has("iflag", "skip_bytes") {
		if _, err := io.CopyN(io.Discard, exact{in}, skip); err != nil && !errors.Is(err, io.EOF) {
			p.Errorf("%s", proc.Text(err))
			return 1
		}
		skip = 0
	}
	left := int64(-1)
	if has("iflag", "count_bytes") {
		left, num["count"] = num["count"], -1
	}
	var blocks, partial, total int64
	for num["count"] < 0 || blocks+partial < num["count"] {
		b := buf
		if left >= 0 {
			b = buf[:min(int64(len(buf)), left)]
			if len(b) == 0 {
				break
			}
		}
		var n int
		var err error
		if full || skip > 0 {
			n, err = io.ReadFull(in, b)
		} else {
			n, err = in.Read(b)
		}
		if n > 0 && skip > 0 {
			skip--
			continue
		}
		if n > 0 {
			left = max(left-int64(n), min(left, 0))
			if n == len(buf) {
				blocks++
			} else {
				partial++
			}
			total += int64(n)
			if _, err := out.Write(b[:n]); err != nil {
				p.Errorf("error writing '%s': %s", v["of"], proc.Text(err))
				return 1
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				p.Errorf("error reading: %s", proc.Text(err))
				return 1
			}
			break
		}
	}
	if v["status"] != "none" {
		report := fmt.Sprintf("%d+%d records in\n%[1]d+%[2]d records out\n", blocks, partial)
		if v["status"] != "noxfer" {
			report += fmt.Sprintf("%d bytes copied, 0.001 s, %d kB/s\n", total, total)
		}
		if _, err := io.WriteString(p.Stderr, report); err != nil {
			return 1
		}
	}
	return 0
}
