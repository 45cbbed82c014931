package proxmox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// makeTemplate turns a machine into a template: its images become read-only bases with new names.
func makeTemplate(c *call) (any, error) {
	s := c.server
	check := func(g *guest) error {
		if err := g.checkLock(); err != nil {
			return err
		}
		if len(g.Snapshots) > 0 {
			return fmt.Errorf("unable to create template, because VM contains snapshots")
		}
		if g.template() {
			return fmt.Errorf("you can't convert a template to a template")
		}
		if g.Running {
			return fmt.Errorf("you can't convert a VM to template if VM is running")
		}
		return nil
	}
	g, err := c.guest()
	if err == nil {
		err = check(g)
	}
	if err != nil {
		return nil, err
	}
	return upid(c.fork("qmtemplate", idText(c.vmid()), 0, func(ctx context.Context, t *task) error {
		unlock, err := s.locks.lock(ctx, guestLockFile(c.vmid()), false, s.speed.ConfigLock)
		if err != nil {
			return err
		}
		defer unlock()
		if err := sleep(ctx, s.speed.Template); err != nil {
			return err
		}
		return c.edit(c.vmid(), func(g *guest) error {
			if err := check(g); err != nil {
				return err
			}
			g.toTemplate()
			return nil
		})
	}))
}

func (g *guest) toTemplate() {
	g.Config["template"] = "1"
	for key, text := range g.Config {
		old := volumeOf(text)
		v := g.Volumes[old]
		if !isDisk(key) || v == nil || isCloudInitVolume(old) {
			continue
		}
		at := strings.LastIndex(old, "vm-")
		if at < 0 {
			continue
		}
		base := old[:at] + "base-" + old[at+len("vm-"):]
		delete(g.Volumes, old)
		g.Volumes[base] = v
		g.Config[key] = base + strings.TrimPrefix(text, old)
	}
}

// migratable says whether and where the machine can go.
func migratable(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	local := []map[string]any{}
	for _, vol := range g.localVolumes(s) {
		local = append(local, map[string]any{"volid": vol, "size": g.Volumes[vol].Bytes, "cdrom": 0, "is_unused": 0})
	}
	allowed := []string{}
	for _, n := range s.cluster.Nodes {
		if n.Name != g.Node && !n.Offline {
			allowed = append(allowed, n.Name)
		}
	}
	return map[string]any{
		"running": bit(g.Running), "local_disks": local, "local_resources": []any{}, "mapped-resources": []any{},
		"mapped-resource-info": map[string]any{}, "allowed_nodes": allowed, "not_allowed_nodes": map[string]any{},
	}, nil
}

// localVolumes are the machine's images on storages that other nodes don't share. s.mu is held.
func (g *guest) localVolumes(s *Server) []string {
	var out []string
	for _, vol := range slices.Sorted(maps.Keys(g.Volumes)) {
		if st, err := s.cluster.storage(storageOf(vol), ""); err == nil && !st.Shared {
			out = append(out, vol)
		}
	}
	return out
}

func migrateGuest(c *call) (any, error) {
	s := c.server
	id, target := c.vmid(), c.params.get("target")
	check := func() error {
		g, err := c.guest()
		if err != nil {
			return err
		}
		if err := g.checkLock(); err != nil {
			return err
		}
		if target == c.node {
			return badParam("target", "target is local node.")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		n := s.cluster.node(target)
		if n == nil {
			return fmt.Errorf("no such cluster node '%s'", target)
		}
		if n.Offline {
			return fmt.Errorf("target node '%s' is offline", target)
		}
		if g.Running && !c.params.flag("online") {
			return badParam("online", "can't migrate running VM without --online")
		}
		local := g.localVolumes(s)
		if len(local) > 0 && g.Running && !c.params.flag("with-local-disks") {
			return errors.New("can't live migrate attached local disks without with-local-disks option")
		}
		for _, vol := range local {
			if _, err := s.cluster.storage(storageOf(vol), target); err != nil {
				return err
			}
		}
		return nil
	}
	if err := check(); err != nil {
		return nil, err
	}
	return upid(c.fork("qmigrate", idText(id), 0, func(ctx context.Context, t *task) error {
		unlock, err := s.locks.lock(ctx, guestLockFile(id), false, s.speed.ConfigLock)
		if err != nil {
			return err
		}
		defer unlock()
		if err := check(); err != nil {
			return err
		}
		set := func(lock, node string) error {
			return c.edit(id, func(g *guest) error {
				delete(g.Config, "lock")
				if lock != "" {
					g.Config["lock"] = lock
				}
				g.Node = node
				return nil
			})
		}
		if err := set("migrate", c.node); err != nil {
			return err
		}
		t.logf("starting migration of VM %d to node '%s'", id, target)
		if err := sleep(ctx, s.speed.Migrate); err != nil {
			return errors.Join(err, set("", c.node))
		}
		t.logf("migration finished successfully")
		return set("", target)
	}))
}
