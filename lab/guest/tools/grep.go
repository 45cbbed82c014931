package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// grep is grep, egrep and fgrep.
func grep(_ context.Context, p *proc.Proc) int {
	o := parse(p, "q s F E G P x v c n i l L o h H w r R a e: f: m: A: B: C: z quiet=q silent=q no-messages=s fixed-strings=F extended-regexp=E basic-regexp=G perl-regexp=P line-regexp=x invert-match=v count=c line-number=n ignore-case=i files-with-matches=l files-without-match=L only-matching=o no-filename=h with-filename=H word-regexp=w recursive=r dereference-recursive=R text=a regexp=e file=f max-count=m after-context=A before-context=B context=C null-data=z color? colour? include: exclude: exclude-dir:")
	if o == nil {
		return 2
	}
	var patterns []string
	for _, e := range o.set["e"] {
		patterns = append(patterns, strings.Split(e, "\n")...)
	}
	for _, file := range o.set["f"] {
		b, err := readInput(p, file)
		if err != nil {
			p.Errorf("%s: %s", file, proc.Text(err))
			return 2
		}
		if len(b) > 0 {
			patterns = append(patterns, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
		}
	}
	files := o.Args
	if !o.has("e") && !o.has("f") {
		if len(files) == 0 {
			p.Printf("Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.\n")
			return 2
		}
		patterns, files = strings.Split(files[0], "\n"), files[1:]
	}
	g := &grepper{p: p, o: o, limit: -1}
	name := path.Base(p.Args[0])
	for _, pattern := range patterns {
		re, err := grepPattern(pattern, o, name)
		if err != nil {
			p.Errorf("%v", err)
			return 2
		}
		g.res = append(g.res, re)
	}
	var ok [3]bool
	for i, key := range []string{"m", "A", "B"} {
		value := o.val(key)
		if value == "" && key != "m" {
			value = o.val("C")
		}
		if value == "" {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			p.Errorf("%s: invalid context length argument", value)
			return 2
		}
		ok[i] = true
		switch key {
		case "m":
			g.limit = n
		case "A":
			g.after = n
		case "B":
			g.before = n
		}
	}
	g.context = ok[1] || ok[2]
	recursive := o.has("r") || o.has("R")
	if recursive && len(files) == 0 {
		files = []string{"."}
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	g.named = (len(files) > 1 || recursive) && !o.has("h") || o.has("H")
	for _, file := range files {
		if !recursive {
			g.file(file)
			continue
		}
		err := tree(p, file, true, func(name string, st vfs.Info) error {
			if st.IsRegular() && g.wanted(path.Base(name)) {
				g.file(name)
			}
			return nil
		})
		if err != nil {
			g.bad(file, err)
		}
	}
	switch {
	case g.failed && !(o.has("q") && g.hit):
		return 2
	case g.hit:
		return 0
	}
	return 1
}

func grepPattern(pattern string, o *options, name string) (*regexp.Regexp, error) {
	extended := o.last("EGF") == "E" || name == "egrep" || o.has("P")
	var re *regexp.Regexp
	var err error
	switch {
	case o.last("EGF") == "F" || name == "fgrep":
		pattern = regexp.QuoteMeta(pattern)
		fallthrough
	case o.has("P"):
		if o.has("i") {
			pattern = "(?i)" + pattern
		}
		re, err = regexp.Compile(pattern)
	default:
		re, err = compile(pattern, extended, o.has("i"))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case o.has("x"):
		re, err = regexp.Compile(`\A(?:` + re.String() + `)\z`)
	case o.has("w"):
		re, err = regexp.Compile(`(?:\A|\b)(?:` + re.String() + `)(?:\b|\z)`)
	}
	if err == nil && (o.has("P") || o.has("x") || o.has("w")) { // those of compile are so already, and shared
		re.Longest()
	}
	return re, err
}

type grepper struct {
	p              *proc.Proc
	o              *options
	res            []*regexp.Regexp
	limit          int
	before, after  int
	context, named bool
	hit, failed    bool
}

func (g *grepper) wanted(name string) bool {
	match := func(key string) bool {
		for _, glob := range g.o.set[key] {
			if hit, err := path.Match(glob, name); err == nil && hit {
				return true
			}
		}
		return false
	}
	return (!g.o.has("include") || match("include")) && !match("exclude")
}

func (g *grepper) bad(name string, err error) {
	g.failed = true
	if !g.o.has("s") {
		g.p.Errorf("%s: %s", name, proc.Text(err))
	}
}

func (g *grepper) matches(line []byte) bool {
	for _, re := range g.res {
		if re.Match(line) {
			return !g.o.has("v")
		}
	}
	return g.o.has("v")
}

func (g *grepper) file(name string) {
	r, err := input(g.p, name)
	if err != nil {
		g.bad(name, err)
		return
	}
	if name == "-" {
		name = "(standard input)"
	}
	err = g.search(name, r)
	if err = errors.Join(err, r.Close()); err != nil {
		g.bad(name, err)
	}
}

func (g *grepper) search(name string, r io.Reader) error {
	o := g.o
	end := byte('\n')
	if o.has("z") {
		end = 0
	}
	in := bufio.NewReader(r)
	count, number, owed, shown := 0, 0, 0, 0
	var kept [][]byte
	for g.limit < 0 || count < g.limit || owed > 0 {
		line, err := in.ReadBytes(end)
		if len(line) > 0 {
			number++
			line = bytes.TrimSuffix(line, []byte{end})
			if (g.limit < 0 || count < g.limit) && g.matches(line) {
				count++
				g.hit = true
				if o.has("q") {
					return nil
				}
				if !o.has("c") && !o.has("l") && !o.has("L") {
					if g.context && shown > 0 && number-len(kept) > shown+1 {
						g.p.Printf("--\n")
					}
					for i, l := range kept {
						g.print(name, number-len(kept)+i, l, '-', end)
					}
					g.print(name, number, line, ':', end)
					shown = number
				}
				kept, owed = nil, g.after
			} else if owed > 0 {
				owed--
				if !o.has("c") && !o.has("l") && !o.has("q") {
					g.print(name, number, line, '-', end)
					shown = number
				}
			} else if g.before > 0 {
				kept = append(kept, line)
				kept = kept[max(0, len(kept)-g.before):]
			}
		}
		if err != nil {
			if ignoreEOF(err) != nil {
				return err
			}
			break
		}
	}
	switch {
	case o.has("l") && count > 0, o.has("L") && count == 0:
		g.p.Printf("%s\n", name)
	case o.has("c"):
		if g.named {
			g.p.Printf("%s:", name)
		}
		g.p.Printf("%d\n", count)
	}
	return nil
}

func (g *grepper) print(name string, number int, line []byte, sep, end byte) {
	prefix := ""
	if g.named {
		prefix = name + string(sep)
	}
	if g.o.has("n") {
		prefix += strconv.Itoa(number) + string(sep)
	}
	if g.o.has("o") {
		if g.o.has("v") || sep == '-' {
			return
		}
		for _, re := range g.res {
			for _, m := range re.FindAll(line, -1) {
				if len(m) > 0 {
					g.p.Printf("%s%s%c", prefix, m, end)
				}
			}
		}
		return
	}
	g.p.Printf("%s%s%c", prefix, line, end)
}
