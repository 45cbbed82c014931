package proxmox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

func cloneGuest(c *call) (any, error) {
	s := c.server
	p := c.params
	newID := p.number("newid", 0)
	if err := c.mayAllocate(newID, p.get("pool")); err != nil {
		return nil, err
	}
	plan := &clonePlan{call: c, id: newID, target: cmp.Or(p.get("target"), c.node)}
	if err := plan.check(); err != nil {
		return nil, err
	}
	return upid(c.fork("qmclone", idText(c.vmid()), newID, func(ctx context.Context, t *task) error {
		source, err := c.guest()
		if err != nil {
			return err
		}
		// Clones of what is off share the source; one of a running machine needs it alone.
		unlock, err := s.locks.lock(ctx, guestLockFile(c.vmid()), !source.Running, s.speed.CloneLock)
		if err != nil {
			return err
		}
		defer unlock()
		unlockNew, err := s.locks.lock(ctx, guestLockFile(newID), false, s.speed.CloneLock)
		if err != nil {
			return err
		}
		defer unlockNew()
		if err := plan.check(); err != nil {
			return err
		}
		if err := c.addGuest(&guest{ID: newID, Node: plan.target, Pool: p.get("pool"), Config: map[string]string{"lock": "clone"}}); err != nil {
			return err
		}
		if err := plan.run(ctx, t); err != nil {
			return fmt.Errorf("clone failed: %w", errors.Join(err, c.forget(newID)))
		}
		return nil
	}))
}

// clonePlan is one clone, checked once before the worker starts and once inside.
type clonePlan struct {
	call   *call
	id     int
	target string
	source *guest
	config map[string]string // what is cloned: the machine's or a snapshot's
	full   bool
}

func (pl *clonePlan) check() error {
	c, s, p := pl.call, pl.call.server, pl.call.params
	g, err := c.guest()
	if err != nil {
		return err
	}
	if err := g.checkLock(); err != nil {
		return err
	}
	pl.source, pl.config = g, g.Config
	if name := p.get("snapname"); name != "" {
		if g.Snapshots[name] == nil {
			return fmt.Errorf("snapshot '%s' does not exist", name)
		}
		pl.config = g.Snapshots[name].Config
	}
	pl.full = !g.template()
	if p.has("full") {
		pl.full = p.flag("full")
	}
	storage := p.get("storage")
	if !pl.full {
		if storage != "" {
			return errors.New("parameter 'storage' not allowed for linked clones")
		}
		if p.has("format") {
			return errors.New("parameter 'format' not allowed for linked clones")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.nodeOf(pl.id); held == c.node {
		return fmt.Errorf("unable to create VM %d: config file already exists", pl.id)
	}
	return pl.checkStorages(storage)
}

// checkStorages checks disks, the target node's access to them, and rights. s.mu is held.
func (pl *clonePlan) checkStorages(storage string) error {
	c, s := pl.call, pl.call.server
	target := s.cluster.node(pl.target)
	if target == nil {
		return fmt.Errorf("no such cluster node '%s'", pl.target)
	}
	if target.Offline {
		return fmt.Errorf("target node '%s' is offline", pl.target)
	}
	for _, key := range slices.Sorted(maps.Keys(pl.config)) {
		vol := volumeOf(pl.config[key])
		if !isDisk(key) || pl.source.Volumes[vol] == nil {
			continue
		}
		st, err := s.cluster.storage(storageOf(vol), c.node)
		if err != nil {
			return err
		}
		if pl.target != c.node && !st.Shared {
			return fmt.Errorf("can't clone VM to node '%s' (VM uses local storage)", pl.target)
		}
		if !pl.full && !isCloudInitVolume(vol) && !(pl.source.template() && st.Type != "lvm") {
			return die("Linked clone feature is not supported for '%s' (%s)", vol, key)
		}
		to := cmp.Or(storage, st.ID)
		if _, err := s.imageStorage(c, pl.target, to); err != nil {
			return err
		}
	}
	if storage != "" && pl.target != c.node {
		if st, err := s.cluster.storage(storage, pl.target); err != nil || !st.Shared {
			return fmt.Errorf("can't clone to non-shared storage '%s'", storage)
		}
	}
	return nil
}

// run makes the copy.
func (pl *clonePlan) run(ctx context.Context, t *task) error {
	c, s := pl.call, pl.call.server
	if err := sleep(ctx, s.speed.Clone); err != nil {
		return err
	}
	if len(pl.source.Pending)+len(pl.source.Delete) > 0 {
		t.warnf("pending changes of VM %d are not cloned", pl.source.ID)
	}
	if pl.full {
		if err := pl.copyDisks(ctx, t); err != nil {
			return err
		}
	}
	err := c.edit(pl.id, func(g *guest) error { return pl.configure(g, t) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	from, made := s.machines[pl.source.ID], s.guests[pl.id].clone()
	spec := s.spec(pl.id, made.Config, made)
	s.mu.Unlock()
	if from == nil {
		return fmt.Errorf("VM %d has no machine", pl.source.ID)
	}
	m, err := s.opts.Backend.Clone(ctx, pl.id, from, spec)
	if err != nil {
		return err
	}
	return c.ready(pl.id, m)
}

// dropped are keys that a clone does not take over.
var dropped = []string{"lock", "template", "parent", "digest", "snaptime", "vmstate", "meta", "name", "description", "smbios1", "vmgenid"}

// configure writes the clone's configuration.
func (pl *clonePlan) configure(g *guest, t *task) error {
	s, p := pl.call.server, pl.call.params
	g.Config = map[string]string{"lock": "clone"}
	for _, key := range slices.Sorted(maps.Keys(pl.config)) {
		text := pl.config[key]
		switch {
		case slices.Contains(dropped, key) || busOf(key) == "unused":
		case busOf(key) == "net":
			n, err := netFormat.parse(key, text)
			if err != nil {
				return err
			}
			n["macaddr"] = newMAC()
			g.Config[key] = netFormat.String(n)
		case isDisk(key) && pl.source.Volumes[volumeOf(text)] != nil:
			if err := pl.drive(g, key, text, t); err != nil {
				return err
			}
		default:
			g.Config[key] = text
		}
	}
	g.Config["name"] = cmp.Or(p.get("name"), "Copy-of-VM-"+cmp.Or(pl.config["name"], idText(pl.source.ID)))
	if d := description(p.get("description")); d != "" {
		g.Config["description"] = d
	}
	g.Config["meta"] = fmt.Sprintf("creation-qemu=%s,ctime=%d", s.flavor.qemu, unix(s.now()))
	g.Config["smbios1"] = "uuid=" + newUUID()
	g.Config["vmgenid"] = newUUID()
	return nil
}
