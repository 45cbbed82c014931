package secret

import (
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Redactor takes registered secrets out of texts. It finds them as they are and as base64, JSON,
// URLs and shells write them, and the lines of secrets that have several. The zero Redactor is
// ready and knows no secret. It may be used by many goroutines.
type Redactor struct {
	mu      sync.Mutex // held while forms changes
	forms   map[string]struct{}
	matcher atomic.Pointer[matcher] // nil while nothing is registered
}

// Add registers text. It reports false, and registers nothing, if text has fewer than 4 bytes:
// such a secret can't be told from chance, and the caller should warn that it stays visible.
func (r *Redactor) Add(text string) bool {
	if len(text) < minForm {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forms == nil {
		r.forms = make(map[string]struct{})
	}
	before := len(r.forms)
	for _, f := range formsOf(text) {
		if len(f) >= minForm {
			r.forms[f] = struct{}{}
		}
	}
	if len(r.forms) == before {
		return true
	}
	r.matcher.Store(newMatcher(slices.Sorted(maps.Keys(r.forms))))
	return true
}

// AddValue registers the text of v; see Add.
func (r *Redactor) AddValue(v Value) bool { return r.Add(v.Reveal()) }

// Redact returns text with every registered secret masked by Placeholder, or by another mask where
// Placeholder itself could complete a secret.
func (r *Redactor) Redact(text string) string {
	m := r.matcher.Load()
	if m == nil {
		return text
	}
	b := []byte(text)
	if out := m.redact(b); len(out) != len(b) || string(out) != text {
		return string(out)
	}
	return text
}

// RedactBytes is Redact for bytes. The result is data itself if there is nothing to mask.
func (r *Redactor) RedactBytes(data []byte) []byte {
	m := r.matcher.Load()
	if m == nil {
		return data
	}
	return m.redact(data)
}

// Writer returns a writer that masks secrets on their way to w, also those split over several
// writes: the end of what was written is held back for as long as it may be the beginning of a
// secret. Close writes the rest; it does not close w. Writes may come from many goroutines.
func (r *Redactor) Writer(w io.Writer) io.WriteCloser {
	return &writer{redactor: r, out: w}
}
