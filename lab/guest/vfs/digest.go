package vfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Digest is a hash over everything in the tree that is someone's state: names, types, modes, owners
// and contents, without times, the kernel's files and what is Quiet.
func (f *FS) Digest() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := sha256.New()
	var walk func(string, *node)
	walk = func(p string, n *node) {
		if n.gen != nil || Quiet(p) || strings.HasPrefix(p, "/run/") {
			return
		}
		sum := sha256.Sum256(n.data)
		fmt.Fprintf(h, "%q %o %d %d %d %q %d %x\n", p, n.mode, n.uid, n.gid, n.rdev, n.target, n.hole, sum) //nolint:errcheck // a hash takes all
		for _, name := range slices.Sorted(maps.Keys(n.kids)) {
			walk(join(p, name), n.kids[name])
		}
	}
	walk("/", f.root)
	return hex.EncodeToString(h.Sum(nil))
}

// Used is how many bytes the files hold, zeroes that were only reserved included.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := int64(0)
	f.each(func(n *node) {
		if !n.isDir() && !n.isLink() {
			total += n.size()
		}
	})
	return total
}
