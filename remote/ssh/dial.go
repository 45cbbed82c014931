package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"phoenix-run/remote"
)

const lockPoll = 20 * time.Millisecond

// link is one live connection.
type link struct {
	*ssh.Client
	gone    chan struct{} // closed when the connection has ended
	release func() error  // gives the bastion back
	running sync.WaitGroup
}

// close ends the connection and everything in it.
func (l *link) close() error {
	err := l.Client.Close()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		err = nil
	}
	l.running.Wait()
	return errors.Join(err, l.release())
}

// dialer makes connections to one machine.
type dialer struct {
	Options // resolved
	file    *hostConfig
	name    string
}

func newDialer(o Options) (*dialer, error) {
	resolved, file, err := o.resolve()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("ssh %s@%s", resolved.User, net.JoinHostPort(resolved.Host, fmt.Sprint(resolved.Port)))
	return &dialer{Options: resolved, file: file, name: name}, nil
}

// dial connects, checks the machine's key and logs in. Each error is a *remote.ConnError.
func (d *dialer) dial(ctx context.Context) (*link, error) {
	conn, release, err := d.reach(ctx)
	if err != nil {
		return nil, &remote.ConnError{Conn: d.name, Op: "dial", Err: err}
	}
	client, err := d.handshake(ctx, conn)
	if err != nil {
		err = errors.Join(err, release())
		return nil, &remote.ConnError{Conn: d.name, Op: "handshake", Err: err}
	}
	l := &link{Client: client, gone: make(chan struct{}), release: release}
	l.running.Go(func() {
		defer close(l.gone)
		// Why it ended is told by whatever was under way.
		_ = client.Wait() //nolint:errcheck
	})
	l.running.Go(func() { l.keepAlive(d.Keepalive) })
	return l, nil
}

// reach opens the TCP connection, through bastions if there are any.
func (d *dialer) reach(ctx context.Context) (net.Conn, func() error, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.ConnectTimeout,
		fmt.Errorf("no answer within %s: %w", d.ConnectTimeout, context.DeadlineExceeded))
	defer cancel()
	address := net.JoinHostPort(d.Host, fmt.Sprint(d.Port))
	none := func() error { return nil }
	switch {
	case d.Dial != nil:
		conn, err := d.Dial(ctx)
		return conn, none, because(ctx, err)
	case d.Jump != nil:
		conn, err := d.Jump.DialContext(ctx, "tcp", address)
		return conn, none, because(ctx, err)
	case len(d.file.proxyJump) > 0:
		jumps := d.Jumps
		if jumps == nil {
			jumps = &Jumps{}
		}
		hop, release, err := jumps.get(ctx, d.Options, d.file.proxyJump)
		if err != nil {
			return nil, nil, err
		}
		conn, err := hop.DialContext(ctx, "tcp", address)
		if err != nil {
			err = fmt.Errorf("through %s: %w", strings.Join(d.file.proxyJump, ", "), because(ctx, err))
			return nil, nil, errors.Join(err, release())
		}
		return conn, release, nil
	default:
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return conn, none, because(ctx, err)
	}
}

// handshake is all between the TCP connection and the login, in ConnectTimeout. It owns conn.
func (d *dialer) handshake(ctx context.Context, conn net.Conn) (_ *ssh.Client, err error) {
	defer func() {
		if err != nil {
			conn.Close() // its own error would tell nothing
		}
	}()
	keys, err := newHostKeys(ctx, &d.Options, d.file.keyAlias)
	if err != nil {
		return nil, err
	}
	ring, err := d.keys(d.file)
	if ring != nil {
		defer func() { err = errors.Join(err, ring.close()) }()
	}
	if err != nil {
		return nil, &AuthError{User: d.User, Err: err}
	}
	// Connections through a bastion have no deadlines: the timer ends those, and a cancelled context.
	var late atomic.Bool
	timer := time.AfterFunc(d.ConnectTimeout, func() { late.Store(true); conn.Close() })
	defer timer.Stop()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	keys.patience = func(ask func() error) error {
		if !timer.Stop() {
			return context.DeadlineExceeded
		}
		defer timer.Reset(d.ConnectTimeout)
		return ask()
	}
	sc, chans, reqs, err := ssh.NewClientConn(conn, net.JoinHostPort(d.Host, fmt.Sprint(d.Port)), &ssh.ClientConfig{
		User:              d.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(ring.signers...)},
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: keys.algorithms(),
		ClientVersion:     "SSH-2.0-phoenix-run",
	})
	if err == nil {
		if timer.Stop() && stop() {
			return ssh.NewClient(sc, chans, reqs), nil
		}
		sc.Close() // cancelled at the last moment
		err = net.ErrClosed
	}
	switch {
	case keys.verdict != nil:
		return nil, keys.verdict
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !timer.Stop() && late.Load():
		return nil, fmt.Errorf("the machine took the connection, but the SSH handshake was not done within %s: %w",
			d.ConnectTimeout, context.DeadlineExceeded)
	}
	return nil, d.explain(err, keys, ring)
}

// explain adds to the library's error what can be done about it.
func (d *dialer) explain(err error, keys *hostKeys, ring *keyring) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "unable to authenticate"), strings.Contains(text, "Too many authentication failures"):
		return &AuthError{User: d.User, Offered: ring.names, Err: errors.Join(append([]error{err}, ring.skipped...)...)}
	case strings.Contains(text, "no common algorithm for host key"):
		return fmt.Errorf("the machine shows no host key of a type that is known for %s: it was reinstalled, or is another machine: %w", keys.name(), err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the machine closed the connection before the login; it may be starting still, have too many "+
			"logins under way (MaxStartups), or refuse this address for a while after failed ones (PerSourcePenalties): %w", err)
	}
	return err
}

// keepAlive ends a connection whose other side has stopped answering.
func (l *link) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan error, 1)
	waiting, missed := false, 0
	for {
		select {
		case <-l.gone:
			return
		case err := <-answers:
			waiting, missed = false, 0
			if err != nil {
				return // the connection has ended
			}
		case <-tick.C:
			if !waiting {
				waiting = true
				l.running.Go(func() {
					_, _, err := l.SendRequest("keepalive@openssh.com", true, nil)
					answers <- err
				})
				continue
			}
			if missed++; missed >= keepaliveMisses {
				l.Client.Close() // whoever waits on it gets the error
				return
			}
		}
	}
}

// because puts in place of a context's plain error the reason it was given.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
