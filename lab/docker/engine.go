package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"phoenix-run/lab/docker/api"
)

// Engine is one guest's Docker daemon. Its methods may be called from several goroutines.
type Engine struct {
	host   Host
	opts   Options
	config daemonConfig // read at Start
	// ctx ends when the daemon stops.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // restarts that wait for their time

	mu         sync.Mutex // guards all below
	id         string
	containers map[string]*container
	images     map[string]api.Image // by id
	networks   map[string]*api.Network
	volumes    map[string]api.Volume
	execs      map[string]*execution
	running    bool
}

// New returns the engine of a host; it serves nothing before Start.
func New(host Host, opts Options) *Engine {
	return &Engine{host: host, opts: opts}
}

// Host is the machine that the engine runs on.
func (e *Engine) Host() Host { return e.host }

// Running tells whether the daemon is up.
func (e *Engine) Running() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

// Start brings the daemon up: it loads what was saved and starts the containers whose restart policy
// says so. In the boot in which it was killed it finds its containers as they were.
func (e *Engine) Start(ctx context.Context) error {
	config, err := readDaemonConfig(e.host)
	if err != nil {
		return err
	}
	var s state
	if err := e.host.LoadState(stateKey, &s); err != nil {
		return fmt.Errorf("docker: reading the state of %s: %w", e.host.Name(), err)
	}
	e.mu.Lock()
	if e.running {
		e.mu.Unlock()
		return nil
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.config = config
	e.id = orDefault(s.ID, newID())
	e.images, e.networks, e.volumes = s.Images, s.Networks, s.Volumes
	e.execs = map[string]*execution{}
	if e.images == nil {
		e.images = map[string]api.Image{}
	}
	if e.volumes == nil {
		e.volumes = map[string]api.Volume{}
	}
	if e.networks == nil {
		e.networks = map[string]*api.Network{}
		e.addDefaultNetworks()
	}
	resumed := s.BootID != "" && s.BootID == e.host.BootID()
	e.containers = map[string]*container{}
	var wake []*container
	for _, saved := range s.Containers {
		c := &container{rec: saved.Container, stoppedByHand: saved.StoppedByHand, anonymous: saved.Anonymous}
		e.containers[c.rec.ID] = c
		if c.afterBoot(resumed, time.Now()) {
			wake = append(wake, c)
		}
	}
	e.running = true
	err = e.commit()
	e.mu.Unlock()
	if err != nil {
		return err
	}
	slices.SortFunc(wake, func(a, b *container) int { return a.rec.Created.Compare(b.rec.Created) })
	for _, c := range wake {
		c.op.Lock()
		if err := e.launch(c); err != nil {
			e.host.Journal("docker.service", fmt.Sprintf("level=error msg=\"failed to start container\" container=%s error=%q", c.rec.ID, err))
		}
		c.op.Unlock()
	}
	e.host.Journal("docker.service", "API listen on /run/docker.sock")
	return nil
}

// Stop ends the daemon and every container's process. Those that ran come back with the next Start if
// their restart policy says so.
func (e *Engine) Stop() error {
	e.mu.Lock()
	if !e.running {
		e.mu.Unlock()
		return nil
	}
	e.running = false
	e.cancel()
	var procs []*process
	for _, c := range e.containers {
		if c.proc != nil {
			procs = append(procs, c.proc)
			c.proc = nil
			c.ended(0, time.Now())
		}
	}
	err := e.commit()
	e.mu.Unlock()
	for _, p := range procs {
		p.close()
	}
	e.wg.Wait()
	return err
}

// Detach ends every container's process without changing the saved state, as when the lab itself
// ends while its guests are running: Start finds them running.
func (e *Engine) Detach() {
	e.mu.Lock()
	var procs []*process
	if e.running {
		e.running = false
		e.cancel()
		for _, c := range e.containers {
			if c.proc != nil {
				procs = append(procs, c.proc)
				c.proc = nil
			}
		}
	}
	e.mu.Unlock()
	for _, p := range procs {
		p.close()
	}
	e.wg.Wait()
}

// commit saves the state. e.mu is held.
func (e *Engine) commit() error {
	s := state{ID: e.id, Images: e.images, Networks: e.networks, Volumes: e.volumes}
	if e.running {
		s.BootID = e.host.BootID()
	}
	for _, c := range e.sorted() {
		s.Containers = append(s.Containers, savedContainer{c.rec, c.stoppedByHand, c.anonymous})
	}
	if err := e.host.SaveState(stateKey, s); err != nil {
		return fmt.Errorf("docker: saving the state of %s: %w", e.host.Name(), err)
	}
	e.host.Touch()
	return nil
}

// sorted lists the containers, newest first. e.mu is held.
func (e *Engine) sorted() []*container {
	all := make([]*container, 0, len(e.containers))
	for _, c := range e.containers {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *container) int {
		if n := b.rec.Created.Compare(a.rec.Created); n != 0 {
			return n
		}
		return strings.Compare(a.rec.ID, b.rec.ID)
	})
	return all
}

func newID() string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		panic(err) // never returned by crypto/rand
	}
	return hex.EncodeToString(b)
}

// refuse is an error with its HTTP status.
func refuse(status int, format string, args ...any) error {
	return &api.Error{Status: status, Message: fmt.Sprintf(format, args...)}
}
