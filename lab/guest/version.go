package guest

import (
	"cmp"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// compareVersions is dpkg --compare-versions A OP B.
func compareVersions(p *proc.Proc) int {
	if len(p.Args) != 5 {
		p.Errorf("error: --compare-versions takes three arguments: <version> <relation> <version>")
		return 2
	}
	n := versionOrder(p.Args[2], p.Args[4])
	holds, known := map[string]bool{
		"lt": n < 0, "<<": n < 0, "le": n <= 0, "<=": n <= 0, "eq": n == 0, "=": n == 0,
		"ne": n != 0, "ge": n >= 0, ">=": n >= 0, "gt": n > 0, ">>": n > 0,
	}[p.Args[3]]
	switch {
	case !known:
		p.Errorf("error: --compare-versions bad relation")
		return 2
	case holds:
		return 0
	}
	return 1
}

// versionOrder compares as Debian's policy has it: epoch, upstream version, revision.
func versionOrder(a, b string) int {
	epoch := func(s string) (string, string) {
		if e, rest, found := strings.Cut(s, ":"); found {
			return e, rest
		}
		return "0", s
	}
	ea, a := epoch(a)
	eb, b := epoch(b)
	revision := func(s string) (string, string) {
		if i := strings.LastIndexByte(s, '-'); i >= 0 {
			return s[:i], s[i+1:]
		}
		return s, ""
	}
	ua, ra := revision(a)
	ub, rb := revision(b)
	return cmp.Or(partOrder(ea, eb), partOrder(ua, ub), partOrder(ra, rb))
}

// partOrder compares text and numbers in turns; ~ comes before everything, the end included.
func partOrder(a, b string) int {
	weight := func(s string) int {
		switch {
		case s == "" || s[0] >= '0' && s[0] <= '9':
			return 0
		case s[0] == '~':
			return -1
		case s[0]|32 >= 'a' && s[0]|32 <= 'z':
			return int(s[0])
		}
		return int(s[0]) + 256
	}
	digits := func(s string) (string, string) {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return strings.TrimLeft(s[:n], "0"), s[n:]
	}
	for a != "" || b != "" {
		for weight(a) != 0 || weight(b) != 0 {
			if n := cmp.Compare(weight(a), weight(b)); n != 0 {
				return n
			}
			a, b = a[1:], b[1:]
		}
		var na, nb string
		na, a = digits(a)
		nb, b = digits(b)
		if n := cmp.Or(cmp.Compare(len(na), len(nb)), strings.Compare(na, nb)); n != 0 {
			return n
		}
	}
	return 0
}
