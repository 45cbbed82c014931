package secret

import (
	"errors"
	"io"
	"sync"
)

// errClosed is returned for a write after Close.
var errClosed = errors.New("secret: write to a closed redacting writer")

// writer masks secrets in a stream.
type writer struct {
	redactor *Redactor
	out      io.Writer

	mu      sync.Mutex
	pending []byte // seen and not yet written
	masked  bool   // the last thing written is a mask
	covered int    // bytes at the start of pending that this mask stands for as well
	closed  bool
}

// Write takes all of p or fails: bytes that are held back count as written.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, errClosed
	}
	m := w.redactor.matcher.Load()
	if m == nil && len(w.pending) == 0 {
		return w.out.Write(p)
	}
	w.pending = append(w.pending, p...)
	cut := len(w.pending)
	if m != nil {
		cut = m.partial(w.pending)
	}
	if err := w.flush(m, cut); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	return w.flush(w.redactor.matcher.Load(), len(w.pending))
}

// flush writes pending up to cut, masked. A secret that begins before cut is complete in pending;
// its mask is written now, and what of it lies behind cut is remembered as covered.
func (w *writer) flush(m *matcher, cut int) error {
	if cut == 0 {
		return nil
	}
	var spans []span
	if w.masked {
		spans = append(spans, span{0, w.covered})
	}
	if m != nil {
		spans = m.find(w.pending, spans)
	}
	var out []byte
	at, shown := 0, w.masked // shown: the mask of the next span is out already
	w.masked, w.covered = false, 0
	for _, s := range spans {
		if s.start >= cut {
			break
		}
		out = append(out, w.pending[at:s.start]...)
		if !shown {
			out = append(out, m.mask...)
		}
		at, shown = s.end, false
		if s.end >= cut {
			w.masked, w.covered = true, s.end-cut
		}
	}
	if at < cut {
		out = append(out, w.pending[at:cut]...)
	}
	w.pending = append(w.pending[:0], w.pending[cut:]...)
	if len(out) == 0 {
		return nil
	}
	_, err := w.out.Write(out)
	return err
}
