package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"phoenix-run/remote/internal/frame"
)

// Pool keeps up to a number of shells of one machine, started when they are needed. Work beyond that
// waits for a free one.
type Pool struct {
	spawn Spawn
	room  chan struct{} // a token for each further script that may run

	mu     sync.Mutex
	idle   []*Shell
	live   int // shells that were started and not closed, idle ones included
	closed bool
	done   chan struct{} // closed by Close
}

// NewPool makes a pool of at most size shells. None is started yet.
func NewPool(size int, spawn Spawn) *Pool {
	p := &Pool{spawn: spawn, room: make(chan struct{}, size), done: make(chan struct{})}
	for range size {
		p.room <- struct{}{}
	}
	return p
}

// ErrClosed is returned by everything on a connection that was closed.
var ErrClosed = errors.New("the connection was closed")

// Run runs a job in a free shell. If the shell breaks before the script was sent, or at any time if
// again says that the script may run twice, a new shell gets it once more; rewind makes the job
// start over and may be nil if the job has no input and its output can be taken twice.
func (p *Pool) Run(ctx context.Context, job Job, again bool, rewind func() error) (int, error) {
	for attempt := 0; ; attempt++ {
		sh, err := p.get(ctx)
		if err != nil {
			return 0, err
		}
		code, err := sh.Run(ctx, job)
		p.put(sh, err == nil)
		broken := (*BrokenError)(nil)
		if err == nil || attempt > 0 || ctx.Err() != nil || !errors.As(err, &broken) || broken.Started && !again {
			return code, err
		}
		var in *inputError
		var out *outputError
		if errors.As(err, &in) || errors.As(err, &out) {
			return code, err
		}
		if rewind != nil {
			if err := rewind(); err != nil {
				return 0, errors.Join(broken, err)
			}
		}
	}
}

// Warm makes sure that there is a shell, and that it works, before something else takes the room for it.
func (p *Pool) Warm(ctx context.Context) error {
	p.mu.Lock()
	there := p.live > 0
	p.mu.Unlock()
	if there {
		return nil
	}
	drop := func([]byte) error { return nil }
	_, err := p.Run(ctx, Job{Script: ":", Stdout: drop, Stderr: drop}, true, nil)
	return err
}

func (p *Pool) get(ctx context.Context) (*Shell, error) {
	for {
		select {
		case <-p.room:
		case <-p.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		sh, err := p.idleOrNew(ctx)
		if err == nil {
			return sh, nil
		}
		p.mu.Lock()
		others := p.live > 0
		p.mu.Unlock()
		if !others || !errors.Is(err, ErrNoRoom) {
			p.room <- struct{}{}
			return nil, err
		}
		// The machine takes fewer sessions than we would: the token is not given back, and the work
		// waits for one of the shells that there are.
	}
}

func (p *Pool) idleOrNew(ctx context.Context) (*Shell, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		last := len(p.idle) - 1
		if last < 0 {
			p.live++
			p.mu.Unlock()
			break
		}
		sh := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		if sh.usable() {
			return sh, nil
		}
		p.drop(sh)
	}
	process, err := p.spawn(ctx, frame.NewWord())
	if err != nil {
		p.mu.Lock()
		p.live--
		p.mu.Unlock()
		return nil, err
	}
	return NewShell(process), nil
}

func (p *Pool) put(sh *Shell, whole bool) {
	p.mu.Lock()
	keep := whole && !p.closed && sh.usable()
	if keep {
		p.idle = append(p.idle, sh)
	}
	p.mu.Unlock()
	if !keep {
		p.drop(sh)
	}
	p.room <- struct{}{}
}

// drop closes a shell that is of no use. Why it is, its Run has told or nobody needs to know.
func (p *Pool) drop(sh *Shell) {
	if err := sh.Close(); err != nil && !errors.Is(err, io.EOF) {
		sh.kill()
	}
	p.mu.Lock()
	p.live--
	p.mu.Unlock()
}

// Close ends all idle shells; those at work end when their script does or is cancelled.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.live -= len(idle)
	p.mu.Unlock()
	close(p.done)
	var errs []error
	for _, sh := range idle {
		if err := sh.Close(); err != nil && !errors.Is(err, io.EOF) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
