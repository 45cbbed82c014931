package proxmox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"phoenix-run/lab/machine"
)

func (s *Server) snapshotRoutes(add addRoute) {
	vm := "/nodes/{node}/qemu/{vmid}/snapshot"
	snap := vm + "/{snapname}"
	add(get, vm, onVM("VM.Audit"), nil, listSnapshots)
	add(post, vm, onVM("VM.Snapshot"), table{
		"snapname": pathParams["snapname"], "description": str(), "vmstate": boolean(),
	}, takeSnapshot)
	add(remove, snap, onVM("VM.Snapshot"), table{"force": boolean()}, deleteSnapshot)
	add(get, snap+"/config", onVM("VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"), nil, snapshotConfig)
	add(put, snap+"/config", onVM("VM.Snapshot"), table{"description": str()}, describeSnapshot)
	add(post, snap+"/rollback", onVM("VM.Snapshot", "VM.Snapshot.Rollback"), table{"start": boolean()}, rollback)
}

func listSnapshots(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	rows := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(g.Snapshots)) {
		snap := g.Snapshots[name]
		row := map[string]any{"name": name, "snaptime": snap.Time, "vmstate": bit(snap.VMState), "description": snap.Description}
		if snap.Parent != "" {
			row["parent"] = snap.Parent
		}
		rows = append(rows, row)
	}
	current := map[string]any{"name": "current", "description": "You are here!", "digest": g.digest(), "running": bit(g.Running)}
	if p := g.Config["parent"]; p != "" {
		current["parent"] = p
	}
	return append(rows, current), nil
}

func takeSnapshot(c *call) (any, error) {
	name, desc := c.params.get("snapname"), description(c.params.get("description"))
	if name == "current" || name == "pending" {
		return nil, fmt.Errorf("unable to use snapshot name '%s' (reserved name)", name)
	}
	return c.power("qmsnapshot", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		if g.Snapshots[name] != nil {
			return fmt.Errorf("snapshot name '%s' already used", name)
		}
		if g.template() {
			return errors.New("you can't take a snapshot if it's a template")
		}
		return c.whileLocked(g.ID, "snapshot", func() error {
			if err := sleep(ctx, c.server.speed.Snapshot); err != nil {
				return err
			}
			if err := m.Snapshot(ctx, name); err != nil {
				return err
			}
			return c.edit(g.ID, func(g *guest) error {
				config := maps.Clone(g.Config)
				delete(config, "lock")
				if g.Snapshots == nil {
					g.Snapshots = map[string]*snapshot{}
				}
				g.Snapshots[name] = &snapshot{
					Config: config, Description: desc, Parent: g.Config["parent"], Time: unix(c.server.now()),
					VMState: c.params.flag("vmstate") && g.Running,
				}
				g.Config["parent"] = name
				return nil
			})
		})
	})
}

// whileLocked sets the configuration's lock for the time of fn.
func (c *call) whileLocked(id int, lock string, fn func() error) error {
	if err := c.edit(id, func(g *guest) error { g.Config["lock"] = lock; return nil }); err != nil {
		return err
	}
	err := fn()
	return errors.Join(err, c.edit(id, func(g *guest) error { delete(g.Config, "lock"); return nil }))
}

func findSnapshot(c *call) (*guest, *snapshot, error) {
	g, err := c.guest()
	if err != nil {
		return nil, nil, err
	}
	snap := g.Snapshots[c.params.get("snapname")]
	if snap == nil {
		return nil, nil, fmt.Errorf("snapshot '%s' does not exist", c.params.get("snapname"))
	}
	return g, snap, nil
}

func snapshotConfig(c *call) (any, error) {
	_, snap, err := findSnapshot(c)
	if err != nil {
		return nil, err
	}
	out := c.server.shown(snap.Config)
	out["snaptime"] = snap.Time
	return out, nil
}

func describeSnapshot(c *call) (any, error) {
	if _, _, err := findSnapshot(c); err != nil {
		return nil, err
	}
	return nil, c.edit(c.vmid(), func(g *guest) error {
		g.Snapshots[c.params.get("snapname")].Description = description(c.params.get("description"))
		return nil
	})
}

func deleteSnapshot(c *call) (any, error) {
	name := c.params.get("snapname")
	return c.power("qmdelsnapshot", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		snap := g.Snapshots[name]
		if snap == nil {
			return fmt.Errorf("snapshot '%s' does not exist", name)
		}
		return c.whileLocked(g.ID, "snapshot-delete", func() error {
			if err := sleep(ctx, c.server.speed.Snapshot); err != nil {
				return err
			}
			if err := m.DeleteSnapshot(ctx, name); err != nil && !c.params.flag("force") {
				return err
			}
			return c.edit(g.ID, func(g *guest) error {
				delete(g.Snapshots, name)
				for _, other := range g.Snapshots {
					if other.Parent == name {
						other.Parent = snap.Parent
					}
				}
				if g.Config["parent"] == name {
					g.Config["parent"] = snap.Parent
					if snap.Parent == "" {
						delete(g.Config, "parent")
					}
				}
				return nil
			})
		})
	})
}

// rollback restores disks and configuration; a running machine is stopped, and runs again afterwards
// only if the snapshot holds its memory or the request says so.
func rollback(c *call) (any, error) {
	s := c.server
	name := c.params.get("snapname")
	return c.power("qmrollback", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		snap := g.Snapshots[name]
		if snap == nil {
			return fmt.Errorf("snapshot '%s' does not exist", name)
		}
		err := c.whileLocked(g.ID, "rollback", func() error {
			if g.Running {
				if err := m.Stop(ctx); err != nil {
					return err
				}
			}
			if err := sleep(ctx, s.speed.Snapshot); err != nil {
				return err
			}
			if err := m.Rollback(ctx, name); err != nil {
				return err
			}
			return c.edit(g.ID, func(g *guest) error {
				lock := cmp.Or(g.lock(), "rollback")
				g.Config = maps.Clone(snap.Config)
				g.Config["lock"], g.Config["parent"] = lock, name
				g.Pending, g.Delete = nil, nil
				return nil
			})
		})
		if err != nil {
			return err
		}
		c.changed.Store(true)
		if snap.VMState || c.params.flag("start") {
			return c.boot(ctx, g.ID, t)
		}
		return nil
	})
}
