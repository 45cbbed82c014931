package vfs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// inlineSize is how long a file's content may be to stand in the journal; longer ones are blobs.
const inlineSize = 2 << 10

// store is where a tree is kept: a journal of inodes, the last record of each counts, and a folder of
// contents by hash that several trees may share.
type store struct {
	mu      sync.Mutex // one flush at a time
	journal string
	blobs   string
}

// record is one inode, or what changed of it. Bytes that are no UTF-8 are escaped in names.
type record struct {
	Ino    uint64            `json:"i"`
	Mode   uint32            `json:"m"`
	UID    int               `json:"u,omitempty"`
	GID    int               `json:"g,omitempty"`
	Mtime  int64             `json:"t"`
	Rdev   int               `json:"r,omitempty"`
	Data   []byte            `json:"b,omitempty"`
	Hash   string            `json:"h,omitempty"`
	Hole   int64             `json:"z,omitempty"`
	Target string            `json:"l,omitempty"`
	Add    map[string]uint64 `json:"a,omitempty"`
	Drop   []string          `json:"d,omitempty"`

	blob []byte
}

func escape(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return "\x00" + hex.EncodeToString([]byte(s))
}

func unescape(s string) string {
	if rest, found := strings.CutPrefix(s, "\x00"); found {
		if b, err := hex.DecodeString(rest); err == nil {
			return string(b)
		}
	}
	return s
}

