// Package local is the machine that phoenix-run itself runs on, as a remote.Conn.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/session"
)

const (
	// shells bounds how many scripts run at a time.
	shells = 4
	// termGrace is what a cancelled script's traps get before it is killed outright.
	termGrace = 300 * time.Millisecond
	// closeGrace is how long an idle shell may take to see that its input has ended.
	closeGrace = 2 * time.Second
)

// New gives this machine. Scripts run as the user that phoenix-run runs as, in a clean shell that
// starts in / like everywhere else. With readOnly, nothing that writes is run.
func New(readOnly bool) remote.Conn {
	return &conn{session.Machine{
		Name:     "local",
		ReadOnly: readOnly,
		Pool:     session.NewPool(shells, spawn),
	}}
}

type conn struct{ session.Machine }

// Close ends the shells.
func (c *conn) Close() error { return c.Pool.Close() }

func spawn(_ context.Context, ready string) (*session.Process, error) {
	// Not exec.CommandContext: the shell outlives the call that started it.
	cmd := exec.Command("/bin/sh", "-c", session.Program(ready))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that a script can be killed with its children
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Pipes of our own: those of exec.Cmd may not be read any more once Wait has been called.
	stdout, outEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	stderr, errEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close(), outEnd.Close())
	}
	cmd.Stdout, cmd.Stderr = outEnd, errEnd
	err = cmd.Start()
	err = errors.Join(err, outEnd.Close(), errEnd.Close())
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close(), stderr.Close())
	}
	p := &process{cmd: cmd, stdin: stdin, stdout: stdout, stderr: stderr, ended: make(chan struct{})}
	go p.wait()
	return &session.Process{
		Ready: ready, Stdin: stdin, Stdout: stdout, Stderr: stderr,
		Kill: p.kill, Close: p.close, Ended: p.ended, Exit: p.exit,
	}, nil
}

type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr *os.File
	ended          chan struct{}
	err            error // how it ended; set before ended is closed
	killing        sync.Once
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// kill ends the process group: politely, and then surely.
func (p *process) kill(int) {
	p.killing.Do(func() {
		group := -p.cmd.Process.Pid
		if err := syscall.Kill(group, syscall.SIGTERM); err != nil {
			p.hangUp()
			return
		}
		go func() {
			// The shell dies of the first signal; a child may be at its trap still.
			time.Sleep(termGrace)
			// ESRCH: all are gone already.
			if err := syscall.Kill(group, syscall.SIGKILL); err == nil {
				<-p.ended
			}
			p.hangUp()
		}()
	})
}

// hangUp makes pending reads end even if some process, no longer in the group, holds the pipes.
func (p *process) hangUp() {
	past := time.Now().Add(-time.Second)
	for _, f := range []*os.File{p.stdout, p.stderr} {
		if err := f.SetReadDeadline(past); err != nil {
			f.Close() // a closed file ends reads as well
		}
	}
}

// close ends a shell: at once when it is idle.
func (p *process) close() error {
	err := p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(closeGrace):
		p.kill(0)
		<-p.ended
	}
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, p.stdout.Close(), p.stderr.Close())
}

func (p *process) exit() error {
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("the shell ended: %w", p.err)
		}
		return errors.New("the shell ended")
	case <-time.After(termGrace):
		return nil
	}
}
