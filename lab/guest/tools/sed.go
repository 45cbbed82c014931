package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// sedAddress is where a command applies: a line number, the last line, or a pattern.
type sedAddress struct {
	line   int // -1: the last line
	step   int // first~step
	re     *regexp.Regexp
	plus   int // addr,+N
	isPlus bool
}

type sedCommand struct {
	from, to *sedAddress
	not      bool
	name     byte
	text     string // a, i, c; label of b, t, T, :; file of w, r
	re       *regexp.Regexp
	replace  string
	global   bool
	nth      int
	print    bool
	fold     bool
	writeTo  string
	block    int // of {: the index after the matching }
	active   bool
	endLine  int
	y        map[byte]byte
}

func sed(_ context.Context, p *proc.Proc) int {
	o := parse(p, "n e: f: i? E r s u z b quiet=n silent=n expression=e file=f in-place=i regexp-extended=E separate=s null-data=z posix debug follow-symlinks")
	if o == nil {
		return 1
	}
	var script []string
	for _, key := range o.seq {
		switch key {
		case "e":
			script = append(script, o.set["e"][0])
			o.set["e"] = append(o.set["e"][1:], o.set["e"][0])
		case "f":
			b, err := readInput(p, o.set["f"][0])
			if err != nil {
				p.Errorf("couldn't open file %s: %s", o.set["f"][0], proc.Text(err))
				return 1
			}
			script = append(script, strings.TrimSuffix(string(b), "\n"))
			o.set["f"] = append(o.set["f"][1:], o.set["f"][0])
		}
	}
	files := o.Args
	if len(script) == 0 {
		if len(files) == 0 {
			p.Printf("Usage: sed [OPTION]... {script-only-if-no-other-script} [input-file]...\n")
			return 1
		}
		script, files = files[:1], files[1:]
	}
	commands, err := parseSed(strings.Join(script, "\n"), o.has("E") || o.has("r"))
	if err != nil {
		p.Errorf("-e expression #1, %v", err)
		return 1
	}
	e := &editor{p: p, commands: commands, quiet: o.has("n"), end: '\n', wrote: map[string]bool{}}
	if o.has("z") {
		e.end = 0
	}
	if !o.has("i") && !o.has("s") {
		return e.together(files)
	}
	code := 0
	for _, name := range files {
		if err := e.file(name, o.has("i"), o.val("i")); err != nil {
			if o.has("i") {
				p.Errorf("can't read %s: %s", name, proc.Text(err))
			} else {
				p.Errorf("%s: %s", name, proc.Text(err))
			}
			code = 2
		}
		if e.quitting {
			return e.code
		}
	}
	return code
}

// editor runs a script over lines.
type editor struct {
	p        *proc.Proc
	commands []*sedCommand
	quiet    bool
	end      byte
	wrote    map[string]bool

	in       *bufio.Reader
	out      *bufio.Writer
	number   int
	pattern  string
	hold     string
	newline  bool // whether the line that was read had an end
	appended []string
	quitting bool
	code     int
}

func (e *editor) together(files []string) int {
	var parts [][]byte
	code := 0
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		b, err := readInput(e.p, name)
		if err != nil {
			e.p.Errorf("can't read %s: %s", name, proc.Text(err))
			code = 2
			continue
		}
		if len(parts) > 0 && len(parts[len(parts)-1]) > 0 && !bytes.HasSuffix(parts[len(parts)-1], []byte{e.end}) {
			parts = append(parts, []byte{e.end})
		}
		parts = append(parts, b)
	}
	e.out = bufio.NewWriter(e.p.Stdout)
	if err := e.run(bytes.NewReader(bytes.Join(parts, nil))); err != nil {
		e.p.Errorf("%v", err)
		return 4
	}
	if e.quitting {
		return e.code
	}
	return code
}

// file edits one file by itself, in place if asked: a new file takes the old one's name.
func (e *editor) file(name string, inPlace bool, suffix string) error {
	content, err := readInput(e.p, name)
	if err != nil {
		return err
	}
	e.number = 0
	if !inPlace {
		e.out = bufio.NewWriter(e.p.Stdout)
		return e.run(bytes.NewReader(content))
	}
	full := e.p.Path(name)
	st, err := e.p.FS.Stat(full)
	if err != nil {
		return err
	}
	var result bytes.Buffer
	e.out = bufio.NewWriter(&result)
	if err := e.run(bytes.NewReader(content)); err != nil {
		return err
	}
	if suffix != "" {
		backup := full + suffix
		if strings.Contains(suffix, "*") {
			backup = path.Join(path.Dir(full), strings.ReplaceAll(suffix, "*", path.Base(full)))
		}
		if err := e.p.FS.WriteFile(backup, content, st.Perm()); err != nil {
			return err
		}
	}
	tmp := path.Join(path.Dir(full), ".sed"+strconv.FormatUint(st.Ino, 36))
	if err := e.p.FS.WriteFile(tmp, result.Bytes(), 0o600); err != nil {
		return err
	}
	if err := e.p.FS.Chown(tmp, st.UserID, st.GroupID, true); err != nil && e.p.FS.Cred.UID == 0 {
		return err
	}
	if err := e.p.FS.Chmod(tmp, st.Perm()); err != nil {
		return err
	}
	return e.p.FS.Rename(tmp, full)
}

