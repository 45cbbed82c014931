package tools

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// lines reads all inputs as lines without their ends.
func lines(p *proc.Proc, names []string, end byte) ([]string, int) {
	var all []string
	code := eachInput(p, names, func(_ string, r io.Reader) error {
		b, err := io.ReadAll(r)
		text := strings.TrimSuffix(string(b), string(end))
		if len(b) > 0 {
			all = append(all, strings.Split(text, string(end))...)
		}
		return err
	})
	return all, code
}

func sortLines(_ context.Context, p *proc.Proc) int {
	o := parse(p, "u r n h V b f d g s c C z k: t: o: m R unique=u reverse=r numeric-sort=n human-numeric-sort=h version-sort=V ignore-leading-blanks=b ignore-case=f key=k field-separator=t output=o stable=s check=c zero-terminated=z")
	if o == nil {
		return 2
	}
	end := byte('\n')
	if o.has("z") {
		end = 0
	}
	all, code := lines(p, o.Args, end)
	if code != 0 {
		return 2
	}
	compare := func(a, b string) int {
		for _, key := range o.set["k"] {
			x, y := sortKey(a, key, o.val("t")), sortKey(b, key, o.val("t"))
			flags := strings.TrimLeft(key, "0123456789,.")
			c := compareBy(x, y, o.has("n") || strings.Contains(flags, "n"), o.has("V") || strings.Contains(flags, "V"), o.has("f"), o.has("h") || strings.Contains(flags, "h"))
			if strings.Contains(flags, "r") {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		if o.has("k") {
			if o.has("s") || o.has("u") {
				return 0
			}
			return strings.Compare(a, b)
		}
		c := compareBy(a, b, o.has("n") || o.has("g"), o.has("V"), o.has("f"), o.has("h"))
		if c == 0 && !o.has("s") && !o.has("u") {
			c = strings.Compare(a, b)
		}
		return c
	}
	order := compare
	if o.has("r") {
		order = func(a, b string) int { return compare(b, a) }
	}
	if o.has("c") || o.has("C") {
		for i := 1; i < len(all); i++ {
			if c := order(all[i-1], all[i]); c > 0 || c == 0 && o.has("u") {
				if !o.has("C") {
					p.Errorf("-:%d: disorder: %s", i+1, all[i])
				}
				return 1
			}
		}
		return 0
	}
	slices.SortStableFunc(all, order)
	if o.has("u") {
		all = slices.CompactFunc(all, func(a, b string) bool { return compare(a, b) == 0 })
	}
	var b bytes.Buffer
	for _, line := range all {
		b.WriteString(line)
		b.WriteByte(end)
	}
	if o.has("o") {
		d, err := p.Open(o.val("o"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			p.Errorf("open failed: %s: %s", o.val("o"), proc.Text(err))
			return 2
		}
		f := &descFile{d}
		defer f.Close() //nolint:errcheck // a tree's files fail when they are written
		if _, err := f.Write(b.Bytes()); err != nil {
			p.Errorf("write failed: %s", proc.Text(err))
			return 2
		}
		return 0
	}
	if _, err := p.Stdout.Write(b.Bytes()); err != nil {
		return 2
	}
	return 0
}

// sortKey is the part of a line that -k names.
func sortKey(line, key, sep string) string {
	from, to, hasEnd := strings.Cut(strings.TrimRight(key, "nrbfVhdM"), ",")
	first := number(from)
	last := 1 << 30
	if hasEnd {
		last = number(strings.TrimRight(to, "nrbfVhdM"))
	}
	var fields []string
	if sep != "" {
		fields = strings.Split(line, sep)
	} else {
		fields = strings.Fields(line)
		sep = " "
	}
	if first > len(fields) || first < 1 {
		return ""
	}
	return strings.Join(fields[first-1:min(last, len(fields))], sep)
}

// number reads the digits at the beginning of a text.
func number(s string) int {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}

func compareBy(a, b string, numeric, version, fold, sized bool) int {
	switch {
	case version:
		return CompareVersions(a, b)
	case numeric, sized:
		return cmp.Compare(leading(a, sized), leading(b, sized))
	case fold:
		return strings.Compare(strings.ToUpper(a), strings.ToUpper(b))
	}
	return strings.Compare(a, b)
}

// leading is the number that a text begins with.
func leading(s string, sized bool) float64 {
	s = strings.TrimLeft(s, " \t")
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.' || end == 0 && s[end] == '-') {
		end++
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return 0
	}
	if sized && end < len(s) {
		if power := strings.IndexByte("KMGTP", s[end]&^0x20); power >= 0 {
			for range power + 1 {
				n *= 1024
			}
		}
	}
	return n
}

func uniq(_ context.Context, p *proc.Proc) int {
	o := parse(p, "c d u i z count=c repeated=d unique=u ignore-case=i")
	if o == nil {
		return 1
	}
	names := o.Args
	if len(names) > 1 {
		names = names[:1]
	}
	all, code := lines(p, names, '\n')
	same := func(a, b string) bool { return a == b || o.has("i") && strings.EqualFold(a, b) }
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && same(all[i], all[j]) {
			j++
		}
		switch n := j - i; {
		case o.has("d") && n < 2, o.has("u") && n > 1:
		case o.has("c"):
			p.Printf("%7d %s\n", n, all[i])
		default:
			p.Printf("%s\n", all[i])
		}
		i = j
	}
	return code
}

func cut(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d: f: c: b: s z delimiter=d fields=f characters=c bytes=b only-delimited=s output-delimiter: complement")
	if o == nil {
		return 1
	}
	spec := o.val("f") + o.val("c") + o.val("b")
	if spec == "" {
		p.Errorf("you must specify a list of bytes, characters, or fields\nTry 'cut --help' for more information.")
		return 1
	}
	wanted, err := ranges(spec)
	if err != nil {
		p.Errorf("%v", err)
		return 1
	}
	if o.has("complement") {
		plain := wanted
		wanted = func(n int) bool { return !plain(n) }
	}
	sep := "\t"
	if o.has("d") {
		sep = o.val("d")
	}
	out := sep
	if o.has("output-delimiter") {
		out = o.val("output-delimiter")
	}
	all, code := lines(p, o.Args, '\n')
	for _, line := range all {
		if !o.has("f") {
			var b []byte
			for i := range len(line) {
				if wanted(i + 1) {
					b = append(b, line[i])
				}
			}
			p.Printf("%s\n", b)
			continue
		}
		if !strings.Contains(line, sep) {
			if !o.has("s") {
				p.Printf("%s\n", line)
			}
			continue
		}
		var kept []string
		for i, field := range strings.Split(line, sep) {
			if wanted(i + 1) {
				kept = append(kept, field)
			}
		}
		p.Printf("%s\n", strings.Join(kept, out))
	}
	return code
}

// ranges reads 1,3-5,7- and returns whether a number is in it.
func ranges(spec string) (func(int) bool, error) {
	type span struct{ from, to int }
	var spans []span
	for part := range strings.SplitSeq(spec, ",") {
		from, to, is := strings.Cut(part, "-")
		s := span{1, 1 << 30}
		var err error
		if from != "" {
			if s.from, err = strconv.Atoi(from); err != nil {
				return nil, fmt.Errorf("invalid field value ‘%s’", part)
			}
		}
		if !is {
			s.to = s.from
		} else if to != "" {
			if s.to, err = strconv.Atoi(to); err != nil {
				return nil, fmt.Errorf("invalid field value ‘%s’", part)
			}
		}
		spans = append(spans, s)
	}
	return func(n int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.from <= n && n <= s.to })
	}, nil
}

