package op

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// Key names a thing that operations read and write; several operations may share one (a file and a
// line in it). An ID that begins with "/" is a path, and lies within the things above it.
type Key struct{ Host, Space, ID string }

// View is what operations read through. When planning, predicted state lies over the live one; when
// applying, it only remembers bulk reads until a change touches them.
type View struct {
	planning bool

	mu     sync.Mutex
	cells  map[Key]cell
	marks  []mark
	absent map[string]absence // hosts that don't exist yet, or are off
	last   map[string]Cause   // the latest planned step by host
	memo   map[Key]*memory
	moved  atomic.Int64
}

// memory is a bulk read, done once by whoever asks first.
type memory struct {
	once  sync.Once
	value any
	err   error
}

type cell struct {
	attrs Attrs // nil: predicted to be absent
	made  bool  // an earlier step makes it
	fresh bool  // and it is certain that it did not exist before, so that nothing else can be within it
	maybe *Cause
}

type mark struct {
	key   Key // ID "" reaches the whole space, Space "" the whole host
	cause Cause
	any   bool // what is there may be changed as well, not only be added to
}

// NewView makes an empty view.
func NewView(planning bool) *View {
	return &View{planning: planning, cells: map[Key]cell{}, absent: map[string]absence{}, last: map[string]Cause{}, memo: map[Key]*memory{}}
}

// Planning reports whether writes are predicted instead of done.
func (v *View) Planning() bool { return v.planning }

// Read gives the state of the thing: as predicted by an earlier step, or else as live finds it. live
// is not called for a host that does not exist yet, or for a path within something that is predicted
// to be gone or new.
func (v *View) Read(ctx context.Context, key Key, live func(context.Context) (Attrs, error)) (State, error) {
	v.mu.Lock()
	c, found := v.predicted(key)
	none, absent := v.absent[key.Host]
	v.mu.Unlock()
	if found {
		return State{Attrs: c.attrs, Maybe: c.maybe}, nil
	}
	switch {
	case absent && none.off:
		return State{}, &OffError{Host: key.Host, Cause: none.cause}
	case absent:
		return State{Maybe: &none.cause}, nil
	}
	attrs, err := live(ctx)
	if err != nil {
		return State{}, err
	}
	if attrs != nil {
		attrs = Normal(attrs).(map[string]any)
	}
	return State{Attrs: attrs, Maybe: v.reach(key, attrs == nil)}, nil
}

// predicted finds the cell that decides key. The caller holds the lock.
func (v *View) predicted(key Key) (cell, bool) {
	if c, ok := v.cells[key]; ok {
		if c.attrs == nil && c.maybe == nil {
			c.maybe = v.reachLocked(key, true)
		}
		return c, true
	}
	if !strings.HasPrefix(key.ID, "/") {
		return cell{}, false
	}
	for dir := path.Dir(key.ID); ; dir = path.Dir(dir) {
		if c, ok := v.cells[Key{key.Host, key.Space, dir}]; ok {
			if c.attrs == nil || c.fresh {
				return cell{maybe: v.reachLocked(key, true)}, true
			}
			return cell{}, false
		}
		if dir == "/" {
			return cell{}, false
		}
	}
}

func (v *View) reach(key Key, absent bool) *Cause {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reachLocked(key, absent)
}

func (v *View) reachLocked(key Key, absent bool) *Cause {
	for i := len(v.marks) - 1; i >= 0; i-- {
		m := v.marks[i]
		if (absent || m.any) && m.covers(key) {
			cause := m.cause
			return &cause
		}
	}
	return nil
}

func (m mark) covers(key Key) bool {
	switch {
	case m.key.Host != key.Host:
		return false
	case m.key.Space == "":
		return true
	case m.key.Space != key.Space:
		return false
	}
	return m.key.ID == "" || m.key.ID == key.ID || strings.HasPrefix(key.ID, strings.TrimSuffix(m.key.ID, "/")+"/")
}

