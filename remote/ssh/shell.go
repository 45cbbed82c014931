package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"phoenix-run/remote/internal/frame"
	"phoenix-run/remote/internal/session"
)

// spawn starts a shell on the machine: by exec in place of the login shell, so that what that one
// reads and runs at its start is paid for once.
func (c *conn) spawn(ctx context.Context, ready string) (*session.Process, error) {
	var p *session.Process
	err := c.inLink(ctx, func(l *link) (err error) {
		p, err = c.shell(ctx, l, ready)
		return err
	})
	return p, err
}

// shell starts one in a connection, as root if that takes sudo.
func (c *conn) shell(ctx context.Context, l *link, ready string) (*session.Process, error) {
	shell := "/bin/sh -c '" + session.Program(ready) + "'"
	if !c.dialer.sudo() {
		p, err := start(ctx, l, "exec "+shell)
		if err != nil {
			return nil, err
		}
		return p.process(ready, p.ch.Stderr(), c), nil
	}
	prompt := frame.NewWord()
	p, err := start(ctx, l, "exec sudo -S -H -p "+prompt+" -- "+shell)
	if err != nil {
		return nil, err
	}
	stderr, err := c.authorize(ctx, p, prompt, ready)
	if err != nil {
		if isFinal(err) {
			c.mu.Lock()
			c.final = err
			c.mu.Unlock()
		}
		p.kill(nil)
		return nil, err
	}
	return p.process(ready, stderr, c), nil
}

func (p *program) process(ready string, stderr io.Reader, c *conn) *session.Process {
	return &session.Process{
		Ready: ready, Patience: c.dialer.ConnectTimeout, Stdin: p.ch, Stdout: p.ch, Stderr: stderr,
		Kill: func(pid int) {
			if pid == 0 {
				p.kill(nil)
				return
			}
			p.kill(func() { c.killGroup(p.link, pid) })
		},
		Close: p.close, Ended: p.ended, Exit: p.exit,
	}
}

// authorize answers sudo's question, if it has one, and returns stderr from where the shell's own
// output begins. The password is sent once: if sudo asks again, it was wrong.
func (c *conn) authorize(ctx context.Context, p *program, prompt, ready string) (io.Reader, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.dialer.ConnectTimeout,
		fmt.Errorf("sudo gave neither a shell nor a question within %s", c.dialer.ConnectTimeout))
	defer cancel()
	// What is being read when the time is up ends with the channel.
	stop := context.AfterFunc(ctx, func() { p.kill(nil) })
	defer stop()

	refused := func(reason SudoReason, said []byte) error {
		text := strings.TrimSpace(strings.ReplaceAll(string(said), prompt, ""))
		return &SudoError{User: c.dialer.User, Reason: reason, Said: text}
	}
	var heard []byte
	asked := false
	buf := make([]byte, 4<<10)
	for {
		n, err := p.ch.Stderr().Read(buf)
		heard = append(heard, buf[:n]...)
		if at := bytes.Index(heard, []byte("\x00"+ready)); at >= 0 {
			return io.MultiReader(bytes.NewReader(heard[at:]), p.ch.Stderr()), nil
		}
		if before, after, found := bytes.Cut(heard, []byte(prompt)); found {
			switch {
			case asked:
				return nil, refused(SudoWrongPassword, before)
			case c.dialer.SudoPassword.IsZero():
				return nil, refused(SudoNoPassword, before)
			}
			asked = true
			heard = bytes.Clone(after)
			if _, err := io.WriteString(p.ch, c.dialer.SudoPassword.Reveal()+"\n"); err != nil {
				return nil, fmt.Errorf("answer sudo: %w", err)
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, io.EOF) && p.exit() == nil:
			return nil, errors.New("the connection was lost while sudo started")
		case errors.Is(err, io.EOF) && asked && bytes.Contains(heard, []byte("incorrect password")):
			return nil, refused(SudoWrongPassword, heard)
		case errors.Is(err, io.EOF):
			return nil, refused(SudoRefused, heard)
		case err != nil:
			return nil, err
		}
	}
}

// killGroup ends the process group that the shell pid is in, from another shell. sshd can't be asked
// to: it passes no signals on to a session of root, and none to what runs under sudo. With a lost
// connection there is nothing to do: what the script did is found out by reading.
func (c *conn) killGroup(l *link, pid int) {
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	p, err := c.shell(ctx, l, frame.NewWord())
	if err != nil {
		return // the channel is closed all the same, and the script's own next write ends it
	}
	sh := session.NewShell(p)
	drop := func([]byte) error { return nil }
	script := fmt.Sprintf(`g=%d; read -r l </proc/$g/stat && { l=${l##*) }; set -- $l; g=$3; }
kill -TERM "-$g"; sleep %g; kill -KILL "-$g"`, pid, killGrace.Seconds())
	// Neither of these can be helped: whoever cancelled has an error already.
	_, _ = sh.Run(ctx, session.Job{Script: script, Stdout: drop, Stderr: drop}) //nolint:errcheck
	_ = sh.Close()                                                              //nolint:errcheck
}
