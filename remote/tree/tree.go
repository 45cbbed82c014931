// Package tree makes a folder on a machine equal to a folder here, in two round trips however many
// files there are: one that reads what is there, one that brings what differs, sets attributes and
// deletes.
//
// Each file changes by a rename, so that nobody sees half of one. What it needs of the machine: GNU
// find, xargs, sha256sum -z, tar, mv -t, chmod, chown, rm and sync -f.
package tree

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/place"
)

// Spec says what should be where.
type Spec struct {
	// Source is what should be there: Dir for a folder here, or any other file system.
	Source fs.FS
	Target string // absolute path of the folder on the machine; its parent must exist
	// Owner and Group are for everything in the tree, and Target. "" leaves what is, and gives new
	// things to the user that scripts run as.
	Owner, Group string
	// FileMode and DirMode are for all files and all folders; 0 takes each one's mode in Source.
	FileMode, DirMode fs.FileMode
	// Delete removes what is in Target and not in Source.
	Delete bool
	// Exclude are patterns of path.Match, for a path in the tree or for a name in it. What they match
	// is neither sent nor deleted.
	Exclude  []string
	Progress func(sent int64) // bytes of content, after each that was taken
}

// Type is what an Entry is.
type Type string

const (
	File   Type = "file"
	Folder Type = "directory"
	Link   Type = "link"
	Other  Type = "other" // a device, socket or pipe: never made, only found
)

// Entry is one thing in a tree.
type Entry struct {
	Path         string // relative to the root of the tree, "." for the root itself
	Type         Type
	Mode         fs.FileMode // permissions as chmod's number; 0 for a Link
	Owner, Group string      // as the machine names them; "" in a source
	Size         int64       // of a File
	SHA256       string      // of a File, hex
	Target       string      // of a Link
}

// Action is what a Change does.
type Action string

const (
	Create     Action = "create"
	Update     Action = "update"     // other content, or a link to elsewhere
	Attributes Action = "attributes" // other mode or owner, the content stays
	Replace    Action = "replace"    // something of another type is there
	Delete     Action = "delete"
)

// Change is one difference between what is there and what should be.
type Change struct {
	Action        Action
	Path          string
	Before, After *Entry // nil if there is none
}

// Push reads, compares and applies. It returns what it changed; on a Conn for planning it fails with
// remote.ErrPlanWrite if there is anything to change: use Read and Diff there.
func Push(ctx context.Context, c remote.Conn, s Spec) ([]Change, error) {
	want, err := s.Want()
	if err != nil {
		return nil, err
	}
	have, err := Read(ctx, c, s.Target)
	if err != nil {
		return nil, err
	}
	changes := s.Diff(want, have)
	if len(changes) == 0 {
		return nil, nil
	}
	return changes, s.Apply(ctx, c, changes)
}

// check refuses what can't be a target.
func (s *Spec) check() error {
	if !path.IsAbs(s.Target) || path.Clean(s.Target) != s.Target || s.Target == "/" {
		return fmt.Errorf("push to %q: not a clean absolute path of a folder", s.Target)
	}
	for _, pattern := range s.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("push to %s: exclude %q: %w", s.Target, pattern, err)
		}
	}
	return nil
}

// excluded tells whether a path, or a folder that it is in, is left alone.
func (s *Spec) excluded(p string) bool {
	for ; p != "." && p != "/"; p = path.Dir(p) {
		for _, pattern := range s.Exclude {
			whole, _ := path.Match(pattern, p) // check has seen to the pattern
			name, _ := path.Match(pattern, path.Base(p))
			if whole || name {
				return true
			}
		}
	}
	return false
}

// mode is what an entry of the source gets on the machine.
func (s *Spec) mode(m fs.FileMode) fs.FileMode {
	switch {
	case m.IsDir() && s.DirMode != 0:
		m = s.DirMode
	case m.IsRegular() && s.FileMode != 0:
		m = s.FileMode
	}
	return fs.FileMode(place.Perm(m))
}

func (s *Spec) owner() string {
	if s.Group == "" {
		return s.Owner
	}
	return s.Owner + ":" + s.Group
}
