package tools

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// test is test(1) and [.
func test(_ context.Context, p *proc.Proc) int {
	args := p.Args[1:]
	if path.Base(p.Args[0]) == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			p.Errorf("missing ]")
			return 2
		}
		args = args[:len(args)-1]
	}
	e := &expression{p: p, args: args}
	ok, err := e.eval()
	if err != nil {
		p.Errorf("%v", err)
		return 2
	}
	if ok {
		return 0
	}
	return 1
}

type expression struct {
	p    *proc.Proc
	args []string
}

// eval follows POSIX: what an expression means depends first of all on how many words it has.
func (e *expression) eval() (bool, error) {
	switch a := e.args; len(a) {
	case 0:
		return false, nil
	case 1:
		return a[0] != "", nil
	case 2:
		if a[0] == "!" {
			return a[1] == "", nil
		}
		return e.unary(a[0], a[1])
	case 3:
		if isBinary(a[1]) {
			return e.binary(a[0], a[1], a[2])
		}
		if a[0] == "!" {
			ok, err := (&expression{e.p, a[1:]}).eval()
			return !ok, err
		}
		if a[0] == "(" && a[2] == ")" {
			return a[1] != "", nil
		}
	case 4:
		if a[0] == "!" {
			ok, err := (&expression{e.p, a[1:]}).eval()
			return !ok, err
		}
	}
	ok, err := e.or()
	if err == nil && len(e.args) > 0 {
		err = fmt.Errorf("%s: unexpected operator", e.args[0])
	}
	return ok, err
}

func (e *expression) next(word string) bool {
	if len(e.args) > 0 && e.args[0] == word {
		e.args = e.args[1:]
		return true
	}
	return false
}

func (e *expression) or() (bool, error) {
	ok, err := e.and()
	for err == nil && e.next("-o") {
		var more bool
		more, err = e.and()
		ok = ok || more
	}
	return ok, err
}

func (e *expression) and() (bool, error) {
	ok, err := e.not()
	for err == nil && e.next("-a") {
		var more bool
		more, err = e.not()
		ok = ok && more
	}
	return ok, err
}

func (e *expression) not() (bool, error) {
	if len(e.args) > 1 && e.next("!") {
		ok, err := e.not()
		return !ok, err
	}
	if len(e.args) == 0 {
		return false, errors.New("argument expected")
	}
	if len(e.args) >= 3 && isBinary(e.args[1]) {
		a := e.args
		e.args = a[3:]
		return e.binary(a[0], a[1], a[2])
	}
	if e.next("(") {
		ok, err := e.or()
		if err == nil && !e.next(")") {
			err = errors.New("closing paren expected")
		}
		return ok, err
	}
	if len(e.args) >= 2 && len(e.args[0]) == 2 && e.args[0][0] == '-' {
		a := e.args
		e.args = a[2:]
		return e.unary(a[0], a[1])
	}
	word := e.args[0]
	e.args = e.args[1:]
	return word != "", nil
}

func isBinary(op string) bool {
	switch op {
	case "=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func (e *expression) binary(a, op, b string) (bool, error) {
	switch op {
	case "=", "==":
		return a == b, nil
	case "!=":
		return a != b, nil
	case "<":
		return a < b, nil
	case ">":
		return a > b, nil
	case "-nt", "-ot", "-ef":
		x, errX := e.p.FS.Stat(e.p.Path(a))
		y, errY := e.p.FS.Stat(e.p.Path(b))
		switch {
		case op == "-ef":
			return errX == nil && errY == nil && x.Ino == y.Ino, nil
		case op == "-ot":
			x, y, errX, errY = y, x, errY, errX
		}
		return errX == nil && errY == nil && x.ModTime().After(y.ModTime()), nil
	}
	x, err := integer(a)
	if err != nil {
		return false, err
	}
	y, err := integer(b)
	if err != nil {
		return false, err
	}
	switch op {
	case "-eq":
		return x == y, nil
	case "-ne":
		return x != y, nil
	case "-lt":
		return x < y, nil
	case "-le":
		return x <= y, nil
	case "-gt":
		return x > y, nil
	}
	return x >= y, nil
}

func integer(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, complain("Illegal number: %s", s)
	}
	return n, nil
}

func (e *expression) unary(op, a string) (bool, error) {
	fsys, full := e.p.FS, e.p.Path(a)
	kind := func(want uint32) (bool, error) {
		st, err := fsys.Stat(full)
		return err == nil && st.Stat&vfs.TypeMask == want, nil
	}
	bit := func(want uint32) (bool, error) {
		st, err := fsys.Stat(full)
		return err == nil && st.Stat&want != 0, nil
	}
	switch op {
	case "-n":
		return a != "", nil
	case "-z":
		return a == "", nil
	case "-e", "-a":
		if strings.HasPrefix(full, "/dev/fd/") || strings.HasPrefix(full, "/dev/std") {
			d, err := e.p.Open(a, 0, 0)
			if err != nil {
				return false, nil //nolint:nilerr // it is not there
			}
			return true, d.Close()
		}
		_, err := fsys.Stat(full)
		return err == nil, nil
	case "-f":
		return kind(vfs.Regular)
	case "-d":
		return kind(vfs.Dir)
	case "-c":
		return kind(vfs.Char)
	case "-b":
		return kind(vfs.Block)
	case "-p":
		return kind(vfs.Fifo)
	case "-S":
		return kind(vfs.Socket)
	case "-h", "-L":
		st, err := fsys.Lstat(full)
		return err == nil && st.IsLink(), nil
	case "-u":
		return bit(0o4000)
	case "-g":
		return bit(0o2000)
	case "-k":
		return bit(0o1000)
	case "-s":
		st, err := fsys.Stat(full)
		return err == nil && st.Size() > 0, nil
	case "-r":
		return fsys.Access(full, 4) == nil, nil
	case "-w":
		return fsys.Access(full, 2) == nil, nil
	case "-x":
		return fsys.Access(full, 1) == nil, nil
	case "-O":
		st, err := fsys.Stat(full)
		return err == nil && st.UserID == fsys.Cred.UID, nil
	case "-G":
		st, err := fsys.Stat(full)
		return err == nil && st.GroupID == fsys.Cred.GID, nil
	case "-t":
		return false, nil // nothing here is a terminal
	}
	return false, fmt.Errorf("%s: unexpected operator", op)
}
