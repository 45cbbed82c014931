package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"phoenix-run/remote/internal/session"
)

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = 200 * time.Millisecond
	// openTries bounds how often a refused channel is asked for: about a second in all. A server frees
	// a session's place only after its client knows that it has ended.
	openTries = 10
	// killGrace is what the processes of a cancelled script get to end by themselves.
	killGrace = 250 * time.Millisecond
	// killTime bounds how long it may take to get another shell that ends them: a machine under load
	// takes its time to start one.
	killTime = 5 * time.Second
	// deadGrace is how long a closed channel may take to be confirmed before the whole connection is
	// given up as dead.
	deadGrace = 500 * time.Millisecond
)

// errLost says that the connection ended while something was to begin in it.
var errLost = errors.New("the connection was lost")

// open opens a session channel, patiently if the server has no room for it now.
func open(ctx context.Context, l *link) (ssh.Channel, <-chan *ssh.Request, error) {
	wait := firstBackoff
	for try := 1; ; try++ {
		ch, reqs, err := openOnce(ctx, l)
		var refused *ssh.OpenChannelError
		if err == nil || !errors.As(err, &refused) || refused.Reason == ssh.UnknownChannelType {
			return ch, reqs, err
		}
		if try == openTries {
			return nil, nil, fmt.Errorf("%w (asked %d times): %w", session.ErrNoRoom, try, err)
		}
		// Half of it by chance, so that those who were refused together don't come back together.
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		wait = min(2*wait, lastBackoff)
	}
}

// openOnce asks once. The library can't be interrupted; a channel that comes too late is closed. Nor
// does it always see that the connection has ended: what is asked for just then is never answered, so
// that the end is watched for here, and nothing waits for that goroutine.
func openOnce(ctx context.Context, l *link) (ssh.Channel, <-chan *ssh.Request, error) {
	type answer struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	answers := make(chan answer)
	late := make(chan struct{})
	go func() {
		ch, reqs, err := l.OpenChannel("session", nil)
		select {
		case answers <- answer{ch, reqs, err}:
		case <-late:
			if err == nil {
				go ssh.DiscardRequests(reqs)
				ch.Close() // nobody wants it any more
			}
		}
	}()
	select {
	case a := <-answers:
		return a.ch, a.reqs, a.err
	case <-l.gone:
		close(late)
		return nil, nil, errLost
	case <-ctx.Done():
		close(late)
		return nil, nil, context.Cause(ctx)
	}
}

// program is a command that runs in a channel.
type program struct {
	link    *link
	ch      ssh.Channel
	killing sync.Once
	ended   chan struct{} // closed when the channel is
	status  error         // how the command ended; set before ended is closed; nil if unknown
}

// start runs a command. It does not wait to hear that the server took it: what comes next, comes
// after it in the same channel.
func start(ctx context.Context, l *link, command string) (*program, error) {
	ch, reqs, err := open(ctx, l)
	if err != nil {
		return nil, err
	}
	p := &program{link: l, ch: ch, ended: make(chan struct{})}
	l.running.Go(func() { p.watch(reqs) })
	if _, err := ch.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{command})); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// watch reads how the command ends, until the channel closes.
func (p *program) watch(reqs <-chan *ssh.Request) {
	defer close(p.ended)
	for req := range reqs {
		switch req.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if ssh.Unmarshal(req.Payload, &m) == nil {
				p.status = fmt.Errorf("the shell ended with exit status %d", m.Status)
			}
		case "exit-signal":
			var m struct {
				Signal  string
				Core    bool
				Message string
				Lang    string
			}
			if ssh.Unmarshal(req.Payload, &m) == nil {
				p.status = fmt.Errorf("the shell was killed by SIG%s", m.Signal)
			}
		}
		if req.WantReply {
			if err := req.Reply(false, nil); err != nil {
				return
			}
		}
	}
}

// exit tells how the command ended, if that gets known soon.
func (p *program) exit() error {
	select {
	case <-p.ended:
		return p.status
	case <-time.After(killGrace):
		return nil
	}
}

// close ends an idle command: its stdin ends, and it does.
func (p *program) close() error {
	err := p.ch.Close()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// kill ends the command and its channel. terminate, if there is one, ends its processes from the
// inside; else they end by themselves when their output goes nowhere. It returns at once.
func (p *program) kill(terminate func()) {
	p.killing.Do(func() {
		p.link.running.Go(func() {
			if terminate != nil {
				terminate()
			}
			if p.close() == nil && p.wait(deadGrace) {
				return
			}
			// It doesn't even confirm that: nothing in this connection can be relied on.
			p.link.Client.Close()
		})
	})
}

// wait reports whether the channel closed within d.
func (p *program) wait(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}
