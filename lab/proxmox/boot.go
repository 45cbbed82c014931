package proxmox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"phoenix-run/lab/machine"
)

func bootGuest(c *call) (any, error) {
	id := c.vmid()
	if c.isManaged() {
		return c.managed("hastart", "started", func(ctx context.Context) error { return c.boot(ctx, id, nil) })
	}
	return c.power("qmstart", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		return c.boot(ctx, id, t)
	})
}

// startGuest starts a machine from another worker.
func (c *call) startGuest(ctx context.Context, id int, t *task) error {
	return c.locked(ctx, id, func() error { return c.boot(ctx, id, t) })
}

// boot starts a machine whose lock is held: pending changes take effect and the cloud-init image is
// made anew.
func (c *call) boot(ctx context.Context, id int, t *task) error {
	s := c.server
	g, err := s.guestOn(id, c.node)
	if err != nil {
		return err
	}
	if g.template() {
		return errors.New("you can't start a vm if it's a template")
	}
	if g.Running {
		return fmt.Errorf("VM %d already running", id)
	}
	if err := sleep(ctx, s.speed.Start); err != nil {
		return err
	}
	if err := s.checkBridges(g, t); err != nil {
		return err
	}
	var spec machine.Spec
	err = c.edit(id, func(g *guest) error {
		s.applyPending(g)
		g.CloudInit = cloudInitKeys(g.Config)
		spec = s.spec(id, g.Config, g)
		return nil
	})
	if err != nil {
		return err
	}
	if t != nil && g.CloudInit != nil {
		t.logf("generating cloud-init ISO")
	}
	s.mu.Lock()
	m := s.machines[id]
	s.mu.Unlock()
	return c.noted(id, m.Start(ctx, spec))
}

// checkBridges fails as QEMU's network script does where a bridge is missing.
func (s *Server) checkBridges(g *guest, t *task) error {
	s.mu.Lock()
	n := s.cluster.node(g.Node)
	s.mu.Unlock()
	planned := g.planned()
	for _, key := range slices.Sorted(maps.Keys(planned)) {
		if busOf(key) != "net" {
			continue
		}
		p, err := netFormat.parse(key, planned[key])
		if err != nil {
			return err
		}
		if b := p["bridge"]; b != "" && !slices.Contains(n.Bridges, b) {
			if t != nil {
				t.logf("bridge '%s' does not exist", b)
				t.logf("kvm: -netdev type=tap,id=%s: network script /usr/libexec/qemu-server/pve-bridge failed with status 512", key)
			}
			return errors.New("start failed: QEMU exited with code 1")
		}
	}
	return nil
}