func (e *editor) read() bool {
	line, err := e.in.ReadString(e.end)
	if line == "" && err != nil {
		return false
	}
	e.newline = strings.HasSuffix(line, string(e.end))
	e.pattern = strings.TrimSuffix(line, string(e.end))
	e.number++
	return true
}

func (e *editor) last() bool {
	_, err := e.in.Peek(1)
	return err != nil
}

func (e *editor) run(r io.Reader) error {
	e.in = bufio.NewReader(r)
	for !e.quitting && e.read() {
		if err := e.cycle(); err != nil {
			return errors.Join(err, e.out.Flush())
		}
	}
	return e.out.Flush()
}

func (e *editor) print(text string, newline bool) {
	e.out.WriteString(text) //nolint:errcheck // Flush reports it
	if newline {
		e.out.WriteByte(e.end) //nolint:errcheck // Flush reports it
	}
}

// cycle runs the script on one line.
func (e *editor) cycle() error {
	replaced := false
	for i := 0; i < len(e.commands); i++ {
		c := e.commands[i]
		if e.selects(c) == c.not {
			if c.name == '{' {
				i = c.block
			}
			continue
		}
		switch c.name {
		case '{', '}', ':':
		case 'd':
			e.finish(false)
			return nil
		case 'D':
			_, rest, found := strings.Cut(e.pattern, "\n")
			if !found {
				e.finish(false)
				return nil
			}
			e.pattern = rest
			e.finish(false)
			return e.cycle()
		case 'p':
			e.print(e.pattern, true)
		case 'P':
			first, _, _ := strings.Cut(e.pattern, "\n")
			e.print(first, true)
		case '=':
			e.print(strconv.Itoa(e.number), true)
		case 'l':
			e.print(strconv.Quote(e.pattern)[1:len(strconv.Quote(e.pattern))-1]+"$", true)
		case 'h':
			e.hold = e.pattern
		case 'H':
			e.hold += "\n" + e.pattern
		case 'g':
			e.pattern = e.hold
		case 'G':
			e.pattern += "\n" + e.hold
		case 'x':
			e.pattern, e.hold = e.hold, e.pattern
		case 'n':
			if e.last() {
				e.finish(!e.quiet)
				e.quitting = true
				return nil
			}
			e.finish(!e.quiet)
			e.read()
		case 'N':
			if e.last() {
				e.finish(!e.quiet)
				e.quitting = true
				return nil
			}
			before := e.pattern
			e.read()
			e.pattern = before + "\n" + e.pattern
		case 'a':
			e.appended = append(e.appended, c.text+"\n")
		case 'r':
			if b, err := readInput(e.p, c.text); err == nil {
				e.appended = append(e.appended, string(b))
			}
		case 'i':
			e.print(c.text, true)
		case 'c':
			if c.to == nil || !c.active || c.not {
				e.print(c.text, true)
			}
			e.finish(false)
			return nil
		case 'q', 'Q':
			e.quitting = true
			e.code = c.nth
			e.finish(c.name == 'q' && !e.quiet)
			return nil
		case 's':
			if err := e.substitute(c); err != nil {
				return err
			}
			if e.code == -1 {
				replaced, e.code = true, 0
			}
		case 'y':
			b := []byte(e.pattern)
			for j, ch := range b {
				if to, found := c.y[ch]; found {
					b[j] = to
				}
			}
			e.pattern = string(b)
		case 'w':
			if err := e.write(c.text); err != nil {
				return err
			}
		case 'b', 't', 'T':
			if c.name == 't' && !replaced || c.name == 'T' && replaced {
				replaced = false
				continue
			}
			if c.name != 'b' {
				replaced = false
			}
			i = e.label(c.text)
		}
	}
	e.finish(!e.quiet)
	return nil
}

func (e *editor) label(name string) int {
	for i, c := range e.commands {
		if c.name == ':' && c.text == name {
			return i
		}
	}
	return len(e.commands)
}