func tr(_ context.Context, p *proc.Proc) int {
	o := parse(p, "+ d s c C t delete=d squeeze-repeats=s complement=c truncate-set1=t")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	first := byteSet(o.Args[0])
	var in [256]bool
	for _, c := range first {
		in[c] = true
	}
	if o.has("c") || o.has("C") {
		first = nil
		for c := range 256 {
			in[c] = !in[c]
			if in[c] {
				first = append(first, byte(c))
			}
		}
	}
	var second []byte
	if len(o.Args) > 1 {
		second = byteSet(o.Args[1])
	}
	var to [256]byte
	for c := range 256 {
		to[c] = byte(c)
	}
	var squeeze [256]bool
	if o.has("s") {
		set := second
		if len(o.Args) == 1 {
			set = first
		}
		for _, c := range set {
			squeeze[c] = true
		}
	}
	if !o.has("d") && len(second) > 0 {
		for i, c := range first {
			to[c] = second[min(i, len(second)-1)]
		}
	}
	r := bufio.NewReader(p.Stdin)
	w := bufio.NewWriter(p.Stdout)
	last := -1
	for {
		c, err := r.ReadByte()
		if err != nil {
			break
		}
		if o.has("d") && in[c] {
			continue
		}
		c = to[c]
		if squeeze[c] && last == int(c) {
			continue
		}
		last = int(c)
		if err := w.WriteByte(c); err != nil {
			return 1
		}
	}
	if w.Flush() != nil {
		return 1
	}
	return 0
}

