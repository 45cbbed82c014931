package ssh

import (
	"context"
	"errors"
	"sync"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/session"
)

// shells bounds the scripts that run at a time on one machine. With the SFTP channel, and one more to
// end a script that runs under sudo, that is six sessions; OpenSSH allows ten unless told otherwise.
const shells = 4

// goneGrace is how long it may take to see that a connection is dead once something in it has failed.
const goneGrace = 100 * time.Millisecond

// Dial connects to a machine and logs in. Shells are started when the first script comes.
//
// A connection that breaks later is made anew when it is needed; a script that was under way is sent
// again only if it is ReadOnly. A refused login, a wrong host key and a refused sudo are final: they are
// not tried again on this Conn, which would get it locked out.
func Dial(ctx context.Context, o Options) (remote.Conn, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	c := &conn{dialer: d, turn: make(chan struct{}, 1)}
	c.Machine = session.Machine{Name: d.name, ReadOnly: d.ReadOnly, Pool: session.NewPool(shells, c.spawn)}
	if !d.sudo() {
		c.Send = c.send
	}
	if _, err := c.connected(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

type conn struct {
	session.Machine
	dialer *dialer

	turn   chan struct{} // holds a token while somebody dials
	mu     sync.Mutex
	link   *link
	final  error // why no further try will be made
	closed bool
	files  files
}

// connected gives the live connection, or makes one.
func (c *conn) connected(ctx context.Context) (*link, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	old, final, closed := c.link, c.final, c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, session.ErrClosed
	case final != nil:
		return nil, final
	case old != nil:
		select {
		case <-old.gone:
			// What a dead connection says when it is cleared away is of no use to anybody.
			_ = old.close() //nolint:errcheck
		default:
			return old, nil
		}
	}
	fresh, err := c.dialer.dial(ctx)
	c.mu.Lock()
	c.link = fresh
	if isFinal(err) {
		c.final = err
	}
	closed = c.closed
	c.mu.Unlock()
	if err == nil && closed {
		return nil, errors.Join(session.ErrClosed, fresh.close())
	}
	return fresh, err
}

// inLink does something with the live connection, and again with a new one if the first turns out to
// be dead: that gets known only by using it.
func (c *conn) inLink(ctx context.Context, do func(*link) error) error {
	for try := 0; ; try++ {
		l, err := c.connected(ctx)
		if err != nil {
			return err
		}
		err = do(l)
		if err == nil || try > 0 || isFinal(err) {
			return err
		}
		select {
		case <-l.gone:
		case <-ctx.Done():
			return err
		case <-time.After(goneGrace): // it lives: the error is about something else
			return err
		}
	}
}

// isFinal tells errors that a second try can only make worse.
func isFinal(err error) bool {
	var auth *AuthError
	var changed *ChangedHostKeyError
	var unknown *UnknownHostKeyError
	var sudo *SudoError
	return errors.As(err, &auth) || errors.As(err, &changed) || errors.As(err, &unknown) || errors.As(err, &sudo)
}

// Close ends the connection. Scripts that still run lose it.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	l := c.link
	c.mu.Unlock()
	err := errors.Join(c.Pool.Close(), c.files.close())
	if l != nil {
		err = errors.Join(err, l.close())
	}
	return err
}