// finish ends the work on a line: it is printed, then what was to follow it.
func (e *editor) finish(printed bool) {
	if printed {
		e.print(e.pattern, e.newline || len(e.appended) > 0)
	}
	for _, text := range e.appended {
		e.out.WriteString(text) //nolint:errcheck // Flush reports it
	}
	e.appended = nil
}

func (e *editor) write(name string) error {
	flag := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if !e.wrote[name] {
		flag = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		e.wrote[name] = true
	}
	d, err := e.p.Open(name, flag, 0o666)
	if err != nil {
		return err
	}
	f := &descFile{d}
	_, err = f.Write([]byte(e.pattern + "\n"))
	return errors.Join(err, f.Close())
}

func (e *editor) is(a *sedAddress) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(e.pattern)
	case a.line < 0:
		return e.last()
	case a.step > 0:
		return e.number >= a.line && (e.number-a.line)%a.step == 0
	}
	return e.number == a.line
}

func (e *editor) selects(c *sedCommand) bool {
	switch {
	case c.from == nil:
		return true
	case c.to == nil:
		return e.is(c.from)
	case c.active:
		end := false
		switch {
		case c.to.isPlus:
			end = e.number >= c.endLine
		case c.to.re != nil || c.to.line < 0:
			end = e.is(c.to)
		default:
			end = e.number >= c.to.line
		}
		c.active = !end
		return true
	case e.is(c.from) || c.from.line == 0 && c.from.re == nil && e.number == 1:
		switch {
		case c.to.isPlus:
			c.endLine = e.number + c.to.plus
			c.active = c.to.plus > 0
		case c.to.re != nil:
			c.active = !(c.from.line == 0 && c.from.re == nil && e.is(c.to))
		case c.to.line < 0:
			c.active = !e.last()
		default:
			c.active = e.number < c.to.line
		}
		return true
	}
	return false
}

// substitute is s///; it sets code to -1 if something was replaced.
func (e *editor) substitute(c *sedCommand) error {
	src := e.pattern
	var b strings.Builder
	at, n, done := 0, 0, false
	for _, m := range c.re.FindAllStringSubmatchIndex(src, -1) {
		n++
		if n < max(c.nth, 1) || !c.global && n > max(c.nth, 1) {
			continue
		}
		b.WriteString(src[at:m[0]])
		b.WriteString(expandReplacement(c.replace, src, m))
		at = m[1]
		done = true
	}
	if !done {
		return nil
	}
	b.WriteString(src[at:])
	e.pattern = b.String()
	e.code = -1
	if c.print {
		e.print(e.pattern, true)
	}
	if c.writeTo != "" {
		return e.write(c.writeTo)
	}
	return nil
}

// expandReplacement fills &, \1 and GNU's case conversions.
func expandReplacement(text, src string, m []int) string {
	var b strings.Builder
	mode, once := byte(0), byte(0)
	put := func(s string) {
		switch mode {
		case 'U':
			s = strings.ToUpper(s)
		case 'L':
			s = strings.ToLower(s)
		}
		if once != 0 && s != "" {
			if once == 'u' {
				s = strings.ToUpper(s[:1]) + s[1:]
			} else {
				s = strings.ToLower(s[:1]) + s[1:]
			}
			once = 0
		}
		b.WriteString(s)
	}
	group := func(n int) string {
		if 2*n+1 < len(m) && m[2*n] >= 0 {
			return src[m[2*n]:m[2*n+1]]
		}
		return ""
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '&':
			put(group(0))
		case c == '\\' && i+1 < len(text):
			i++
			switch n := text[i]; {
			case n >= '0' && n <= '9':
				put(group(int(n - '0')))
			case n == 'n':
				put("\n")
			case n == 't':
				put("\t")
			case n == 'U' || n == 'L':
				mode = n
			case n == 'E':
				mode = 0
			case n == 'u' || n == 'l':
				once = n
			default:
				put(string(n))
			}
		default:
			put(string(c))
		}
	}
	return b.String()
}

// sedParser reads a script.
type sedParser struct {
	s        string
	i        int
	extended bool
	last     *regexp.Regexp
}

