package docker

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"phoenix-run/lab/docker/api"
)

// container is one container. op is held for a whole start, stop or removal, so that these follow one
// another; the rest is guarded by the engine's mutex.
type container struct {
	op            sync.Mutex
	rec           api.Container
	stoppedByHand bool
	anonymous     []string
	proc          *process
	logs          logBuffer
	removed       bool
	restarts      int // in a row, for the delay
	waiters       []chan int
}

// afterBoot brings the record to what the daemon finds when it comes up, and tells whether the
// container is to be started.
func (c *container) afterBoot(resumed bool, now time.Time) bool {
	s := &c.rec.State
	wasUp := s.Running || s.Restarting
	if resumed && wasUp {
		return true
	}
	if wasUp { // the power went
		c.ended(255, now)
	}
	switch c.rec.HostConfig.RestartPolicy.Name {
	case "always":
		return s.Status != "created"
	case "unless-stopped":
		return s.Status != "created" && !c.stoppedByHand
	case "on-failure":
		return s.Status == "exited" && s.ExitCode != 0 && !c.stoppedByHand
	}
	return false
}

// ended records the end of the process.
func (c *container) ended(code int, now time.Time) {
	s := &c.rec.State
	s.Status, s.Running, s.Restarting, s.Paused = "exited", false, false, false
	s.Pid, s.ExitCode, s.FinishedAt = 0, code, now.UTC()
	c.rec.NetworkSettings.Ports = map[string][]api.PortBinding{}
	for _, w := range c.waiters {
		w <- code
	}
	c.waiters = nil
}

// wantsRestart tells whether the policy brings the container back after it ended by itself.
func (c *container) wantsRestart(code int) bool {
	p := c.rec.HostConfig.RestartPolicy
	switch p.Name {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return code != 0 && (p.MaximumRetryCount == 0 || c.rec.RestartCount < p.MaximumRetryCount)
	}
	return false
}

// find returns the container with this name, id, or beginning of an id. e.mu is held.
func (e *Engine) find(ref string) (*container, error) {
	name := strings.TrimPrefix(ref, "/")
	var found []*container
	for id, c := range e.containers {
		if id == name || c.rec.Name == "/"+name {
			return c, nil
		}
		if name != "" && strings.HasPrefix(id, name) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return nil, refuse(http.StatusNotFound, "No such container: %s", ref)
	case 1:
		return found[0], nil
	}
	return nil, refuse(http.StatusBadRequest, "Multiple IDs found with provided prefix: %s", ref)
}

// lookup is find with the lock taken.
func (e *Engine) lookup(ref string) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.find(ref)
}

// view is the record as it is shown now: with health, which depends on the time. e.mu is held.
func (e *Engine) view(c *container) api.Container {
	r := c.rec
	h := r.Config.Healthcheck
	if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return r
	}
	r.State.Health = &api.Health{Status: "starting"}
	switch {
	case !r.State.Running:
		r.State.Health.Status = "unhealthy"
	case time.Since(r.State.StartedAt) < orDefault(e.opts.HealthTime, 100*time.Millisecond):
	case e.opts.Faults.Unhealthy != nil && e.opts.Faults.Unhealthy(e.host.Name(), r):
		r.State.Health.Status, r.State.Health.FailingStreak = "unhealthy", max(h.Retries, 3)
	default:
		r.State.Health.Status = "healthy"
	}
	return r
}

// statusText is the STATUS column of docker ps.
func statusText(c api.Container, now time.Time) string {
	s := c.State
	switch s.Status {
	case "running":
		text := "Up " + ago(now.Sub(s.StartedAt))
		switch {
		case s.Health == nil:
		case s.Health.Status == "starting":
			text += " (health: starting)"
		default:
			text += " (" + s.Health.Status + ")"
		}
		return text
	case "restarting":
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, ago(now.Sub(s.FinishedAt)))
	case "exited":
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, ago(now.Sub(s.FinishedAt)))
	}
	return "Created"
}

func ago(d time.Duration) string {
	n, unit := int(d.Seconds()), "second"
	switch {
	case n < 1:
		return "Less than a second"
	case d >= 48*time.Hour:
		n, unit = int(d.Hours()/24), "day"
	case d >= 2*time.Hour:
		n, unit = int(d.Hours()), "hour"
	case d >= time.Hour:
		return "About an hour"
	case d >= 2*time.Minute:
		n, unit = int(d.Minutes()), "minute"
	case d >= time.Minute:
		return "About a minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// logBuffer keeps a container's last output. It has its own lock, as programs write at any time.
type logBuffer struct {
	mu    sync.Mutex
	lines []logLine
}

type logLine struct {
	stream byte
	time   time.Time
	text   string
}

const logLimit = 2000

func (b *logBuffer) add(stream byte, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now().UTC()
	for _, line := range strings.SplitAfter(text, "\n") {
		if line != "" {
			b.lines = append(b.lines, logLine{stream, now, line})
		}
	}
	if n := len(b.lines) - logLimit; n > 0 {
		b.lines = append([]logLine(nil), b.lines[n:]...)
	}
}

func (b *logBuffer) tail(n int) []logLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	if n >= 0 && n < len(lines) {
		lines = lines[len(lines)-n:]
	}
	return append([]logLine(nil), lines...)
}

// Write implements io.Writer for standard output.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.add(api.Stdout, string(p))
	return len(p), nil
}
