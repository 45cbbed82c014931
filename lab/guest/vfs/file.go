package vfs

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path"
	"sync"
	"syscall"
)

// File is an open file. Reads and writes without an offset share one position, as they do between
// processes that inherited it.
type File struct {
	view   *View
	n      *node
	path   string
	flag   int
	pipe   *Pipe
	device int

	mu   sync.Mutex
	off  int64
	gone bool
	made []byte // what a generated file held when it was opened
	sent []byte // what was written to a generated file
}

// Numbers of the devices that there are.
const (
	devNull    = 1<<8 | 3
	devZero    = 1<<8 | 5
	devFull    = 1<<8 | 7
	devRandom  = 1<<8 | 8
	devURandom = 1<<8 | 9
)

// Open opens a file with os.O_ flags; perm, cut by the umask, is for one that is made.
func (v *View) Open(p string, flag int, perm uint32) (*File, error) {
	v.FS.mu.Lock()
	defer v.FS.mu.Unlock()
	f, err := v.open(p, flag, perm)
	return f, fail("open", p, err)
}

func (v *View) open(p string, flag int, perm uint32) (*File, error) {
	where, err := v.FS.walk(v.Cred, p, flag&os.O_EXCL == 0)
	if err != nil {
		return nil, err
	}
	n := where.node
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case n == nil:
		if !v.Cred.may(where.dir, 3) {
			return nil, syscall.EACCES
		}
		n = v.add(where, Regular|perm&PermMask&^v.Umask)
	case flag&(os.O_EXCL|os.O_CREATE) == os.O_EXCL|os.O_CREATE:
		return nil, syscall.EEXIST
	case n.isDir() && writes(flag):
		return nil, syscall.EISDIR
	case n.isLink():
		return nil, syscall.ELOOP
	case !v.Cred.may(n, needs(flag)):
		return nil, syscall.EACCES
	}
	f := &File{view: v, n: n, path: where.path, flag: flag}
	switch n.mode & TypeMask {
	case Char, Block:
		f.device = n.rdev
		if n.rdev>>8 != 1 {
			return nil, syscall.ENXIO
		}
		return f, nil
	case Fifo:
		f.pipe = v.FS.fifo(n)
		f.pipe.opened(writes(flag))
		return f, nil
	case Socket:
		return nil, syscall.ENXIO
	}
	if n.gen != nil {
		if writes(flag) && n.gen.Write == nil {
			return nil, syscall.EACCES
		}
		if n.gen.Read != nil {
			// It may ask the tree itself.
			v.FS.mu.Unlock()
			f.made = n.gen.Read()
			v.FS.mu.Lock()
		}
		return f, nil
	}
	if flag&os.O_TRUNC != 0 && writes(flag) && n.mode&TypeMask == Regular {
		v.Trace.note(where.path, n)
		v.FS.touch(n)
		n.data, n.hole, n.shared = nil, 0, false
	}
	return f, nil
}

func writes(flag int) bool { return flag&(os.O_WRONLY|os.O_RDWR) != 0 }

func needs(flag int) uint32 {
	switch {
	case flag&os.O_RDWR != 0:
		return 6
	case flag&os.O_WRONLY != 0:
		return 2
	}
	return 4
}

func (f *FS) touch(n *node) {
	n.mtime = f.now().UnixNano()
	f.dirty[n.ino] = n
}

// fifo is the pipe behind a FIFO's node.
func (f *FS) fifo(n *node) *Pipe {
	p := f.fifos[n.ino]
	if p == nil {
		p = newFifo()
		f.fifos[n.ino] = p
	}
	return p
}

// Read reads from the shared position.
func (f *File) Read(b []byte) (int, error) { return f.ReadContext(context.Background(), b) }

