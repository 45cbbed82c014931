package shell

import (
	"context"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/syntax"

	"phoenix-run/lab/guest/proc"
)

// read reads one line, a byte at a time, since what follows it is for others.
func read(sh *Shell, args []string, _ *undo) int {
	raw, delimiter, limit := false, byte('\n'), -1
	ctx, done := sh.interruptible()
	defer done()
	args = args[1:]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		opt := args[0]
		args = args[1:]
		if opt == "--" {
			break
		}
		for i := 1; i < len(opt); i++ {
			if opt[i] == 'r' {
				raw = true
				continue
			}
			if opt[i] == 's' || opt[i] == 'e' {
				continue
			}
			value := opt[i+1:]
			if value == "" && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			switch opt[i] {
			case 'p':
				if sh.bash {
					if _, err := sh.p.Stderr.Write([]byte(value)); err != nil {
						return 1
					}
				}
			case 'd':
				delimiter = 0
				if value != "" {
					delimiter = value[0]
				}
			case 'n', 'N':
				n, err := strconv.Atoi(value)
				if err != nil {
					return 2
				}
				limit = n
			case 't':
				seconds, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return 2
				}
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
				defer cancel()
			default:
				sh.errorf("read: Illegal option -%c", opt[i])
				return 2
			}
			break
		}
	}
	if len(args) == 0 {
		if !sh.bash {
			sh.errorf("read: arg count")
			return 2
		}
		args = []string{"REPLY"}
	}
	for _, name := range args {
		if !syntax.ValidName(name) {
			sh.errorf("read: %s: bad variable name", name)
			return 2
		}
	}
	line, status := sh.readLine(ctx, raw, delimiter, limit)
	ifs := " \t\n"
	if v := sh.vars["IFS"]; v.Set {
		ifs = v.Str
	}
	values := splitLine(line, ifs, len(args))
	for i, name := range args {
		if sh.vars[name].ReadOnly {
			sh.errorf("read: %s: is read only", name)
			return 2
		}
		sh.assign(name, values[i])
	}
	return status
}

// char is a byte of a line; an escaped one is no separator.
type char struct {
	c       byte
	escaped bool
}

func (sh *Shell) readLine(ctx context.Context, raw bool, delimiter byte, limit int) ([]char, int) {
	var line []char
	d := sh.p.Files[0]
	if d == nil || d.R == nil {
		return nil, 1
	}
	escaped := false
	var b [1]byte
	for limit < 0 || len(line) < limit {
		n, err := proc.Read(ctx, d.R, b[:])
		if n == 0 {
			if err == nil {
				continue
			}
			return line, 1
		}
		switch {
		case b[0] == 0 && delimiter != 0:
		case escaped:
			escaped = false
			if b[0] != '\n' {
				line = append(line, char{b[0], true})
			}
		case !raw && b[0] == '\\':
			escaped = true
		case b[0] == delimiter:
			return line, 0
		default:
			line = append(line, char{b[0], false})
		}
	}
	return line, 0
}

// splitLine cuts a line at IFS into n values; the last one gets the rest.
func splitLine(line []char, ifs string, n int) []string {
	separates := func(c char) bool { return !c.escaped && strings.IndexByte(ifs, c.c) >= 0 }
	blank := func(c char) bool { return separates(c) && strings.IndexByte(" \t\n", c.c) >= 0 }
	values := make([]string, n)
	i := 0
	skip := func() {
		for i < len(line) && blank(line[i]) {
			i++
		}
	}
	skip()
	for f := range n {
		if f == n-1 {
			end := len(line)
			for end > i && blank(line[end-1]) {
				end--
			}
			// One separator that ends the line does not belong to the last value.
			if end > i && separates(line[end-1]) && !blank(line[end-1]) && onlyOne(line[i:end], separates) {
				end--
			}
			values[f] = text(line[i:end])
			break
		}
		start := i
		for i < len(line) && !separates(line[i]) {
			i++
		}
		values[f] = text(line[start:i])
		skip()
		if i < len(line) && separates(line[i]) && !blank(line[i]) {
			i++
			skip()
		}
	}
	return values
}

// onlyOne tells whether the only separator in a text is its last byte.
func onlyOne(line []char, separates func(char) bool) bool {
	for _, c := range line[:len(line)-1] {
		if separates(c) {
			return false
		}
	}
	return true
}

func text(line []char) string {
	b := make([]byte, len(line))
	for i, c := range line {
		b[i] = c.c
	}
	return string(b)
}
