package shell

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"phoenix-run/lab/guest/proc"
)

// undo brings back the open files that a statement's redirections replaced.
type undo struct {
	p    *proc.Proc
	keep bool // exec made them stay
	was  map[int]*proc.Desc
	seq  []int
}

func (u *undo) run() {
	if u.keep {
		for _, d := range u.was {
			if d != nil {
				d.Close() //nolint:errcheck // the shell has given it up
			}
		}
		return
	}
	for _, n := range u.seq {
		u.p.Set(n, u.was[n])
	}
}

// put gives a number to an open file, nil closes it.
func (u *undo) put(n int, d *proc.Desc) {
	if _, known := u.was[n]; !known {
		u.was[n] = u.p.Files[n]
		u.seq = append(u.seq, n)
		delete(u.p.Files, n)
	}
	u.p.Set(n, d)
}

// redirect carries out redirections in their order. What went wrong is said, and the status set.
func (sh *Shell) redirect(list []*syntax.Redirect) (*undo, bool) {
	u := &undo{p: sh.p, was: map[int]*proc.Desc{}}
	for _, rd := range list {
		if !sh.oneRedirect(u, rd) {
			if sh.flow == onward {
				sh.status = 2
				if sh.bash {
					sh.status = 1
				}
			}
			return u, false
		}
	}
	return u, true
}

func (sh *Shell) oneRedirect(u *undo, rd *syntax.Redirect) bool {
	n := 1
	switch rd.Op {
	case syntax.RdrIn, syntax.RdrInOut, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
		n = 0
	}
	if rd.N != nil {
		var err error
		if n, err = strconv.Atoi(rd.N.Value); err != nil {
			sh.errorf("Syntax error: Bad fd number")
			return false
		}
	}
	switch rd.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		text, ok := sh.heredoc(rd)
		if ok {
			u.put(n, textDesc(text))
		}
		return ok
	case syntax.WordHdoc:
		text, ok := sh.literal(rd.Word)
		if ok {
			u.put(n, textDesc(text+"\n"))
		}
		return ok
	}
	word, ok := sh.literal(rd.Word)
	if !ok {
		return false
	}
	switch rd.Op {
	case syntax.DplIn, syntax.DplOut:
		return sh.duplicate(u, n, word)
	case syntax.RdrAll, syntax.AppAll:
		d, ok := sh.open(word, flags(rd.Op, sh.opts['C']))
		if ok {
			u.put(1, d)
			u.put(2, d.Dup())
		}
		return ok
	}
	d, ok := sh.open(word, flags(rd.Op, sh.opts['C']))
	if ok {
		u.put(n, d)
	}
	return ok
}

func flags(op syntax.RedirOperator, noclobber bool) int {
	switch op {
	case syntax.RdrIn:
		return os.O_RDONLY
	case syntax.RdrInOut:
		return os.O_RDWR | os.O_CREATE
	case syntax.AppOut, syntax.AppAll:
		return os.O_WRONLY | os.O_CREATE | os.O_APPEND
	case syntax.RdrOut, syntax.RdrAll:
		if noclobber {
			return os.O_WRONLY | os.O_CREATE | os.O_EXCL
		}
	}
	return os.O_WRONLY | os.O_CREATE | os.O_TRUNC
}

func (sh *Shell) duplicate(u *undo, n int, word string) bool {
	if word == "-" {
		u.put(n, nil)
		return true
	}
	from, err := strconv.Atoi(word)
	if err != nil {
		sh.errorf("Syntax error: Bad fd number")
		return false
	}
	d := sh.p.Files[from]
	if d == nil {
		sh.errorf("%d: Bad file descriptor", from)
		return false
	}
	u.put(n, d.Dup())
	return true
}

// open opens a file for a redirection.
func (sh *Shell) open(name string, flag int) (*proc.Desc, bool) {
	d, err := sh.p.Open(name, flag, 0o666)
	if err == nil {
		return d, true
	}
	if flag&os.O_EXCL != 0 && errors.Is(err, fs.ErrExist) {
		// Noclobber is about regular files.
		if st, statErr := sh.p.FS.Stat(sh.p.Path(name)); statErr == nil && !st.IsRegular() {
			return sh.open(name, os.O_WRONLY)
		}
		if sh.bash {
			sh.errorf("%s: cannot overwrite existing file", name)
		} else {
			sh.errorf("cannot create %s: File exists", name)
		}
		return nil, false
	}
	switch {
	case sh.bash:
		sh.errorf("%s: %s", name, proc.Text(err))
	case flag&os.O_CREATE != 0:
		text := proc.Text(err)
		if text == "No such file or directory" {
			text = "Directory nonexistent"
		}
		sh.errorf("cannot create %s: %s", name, text)
	default:
		sh.errorf("cannot open %s: %s", name, dashText(err))
	}
	return nil, false
}

// heredoc expands a here-document's body.
func (sh *Shell) heredoc(rd *syntax.Redirect) (string, bool) {
	if rd.Hdoc == nil {
		return "", true
	}
	body := rd.Hdoc
	if rd.Op == syntax.DashHdoc {
		body = untab(body)
	}
	if quoted(rd.Word) {
		return body.Lit(), true
	}
	text, err := expand.Document(sh.config(), body)
	return text, !sh.failed(err)
}

// untab takes the tabs from the beginnings of lines.
func untab(w *syntax.Word) *syntax.Word {
	out := &syntax.Word{}
	start := true
	for _, part := range w.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok {
			out.Parts = append(out.Parts, part)
			start = false
			continue
		}
		var b strings.Builder
		for line := range strings.Lines(lit.Value) {
			if start {
				line = strings.TrimLeft(line, "\t")
			}
			b.WriteString(line)
			start = strings.HasSuffix(line, "\n")
		}
		copied := *lit
		copied.Value = b.String()
		out.Parts = append(out.Parts, &copied)
	}
	return out
}

func quoted(w *syntax.Word) bool {
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.SglQuoted, *syntax.DblQuoted:
			return true
		case *syntax.Lit:
			if strings.Contains(part.Value, `\`) {
				return true
			}
		}
	}
	return false
}

func textDesc(text string) *proc.Desc { return proc.NewDesc(strings.NewReader(text), nil, nil) }
