package vfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// View is a tree as one user sees it. The zero Umask is 0. Paths are absolute.
type View struct {
	FS    *FS
	Cred  Cred
	Umask uint32
	Trace *Trace // nil: nobody wants to know
}

// As is the same view with another user's rights.
func (v *View) As(c Cred) *View {
	w := *v
	w.Cred = c
	return &w
}

func fail(op, p string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: p, Err: err}
}

// find resolves a path to something that is there.
func (v *View) find(p string, follow bool) (at, error) {
	where, err := v.FS.walk(v.Cred, p, follow)
	if err != nil {
		return at{}, err
	}
	if where.node == nil {
		return at{}, syscall.ENOENT
	}
	return where, nil
}

// free resolves a path to a place where nothing is, in a folder that may be written.
func (v *View) free(p string) (at, error) {
	where, err := v.FS.walk(v.Cred, strings.TrimRight(p, "/"), false)
	if err != nil {
		return at{}, err
	}
	if where.node != nil {
		return at{}, syscall.EEXIST
	}
	if !v.Cred.may(where.dir, 3) {
		return at{}, syscall.EACCES
	}
	return where, nil
}

// mayRemove checks the folder of a name that is to go.
func (v *View) mayRemove(where at) error {
	if where.name == "" {
		return syscall.EBUSY
	}
	if !v.Cred.may(where.dir, 3) {
		return syscall.EACCES
	}
	if where.dir.mode&0o1000 != 0 && v.Cred.UID != 0 && v.Cred.UID != where.node.uid && v.Cred.UID != where.dir.uid {
		return syscall.EPERM
	}
	if where.node.gen != nil {
		return syscall.EPERM
	}
	return nil
}

// Stat follows symbolic links.
func (v *View) Stat(p string) (Info, error) { return v.stat("stat", p, true) }

// Lstat does not follow a symbolic link in the last place.
func (v *View) Lstat(p string) (Info, error) { return v.stat("lstat", p, false) }

func (v *View) stat(op, p string, follow bool) (Info, error) {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, follow)
	if err != nil {
		return Info{}, fail(op, p, err)
	}
	return info(path.Base(p), where.node), nil
}

// Access checks rights: 4 read, 2 write, 1 execute.
func (v *View) Access(p string, want uint32) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, true)
	if err == nil && !v.Cred.may(where.node, want) {
		err = syscall.EACCES
	}
	return fail("access", p, err)
}

// RealPath is the path without symbolic links. Its last part may be missing if lenient is set.
func (v *View) RealPath(p string, lenient bool) (string, error) {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.FS.walk(v.Cred, p, true)
	if err == nil && where.node == nil && !lenient {
		err = syscall.ENOENT
	}
	return where.path, fail("realpath", p, err)
}

// Readlink is what a symbolic link says.
func (v *View) Readlink(p string) (string, error) {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, false)
	if err == nil && !where.node.isLink() {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", fail("readlink", p, err)
	}
	return where.node.target, nil
}

// ReadDir lists a folder, sorted by name.
func (v *View) ReadDir(p string) ([]Info, error) {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, true)
	switch {
	case err != nil:
	case !where.node.isDir():
		err = syscall.ENOTDIR
	case !v.Cred.may(where.node, 4):
		err = syscall.EACCES
	}
	if err != nil {
		return nil, fail("open", p, err)
	}
	list := make([]Info, 0, len(where.node.kids))
	for name, kid := range where.node.kids {
		list = append(list, info(name, kid))
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// Mkdir makes one folder; perm is cut by the umask.
func (v *View) Mkdir(p string, perm uint32) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	return fail("mkdir", p, v.mkdir(p, perm&^v.Umask))
}

func (v *View) mkdir(p string, perm uint32) error {
	where, err := v.free(p)
	if err != nil {
		return err
	}
	v.add(where, Dir|perm)
	return nil
}

