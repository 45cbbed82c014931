package docker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"syscall"
	"time"

	"phoenix-run/lab/docker/api"
)

// process is what runs in a container: the image's program, or listeners on its ports.
type process struct {
	cancel context.CancelFunc

	mu      sync.Mutex
	closers []io.Closer
	closed  bool
}

// own hands closers to the process; one that is closed already closes them at once.
func (p *process) own(closers []io.Closer) {
	p.mu.Lock()
	late := p.closed
	if !late {
		p.closers = append(p.closers, closers...)
	}
	p.mu.Unlock()
	if late {
		closeAll(closers)
	}
}

func (p *process) close() {
	p.cancel()
	p.mu.Lock()
	closers := p.closers
	p.closers, p.closed = nil, true
	p.mu.Unlock()
	closeAll(closers)
}

func closeAll(closers []io.Closer) {
	for _, c := range closers {
		c.Close() //nolint:errcheck // the listener's end is what is wanted
	}
}

// StartContainer starts a container. It reports false when it ran already.
func (e *Engine) StartContainer(ref string) (bool, error) {
	c, err := e.lookup(ref)
	if err != nil {
		return false, err
	}
	c.op.Lock()
	defer c.op.Unlock()
	e.mu.Lock()
	up, gone := c.rec.State.Running, c.removed
	c.stoppedByHand = false
	c.rec.RestartCount, c.restarts = 0, 0
	e.mu.Unlock()
	switch {
	case gone:
		return false, refuse(http.StatusNotFound, "No such container: %s", ref)
	case up:
		return false, nil
	}
	return true, e.launch(c)
}

// launch starts the process. c.op is held, e.mu is not.
func (e *Engine) launch(c *container) error {
	e.mu.Lock()
	rec := c.rec
	e.mu.Unlock()
	if fault := e.opts.Faults.Start; fault != nil {
		if err := fault(e.host.Name(), rec); err != nil {
			return e.failed(c, refuse(http.StatusInternalServerError, "%v", err))
		}
	}
	for _, m := range rec.Mounts {
		if m.Type != "bind" {
			continue
		}
		if _, err := e.host.Stat(m.Source); err == nil {
			continue
		}
		if err := e.host.MkdirAll(m.Source, 0o755); err != nil {
			return e.failed(c, refuse(http.StatusInternalServerError, "error while creating mount source path '%s': %v", m.Source, err))
		}
	}
	ports, err := e.reserve(c)
	if err != nil {
		return e.failed(c, err)
	}
	ctx, cancel := context.WithCancel(e.ctx)
	proc := &process{cancel: cancel}
	e.mu.Lock()
	now := time.Now().UTC()
	c.proc = proc
	s := &c.rec.State
	*s = api.State{Status: "running", Running: true, Pid: 1000 + len(c.rec.ID) + int(now.UnixNano()%30000), StartedAt: now, FinishedAt: s.FinishedAt}
	c.rec.NetworkSettings.Ports = ports
	rec = c.rec
	err = e.commit()
	e.mu.Unlock()
	if err != nil {
		return err
	}
	closers, exit, err := e.run(ctx, c, proc, rec)
	proc.own(closers)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		proc.close()
		return e.failed(c, refuse(http.StatusInternalServerError, "failed to set up container networking: driver failed programming external connectivity on endpoint %s (%s): %v", rec.Name[1:], newID(), err))
	case err != nil:
		c.logs.add(api.Stderr, err.Error()+"\n")
		e.exit(c, proc, 1)
	case exit >= 0:
		e.exit(c, proc, exit)
	}
	return nil
}

// failed leaves a container that could not be started.
func (e *Engine) failed(c *container, cause error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &c.rec.State
	if s.Running || s.Restarting {
		c.ended(128, time.Now())
	}
	s.ExitCode, s.Error = 128, cause.Error()
	var apiErr *api.Error
	if errors.As(cause, &apiErr) {
		s.Error = apiErr.Message
	}
	c.proc = nil
	return errors.Join(cause, e.commit())
}

// run starts what the image holds. exit >= 0 is a program that has already ended with that code.
func (e *Engine) run(ctx context.Context, c *container, proc *process, rec api.Container) (closers []io.Closer, exit int, err error) {
	ref, err := api.ParseReference(rec.Config.Image)
	if err != nil {
		ref = api.Reference{}
	}
	program := e.opts.Programs[ref.Familiar()]
	if program == nil {
		if code, done := oneShot(ref, rec, &c.logs, e.host); done {
			return nil, code, nil
		}
		closers, err := e.listen(ctx, c, rec)
		return closers, -1, err
	}
	rt := &Runtime{Host: e.host, Container: rec, Log: &c.logs, Engine: e.Version(),
		Exit: func(code int) { go e.exit(c, proc, code) }}
	for _, m := range rec.Mounts {
		if m.Destination == "/var/run/docker.sock" || m.Destination == "/run/docker.sock" {
			rt.Socket = e.Handler()
		}
	}
	closer, err := program.Start(ctx, rt)
	if err != nil {
		return nil, -1, err
	}
	return []io.Closer{closer}, -1, nil
}

// StopContainer stops a container and leaves it stopped. It reports false when it did not run.
func (e *Engine) StopContainer(ref string, code int) (bool, error) {
	c, err := e.lookup(ref)
	if err != nil {
		return false, err
	}
	c.op.Lock()
	defer c.op.Unlock()
	return e.halt(c, code, true)
}

// halt ends the process. c.op is held, e.mu is not.
func (e *Engine) halt(c *container, code int, byHand bool) (bool, error) {
	e.mu.Lock()
	proc := c.proc
	was := c.rec.State.Running || c.rec.State.Restarting
	if byHand {
		c.stoppedByHand = true
	}
	var err error
	if was {
		c.proc = nil
		c.ended(code, time.Now())
		err = e.commit()
	}
	e.mu.Unlock()
	if proc != nil {
		proc.close()
	}
	return was, err
}

// RestartContainer stops and starts a container.
func (e *Engine) RestartContainer(ref string) error {
	c, err := e.lookup(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if _, err := e.halt(c, 0, false); err != nil {
		return err
	}
	e.mu.Lock()
	c.stoppedByHand = false
	e.mu.Unlock()
	return e.launch(c)
}

// Remove removes a container; force stops it first, volumes removes its anonymous volumes.
func (e *Engine) Remove(ref string, force, volumes bool) error {
	c, err := e.lookup(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	e.mu.Lock()
	gone, s, name := c.removed, c.rec.State, c.rec.Name
	e.mu.Unlock()
	if gone {
		return refuse(http.StatusNotFound, "No such container: %s", ref)
	}
	if (s.Running || s.Restarting) && !force {
		return refuse(http.StatusConflict, "cannot remove container %q: container is %s: stop the container before removing or force remove", name, s.Status)
	}
	if _, err := e.halt(c, 137, true); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c.removed = true
	delete(e.containers, c.rec.ID)
	if volumes {
		for _, v := range c.anonymous {
			delete(e.volumes, v)
			if err := e.host.SaveState(dataKey("volume", v), nil); err != nil {
				return err
			}
		}
	}
	return e.commit()
}

// wait returns a channel that gets the exit code when the container ends, at once if it has.
func (e *Engine) wait(ref string) (<-chan int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(ref)
	if err != nil {
		return nil, err
	}
	done := make(chan int, 1)
	if c.rec.State.Running || c.rec.State.Restarting || c.rec.State.Status == "created" {
		c.waiters = append(c.waiters, done)
	} else {
		done <- c.rec.State.ExitCode
	}
	return done, nil
}
