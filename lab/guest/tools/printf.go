package tools

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// echo is dash's: it knows -n and expands backslashes. As /usr/bin/echo and in bash it is GNU's, which
// expands them only with -e.
func echo(gnu bool) proc.Program {
	return func(_ context.Context, p *proc.Proc) int {
		args := p.Args[1:]
		newline, expand := true, !gnu
		for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
			if !gnu && args[0] != "-n" || strings.Trim(args[0][1:], "neE") != "" {
				break
			}
			for _, c := range args[0][1:] {
				switch c {
				case 'n':
					newline = false
				case 'e':
					expand = true
				case 'E':
					expand = false
				}
			}
			args = args[1:]
		}
		text := strings.Join(args, " ")
		if expand {
			var stop bool
			if text, stop = escapes(text, true); stop {
				newline = false
			}
		}
		if newline {
			text += "\n"
		}
		if _, err := p.Stdout.Write([]byte(text)); err != nil {
			p.Errorf("write error: %s", proc.Text(err))
			return 1
		}
		return 0
	}
}

var simpleEscapes = map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\', 'e': 0x1b, '"': '"', '\'': '\''}

// escapes expands backslash sequences. With zero, octal ones begin with \0 as in echo and %b, and \c
// ends the output.
func escapes(s string, zero bool) (out string, stop bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		switch {
		case c == 'c' && zero:
			return b.String(), true
		case c >= '0' && c <= '7':
			digits := 3
			if zero && c == '0' {
				i++
			}
			n, used := 0, 0
			for used < digits && i+used < len(s) && s[i+used] >= '0' && s[i+used] <= '7' {
				n = n*8 + int(s[i+used]-'0')
				used++
			}
			i += used - 1
			b.WriteByte(byte(n))
		case c == 'x':
			n, used := 0, 0
			for used < 2 && i+1+used < len(s) {
				d, err := strconv.ParseUint(s[i+1+used:i+2+used], 16, 8)
				if err != nil {
					break
				}
				n = n*16 + int(d)
				used++
			}
			if used == 0 {
				b.WriteString(`\x`)
			} else {
				b.WriteByte(byte(n))
			}
			i += used
		case simpleEscapes[c] != 0 && (c != '\'' && c != '"' || !zero):
			b.WriteByte(simpleEscapes[c])
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), false
}

// unescape is escapes for formats in which a trailing backslash is a mistake.
func unescape(s string) (string, error) {
	out, _ := escapes(s, false)
	return out, nil
}

// printf is printf(1): the format is used again while arguments are left. dash's knows no \x.
func printf(gnu bool) proc.Program {
	return func(_ context.Context, p *proc.Proc) int { return runPrintf(p, gnu) }
}

func runPrintf(p *proc.Proc, gnu bool) int {
	args := p.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.Errorf("usage: %s format [arg ...]", path.Base(p.Args[0]))
		return 2
	}
	format := args[0]
	if !gnu {
		format = strings.ReplaceAll(format, `\x`, `\\x`)
	}
	f := &formatter{p: p, args: args[1:]}
	for {
		before := len(f.args)
		if !f.once(format) || len(f.args) == 0 || len(f.args) == before {
			break
		}
	}
	if _, err := p.Stdout.Write([]byte(f.out.String())); err != nil {
		p.Errorf("write error: %s", proc.Text(err))
		return 1
	}
	return f.code
}

type formatter struct {
	p    *proc.Proc
	args []string
	out  strings.Builder
	code int
}

func (f *formatter) arg() string {
	if len(f.args) == 0 {
		return ""
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

// once writes the format once; false is the end of the output.
func (f *formatter) once(format string) bool {
	for i := 0; i < len(format); {
		if format[i] != '%' {
			end := strings.IndexByte(format[i:], '%')
			if end < 0 {
				end = len(format) - i
			}
			text, stop := escapesFormat(format[i : i+end])
			f.out.WriteString(text)
			if stop {
				return false
			}
			i += end
			continue
		}
		if strings.HasPrefix(format[i:], "%%") {
			f.out.WriteByte('%')
			i += 2
			continue
		}
		start := i
		i++
		spec := "%"
		for i < len(format) && strings.IndexByte("-+ #0123456789.*", format[i]) >= 0 {
			if format[i] == '*' {
				spec += strconv.FormatInt(f.integer(f.arg()), 10)
			} else {
				spec += format[i : i+1]
			}
			i++
		}
		for i < len(format) && strings.IndexByte("lhjzt", format[i]) >= 0 {
			i++
		}
		if i >= len(format) {
			f.fail("%s: missing format character", format[start:])
			return false
		}
		verb := format[i]
		i++
		switch verb {
		case 's':
			fmt.Fprintf(&f.out, spec+"s", f.arg())
		case 'b':
			text, stop := escapes(f.arg(), true)
			fmt.Fprintf(&f.out, spec+"s", text)
			if stop {
				return false
			}
		case 'q':
			fmt.Fprintf(&f.out, spec+"s", quoteWord(f.arg()))
		case 'c':
			if a := f.arg(); a != "" {
				fmt.Fprintf(&f.out, spec+"s", a[:1])
			}
		case 'd', 'i':
			fmt.Fprintf(&f.out, spec+"d", f.integer(f.arg()))
		case 'u':
			fmt.Fprintf(&f.out, spec+"d", uint64(f.integer(f.arg())))
		case 'o', 'x', 'X':
			fmt.Fprintf(&f.out, spec+string(verb), uint64(f.integer(f.arg())))
		case 'e', 'E', 'f', 'F', 'g', 'G':
			a := f.arg()
			n, err := strconv.ParseFloat(a, 64)
			if err != nil && a != "" {
				f.fail("%s: expected numeric value", a)
			}
			fmt.Fprintf(&f.out, spec+string(verb), n)
		default:
			f.fail("%%%c: invalid directive", verb)
			return false
		}
	}
	return true
}

// escapesFormat expands the escapes of a format, where \0 needs no further zero, and \c ends it.
func escapesFormat(s string) (string, bool) {
	if at := strings.Index(s, `\c`); at >= 0 && strings.Count(s[:at], `\\`)*2 == strings.Count(s[:at], `\`) {
		text, _ := escapes(s[:at], false)
		return text, true
	}
	text, _ := escapes(s, false)
	return text, false
}

func (f *formatter) fail(format string, args ...any) {
	f.p.Errorf(format, args...)
	f.code = 1
}

func (f *formatter) integer(s string) int64 {
	if s == "" {
		return 0
	}
	if s[0] == '\'' || s[0] == '"' {
		for _, r := range s[1:] {
			return int64(r)
		}
		return 0
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		if u, uerr := strconv.ParseUint(s, 0, 64); uerr == nil {
			return int64(u)
		}
		f.fail("%s: expected numeric value", s)
	}
	return n
}

// quoteWord makes a shell word.
func quoteWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
