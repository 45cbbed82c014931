package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/agnivade/levenshtein"
)

// nearest returns the candidate that was probably meant by name, "" if none is near enough: the one
// with the fewest slips, one for each three letters at most, or one that name is an end of ("memory"
// for "memory_mb").
func nearest(name string, candidates []string) string {
	flat := flatten(name)
	best, fewest := "", 0
	for _, c := range candidates {
		other := flatten(c)
		slips := levenshtein.ComputeDistance(flat, other)
		part := len(flat) > 3 && (strings.HasPrefix(other, flat) || strings.HasSuffix(other, flat)) ||
			len(other) > 3 && (strings.HasPrefix(flat, other) || strings.HasSuffix(flat, other))
		near := slips <= max(1, len(flat)/3) || part || letters(flat) == letters(other)
		if !near || name == "" {
			continue
		}
		if best == "" || slips < fewest {
			best, fewest = c, slips
		}
	}
	return best
}

// letters returns what a name is made of: the same for names with letters swapped.
func letters(name string) string {
	b := []byte(name)
	slices.Sort(b)
	return string(b)
}

// flatten makes cpuCores, CPU-cores and cpu_cores the same.
func flatten(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// didYouMean returns "; did you mean X?", or nothing.
func didYouMean(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// list joins names for a sentence.
func list(names []string) string {
	const enough = 30
	if len(names) > enough {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
	}
	return strings.Join(names, ", ")
}

// known returns a sentence's end that lists what there is, or says that there is nothing.
func known(what string, names []string) string {
	if len(names) == 0 {
		return "there are no " + what
	}
	names = slices.Sorted(slices.Values(names))
	return "the " + what + " are " + list(names)
}

func withoutSchema(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return strings.HasPrefix(k, "$") })
}

func lowerFirst(s string) string {
	if len(s) < 2 || unicode.IsUpper(rune(s[1])) {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
