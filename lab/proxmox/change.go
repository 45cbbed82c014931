package proxmox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// effects are what a changed configuration means for the machine behind it.
type effects struct {
	image     string // file to make the machine's boot disk of
	configure bool   // the running machine has to take over its configuration
}

// changeGuest applies a change to g: at once where it can take effect, else as pending. s.mu is held.
func (c *call) changeGuest(ctx context.Context, g *guest, ch change, t *task) (effects, error) {
	var after effects
	if g.Pending == nil {
		g.Pending = map[string]string{}
	}
	if g.Delete == nil {
		g.Delete = map[string]int{}
	}
	for _, key := range ch.revert {
		delete(g.Pending, key)
		delete(g.Delete, key)
	}
	for _, key := range ch.delete {
		if err := c.planDelete(g, key, ch.force, t); err != nil {
			return after, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ch.set)) {
		stored, image, err := c.stored(ctx, g, key, ch.set[key])
		if err != nil {
			return after, err
		}
		if image != "" {
			after.image = image
		}
		delete(g.Delete, key)
		g.Pending[key] = stored
	}
	if order, ok := ch.set["boot"]; ok {
		if err := checkBootOrder(g.planned(), order); err != nil {
			return after, err
		}
	}
	g.cleanPending()
	if !g.Running {
		c.server.applyPending(g)
		return after, nil
	}
	if err := c.hotplug(g); err != nil {
		return after, err
	}
	after.configure = true
	return after, nil
}

func (c *call) planDelete(g *guest, key string, force bool, t *task) error {
	_, live := g.Config[key]
	_, coming := g.Pending[key]
	if !live && !coming {
		if t != nil {
			t.warnf("cannot delete '%s' - not set in current configuration!", key)
		}
		return nil
	}
	if g.Config["protection"] == "1" && (isDisk(key) || busOf(key) == "unused") {
		return fmt.Errorf("can't remove drive '%s' - protection mode enabled", key)
	}
	delete(g.Pending, key)
	if live {
		g.Delete[key] = 1
		if force {
			g.Delete[key] = 2
		}
	}
	return nil
}

// cleanPending drops pending values that are what is there already.
func (g *guest) cleanPending() {
	for key, v := range g.Pending {
		if live, ok := g.Config[key]; live == v && (ok || v == "") {
			delete(g.Pending, key)
		}
	}
}

// applyPending makes all that is pending take effect: the machine is off. s.mu is held.
func (s *Server) applyPending(g *guest) {
	for _, key := range slices.Sorted(maps.Keys(g.Delete)) {
		s.applyDelete(g, key)
	}
	for _, key := range slices.Sorted(maps.Keys(g.Pending)) {
		s.applySet(g, key)
	}
}

func (s *Server) applyDelete(g *guest, key string) {
	force := g.Delete[key] == 2
	text := g.Config[key]
	delete(g.Delete, key)
	delete(g.Config, key)
	if isDisk(key) || busOf(key) == "unused" {
		g.detach(text, force || busOf(key) == "unused")
	}
}

func (s *Server) applySet(g *guest, key string) {
	old, had := g.Config[key]
	g.Config[key] = g.Pending[key]
	delete(g.Pending, key)
	if g.Config[key] == "" { // a line without a value is no line
		delete(g.Config, key)
	}
	if had && isDisk(key) && volumeOf(old) != volumeOf(g.Config[key]) {
		g.detach(old, false)
	}
}

// detach lets go of a drive's volume: kept as unusedN, or destroyed. Cloud-init images are always made anew.
func (g *guest) detach(drive string, destroy bool) {
	id := volumeOf(drive)
	if _, owned := g.Volumes[id]; !owned || g.uses(id) {
		return
	}
	if destroy || strings.HasSuffix(id, "-cloudinit") || strings.Contains(id, "-cloudinit.") {
		delete(g.Volumes, id)
		return
	}
	for n := 0; ; n++ {
		key := "unused" + strconv.Itoa(n)
		if _, taken := g.Config[key]; !taken {
			g.Config[key] = id
			return
		}
	}
}

// uses reports whether some key holds the volume.
func (g *guest) uses(id string) bool {
	for key, text := range g.Config {
		if (isDisk(key) || busOf(key) == "unused") && volumeOf(text) == id {
			return true
		}
	}
	return false
}

// settle brings the machine in line with a changed configuration.
func (c *call) settle(ctx context.Context, id int, after effects) error {
	s := c.server
	s.mu.Lock()
	m, g := s.machines[id], s.guests[id].clone()
	spec := s.spec(id, g.Config, g)
	s.mu.Unlock()
	if after.image != "" {
		return c.remake(ctx, id, m, spec, after.image)
	}
	if after.configure && m != nil {
		if _, err := m.Configure(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}