func parseSed(script string, extended bool) ([]*sedCommand, error) {
	sp := &sedParser{s: script, extended: extended}
	var list []*sedCommand
	var open []int
	for {
		sp.skip(" \t\n;")
		if sp.i >= len(sp.s) {
			break
		}
		if sp.s[sp.i] == '#' {
			for sp.i < len(sp.s) && sp.s[sp.i] != '\n' {
				sp.i++
			}
			continue
		}
		c, err := sp.command()
		if err != nil {
			return nil, fmt.Errorf("char %d: %w", sp.i, err)
		}
		switch c.name {
		case '{':
			open = append(open, len(list))
		case '}':
			if len(open) == 0 {
				return nil, fmt.Errorf("char %d: unexpected `}'", sp.i)
			}
			list[open[len(open)-1]].block = len(list)
			open = open[:len(open)-1]
		}
		list = append(list, c)
	}
	if len(open) > 0 {
		return nil, errors.New("char 0: unmatched `{'")
	}
	return list, nil
}

func (sp *sedParser) skip(set string) {
	for sp.i < len(sp.s) && strings.IndexByte(set, sp.s[sp.i]) >= 0 {
		sp.i++
	}
}

func (sp *sedParser) digits() int {
	n := number(sp.s[sp.i:])
	for sp.i < len(sp.s) && sp.s[sp.i] >= '0' && sp.s[sp.i] <= '9' {
		sp.i++
	}
	return n
}

func (sp *sedParser) address() (*sedAddress, error) {
	if sp.i >= len(sp.s) {
		return nil, nil
	}
	switch c := sp.s[sp.i]; {
	case c >= '0' && c <= '9':
		a := &sedAddress{line: sp.digits()}
		if sp.i < len(sp.s) && sp.s[sp.i] == '~' {
			sp.i++
			a.step = sp.digits()
		}
		return a, nil
	case c == '$':
		sp.i++
		return &sedAddress{line: -1}, nil
	case c == '/' || c == '\\':
		if c == '\\' {
			sp.i++
		}
		if sp.i >= len(sp.s) {
			return nil, errors.New("unterminated address regex")
		}
		text, err := sp.delimited(sp.s[sp.i], true)
		if err != nil {
			return nil, errors.New("unterminated address regex")
		}
		fold := false
		if sp.i < len(sp.s) && sp.s[sp.i] == 'I' {
			fold = true
			sp.i++
		}
		re, err := sp.regex(text, fold)
		return &sedAddress{re: re}, err
	}
	return nil, nil
}

func (sp *sedParser) regex(text string, fold bool) (*regexp.Regexp, error) {
	if text == "" && sp.last != nil {
		return sp.last, nil
	}
	re, err := compile(text, sp.extended, fold)
	sp.last = re
	return re, err
}

// delimited reads what stands between two delimiters; the first one is at hand. \n and a quoted
// delimiter are resolved.
func (sp *sedParser) delimited(delim byte, isRegex bool) (string, error) {
	sp.i++
	var b strings.Builder
	for sp.i < len(sp.s) {
		c := sp.s[sp.i]
		switch {
		case c == '\\' && sp.i+1 < len(sp.s):
			n := sp.s[sp.i+1]
			if n == delim && (delim != '&' || isRegex) {
				if isRegex && strings.IndexByte(`.*[]^$+?(){}|`, delim) >= 0 {
					b.WriteByte('\\')
				}
				b.WriteByte(n)
			} else {
				b.WriteByte('\\')
				b.WriteByte(n)
			}
			sp.i += 2
			continue
		case isRegex && c == '[':
			if end := bracketEnd(sp.s, sp.i); end > 0 && !strings.ContainsRune(sp.s[sp.i:end], '\n') {
				b.WriteString(sp.s[sp.i : end+1])
				sp.i = end + 1
				continue
			}
		case c == delim:
			sp.i++
			return b.String(), nil
		}
		b.WriteByte(c)
		sp.i++
	}
	return "", errors.New("unterminated")
}

