package docker

import (
	"fmt"
	"time"

	"phoenix-run/lab/docker/api"
)

// exit is the end of a process by itself, followed by what the restart policy says.
func (e *Engine) exit(c *container, proc *process, code int) {
	e.mu.Lock()
	if c.proc != proc || !e.running {
		e.mu.Unlock()
		return
	}
	c.proc = nil
	c.ended(code, time.Now())
	again := c.wantsRestart(code) && !c.stoppedByHand
	if again {
		c.rec.State.Status, c.rec.State.Restarting = "restarting", true
		c.rec.RestartCount++
		c.restarts++
		e.wg.Add(1)
	}
	delay := min(100*time.Millisecond<<min(c.restarts, 10), time.Minute)
	err := e.commit()
	auto := c.rec.HostConfig.AutoRemove
	e.mu.Unlock()
	proc.close()
	if err != nil {
		e.host.Journal("docker.service", fmt.Sprintf("level=error msg=%q", err))
	}
	if again {
		go e.restartAfter(c, delay)
	} else if auto {
		go func() { // it waits for c.op, which the caller may hold
			if err := e.Remove(c.rec.ID, true, true); err != nil && !api.NotFound(err) {
				e.host.Journal("docker.service", fmt.Sprintf("level=error msg=%q", err))
			}
		}()
	}
}

func (e *Engine) restartAfter(c *container, delay time.Duration) {
	defer e.wg.Done()
	select {
	case <-e.ctx.Done():
		return
	case <-time.After(delay):
	}
	c.op.Lock()
	defer c.op.Unlock()
	e.mu.Lock()
	still := e.running && c.rec.State.Restarting && !c.removed
	e.mu.Unlock()
	if !still {
		return
	}
	if err := e.launch(c); err != nil {
		e.host.Journal("docker.service", fmt.Sprintf("level=error msg=\"failed to restart container\" container=%s error=%q", c.rec.ID, err))
	}
}
