package vfs

import (
	"io/fs"
	"time"
)

// Info is what stat(2) says of a file.
type Info struct {
	name            string
	Ino             uint64
	Stat            uint32 // type and mode bits
	UserID, GroupID int
	Links           int
	Rdev            int
	size            int64
	mtime           int64
}

func info(name string, n *node) Info {
	links := n.nlink
	if n.isDir() {
		links = 2
		for _, kid := range n.kids {
			if kid.isDir() {
				links++
			}
		}
	}
	return Info{name: name, Ino: n.ino, Stat: n.mode, UserID: n.uid, GroupID: n.gid, Links: links, Rdev: n.rdev, size: n.size(), mtime: n.mtime}
}

// Name is the last part of the path that was asked for.
func (i Info) Name() string { return i.name }

// Size is in bytes; a folder has 4096, as on ext4.
func (i Info) Size() int64 { return i.size }

// Mode is Stat as Go has it.
func (i Info) Mode() fs.FileMode { return GoMode(i.Stat) }

// ModTime is the last change of the content.
func (i Info) ModTime() time.Time { return time.Unix(0, i.mtime).UTC() }

// IsDir tells whether it is a folder.
func (i Info) IsDir() bool { return i.Stat&TypeMask == Dir }

// Sys returns the Info itself.
func (i Info) Sys() any { return i }

// Uid is the owner, under the name that pkg/sftp looks for.
func (i Info) Uid() uint32 { return uint32(i.UserID) } //nolint:staticcheck // pkg/sftp's name

// Gid is the group, under the name that pkg/sftp looks for.
func (i Info) Gid() uint32 { return uint32(i.GroupID) } //nolint:staticcheck // pkg/sftp's name

// IsLink tells whether it is a symbolic link.
func (i Info) IsLink() bool { return i.Stat&TypeMask == Symlink }

// IsRegular tells whether it is a plain file.
func (i Info) IsRegular() bool { return i.Stat&TypeMask == Regular }

// Perm are the lower twelve bits.
func (i Info) Perm() uint32 { return i.Stat & PermMask }

var goTypes = map[uint32]fs.FileMode{
	Fifo: fs.ModeNamedPipe, Char: fs.ModeDevice | fs.ModeCharDevice, Dir: fs.ModeDir,
	Block: fs.ModeDevice, Symlink: fs.ModeSymlink, Socket: fs.ModeSocket,
}

// GoMode makes Go's mode of the kernel's.
func GoMode(m uint32) fs.FileMode {
	out := fs.FileMode(m&0o777) | goTypes[m&TypeMask]
	for bit, flag := range setBits {
		if m&bit != 0 {
			out |= flag
		}
	}
	return out
}

// UnixPerm makes the kernel's permission bits of Go's mode.
func UnixPerm(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	for bit, flag := range setBits {
		if m&flag != 0 {
			out |= bit
		}
	}
	return out
}

var setBits = map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky}
