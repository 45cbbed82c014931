package secret

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// minForm is the shortest text, in bytes, that is looked for. Shorter texts occur by chance all
// over an output: taking them out would destroy it and tell what they are.
const minForm = 4

// matcher finds the registered forms in a text. It is immutable: Add makes a new one.
type matcher struct {
	table  map[[minForm]byte][]string // forms by their first bytes, longest first
	filter [1 << 10]uint64            // a bit for each hash of a form's first bytes
	forms  []string                   // all forms, sorted
	max    int                        // the longest form's length
	mask   string                     // what stands for a match
}

// span is a half-open range of bytes.
type span struct{ start, end int }

// newMatcher makes a matcher of sorted forms, each at least minForm bytes long.
func newMatcher(forms []string) *matcher {
	m := &matcher{table: make(map[[minForm]byte][]string), mask: chooseMask(forms), forms: forms}
	for _, f := range m.forms {
		key := [minForm]byte([]byte(f[:minForm]))
		m.table[key] = append(m.table[key], f)
		h := hash(key[:])
		m.filter[h>>6] |= 1 << (h & 63)
		m.max = max(m.max, len(f))
	}
	for _, list := range m.table {
		slices.SortFunc(list, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	}
	return m
}

// hash maps four bytes to 16 bits.
func hash(b []byte) uint32 {
	x := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
	return (x * 2654435761) >> 16
}

// find appends to spans, in order and merged, every range of text that a form covers. Occurrences
// that overlap or touch become one range, so that no part of any of them stays behind.
func (m *matcher) find(text []byte, spans []span) []span {
	for i := 0; i+minForm <= len(text); i++ {
		if h := hash(text[i:]); m.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, f := range m.table[[minForm]byte(text[i:i+minForm])] {
			if len(f) > len(text)-i || string(text[i:i+len(f)]) != f {
				continue
			}
			if n := len(spans); n > 0 && i <= spans[n-1].end {
				spans[n-1].end = max(spans[n-1].end, i+len(f))
			} else {
				spans = append(spans, span{i, i + len(f)})
			}
			break // the longest one that starts here covers the others
		}
	}
	return spans
}

// partial returns the first position from which text could be the beginning of a form whose rest
// is yet to come; len(text) if there is none.
func (m *matcher) partial(text []byte) int {
	for p := max(0, len(text)-m.max+1); p < len(text); p++ {
		tail := text[p:]
		candidates := m.forms
		if len(tail) >= minForm {
			if h := hash(tail); m.filter[h>>6]&(1<<(h&63)) == 0 {
				continue
			}
			candidates = m.table[[minForm]byte(tail[:minForm])]
		}
		for _, f := range candidates {
			if len(f) > len(tail) && f[:len(tail)] == string(tail) {
				return p
			}
		}
	}
	return len(text)
}

// redact returns text with every occurrence masked, and text itself where there is none.
func (m *matcher) redact(text []byte) []byte {
	spans := m.find(text, nil)
	if len(spans) == 0 {
		return text
	}
	var out bytes.Buffer
	at := 0
	for _, s := range spans {
		out.Write(text[at:s.start])
		out.WriteString(m.mask)
		at = s.end
	}
	out.Write(text[at:])
	return out.Bytes()
}

// chooseMask picks a mask that can't bring a form back: neither on its own, nor joined with the
// text beside it (a secret that ends in "(" would be made whole by "(secret)").
func chooseMask(forms []string) string {
	for _, mask := range []string{Placeholder, "<secret>", "[secret]", "{secret}", "***"} {
		if safeMask(mask, forms) {
			return mask
		}
	}
	for r := '\u2580'; ; r++ { // forms are finite: a rune that is in none of them comes soon
		if mask := string(r); safeMask(mask, forms) {
			return mask
		}
	}
}

func safeMask(mask string, forms []string) bool {
	for _, f := range forms {
		if strings.Contains(f, mask) || strings.Contains(mask, f) {
			return false
		}
		for n := 1; n < min(len(mask), len(f)); n++ {
			if f[len(f)-n:] == mask[:n] || f[:n] == mask[len(mask)-n:] {
				return false
			}
		}
	}
	return true
}
