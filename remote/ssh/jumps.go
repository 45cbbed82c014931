package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Jumps are bastions in use: one connection each, however many machines are behind it. A server takes
// about ten logins at a time (MaxStartups) but any number of forwarded connections in one.
// The zero Jumps is ready for use. A bastion's connection ends with the last one through it.
type Jumps struct {
	mu  sync.Mutex
	hop map[string]*jump
}

// jump is a bastion that is connected or about to be.
type jump struct {
	users int
	ready chan struct{} // closed when link and err are set
	link  *link
	err   error
}

// Connect logs in to a bastion, for Options.Jump. The connection is kept alive until it is closed.
func Connect(ctx context.Context, o Options) (*ssh.Client, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	l, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		<-l.gone
		_ = l.close() //nolint:errcheck // the caller's Close has told
	}()
	return l.Client, nil
}

// get gives the connection to the last of the hops, each reached through the one before.
func (j *Jumps) get(ctx context.Context, o Options, hops []string) (*ssh.Client, func() error, error) {
	key := fmt.Sprintf("%s|%s|%s", o.ConfigFile, o.KeyFile, strings.Join(hops, ","))
	for {
		j.mu.Lock()
		at := j.hop[key]
		mine := at == nil
		if mine {
			if j.hop == nil {
				j.hop = map[string]*jump{}
			}
			at = &jump{ready: make(chan struct{})}
			j.hop[key] = at
		}
		at.users++
		j.mu.Unlock()
		release := sync.OnceValue(func() error { return j.release(key, at) })

		if mine {
			at.link, at.err = j.dial(ctx, o, hops)
			close(at.ready)
		}
		select {
		case <-at.ready:
		case <-ctx.Done():
			return nil, nil, errors.Join(context.Cause(ctx), release())
		}
		if at.err != nil {
			if err := release(); err != nil {
				return nil, nil, errors.Join(at.err, err)
			}
			if !mine && errors.Is(at.err, context.Canceled) && ctx.Err() == nil {
				continue // whoever dialed gave up; we have not
			}
			return nil, nil, at.err
		}
		select {
		case <-at.link.gone: // a dead bastion: the next one dials anew
			j.forget(key, at)
			if err := release(); err != nil {
				return nil, nil, err
			}
			continue
		default:
		}
		return at.link.Client, release, nil
	}
}

// dial connects to the last hop.
func (j *Jumps) dial(ctx context.Context, o Options, hops []string) (*link, error) {
	last, err := o.hop(hops[len(hops)-1])
	if err != nil {
		return nil, err
	}
	last.Jumps = j
	d, err := newDialer(last)
	if err != nil {
		return nil, err
	}
	d.name = "bastion " + d.name
	if len(hops) > 1 {
		d.file.proxyJump = hops[:len(hops)-1]
	} else if len(d.file.proxyJump) > 0 && strings.Join(d.file.proxyJump, ",") == strings.Join(hops, ",") {
		d.file.proxyJump = nil // `Host *` with a ProxyJump means the machines behind it, not itself
	}
	return d.dial(ctx)
}

func (j *Jumps) forget(key string, at *jump) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.hop[key] == at {
		delete(j.hop, key)
	}
}

func (j *Jumps) release(key string, at *jump) error {
	j.mu.Lock()
	at.users--
	last := at.users == 0
	if last && j.hop[key] == at {
		delete(j.hop, key)
	}
	j.mu.Unlock()
	if !last {
		return nil
	}
	<-at.ready
	if at.link == nil {
		return nil
	}
	return at.link.close()
}