// Put records that the thing will be as change.After says. When applying it makes the view forget the thing.
func (v *View) Put(key Key, change Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.planning {
		v.forget(mark{key: key})
		return
	}
	prefix := strings.TrimSuffix(key.ID, "/") + "/"
	if strings.HasPrefix(key.ID, "/") && change.After == nil {
		for k := range v.cells { // what was predicted within it is gone too
			if k.Host == key.Host && k.Space == key.Space && strings.HasPrefix(k.ID, prefix) {
				delete(v.cells, k)
			}
		}
	}
	was := v.cells[key]
	created := change.Action == Create
	v.cells[key] = cell{attrs: change.After, made: created || was.made, fresh: created && change.Cause == nil || was.fresh}
}

// Mark records that a step may change more than it can list: everything of the key's space on its
// host that lies at or within key.ID ("" for all of it). With anything, what exists may be changed too.
func (v *View) Mark(key Key, cause Cause, anything bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := mark{key: key, cause: cause, any: anything}
	if !v.planning {
		v.forget(m)
		return
	}
	v.marks = append(v.marks, m)
}

// Missing records that the host does not exist, or can't be reached, until the step named by cause
// is applied: nothing on it can be read.
func (v *View) Missing(host string, cause Cause) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.planning {
		v.absent[host] = absence{cause: cause}
	}
}

// Off records that the host is there and off until the step named by cause is applied: what is on it is
// not nothing, but nobody can look.
func (v *View) Off(host string, cause Cause) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.planning {
		v.absent[host] = absence{cause: cause, off: true}
	}
}

// IsMissing gives the step that brings the host, if it isn't there yet, or is off.
func (v *View) IsMissing(host string) (Cause, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, ok := v.absent[host]
	return a.cause, ok
}

// absence is why a host can't be read.
type absence struct {
	cause Cause
	off   bool // it exists, and keeps what is on it
}

// OffError says that a plan can't tell what is on a host, since it is off until an earlier step is applied.
type OffError struct {
	Host  string
	Cause Cause
}

func (e *OffError) Error() string {
	return fmt.Sprintf("%s is off: what is on it can be read after %s", e.Host, e.Cause.Address)
}

// Moved counts what has been changed by steps of the run, on any machine. As long as it stays, what
// was read is what there is, as far as the run has a part in it.
func (v *View) Moved() int64 { return v.moved.Load() }

// Move says that the world went on while the run waited for something.
func (v *View) Move() { v.moved.Add(1) }

// Touch records that the step changes its host.
func (v *View) Touch(step Address) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.planning {
		v.last[step.Host] = Cause{Address: step, Why: "comes first"}
	}
}

// Touched gives the latest planned step on the host, if there is one: what a program that looks at
// anything it likes would say after that step, nobody can tell.
func (v *View) Touched(host string) *Cause {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, ok := v.last[host]; ok {
		return &c
	}
	return nil
}

// forget drops remembered reads that m covers. The caller holds the lock.
func (v *View) forget(m mark) {
	v.moved.Add(1)
	for k := range v.memo {
		if m.covers(k) || (k.Host == m.key.Host && k.Space == m.key.Space && k.ID == "") {
			delete(v.memo, k)
		}
	}
}

// Remember gives what read found for key the first time, until a change touches it: for reads that
// serve many operations, such as a host's list of packages. Whoever asks meanwhile waits for the same
// read; a failed one is not remembered.
func Remember[T any](ctx context.Context, v *View, key Key, read func(context.Context) (T, error)) (T, error) {
	v.mu.Lock()
	m, ok := v.memo[key]
	if !ok {
		m = &memory{}
		v.memo[key] = m
	}
	v.mu.Unlock()
	m.once.Do(func() { m.value, m.err = read(ctx) })
	if m.err != nil {
		v.mu.Lock()
		if v.memo[key] == m {
			delete(v.memo, key)
		}
		v.mu.Unlock()
	}
	value, _ := m.value.(T)
	return value, m.err
}

// Appear records that a thing is there from now on, unless the view knows more of it.
func (v *View) Appear(key Key, attrs Attrs) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.planning {
		v.forget(mark{key: key})
		return
	}
	if c, ok := v.cells[key]; !ok || c.attrs == nil {
		v.cells[key] = cell{attrs: attrs}
	}
}

// Reach gives the latest step that may have brought the thing, if there is one.
func (v *View) Reach(key Key) *Cause { return v.reach(key, true) }

// Fresh reports whether an earlier step of the plan makes the thing anew.
func (v *View) Fresh(key Key) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	c, ok := v.cells[key]
	return ok && c.attrs != nil && c.made
}