func (sp *sedParser) command() (*sedCommand, error) {
	c := &sedCommand{}
	var err error
	if c.from, err = sp.address(); err != nil {
		return nil, err
	}
	sp.skip(" \t")
	if c.from != nil && sp.i < len(sp.s) && sp.s[sp.i] == ',' {
		sp.i++
		sp.skip(" \t")
		if sp.i < len(sp.s) && sp.s[sp.i] == '+' {
			sp.i++
			c.to = &sedAddress{isPlus: true, plus: sp.digits()}
		} else if c.to, err = sp.address(); err != nil {
			return nil, err
		} else if c.to == nil {
			return nil, errors.New("unexpected `,'")
		}
	}
	sp.skip(" \t")
	for sp.i < len(sp.s) && sp.s[sp.i] == '!' {
		c.not = true
		sp.i++
		sp.skip(" \t")
	}
	if sp.i >= len(sp.s) {
		return nil, errors.New("missing command")
	}
	c.name = sp.s[sp.i]
	sp.i++
	switch c.name {
	case '{', '}', 'd', 'D', 'p', 'P', '=', 'h', 'H', 'g', 'G', 'x', 'n', 'N', 'l':
	case 'a', 'i', 'c':
		c.text = sp.text()
	case 'b', 't', 'T', ':', 'r', 'w', 'R', 'W':
		sp.skip(" \t")
		start := sp.i
		stop := "\n;"
		if c.name == 'r' || c.name == 'w' || c.name == ':' {
			stop = "\n"
		}
		for sp.i < len(sp.s) && strings.IndexByte(stop, sp.s[sp.i]) < 0 && (sp.s[sp.i] != '}' || stop == "\n") {
			sp.i++
		}
		c.text = strings.TrimSpace(sp.s[start:sp.i])
		if c.name == ':' {
			c.text, _, _ = strings.Cut(c.text, ";")
			sp.i = start + len(c.text)
		}
	case 'q', 'Q':
		sp.skip(" \t")
		c.nth = sp.digits()
	case 's':
		return c, sp.substitution(c)
	case 'y':
		return c, sp.transliteration(c)
	default:
		return nil, fmt.Errorf("unknown command: `%c'", c.name)
	}
	return c, nil
}

// text reads the text of a, i and c: after a backslash and newline, or on the same line as GNU allows.
func (sp *sedParser) text() string {
	sp.skip(" \t")
	if strings.HasPrefix(sp.s[sp.i:], "\\") {
		rest := strings.TrimLeft(sp.s[sp.i+1:], " \t")
		if strings.HasPrefix(rest, "\n") {
			sp.i = len(sp.s) - len(rest) + 1
		} else {
			sp.i++
		}
	}
	var b strings.Builder
	for sp.i < len(sp.s) && sp.s[sp.i] != '\n' {
		if sp.s[sp.i] == '\\' && sp.i+1 < len(sp.s) {
			sp.i++
			if sp.s[sp.i] == 't' {
				b.WriteByte('\t')
				sp.i++
				continue
			}
		}
		b.WriteByte(sp.s[sp.i])
		sp.i++
	}
	return b.String()
}

func (sp *sedParser) substitution(c *sedCommand) error {
	if sp.i >= len(sp.s) {
		return errors.New("unterminated `s' command")
	}
	delim := sp.s[sp.i]
	text, err := sp.delimited(delim, true)
	if err != nil {
		return errors.New("unterminated `s' command")
	}
	sp.i--
	if c.replace, err = sp.delimited(delim, false); err != nil {
		return errors.New("unterminated `s' command")
	}
	for sp.i < len(sp.s) && strings.IndexByte("\n;}", sp.s[sp.i]) < 0 {
		f := sp.s[sp.i]
		switch {
		case f == 'g':
			c.global = true
		case f == 'p':
			c.print = true
		case f == 'I' || f == 'i':
			c.fold = true
		case f >= '1' && f <= '9':
			c.nth = sp.digits()
			continue
		case f == 'w':
			sp.i++
			sp.skip(" \t")
			end := strings.IndexByte(sp.s[sp.i:], '\n')
			if end < 0 {
				end = len(sp.s) - sp.i
			}
			c.writeTo = sp.s[sp.i : sp.i+end]
			sp.i += end
			continue
		case f == ' ' || f == '\t':
		default:
			return errors.New("unknown option to `s'")
		}
		sp.i++
	}
	c.re, err = sp.regex(text, c.fold)
	if err == nil {
		for i := 0; i+1 < len(c.replace); i++ {
			if c.replace[i] == '\\' {
				if d := c.replace[i+1]; d >= '1' && d <= '9' && int(d-'0') > c.re.NumSubexp() {
					return fmt.Errorf("invalid reference \\%c on `s' command's RHS", d)
				}
				i++
			}
		}
	}
	return err
}

func (sp *sedParser) transliteration(c *sedCommand) error {
	if sp.i >= len(sp.s) {
		return errors.New("unterminated `y' command")
	}
	delim := sp.s[sp.i]
	from, err := sp.delimited(delim, false)
	if err != nil {
		return errors.New("unterminated `y' command")
	}
	sp.i--
	to, err := sp.delimited(delim, false)
	if err != nil {
		return errors.New("unterminated `y' command")
	}
	from, _ = escapes(from, false)
	to, _ = escapes(to, false)
	if len(from) != len(to) {
		return errors.New("strings for `y' command are different lengths")
	}
	c.y = map[byte]byte{}
	for i := range len(from) {
		c.y[from[i]] = to[i]
	}
	return nil
}
