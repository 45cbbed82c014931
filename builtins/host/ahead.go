package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"phoenix-run/runner/op"
)

const (
	// aheadPaths and aheadScript bound what is read in one round trip.
	aheadPaths  = 100
	aheadScript = 96 << 10
	// aheadContent is the largest file that is read before it is asked for.
	aheadContent = 64 << 10
	// aheadAge is how long something that was read ahead may be used.
	aheadAge = 10 * time.Second
	// aheadKept bounds how many reads are remembered for the next run.
	aheadKept = 5000
)

// ahead reads paths before they are asked for. Which ones, the run before has shown: a run that
// follows the same playbook asks for the same paths in the same order, and gets up to a hundred of
// them in one round trip. Only the order is remembered, never what was read; what was read ahead is
// used once, soon, and only if no step of the run, on any machine, has changed anything since. So an
// operation sees what it would have seen by asking itself, and errors come where they belong: a path
// that can't be read is read again by whoever asks for it.
type ahead struct {
	file string // where the order is kept; "": nowhere

	mu     sync.Mutex
	loaded bool
	last   []string // what the run before asked for
	next   int      // where this run is in it
	seen   []string // what this run asked for
	found  map[string]*early
	view   *op.View // that found belongs to
	moved  int64    // its count of changes when found was read
	at     time.Time
}

// early is one path's answer, and how often it may be given.
type early struct {
	out  []byte
	uses int
}

// ReadAhead has the host remember in a folder, for the next run, in which order paths were read.
func (h *Host) ReadAhead(dir string) {
	if dir != "" {
		h.ahead.file = filepath.Join(dir, "reads", strings.ReplaceAll(h.name, "/", "_"))
	}
}

// take gives what nodeScript says of a path, and has read with it what is likely to be asked for next.
// ok is false if the path has to be read by itself.
func (a *ahead) take(ctx context.Context, h *Host, v *op.View, p string) (out []byte, ok bool) {
	if a.file == "" {
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.load()
	if len(a.seen) < aheadKept {
		a.seen = append(a.seen, p)
	}
	moved := v.Moved()
	if a.view != v || a.moved != moved || time.Since(a.at) > aheadAge {
		a.found = nil
	}
	if e := a.found[p]; e != nil {
		if e.uses--; e.uses == 0 {
			delete(a.found, p)
		}
		return e.out, true
	}
	batch := a.batch(p)
	if len(batch) < 2 {
		return nil, false
	}
	found, err := readNodes(ctx, h, batch)
	if err != nil || found[p] == nil {
		return nil, false // who asks will get the error, or the answer
	}
	a.found, a.view, a.moved, a.at = map[string]*early{}, v, moved, time.Now()
	for _, p := range a.last[a.next:min(len(a.last), a.next+aheadPaths)] {
		if out, ok := found[p]; ok {
			if a.found[p] == nil {
				a.found[p] = &early{out: out}
			}
			a.found[p].uses++
		}
	}
	e := a.found[p]
	if e.uses--; e.uses == 0 {
		delete(a.found, p)
	}
	return e.out, true
}

// batch is what to read together with p: what followed it the last time, p first. a.next is its place.
func (a *ahead) batch(p string) []string {
	at := -1
	for i := range a.last {
		if j := (a.next + i) % len(a.last); a.last[j] == p {
			at = j
			break
		}
	}
	if at < 0 {
		return nil
	}
	a.next = at
	var all []string
	known := map[string]bool{}
	size := 0
	for _, p := range a.last[at:min(len(a.last), at+aheadPaths)] {
		if size += len(p) + 20; size > aheadScript {
			break
		}
		if !known[p] {
			known[p] = true
			all = append(all, p)
		}
	}
	return all
}

// readNodes runs nodeScript for several paths in one round trip. What it does not give is to be read
// by itself: large files, and what can't be read.
func readNodes(ctx context.Context, h *Host, paths []string) (map[string][]byte, error) {
	word := rand.Text()
	var b strings.Builder
	body := strings.ReplaceAll(fmt.Sprintf(nodeScript, `"$1"`, maxContent), "exit 1", "return 1")
	fmt.Fprintf(&b, "f() {\n%s\n}\n", body)
	fmt.Fprintf(&b, `n() {
if [ ! -L "$1" ] && [ -f "$1" ] && [ "$(stat -c %%s -- "$1")" -gt %d ]; then echo later; else f "$1"; fi
printf '\n%s %%d\n' $?
}
`, aheadContent, word)
	for _, p := range paths {
		b.WriteString("n " + quote(p) + "\n")
	}
	r, err := h.read(ctx, b.String())
	if err != nil || r.Truncated {
		return nil, err
	}
	found := map[string][]byte{}
	rest := r.Stdout
	for _, p := range paths {
		out, after, ok := bytes.Cut(rest, []byte("\n"+word+" "))
		code, next, ended := bytes.Cut(after, []byte("\n"))
		if !ok || !ended {
			return found, nil
		}
		rest = next
		if n, err := strconv.Atoi(string(code)); err == nil && n == 0 && string(out) != "later\n" {
			found[p] = out
		}
	}
	return found, nil
}

// load reads the order that the run before has left. Without one, everything is read when it is asked for.
func (a *ahead) load() {
	if a.loaded {
		return
	}
	a.loaded = true
	text, err := os.ReadFile(a.file)
	if err != nil {
		return
	}
	for p := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		// The file is a hint, and anybody may have written into it: it can name nothing but paths.
		if strings.HasPrefix(p, "/") && len(a.last) < aheadKept {
			a.last = append(a.last, p)
		}
	}
}

// save leaves the order for the next run, if there is a folder for what runs leave.
func (a *ahead) save() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == "" || len(a.seen) == 0 {
		return nil
	}
	dir := filepath.Dir(a.file)
	if _, err := os.Stat(filepath.Dir(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(a.file, []byte(strings.Join(a.seen, "\x00")+"\x00"), 0o600)
}
