package proxmox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"phoenix-run/lab/machine"
)

func (s *Server) powerRoutes(add addRoute) {
	vm := "/nodes/{node}/qemu/{vmid}"
	power := onVM("VM.PowerMgmt")
	seconds := integer().atLeast(0)
	add(get, vm+"/status/current", onVM("VM.Audit"), nil, currentStatus)
	start := table{
		"force-cpu": str(), "machine": str(), "migratedfrom": formatted(formatNode), "migration_network": formatted(formatCIDR),
		"migration_type": oneOf("secure", "insecure"), "skiplock": boolean(), "stateuri": str().chars(128),
		"targetstorage": str(), "timeout": seconds,
	}
	if s.flavor.nine() {
		start["nets-host-mtu"] = matching(`net\d+=\d+(,net\d+=\d+)*`)
		start["with-conntrack-state"] = boolean()
	}
	add(post, vm+"/status/start", power, start, bootGuest)
	add(post, vm+"/status/stop", power, table{
		"keepActive": boolean(), "migratedfrom": formatted(formatNode), "overrule-shutdown": boolean(), "skiplock": boolean(), "timeout": seconds,
	}, stopGuest)
	add(post, vm+"/status/shutdown", power, table{
		"forceStop": boolean(), "keepActive": boolean(), "skiplock": boolean(), "timeout": seconds,
	}, shutdownGuest)
	add(post, vm+"/status/reboot", power, table{"timeout": seconds}, rebootGuest)
	add(post, vm+"/status/reset", power, table{"skiplock": boolean()}, resetGuest)
	add(post, vm+"/status/suspend", power, table{
		"skiplock": boolean(), "statestorage": formatted(formatStorage), "todisk": boolean(),
	}, suspendGuest)
	add(post, vm+"/status/resume", power, table{"nocheck": boolean(), "skiplock": boolean()}, resumeGuest)
}

// power forks a worker that holds the configuration's lock while it works.
func (c *call) power(kind string, work func(ctx context.Context, g *guest, m machine.Machine, t *task) error) (any, error) {
	s := c.server
	id := c.vmid()
	if c.params.flag("skiplock") && !c.user.root() {
		return nil, badParam("skiplock", "Only root may use this option.")
	}
	if _, err := c.guest(); err != nil {
		return nil, err
	}
	return upid(c.fork(kind, idText(id), 0, func(ctx context.Context, t *task) error {
		return c.locked(ctx, id, func() error {
			g, err := s.guestOn(id, c.node)
			if err != nil {
				return err
			}
			if err := g.checkLock(); err != nil && !c.params.flag("skiplock") {
				return err
			}
			s.mu.Lock()
			m := s.machines[id]
			s.mu.Unlock()
			if m == nil {
				return fmt.Errorf("VM %d has no machine", id)
			}
			return work(ctx, g, m, t)
		})
	}))
}

// locked runs fn under the configuration's lock.
func (c *call) locked(ctx context.Context, id int, fn func() error) error {
	unlock, err := c.server.locks.lock(ctx, guestLockFile(id), false, c.server.speed.ConfigLock)
	if err != nil {
		return err
	}
	defer unlock()
	return fn()
}

// noted saves what became of the machine's power.
func (c *call) noted(id int, err error) error {
	return errors.Join(err, c.edit(id, func(g *guest) error { return nil }))
}

func stopGuest(c *call) (any, error) {
	id := c.vmid()
	stop := func(ctx context.Context, m machine.Machine) error {
		if m.Power() == machine.Stopped {
			return nil
		}
		if err := sleep(ctx, c.server.speed.Stop); err != nil {
			return err
		}
		return c.noted(id, m.Stop(ctx))
	}
	if c.isManaged() {
		return c.managed("hastop", "stopped", func(ctx context.Context) error { return stop(ctx, c.server.machine(id)) })
	}
	return c.power("qmstop", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		if !g.Running {
			t.logf("VM %d not running", id)
		}
		return stop(ctx, m)
	})
}

func (s *Server) machine(id int) machine.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machines[id]
}

// shutdown asks the guest to power off and gives up after the request's timeout.
func (c *call) shutdown(ctx context.Context, id int, m machine.Machine, t *task) error {
	wait := c.server.speed.Shutdown
	if c.params.has("timeout") {
		wait = time.Duration(c.params.number("timeout", 0)) * time.Second
	}
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := m.Shutdown(bounded)
	if err == nil {
		return c.noted(id, nil)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if !c.params.flag("forceStop") {
		return errors.New("VM quit/powerdown failed - got timeout")
	}
	if t != nil {
		t.logf("VM quit/powerdown failed - terminating now with SIGTERM")
	}
	return c.noted(id, m.Stop(ctx))
}

func shutdownGuest(c *call) (any, error) {
	id := c.vmid()
	if c.isManaged() {
		return c.managed("hastop", "stopped", func(ctx context.Context) error { return c.shutdown(ctx, id, c.server.machine(id), nil) })
	}
	return c.power("qmshutdown", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		if !g.Running {
			t.logf("VM %d not running", id)
			return nil
		}
		return c.shutdown(ctx, id, m, t)
	})
}

// rebootGuest shuts down and starts again, which makes pending changes take effect.
func rebootGuest(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	if !g.Running {
		return nil, fmt.Errorf("VM %d not running", g.ID)
	}
	return c.power("qmreboot", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		if err := c.shutdown(ctx, g.ID, m, t); err != nil {
			return err
		}
		return c.boot(ctx, g.ID, t)
	})
}

func resetGuest(c *call) (any, error) {
	return c.power("qmreset", func(ctx context.Context, g *guest, m machine.Machine, _ *task) error {
		if !g.Running {
			return fmt.Errorf("VM %d not running", g.ID)
		}
		c.changed.Store(true)
		return c.noted(g.ID, m.Reset(ctx))
	})
}

// pausing asks the backend for what not every one can do.
func pausing(c *call, kind string, act func(machine.Pauser, context.Context) error) (any, error) {
	return c.power(kind, func(ctx context.Context, g *guest, m machine.Machine, _ *task) error {
		if !g.Running {
			return fmt.Errorf("VM %d not running", g.ID)
		}
		p, ok := m.(machine.Pauser)
		if !ok {
			return fmt.Errorf("pausing a VM: %w", machine.ErrUnsupported)
		}
		return c.noted(g.ID, act(p, ctx))
	})
}

func suspendGuest(c *call) (any, error) {
	if c.params.flag("todisk") {
		return nil, fmt.Errorf("suspending to disk: %w", machine.ErrUnsupported)
	}
	return pausing(c, "qmpause", machine.Pauser.Pause)
}

func resumeGuest(c *call) (any, error) { return pausing(c, "qmresume", machine.Pauser.Resume) }
