package tools

import "strings"

// CompareVersions orders two versions as dpkg does: epoch, upstream version, revision; digits as
// numbers, letters before other signs, and ~ before everything, even the end.
func CompareVersions(a, b string) int {
	epochA, restA := epoch(a)
	epochB, restB := epoch(b)
	if epochA != epochB {
		return sign(number(epochA) - number(epochB))
	}
	upA, revA := revision(restA)
	upB, revB := revision(restB)
	if c := comparePart(upA, upB); c != 0 {
		return c
	}
	return comparePart(revA, revB)
}

func epoch(v string) (string, string) {
	if before, after, found := strings.Cut(v, ":"); found {
		return before, after
	}
	return "0", v
}

func revision(v string) (string, string) {
	if at := strings.LastIndexByte(v, '-'); at >= 0 {
		return v[:at], v[at+1:]
	}
	return v, "0"
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func comparePart(a, b string) int {
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	order := func(s string) int {
		switch {
		case s == "" || isDigit(s[0]):
			return 0
		case s[0] == '~':
			return -1
		case s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z':
			return int(s[0])
		}
		return int(s[0]) + 256
	}
	for a != "" || b != "" {
		for a != "" && !isDigit(a[0]) || b != "" && !isDigit(b[0]) {
			if x, y := order(a), order(b); x != y {
				return sign(x - y)
			}
			a, b = a[min(1, len(a)):], b[min(1, len(b)):]
		}
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		first := 0
		for a != "" && isDigit(a[0]) && b != "" && isDigit(b[0]) {
			if first == 0 {
				first = int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
		}
		if a != "" && isDigit(a[0]) {
			return 1
		}
		if b != "" && isDigit(b[0]) {
			return -1
		}
		if first != 0 {
			return sign(first)
		}
	}
	return 0
}