// byteSet expands tr's notation: ranges, classes and escapes.
func byteSet(spec string) []byte {
	var out []byte
	s, _ := escapes(spec, false)
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], "[:") {
			if end := strings.Index(s[i:], ":]"); end > 0 {
				out = append(out, class(s[i+2:i+end])...)
				i += end + 1
				continue
			}
		}
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= s[i] {
			for c := int(s[i]); c <= int(s[i+2]); c++ {
				out = append(out, byte(c))
			}
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

func class(name string) []byte {
	var out []byte
	for c := range 256 {
		b := byte(c)
		lower, upper, digit := b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9'
		var is bool
		switch name {
		case "lower":
			is = lower
		case "upper":
			is = upper
		case "digit":
			is = digit
		case "alpha":
			is = lower || upper
		case "alnum":
			is = lower || upper || digit
		case "space":
			is = strings.IndexByte(" \t\n\r\v\f", b) >= 0
		case "blank":
			is = b == ' ' || b == '\t'
		case "cntrl":
			is = b < ' ' || b == 0x7f
		case "print":
			is = b >= ' ' && b < 0x7f
		case "graph":
			is = b > ' ' && b < 0x7f
		case "punct":
			is = b > ' ' && b < 0x7f && !lower && !upper && !digit
		case "xdigit":
			is = digit || b|0x20 >= 'a' && b|0x20 <= 'f'
		}
		if is {
			out = append(out, b)
		}
	}
	return out
}

func seq(_ context.Context, p *proc.Proc) int {
	args := p.Args[1:]
	sep, width := "\n", 0
	for len(args) > 0 && (strings.HasPrefix(args[0], "-w") || strings.HasPrefix(args[0], "-s")) {
		switch {
		case args[0] == "-w":
			width = len(args[len(args)-1])
		case args[0] != "-s":
			sep = args[0][2:]
		case len(args) > 1:
			sep, args = args[1], args[1:]
		}
		args = args[1:]
	}
	n := []float64{1, 1, 0}
	for i, arg := range args {
		v, err := strconv.ParseFloat(arg, 64)
		if err != nil || len(args) > 3 {
			p.Errorf("invalid floating point argument: ‘%s’", arg)
			return 1
		}
		switch len(args) {
		case 1:
			n[2] = v
		case 2:
			n[i*2] = v
		case 3:
			n[i] = v
		}
	}
	if len(args) == 0 {
		return missing(p)
	}
	if n[1] == 0 {
		p.Errorf("invalid Zero increment value: ‘0’")
		return 1
	}
	var out []string
	for v := n[0]; n[1] > 0 && v <= n[2] || n[1] < 0 && v >= n[2]; v += n[1] {
		text := strconv.FormatFloat(v, 'f', -1, 64)
		out = append(out, strings.Repeat("0", max(0, width-len(text)))+text)
	}
	if len(out) > 0 {
		p.Printf("%s\n", strings.Join(out, sep))
	}
	return 0
}

func tac(_ context.Context, p *proc.Proc) int {
	all, code := lines(p, p.Args[1:], '\n')
	for _, line := range slices.Backward(all) {
		p.Printf("%s\n", line)
	}
	return code
}

func rev(_ context.Context, p *proc.Proc) int {
	all, code := lines(p, p.Args[1:], '\n')
	for _, line := range all {
		r := []rune(line)
		slices.Reverse(r)
		p.Printf("%s\n", string(r))
	}
	return code
}

func nl(_ context.Context, p *proc.Proc) int {
	o := parse(p, "b: w: s:")
	if o == nil {
		return 1
	}
	all, code := lines(p, o.Args, '\n')
	n := 0
	for _, line := range all {
		if line == "" && o.val("b") != "a" {
			p.Printf("       \n")
			continue
		}
		n++
		p.Printf("%6d\t%s\n", n, line)
	}
	return code
}

func paste(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d: s delimiters=d serial=s")
	if o == nil {
		return 1
	}
	sep := "\t"
	if o.has("d") {
		sep, _ = escapes(o.val("d"), false)
	}
	names := o.Args
	if len(names) == 0 {
		names = []string{"-"}
	}
	var columns [][]string
	longest := 0
	for _, name := range names {
		all, code := lines(p, []string{name}, '\n')
		if code != 0 {
			return code
		}
		if o.has("s") {
			p.Printf("%s\n", strings.Join(all, sep))
			continue
		}
		columns = append(columns, all)
		longest = max(longest, len(all))
	}
	for i := range longest {
		row := make([]string, len(columns))
		for c, column := range columns {
			if i < len(column) {
				row[c] = column[i]
			}
		}
		p.Printf("%s\n", strings.Join(row, sep))
	}
	return 0
}

// cmpFiles is cmp(1).
func cmpFiles(_ context.Context, p *proc.Proc) int {
	o := parse(p, "s l quiet=s silent=s")
	if o == nil {
		return 2
	}
	if len(o.Args) < 2 {
		return missing(p) + 1
	}
	a, err := readInput(p, o.Args[0])
	if err != nil {
		p.Errorf("%s: %s", o.Args[0], proc.Text(err))
		return 2
	}
	b, err := readInput(p, o.Args[1])
	if err != nil {
		p.Errorf("%s: %s", o.Args[1], proc.Text(err))
		return 2
	}
	if bytes.Equal(a, b) {
		return 0
	}
	if o.has("s") {
		return 1
	}
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	if at == len(a) || at == len(b) {
		short := o.Args[0]
		if at < len(a) {
			short = o.Args[1]
		}
		p.Errorf("EOF on %s after byte %d", short, at)
		return 1
	}
	p.Printf("%s %s differ: byte %d, line %d\n", o.Args[0], o.Args[1], at+1, bytes.Count(a[:at], []byte("\n"))+1)
	return 1
}

// diff tells whether files differ, with -q and -u's first lines; it writes a plain replacement of the
// lines between the common beginning and the common end.
func diff(_ context.Context, p *proc.Proc) int {
	o := parse(p, "q u U: N a r brief=q unified=u new-file=N text=a label: recursive=r")
	if o == nil {
		return 2
	}
	if len(o.Args) != 2 {
		return missing(p) + 1
	}
	var text [2][]string
	for i, name := range o.Args {
		b, err := readInput(p, name)
		if err != nil && !o.has("N") {
			p.Errorf("%s: %s", name, proc.Text(err))
			return 2
		}
		text[i] = strings.SplitAfter(string(b), "\n")
	}
	a, b := text[0], text[1]
	if slices.Equal(a, b) {
		return 0
	}
	if o.has("q") {
		p.Printf("Files %s and %s differ\n", o.Args[0], o.Args[1])
		return 1
	}
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	old, now := a[start:len(a)-end], b[start:len(b)-end]
	marks := []string{"< ", "> "}
	if o.has("u") || o.has("U") {
		marks = []string{"-", "+"}
		p.Printf("--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", o.Args[0], o.Args[1], start+1, len(old), start+1, len(now))
	} else {
		p.Printf("%s%s%s\n", lineSpan(start, len(old)), diffVerb(len(old), len(now)), lineSpan(start, len(now)))
	}
	for _, line := range old {
		p.Printf("%s%s\n", marks[0], strings.TrimSuffix(line, "\n"))
	}
	if marks[0] == "< " && len(old) > 0 && len(now) > 0 {
		p.Printf("---\n")
	}
	for _, line := range now {
		p.Printf("%s%s\n", marks[1], strings.TrimSuffix(line, "\n"))
	}
	return 1
}

// lineSpan and diffVerb write the head of a difference as ed would do it.
func lineSpan(start, n int) string {
	if n > 1 {
		return fmt.Sprintf("%d,%d", start+1, start+n)
	}
	return strconv.Itoa(start + n)
}

func diffVerb(old, now int) string {
	switch {
	case old == 0:
		return "a"
	case now == 0:
		return "d"
	}
	return "c"
}
