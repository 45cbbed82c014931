package vfs

import (
	"context"
	"io"
	"sync"
	"syscall"
)

// pipeRoom is how much a pipe holds, as on Linux.
const pipeRoom = 64 << 10

// Pipe is a pipe's buffer. Reading waits for bytes or for the last writer's end; writing waits for
// room and fails with EPIPE once nobody reads any more.
type Pipe struct {
	mu               sync.Mutex
	change           chan struct{} // closed and replaced whenever something changes
	buf              []byte
	readers, writers int
	fifo             bool
	seenWriter       bool
}

// NewPipe returns the two ends of a pipe.
func NewPipe() (*PipeEnd, *PipeEnd) {
	p := &Pipe{change: make(chan struct{}), readers: 1, writers: 1}
	return &PipeEnd{pipe: p}, &PipeEnd{pipe: p, write: true}
}

func newFifo() *Pipe { return &Pipe{change: make(chan struct{}), fifo: true} }

func (p *Pipe) wake() {
	close(p.change)
	p.change = make(chan struct{})
}

func (p *Pipe) opened(write bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if write {
		p.writers++
		p.seenWriter = true
	} else {
		p.readers++
	}
	p.wake()
}

func (p *Pipe) closed(write bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if write {
		p.writers--
	} else {
		p.readers--
		if p.readers == 0 && p.fifo {
			p.seenWriter = p.writers > 0
		}
	}
	p.wake()
}

// ReadContext reads what is there, or waits for the first of it.
func (p *Pipe) ReadContext(ctx context.Context, b []byte) (int, error) {
	for {
		p.mu.Lock()
		if len(p.buf) > 0 {
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			if len(p.buf) == 0 {
				p.buf = nil
			}
			p.wake()
			p.mu.Unlock()
			return n, nil
		}
		if p.writers == 0 && (!p.fifo || p.seenWriter) {
			p.mu.Unlock()
			return 0, io.EOF
		}
		if len(b) == 0 {
			p.mu.Unlock()
			return 0, nil
		}
		change := p.change
		p.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// WriteContext writes all of b.
func (p *Pipe) WriteContext(ctx context.Context, b []byte) (int, error) {
	done := 0
	for {
		p.mu.Lock()
		if p.readers == 0 && !p.fifo {
			p.mu.Unlock()
			return done, syscall.EPIPE
		}
		if room := pipeRoom - len(p.buf); room > 0 && len(b) > done {
			n := min(room, len(b)-done)
			p.buf = append(p.buf, b[done:done+n]...)
			done += n
			p.wake()
		}
		if done == len(b) {
			p.mu.Unlock()
			return done, nil
		}
		change := p.change
		p.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return done, context.Cause(ctx)
		}
	}
}

// PipeEnd is one end of a pipe.
type PipeEnd struct {
	pipe  *Pipe
	write bool
	once  sync.Once
}

// Read implements io.Reader.
func (e *PipeEnd) Read(b []byte) (int, error) { return e.ReadContext(context.Background(), b) }

// ReadContext is Read that gives up when ctx ends.
func (e *PipeEnd) ReadContext(ctx context.Context, b []byte) (int, error) {
	if e.write {
		return 0, syscall.EBADF
	}
	return e.pipe.ReadContext(ctx, b)
}

// Write implements io.Writer.
func (e *PipeEnd) Write(b []byte) (int, error) { return e.WriteContext(context.Background(), b) }

// WriteContext is Write that gives up when ctx ends.
func (e *PipeEnd) WriteContext(ctx context.Context, b []byte) (int, error) {
	if !e.write {
		return 0, syscall.EBADF
	}
	return e.pipe.WriteContext(ctx, b)
}

// Close closes the end.
func (e *PipeEnd) Close() error {
	e.once.Do(func() { e.pipe.closed(e.write) })
	return nil
}
