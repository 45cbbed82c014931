package proc

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"phoenix-run/lab/guest/vfs"
)

// Desc is an open file that several processes may share. It is closed when the last one closes it.
type Desc struct {
	R io.Reader
	W io.Writer
	// File is the file in the tree, nil for pipes and streams.
	File *vfs.File

	close func() error
	refs  atomic.Int32
	mu    sync.Mutex
	ends  []func()
}

// NewDesc makes a Desc; any of its parts may be nil.
func NewDesc(r io.Reader, w io.Writer, c io.Closer) *Desc {
	d := &Desc{R: r, W: w}
	if c != nil {
		d.close = c.Close
	}
	d.refs.Store(1)
	return d
}

// FileDesc makes a Desc of a file of the tree.
func FileDesc(f *vfs.File) *Desc {
	d := NewDesc(f, f, f)
	d.File = f
	return d
}

// Dup counts one more user.
func (d *Desc) Dup() *Desc {
	d.refs.Add(1)
	return d
}

// OnClose has end called when the last user has closed the file.
func (d *Desc) OnClose(end func()) {
	d.mu.Lock()
	d.ends = append(d.ends, end)
	d.mu.Unlock()
}

// Close takes one user away.
func (d *Desc) Close() error {
	if d.refs.Add(-1) != 0 {
		return nil
	}
	d.mu.Lock()
	ends := d.ends
	d.ends = nil
	d.mu.Unlock()
	for _, end := range ends {
		end()
	}
	if d.close == nil {
		return nil
	}
	return d.close()
}

// reader and writer are the standard streams: they go through the table of open files, so that what
// the shell redirects is seen, and give up when their process is killed.
type reader struct {
	ctx context.Context
	p   *Proc
	fd  int
}

type contextReader interface {
	ReadContext(ctx context.Context, b []byte) (int, error)
}

type contextWriter interface {
	WriteContext(ctx context.Context, b []byte) (int, error)
}

func (r *reader) Read(b []byte) (int, error) {
	d := r.p.Files[r.fd]
	if d == nil || d.R == nil {
		return 0, syscall.EBADF
	}
	return Read(r.ctx, d.R, b)
}

// Read reads, and gives up when ctx ends if the reader can.
func Read(ctx context.Context, r io.Reader, b []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	if c, ok := r.(contextReader); ok {
		return c.ReadContext(ctx, b)
	}
	return r.Read(b)
}

type writer struct {
	ctx context.Context
	p   *Proc
	fd  int
}

func (w *writer) Write(b []byte) (int, error) {
	d := w.p.Files[w.fd]
	if d == nil || d.W == nil {
		return 0, syscall.EBADF
	}
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	var n int
	var err error
	if c, ok := d.W.(contextWriter); ok {
		n, err = c.WriteContext(w.ctx, b)
	} else {
		n, err = d.W.Write(b)
	}
	if errors.Is(err, syscall.EPIPE) && !w.p.Ignored[SIGPIPE] {
		w.p.kill(SIGPIPE)
	}
	return n, err
}
