package tools

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// compiled keeps regular expressions, which scripts use again and again.
var compiled sync.Map

// compile reads a POSIX regular expression, basic or extended, with GNU's additions. What Go's engine
// can't do (back references) is an error. The longest match wins, as POSIX has it.
func compile(expr string, extended, fold bool) (*regexp.Regexp, error) {
	key := fmt.Sprint(extended, fold, expr)
	if re, found := compiled.Load(key); found {
		return re.(*regexp.Regexp), nil
	}
	text, err := translate(expr, extended)
	if err != nil {
		return nil, err
	}
	if fold {
		text = "(?i)" + text
	}
	re, err := regexp.Compile("(?s)" + text)
	if err != nil {
		return nil, complain("Invalid regular expression: %s", expr)
	}
	re.Longest()
	compiled.Store(key, re)
	return re, nil
}

// translate writes a POSIX expression in Go's syntax.
func translate(expr string, extended bool) (string, error) {
	var b strings.Builder
	start := true // a * here is literal in a basic expression
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		atStart := start
		start = false
		switch {
		case c == '[':
			end := bracketEnd(expr, i)
			if end < 0 {
				return "", complain("Unmatched [, [^, [:, [., or [=")
			}
			b.WriteString(bracket(expr[i : end+1]))
			i = end
		case c == '\\':
			i++
			if i >= len(expr) {
				return "", complain("Trailing backslash")
			}
			n := expr[i]
			switch {
			case n >= '1' && n <= '9':
				return "", fmt.Errorf("back references are not supported in this lab: \\%c", n)
			case n == 'n':
				b.WriteString(`\n`)
			case n == 't':
				b.WriteString(`\t`)
			case strings.IndexByte("wWsSbB", n) >= 0:
				b.WriteString(`\` + string(n))
			case n == '<' || n == '>':
				b.WriteString(`\b`)
			case n == '`':
				b.WriteString(`\A`)
			case n == '\'':
				b.WriteString(`\z`)
			case !extended && strings.IndexByte("(){}|+?", n) >= 0:
				b.WriteByte(n)
				start = n == '(' || n == '|'
			default:
				b.WriteString(regexp.QuoteMeta(string(rune(n))))
			}
		case c == '*':
			if atStart && !extended {
				b.WriteString(`\*`)
			} else {
				b.WriteByte('*')
			}
		case c == '^':
			if extended || i == 0 || atStart {
				b.WriteByte('^')
				start = true
			} else {
				b.WriteString(`\^`)
			}
		case c == '$':
			if extended || i == len(expr)-1 || strings.HasPrefix(expr[i+1:], `\)`) || strings.HasPrefix(expr[i+1:], `\|`) {
				b.WriteByte('$')
			} else {
				b.WriteString(`\$`)
			}
		case strings.IndexByte("(){}|+?", c) >= 0:
			if !extended || c == '{' && !interval(expr[i:]) {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			start = c == '(' || c == '|'
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

var intervalForm = regexp.MustCompile(`^\{[0-9]*(,[0-9]*)?\}`)

func interval(s string) bool { return intervalForm.MatchString(s) }

func bracketEnd(expr string, at int) int {
	i := at + 1
	if i < len(expr) && expr[i] == '^' {
		i++
	}
	if i < len(expr) && expr[i] == ']' {
		i++
	}
	for ; i < len(expr); i++ {
		if expr[i] == '[' && i+1 < len(expr) && strings.IndexByte(":.=", expr[i+1]) >= 0 {
			if end := strings.Index(expr[i+2:], string(expr[i+1])+"]"); end >= 0 {
				i += end + 3
				continue
			}
		}
		if expr[i] == ']' {
			return i
		}
	}
	return -1
}

// bracket writes a bracket expression; in POSIX a backslash in it is a plain character.
func bracket(s string) string {
	var b strings.Builder
	b.WriteByte('[')
	body := s[1 : len(s)-1]
	if strings.HasPrefix(body, "^") {
		b.WriteByte('^')
		body = body[1:]
	}
	for i := 0; i < len(body); i++ {
		switch {
		case strings.HasPrefix(body[i:], "[:"):
			if end := strings.Index(body[i:], ":]"); end > 0 {
				b.WriteString(body[i : i+end+2])
				i += end + 1
				continue
			}
			b.WriteString(`\[`)
		case body[i] == '\\' && i+1 < len(body) && (body[i+1] == 'n' || body[i+1] == 't'):
			b.WriteString(body[i : i+2]) // GNU's tools take these two
			i++
		case strings.IndexByte(`\[]&~^`, body[i]) >= 0:
			b.WriteByte('\\')
			b.WriteByte(body[i])
		case body[i] == '-' && (i == 0 || i == len(body)-1):
			b.WriteString(`\-`)
		default:
			b.WriteByte(body[i])
		}
	}
	b.WriteByte(']')
	return b.String()
}
