package proxmox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// forget removes what a failed creation or clone left.
func (c *call) forget(id int) error {
	s := c.server
	s.mu.Lock()
	m := s.machines[id]
	err := c.drop(id)
	s.mu.Unlock()
	if m != nil {
		err = errors.Join(err, m.Destroy(context.WithoutCancel(s.ctx)))
	}
	return err
}

func destroyGuest(c *call) (any, error) {
	s := c.server
	id := c.vmid()
	if c.params.flag("skiplock") && !c.user.root() {
		return nil, badParam("skiplock", "Only root may use this option.")
	}
	check := func() error {
		g, err := c.guest()
		if err != nil {
			return err
		}
		if err := g.checkLock(); err != nil && !c.params.flag("skiplock") {
			return err
		}
		return c.destroyable(g)
	}
	if err := check(); err != nil {
		return nil, err
	}
	return upid(c.fork("qmdestroy", idText(id), 0, func(ctx context.Context, t *task) error {
		unlock, err := s.locks.lock(ctx, guestLockFile(id), false, s.speed.ConfigLock)
		if err != nil {
			return err
		}
		defer unlock()
		if err := check(); err != nil {
			return err
		}
		if err := sleep(ctx, s.speed.Destroy); err != nil {
			return err
		}
		s.mu.Lock()
		m := s.machines[id]
		s.mu.Unlock()
		if m != nil {
			if err := m.Destroy(ctx); err != nil {
				return err
			}
		}
		if c.params.flag("purge") {
			t.logf("purging VM %d from related configurations..", id)
			if err := c.editCluster(func(cl *Cluster) error { delete(cl.HA, id); return nil }); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return c.drop(id)
	}))
}

// destroyable checks what protects a machine.
func (c *call) destroyable(g *guest) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.Config["protection"] == "1" {
		return fmt.Errorf("can't remove VM %d - protection mode enabled", g.ID)
	}
	if _, managed := s.cluster.HA[g.ID]; managed && !c.params.flag("purge") {
		return die("unable to remove VM %d - used in HA resources and purge parameter not set.", g.ID)
	}
	for _, base := range slices.Sorted(maps.Keys(g.Volumes)) {
		if child := s.linkedTo(base); child != "" {
			return fmt.Errorf("base volume '%s' is still in use by linked cloned", base)
		}
	}
	if g.Running {
		return fmt.Errorf("VM %d is running - destroy failed", g.ID)
	}
	return nil
}

// linkedTo is a volume that was made as a linked clone of base, "" if there is none. s.mu is held.
func (s *Server) linkedTo(base string) string {
	for _, g := range s.guests {
		for id, v := range g.Volumes {
			if v.Base == base {
				return id
			}
		}
	}
	return ""
}