// Keep writes the tree to a journal, and from now on what changes whenever Flush is called.
func (f *FS) Keep(journal, blobs string) error {
	f.mu.Lock()
	clear(f.dirty)
	f.each(func(n *node) {
		f.dirty[n.ino] = n
		for name := range n.kids {
			n.moved[name] = true
		}
	})
	s := &store{journal: journal + ".new", blobs: blobs}
	f.store = s
	f.mu.Unlock()
	if err := os.Remove(s.journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.Flush(); err != nil {
		return err
	}
	if err := os.Rename(s.journal, journal); err != nil {
		return err
	}
	s.mu.Lock()
	s.journal = journal
	s.mu.Unlock()
	return nil
}

// each visits every node that the journal keeps, once.
func (f *FS) each(visit func(*node)) {
	seen := map[uint64]bool{}
	var walk func(*node)
	walk = func(n *node) {
		if seen[n.ino] || n.gen != nil {
			return
		}
		seen[n.ino] = true
		visit(n)
		for _, kid := range n.kids {
			walk(kid)
		}
	}
	walk(f.root)
}

// Flush writes what has changed since the last time.
func (f *FS) Flush() error {
	f.mu.Lock()
	s := f.store
	if s == nil || len(f.dirty) == 0 {
		f.mu.Unlock()
		return nil
	}
	f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()

	f.mu.Lock()
	var records []record
	for _, n := range f.dirty {
		if n.nlink > 0 && n.gen == nil {
			records = append(records, n.record())
		}
	}
	clear(f.dirty)
	f.mu.Unlock()
	if len(records) == 0 {
		return nil
	}
	slices.SortFunc(records, func(a, b record) int { return int(a.Ino) - int(b.Ino) })
	var lines bytes.Buffer
	for _, r := range records {
		if r.Hash != "" {
			if err := putBlob(s.blobs, r.Hash, r.blob); err != nil {
				return err
			}
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	out, err := os.OpenFile(s.journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(lines.Bytes())
	return errors.Join(err, out.Close())
}

// record makes a node's record; names that were journaled are left out.
func (n *node) record() record {
	r := record{Ino: n.ino, Mode: n.mode, UID: n.uid, GID: n.gid, Mtime: n.mtime, Rdev: n.rdev, Hole: n.hole, Target: escape(n.target)}
	if n.isDir() {
		for name := range n.moved {
			switch kid := n.kids[name]; {
			case kid == nil:
				r.Drop = append(r.Drop, escape(name))
			case kid.gen == nil:
				if r.Add == nil {
					r.Add = map[string]uint64{}
				}
				r.Add[escape(name)] = kid.ino
			}
		}
		clear(n.moved)
		return r
	}
	if len(n.data) <= inlineSize {
		r.Data = bytes.Clone(n.data)
		return r
	}
	n.shared = true
	sum := sha256.Sum256(n.data)
	r.Hash, r.blob = hex.EncodeToString(sum[:]), n.data
	return r
}

func putBlob(dir, hash string, content []byte) error {
	name := filepath.Join(dir, hash)
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// Load reads a tree that was kept.
func Load(journal, blobs string) (*FS, error) {
	records, lines, err := readJournal(journal)
	if err != nil {
		return nil, err
	}
	f := New()
	f.last = 0
	nodes := map[uint64]*node{}
	for ino, r := range records {
		n := &node{ino: ino, mode: r.Mode, uid: r.UID, gid: r.GID, mtime: r.Mtime, rdev: r.Rdev, target: unescape(r.Target), data: r.Data, hole: r.Hole}
		if r.Hash != "" {
			if n.data, err = os.ReadFile(filepath.Join(blobs, r.Hash)); err != nil {
				return nil, fmt.Errorf("%s: inode %d: %w", journal, ino, err)
			}
		}
		if n.isDir() {
			n.kids, n.moved = map[string]*node{}, map[string]bool{}
		}
		nodes[ino] = n
		f.last = max(f.last, ino)
	}
	root := nodes[1]
	if root == nil || !root.isDir() {
		return nil, fmt.Errorf("%s: the tree has no root", journal)
	}
	for ino, r := range records {
		dir := nodes[ino]
		for name, kid := range r.Add {
			n := nodes[kid]
			if n == nil {
				return nil, fmt.Errorf("%s: inode %d: no inode %d for %q", journal, ino, kid, name)
			}
			dir.kids[unescape(name)] = n
			n.nlink++
			if n.isDir() {
				n.parent = dir
			}
		}
	}
	root.parent, root.nlink = root, 1
	f.root = root
	clear(f.dirty)
	f.store = &store{journal: journal, blobs: blobs}
	if lines > 2*len(records)+1000 {
		return f, f.Keep(journal, blobs)
	}
	return f, nil
}

// readJournal merges the records of each inode. A last line that was cut short by a crash is dropped.
func readJournal(journal string) (map[uint64]record, int, error) {
	content, err := os.ReadFile(journal)
	if err != nil {
		return nil, 0, err
	}
	records := map[uint64]record{}
	lines := 0
	in := bufio.NewScanner(bytes.NewReader(content))
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		lines++
		var r record
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			if bytes.HasSuffix(content, in.Bytes()) {
				// Cut it off, so that what is appended stands on a line of its own.
				return records, lines, os.Truncate(journal, int64(len(content)-len(in.Bytes())))
			}
			return nil, 0, fmt.Errorf("%s:%d: %w", journal, lines, err)
		}
		if old, found := records[r.Ino]; found && old.Mode&TypeMask == Dir {
			names := old.Add
			if names == nil {
				names = map[string]uint64{}
			}
			for _, name := range r.Drop {
				delete(names, name)
			}
			maps.Copy(names, r.Add)
			r.Add = names
		}
		r.Drop = nil
		records[r.Ino] = r
	}
	return records, lines, in.Err()
}

// Blobs lists the contents that a journal names.
func Blobs(journal string) ([]string, error) {
	records, _, err := readJournal(journal)
	if err != nil {
		return nil, err
	}
	var hashes []string
	for _, r := range records {
		if r.Hash != "" {
			hashes = append(hashes, r.Hash)
		}
	}
	return hashes, nil
}

// Copy makes a tree with the same content, kept in memory only. Files of the kernel are left out.
func (f *FS) Copy() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := New()
	copies := map[uint64]*node{}
	f.each(func(n *node) {
		c := *n
		c.kids, c.moved, c.parent = nil, nil, nil
		if n.isDir() {
			c.kids, c.moved = map[string]*node{}, map[string]bool{}
		} else {
			n.shared, c.shared = true, true
		}
		copies[n.ino] = &c
	})
	f.each(func(n *node) {
		for name, kid := range n.kids {
			if c := copies[kid.ino]; c != nil {
				copies[n.ino].kids[name] = c
				if c.isDir() {
					c.parent = copies[n.ino]
				}
			}
		}
	})
	g.root, g.last = copies[f.root.ino], f.last
	g.root.parent = g.root
	return g
}
