package proxmox

import (
	"context"
	"maps"
	"slices"

	"phoenix-run/lab/machine/seed"
)

// getCloudInit compares the image's content with the configuration.
func getCloudInit(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	now := cloudInitKeys(g.Config)
	rows := []map[string]any{}
	keys := slices.Concat(slices.Collect(maps.Keys(now)), slices.Collect(maps.Keys(g.CloudInit)))
	slices.Sort(keys)
	show := func(key, text string) string {
		if key == "cipassword" {
			return "**********"
		}
		return text
	}
	for _, key := range slices.Compact(keys) {
		row := map[string]any{"key": key}
		old, had := g.CloudInit[key]
		text, has := now[key]
		if had {
			row["old"] = show(key, old)
		}
		if has {
			row["new"] = show(key, text)
		} else {
			row["delete"] = 1
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// putCloudInit makes the image anew. A running guest sees it after a reboot.
func putCloudInit(c *call) (any, error) {
	s := c.server
	unlock, err := s.locks.lock(c.ctx, guestLockFile(c.vmid()), false, s.speed.ConfigLock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := c.guest(); err != nil {
		return nil, err
	}
	err = c.edit(c.vmid(), func(g *guest) error {
		if err := g.checkLock(); err != nil {
			return err
		}
		g.CloudInit = cloudInitKeys(g.Config)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return nil, c.settle(context.WithoutCancel(c.ctx), c.vmid(), effects{configure: true})
}

// dumpCloudInit is one file of the image, as Proxmox generates it.
func dumpCloudInit(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	s := c.server
	s.mu.Lock()
	g.CloudInit = cloudInitKeys(g.Config) // of a copy: what the image would hold if it were made now
	spec := s.spec(g.ID, g.Config, g)
	s.mu.Unlock()
	kind := c.params.get("type")
	if text, ok := spec.CloudInit.Custom[kind]; ok {
		return text, nil
	}
	switch kind {
	case "meta":
		return seed.MetaData(spec.CloudInit), nil
	case "network":
		return seed.Network(spec)
	}
	return seed.UserData(spec), nil
}