// add makes a node of the view's user in a free place.
func (v *View) add(where at, mode uint32) *node {
	v.Trace.note(where.path, nil)
	gid := v.Cred.GID
	if where.dir.mode&0o2000 != 0 {
		gid = where.dir.gid
		if mode&TypeMask == Dir {
			mode |= 0o2000
		}
	}
	n := v.FS.make(mode, v.Cred.UID, gid)
	v.FS.enter(where.dir, where.name, n)
	return n
}

// MkdirAll makes a folder and those above it that are missing.
func (v *View) MkdirAll(p string, perm uint32) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	parts := split(p)
	for i := range parts {
		here := "/" + strings.Join(parts[:i+1], "/")
		where, err := v.FS.walk(v.Cred, here, true)
		switch {
		case err != nil:
			return fail("mkdir", here, err)
		case where.node == nil:
			if !v.Cred.may(where.dir, 3) {
				return fail("mkdir", here, syscall.EACCES)
			}
			v.add(where, Dir|perm&^v.Umask)
		case !where.node.isDir() && i == len(parts)-1:
			return fail("mkdir", here, syscall.EEXIST)
		case !where.node.isDir():
			return fail("mkdir", here, syscall.ENOTDIR)
		}
	}
	return nil
}

// Symlink makes a symbolic link at p.
func (v *View) Symlink(target, p string) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.free(p)
	if err != nil {
		return fail("symlink", p, err)
	}
	v.add(where, Symlink|0o777).target = target
	return nil
}

// Mknod makes a FIFO or another special file; only root makes devices.
func (v *View) Mknod(p string, mode uint32, rdev int) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.free(p)
	if err == nil && mode&TypeMask != Fifo && mode&TypeMask != Socket && v.Cred.UID != 0 {
		err = syscall.EPERM
	}
	if err != nil {
		return fail("mknod", p, err)
	}
	v.add(where, mode&^v.Umask).rdev = rdev
	return nil
}

// Generate puts a file of the kernel at p, with the folders above it.
func (v *View) Generate(p string, perm uint32, g *Generated) error {
	if err := v.MkdirAll(path.Dir(p), 0o555); err != nil {
		return err
	}
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.FS.walk(Root, p, false)
	if err != nil {
		return fail("generate", p, err)
	}
	if where.node == nil {
		where.node = v.FS.make(Regular|perm, 0, 0)
		v.FS.enter(where.dir, where.name, where.node)
	}
	where.node.gen = g
	return nil
}

// Link gives a file a second name.
func (v *View) Link(old, p string) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	from, err := v.find(old, false)
	if err == nil && from.node.isDir() {
		err = syscall.EPERM
	}
	if err != nil {
		return fail("link", old, err)
	}
	where, err := v.free(p)
	if err != nil {
		return fail("link", p, err)
	}
	v.Trace.note(where.path, nil)
	v.FS.enter(where.dir, where.name, from.node)
	v.FS.dirty[from.node.ino] = from.node
	return nil
}

// Unlink removes a file that is no folder.
func (v *View) Unlink(p string) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, false)
	if err == nil {
		err = v.mayRemove(where)
	}
	if err == nil && where.node.isDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		return fail("unlink", p, err)
	}
	v.Trace.note(where.path, where.node)
	v.FS.leave(where.dir, where.name)
	return nil
}

// Rmdir removes an empty folder.
func (v *View) Rmdir(p string) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, false)
	switch {
	case err != nil:
	case !where.node.isDir():
		err = syscall.ENOTDIR
	case len(where.node.kids) > 0:
		err = syscall.ENOTEMPTY
	default:
		err = v.mayRemove(where)
	}
	if err != nil {
		return fail("rmdir", p, err)
	}
	v.Trace.note(where.path, where.node)
	v.FS.leave(where.dir, where.name)
	return nil
}

