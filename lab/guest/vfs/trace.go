package vfs

import (
	"bytes"
	"strings"
	"sync"
)

// Trace remembers how everything was that a command changed, so that it can be said at its end whether
// anything is different. What was made and removed again is not.
type Trace struct {
	mu     sync.Mutex
	before map[string]*memory
	marked bool
}

// memory is a node as it was; nil: there was none.
type memory struct {
	ino      uint64
	mode     uint32
	uid, gid int
	mtime    int64
	target   string
	data     []byte
	hole     int64
}

// quiet are folders whose content is nobody's state.
var quiet = []string{"/tmp/", "/var/tmp/", "/run/user/", "/run/lock/", "/dev/", "/var/log/", "/var/cache/", "/var/lib/apt/lists/"}

// Quiet tells whether what is at a path belongs to no one's state.
func Quiet(p string) bool {
	for _, folder := range quiet {
		if strings.HasPrefix(p, folder) {
			return true
		}
	}
	return strings.HasSuffix(p, ".sock")
}

// Mark says that something changed that is no file.
func (t *Trace) Mark() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.marked = true
	t.mu.Unlock()
}

// note keeps a path's state before its first change. The tree is locked.
func (t *Trace) note(p string, n *node) {
	if t == nil || Quiet(p) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.before[p]; known {
		return
	}
	if t.before == nil {
		t.before = map[string]*memory{}
	}
	t.before[p] = remember(n)
}

func remember(n *node) *memory {
	if n == nil {
		return nil
	}
	m := &memory{ino: n.ino, mode: n.mode, uid: n.uid, gid: n.gid, mtime: n.mtime, target: n.target}
	if !n.isDir() {
		n.shared = true // whoever writes it next makes a copy
		m.data, m.hole = n.data, n.hole
	}
	return m
}

// Changed tells whether the tree differs from what it was when the trace began, as far as this trace's
// views changed it, or something was marked.
func (f *FS) Changed(t *Trace) bool {
	if t == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.marked {
		return true
	}
	for p, was := range t.before {
		where, err := f.walk(Root, p, false)
		var n *node
		if err == nil {
			n = where.node
		}
		if !was.same(n) {
			return true
		}
	}
	return false
}

func (m *memory) same(n *node) bool {
	if m == nil || n == nil {
		return m == nil && n == nil
	}
	if m.mode != n.mode || m.uid != n.uid || m.gid != n.gid || m.target != n.target {
		return false
	}
	if n.isDir() || n.isLink() {
		return true
	}
	return m.mtime == n.mtime && m.hole == n.hole && bytes.Equal(m.data, n.data)
}
