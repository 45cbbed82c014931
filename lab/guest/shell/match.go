package shell

import (
	"strings"
	"unicode/utf8"
)

// Match tells whether a shell pattern matches all of s. Bytes that are no UTF-8 stand for themselves.
func Match(pattern, s string) bool {
	star, after := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, after = p, i
				p++
				continue
			}
			if size, width, ok := one(pattern[p:], s[i:]); ok {
				p += size
				i += width
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, width := utf8.DecodeRuneInString(s[after:])
		after += width
		p, i = star+1, after
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// one matches one character: how long the pattern's part and the character are.
func one(pattern, s string) (size, width int, ok bool) {
	r, width := utf8.DecodeRuneInString(s)
	switch pattern[0] {
	case '?':
		return 1, width, true
	case '\\':
		if len(pattern) > 1 {
			return 2, 1, pattern[1] == s[0]
		}
	case '[':
		if end := classEnd(pattern); end > 0 {
			return end + 1, width, inClass(pattern[1:end], r)
		}
	}
	return 1, 1, pattern[0] == s[0]
}

// classEnd finds the ] of a bracket expression.
func classEnd(pattern string) int {
	i := 1
	if i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^') {
		i++
	}
	if i < len(pattern) && pattern[i] == ']' {
		i++
	}
	for i < len(pattern) {
		switch {
		case pattern[i] == ']':
			return i
		case pattern[i] == '\\':
			i++
		case strings.HasPrefix(pattern[i:], "[:"):
			if end := strings.Index(pattern[i:], ":]"); end > 0 {
				i += end + 1
			}
		}
		i++
	}
	return -1
}

var classes = map[string]func(rune) bool{
	"alpha":  func(r rune) bool { return r|32 >= 'a' && r|32 <= 'z' },
	"digit":  func(r rune) bool { return r >= '0' && r <= '9' },
	"alnum":  func(r rune) bool { return r|32 >= 'a' && r|32 <= 'z' || r >= '0' && r <= '9' },
	"upper":  func(r rune) bool { return r >= 'A' && r <= 'Z' },
	"lower":  func(r rune) bool { return r >= 'a' && r <= 'z' },
	"space":  func(r rune) bool { return strings.ContainsRune(" \t\n\r\v\f", r) },
	"blank":  func(r rune) bool { return r == ' ' || r == '\t' },
	"punct":  func(r rune) bool { return r > ' ' && r < 0x7f && !(r|32 >= 'a' && r|32 <= 'z' || r >= '0' && r <= '9') },
	"cntrl":  func(r rune) bool { return r < ' ' || r == 0x7f },
	"print":  func(r rune) bool { return r >= ' ' && r != 0x7f },
	"graph":  func(r rune) bool { return r > ' ' && r != 0x7f },
	"xdigit": func(r rune) bool { return r >= '0' && r <= '9' || r|32 >= 'a' && r|32 <= 'f' },
}

func inClass(class string, r rune) bool {
	negated := strings.HasPrefix(class, "!") || strings.HasPrefix(class, "^")
	if negated {
		class = class[1:]
	}
	hit := false
	for class != "" {
		if strings.HasPrefix(class, "[:") {
			if name, rest, found := strings.Cut(class[2:], ":]"); found {
				if is := classes[name]; is != nil && is(r) {
					hit = true
				}
				class = rest
				continue
			}
		}
		lo, rest := letter(class)
		hi := lo
		if strings.HasPrefix(rest, "-") && len(rest) > 1 {
			hi, rest = letter(rest[1:])
		}
		if lo <= r && r <= hi {
			hit = true
		}
		class = rest
	}
	return hit != negated
}

func letter(s string) (rune, string) {
	if s[0] == '\\' && len(s) > 1 {
		s = s[1:]
	}
	r, n := utf8.DecodeRuneInString(s)
	return r, s[n:]
}
