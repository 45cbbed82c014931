// Package vfs is a guest's file tree: directories, regular files, symbolic links, FIFOs and a few
// device nodes, held in memory and kept in a journal on disk.
//
// Everybody works on a tree through a View, which has a user's rights and notes what it changes.
package vfs

import (
	"path"
	"strings"
	"sync"
	"syscall"
	"time"
)

// File types and mode bits, as stat(2) has them.
const (
	TypeMask uint32 = 0o170000
	Fifo     uint32 = 0o010000
	Char     uint32 = 0o020000
	Dir      uint32 = 0o040000
	Block    uint32 = 0o060000
	Regular  uint32 = 0o100000
	Symlink  uint32 = 0o120000
	Socket   uint32 = 0o140000
	PermMask uint32 = 0o7777
)

// maxLinks is how many symbolic links one path may go through.
const maxLinks = 40

// FS is one tree. Its methods may be called from several goroutines.
type FS struct {
	mu    sync.Mutex
	root  *node
	last  uint64 // highest inode number in use
	dirty map[uint64]*node
	store *store // nil: kept in memory only
	now   func() time.Time
	fifos map[uint64]*Pipe
	locks map[uint64]map[any]bool // by inode: who holds a lock, and whether it is shared
}

// node is an inode. data is never written in place once shared is set.
type node struct {
	ino    uint64
	mode   uint32
	uid    int
	gid    int
	mtime  int64 // nanoseconds
	rdev   int   // of a device: major<<8 | minor
	nlink  int
	data   []byte
	hole   int64 // zeroes after data, which take no memory
	shared bool
	target string
	kids   map[string]*node
	moved  map[string]bool // names in kids that the journal does not have yet
	parent *node           // of a directory
	gen    *Generated
}

// Generated is a file of the kernel: its content is made when it is opened, and writing it has effects.
type Generated struct {
	Read  func() []byte
	Write func([]byte) error // nil: writing fails with EACCES
}

// New makes a tree with nothing but its root.
func New() *FS {
	fsys := &FS{dirty: map[uint64]*node{}, now: time.Now, fifos: map[uint64]*Pipe{}, locks: map[uint64]map[any]bool{}}
	fsys.root = fsys.make(Dir|0o755, 0, 0)
	fsys.root.parent = fsys.root
	fsys.root.nlink = 1
	return fsys
}

// make returns a new node that no directory has yet.
func (f *FS) make(mode uint32, uid, gid int) *node {
	f.last++
	n := &node{ino: f.last, mode: mode, uid: uid, gid: gid, mtime: f.now().UnixNano()}
	if mode&TypeMask == Dir {
		n.kids = map[string]*node{}
		n.moved = map[string]bool{}
	}
	f.dirty[n.ino] = n
	return n
}

func (n *node) isDir() bool  { return n.mode&TypeMask == Dir }
func (n *node) isLink() bool { return n.mode&TypeMask == Symlink }

// enter puts a node into a directory under a name that is free.
func (f *FS) enter(dir *node, name string, n *node) {
	dir.kids[name] = n
	dir.moved[name] = true
	n.nlink++
	if n.isDir() {
		n.parent = dir
	}
	dir.mtime = f.now().UnixNano()
	f.dirty[dir.ino] = dir
}

// leave takes a name out of a directory.
func (f *FS) leave(dir *node, name string) {
	n := dir.kids[name]
	delete(dir.kids, name)
	dir.moved[name] = true
	n.nlink--
	dir.mtime = f.now().UnixNano()
	f.dirty[dir.ino] = dir
}

// own makes a file's data writable in place.
func (n *node) own() {
	if n.shared {
		n.data = append(make([]byte, 0, len(n.data)+512), n.data...)
		n.shared = false
	}
}

func (n *node) size() int64 {
	switch {
	case n.isDir():
		return 4096
	case n.isLink():
		return int64(len(n.target))
	}
	return int64(len(n.data)) + n.hole
}

// at is where a path leads.
type at struct {
	dir  *node  // that holds, or would hold, the last name; the root for "/"
	name string // "" for the root
	node *node  // nil if there is none
	path string // without symbolic links in its folders
}

// walk resolves a path with a user's rights. follow is for a symbolic link in the last place. A
// missing last part is no error.
func (f *FS) walk(cred Cred, p string, follow bool) (at, error) {
	if p == "" {
		return at{}, syscall.ENOENT
	}
	mustDir := strings.HasSuffix(p, "/") && strings.Trim(p, "/") != "" || strings.HasSuffix(p, "/.")
	rest := split(p)
	cur, here := f.root, "/"
	links := 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if !cur.isDir() {
			return at{}, syscall.ENOTDIR
		}
		if !cred.may(cur, 1) {
			return at{}, syscall.EACCES
		}
		if len(name) > 255 {
			return at{}, syscall.ENAMETOOLONG
		}
		if name == ".." {
			cur, here = cur.parent, path.Dir(here)
			continue
		}
		next := cur.kids[name]
		last := len(rest) == 0
		if next == nil {
			if last {
				return at{dir: cur, name: name, path: join(here, name)}, nil
			}
			return at{}, syscall.ENOENT
		}
		if next.isLink() && (!last || follow || mustDir) {
			if links++; links > maxLinks {
				return at{}, syscall.ELOOP
			}
			if strings.HasPrefix(next.target, "/") {
				cur, here = f.root, "/"
			}
			rest = append(split(next.target), rest...)
			continue
		}
		if last {
			if mustDir && !next.isDir() {
				return at{}, syscall.ENOTDIR
			}
			return at{dir: cur, name: name, node: next, path: join(here, name)}, nil
		}
		cur, here = next, join(here, name)
	}
	if cur == f.root {
		return at{dir: cur, node: cur, path: "/"}, nil
	}
	return at{dir: cur.parent, name: path.Base(here), node: cur, path: here}, nil
}

func split(p string) []string {
	var parts []string
	for part := range strings.SplitSeq(p, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return parts
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// Cred is who does something.
type Cred struct {
	UID, GID int
	Groups   []int // supplementary
}

// Root may do anything.
var Root = Cred{}

func (c Cred) in(gid int) bool {
	if c.GID == gid {
		return true
	}
	for _, g := range c.Groups {
		if g == gid {
			return true
		}
	}
	return false
}

// may tells whether the permission bits allow want: 4 read, 2 write, 1 execute or enter.
func (c Cred) may(n *node, want uint32) bool {
	if c.UID == 0 {
		return want&1 == 0 || n.isDir() || n.mode&0o111 != 0
	}
	bits := n.mode
	switch {
	case c.UID == n.uid:
		bits >>= 6
	case c.in(n.gid):
		bits >>= 3
	}
	return bits&want == want
}
