package proxmox

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flocks are Proxmox's lock files: of a VM's configuration, of a storage. Each can be held by one
// writer or by several readers; who waits too long gets Proxmox's text.
type flocks struct {
	mu   sync.Mutex
	held map[string]*flock
}

type flock struct {
	readers int
	writer  bool
	free    chan struct{} // closed when it may have become free
}

func newFlocks() *flocks { return &flocks{held: map[string]*flock{}} }

// lock takes the file named path, shared or alone, and returns how to let it go.
func (l *flocks) lock(ctx context.Context, path string, shared bool, wait time.Duration) (unlock func(), err error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		free := l.try(path, shared)
		if free == nil {
			return func() { l.unlock(path, shared) }, nil
		}
		select {
		case <-free:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timeout.C:
			return nil, fmt.Errorf("can't lock file '%s' - got timeout", path)
		}
	}
}

// try takes the lock, or returns what to wait for.
func (l *flocks) try(path string, shared bool) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.held[path]
	if f == nil {
		f = &flock{free: make(chan struct{})}
		l.held[path] = f
	}
	if f.writer || !shared && f.readers > 0 {
		return f.free
	}
	if shared {
		f.readers++
	} else {
		f.writer = true
	}
	return nil
}

func (l *flocks) unlock(path string, shared bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.held[path]
	if shared {
		f.readers--
	} else {
		f.writer = false
	}
	if f.readers == 0 && !f.writer {
		delete(l.held, path)
	}
	close(f.free)
	f.free = make(chan struct{})
}

func guestLockFile(id int) string { return fmt.Sprintf("/var/lock/qemu-server/lock-%d.conf", id) }