// ReadContext is Read that gives up when ctx ends; only reading a FIFO can take long.
func (f *File) ReadContext(ctx context.Context, b []byte) (int, error) {
	if f.pipe != nil {
		return f.pipe.ReadContext(ctx, b)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.readAt(b, f.off)
	f.off += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.readAt(b, off)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

func (f *File) readAt(b []byte, off int64) (int, error) {
	if f.gone {
		return 0, syscall.EBADF
	}
	if writes(f.flag) && f.flag&os.O_RDWR == 0 {
		return 0, syscall.EBADF
	}
	switch f.device {
	case 0:
	case devNull:
		return 0, io.EOF
	case devZero, devFull:
		clear(b)
		return len(b), nil
	default:
		return rand.Read(b)
	}
	f.view.FS.mu.Lock()
	defer f.view.FS.mu.Unlock()
	if f.n.isDir() {
		return 0, syscall.EISDIR
	}
	data, hole := f.n.data, f.n.hole
	if f.n.gen != nil {
		data, hole = f.made, 0
	}
	if off < int64(len(data)) {
		return copy(b, data[off:]), nil
	}
	if left := int64(len(data)) + hole - off; left > 0 {
		b = b[:min(int64(len(b)), left)]
		clear(b)
		return len(b), nil
	}
	return 0, io.EOF
}

// Write writes at the shared position, or at the end with O_APPEND.
func (f *File) Write(b []byte) (int, error) { return f.WriteContext(context.Background(), b) }

// WriteContext is Write that gives up when ctx ends; only writing to a FIFO can take long.
func (f *File) WriteContext(ctx context.Context, b []byte) (int, error) {
	if f.pipe != nil {
		return f.pipe.WriteContext(ctx, b)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	off := f.off
	if f.flag&os.O_APPEND != 0 {
		off = -1
	}
	end, err := f.writeAt(b, off)
	if err != nil {
		return 0, err
	}
	f.off = end
	return len(b), nil
}

// WriteAt implements io.WriterAt.
func (f *File) WriteAt(b []byte, off int64) (int, error) {
	if _, err := f.writeAt(b, off); err != nil {
		return 0, err
	}
	return len(b), nil
}

// writeAt returns the position after what was written; off < 0 appends.
func (f *File) writeAt(b []byte, off int64) (int64, error) {
	if f.gone || !writes(f.flag) {
		return 0, syscall.EBADF
	}
	switch f.device {
	case 0:
	case devFull:
		return 0, syscall.ENOSPC
	default:
		return off + int64(len(b)), nil
	}
	if f.n.gen != nil {
		f.sent = append(f.sent, b...)
		return off + int64(len(b)), nil
	}
	tree := f.view.FS
	tree.mu.Lock()
	defer tree.mu.Unlock()
	n := f.n
	if off < 0 {
		off = n.size()
	}
	f.view.Trace.note(f.path, n)
	end := off + int64(len(b))
	tree.touch(n)
	if off >= int64(len(n.data)) && len(b) >= 512 && zeroes(b) {
		n.hole = max(n.hole, end-int64(len(n.data)))
		return end, nil
	}
	if end > maxData {
		return 0, syscall.ENOSPC
	}
	n.own()
	if grown := end - int64(len(n.data)); grown > 0 {
		n.data = grow(n.data, int(end))
		n.hole = max(0, n.hole-grown)
	}
	copy(n.data[off:], b)
	return end, nil
}

// maxData is how much of one file is held in memory; a lab has no room for more.
const maxData = 1 << 30

func zeroes(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// grow extends data with zeroes, doubling its room so that many small writes stay cheap.
func grow(data []byte, size int) []byte {
	if size <= cap(data) {
		old := len(data)
		data = data[:size]
		clear(data[old:])
		return data
	}
	bigger := make([]byte, size, max(size, 2*cap(data)))
	copy(bigger, data)
	return bigger
}

// Seek sets the shared position.
func (f *File) Seek(off int64, whence int) (int64, error) {
	if f.pipe != nil {
		return 0, syscall.ESPIPE
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		f.view.FS.mu.Lock()
		off += f.n.size()
		f.view.FS.mu.Unlock()
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	f.off = off
	return off, nil
}

// Truncate cuts or extends the file.
func (f *File) Truncate(size int64) error {
	if !writes(f.flag) || f.device != 0 || f.pipe != nil || size < 0 {
		return syscall.EINVAL
	}
	tree := f.view.FS
	tree.mu.Lock()
	defer tree.mu.Unlock()
	f.view.Trace.note(f.path, f.n)
	if have := int64(len(f.n.data)); size >= have {
		f.n.hole = size - have
	} else {
		f.n.own()
		f.n.data, f.n.hole = f.n.data[:size], 0
	}
	tree.touch(f.n)
	return nil
}

// Stat describes the open file.
func (f *File) Stat() Info {
	f.view.FS.mu.Lock()
	defer f.view.FS.mu.Unlock()
	return info(path.Base(f.path), f.n)
}

// Path is where the file was when it was opened.
func (f *File) Path() string { return f.path }

// Close ends the use of the file. Writing a generated file takes effect here.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return os.ErrClosed
	}
	f.gone = true
	if f.pipe != nil {
		f.pipe.closed(writes(f.flag))
	}
	if f.n.gen != nil && f.n.gen.Write != nil && writes(f.flag) {
		f.view.Trace.Mark()
		return f.n.gen.Write(f.sent)
	}
	return nil
}

// ReadFile reads a whole file.
func (v *View) ReadFile(p string) ([]byte, error) {
	f, err := v.Open(p, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(f)
	return b, fail("read", p, err)
}

// WriteFile writes a whole file; perm is for one that is made.
func (v *View) WriteFile(p string, content []byte, perm uint32) error {
	f, err := v.Open(p, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return fail("write", p, err)
	}
	return fail("write", p, f.Close())
}