// Rename moves a file or folder and replaces what is there, as rename(2) does.
func (v *View) Rename(old, p string) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	from, err := v.find(strings.TrimRight(old, "/"), false)
	if err == nil {
		err = v.mayRemove(from)
	}
	if err != nil {
		return fail("rename", old, err)
	}
	to, err := v.FS.walk(v.Cred, strings.TrimRight(p, "/"), false)
	switch {
	case err != nil:
	case to.node == from.node:
		return nil
	case strings.HasPrefix(to.path+"/", from.path+"/"):
		err = syscall.EINVAL
	case to.node == nil && !v.Cred.may(to.dir, 3):
		err = syscall.EACCES
	case to.node == nil:
	case to.node.isDir() && !from.node.isDir():
		err = syscall.EISDIR
	case !to.node.isDir() && from.node.isDir():
		err = syscall.ENOTDIR
	case to.node.isDir() && len(to.node.kids) > 0:
		err = syscall.ENOTEMPTY
	default:
		err = v.mayRemove(to)
	}
	if err != nil {
		return fail("rename", p, err)
	}
	v.Trace.note(from.path, from.node)
	v.Trace.note(to.path, to.node)
	if to.node != nil {
		v.FS.leave(to.dir, to.name)
	}
	v.FS.leave(from.dir, from.name)
	v.FS.enter(to.dir, to.name, from.node)
	return nil
}

// Chmod sets permission bits.
func (v *View) Chmod(p string, perm uint32) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, true)
	if err == nil && v.Cred.UID != 0 && v.Cred.UID != where.node.uid {
		err = syscall.EPERM
	}
	if err != nil {
		return fail("chmod", p, err)
	}
	n := where.node
	if n.mode&PermMask != perm&PermMask {
		v.Trace.note(where.path, n)
		n.mode = n.mode&TypeMask | perm&PermMask
		v.FS.dirty[n.ino] = n
	}
	return nil
}

// Chown sets owner and group; -1 leaves one alone. Others than root can give their files to a group
// that they are in.
func (v *View) Chown(p string, uid, gid int, follow bool) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, follow)
	if err != nil {
		return fail("chown", p, err)
	}
	n := where.node
	if v.Cred.UID != 0 && (v.Cred.UID != n.uid || uid >= 0 && uid != n.uid || gid >= 0 && !v.Cred.in(gid)) {
		return fail("chown", p, syscall.EPERM)
	}
	if uid < 0 {
		uid = n.uid
	}
	if gid < 0 {
		gid = n.gid
	}
	if n.uid != uid || n.gid != gid {
		v.Trace.note(where.path, n)
		n.uid, n.gid = uid, gid
		if !n.isDir() && !n.isLink() {
			n.mode &^= 0o6000
		}
		v.FS.dirty[n.ino] = n
	}
	return nil
}

// Chtimes sets the time of the last change.
func (v *View) Chtimes(p string, mtime time.Time, follow bool) error {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	where, err := v.find(p, follow)
	if err == nil && v.Cred.UID != 0 && v.Cred.UID != where.node.uid && !v.Cred.may(where.node, 2) {
		err = syscall.EACCES
	}
	if err != nil {
		return fail("utimes", p, err)
	}
	if n := where.node; n.mtime != mtime.UnixNano() {
		v.Trace.note(where.path, n)
		n.mtime = mtime.UnixNano()
		v.FS.dirty[n.ino] = n
	}
	return nil
}

// RemoveAll removes a file or folder with all that is in it. A missing one is no error.
func (v *View) RemoveAll(p string) error {
	st, err := v.Lstat(p)
	if err != nil {
		if pe := err.(*fs.PathError); pe.Err == syscall.ENOENT { //nolint:errorlint // made by fail
			return nil
		}
		return err
	}
	if !st.IsDir() {
		return v.Unlink(p)
	}
	kids, err := v.ReadDir(p)
	if err != nil {
		return err
	}
	for _, kid := range kids {
		if err := v.RemoveAll(path.Join(p, kid.name)); err != nil {
			return err
		}
	}
	return v.Rmdir(p)
}
