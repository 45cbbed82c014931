package proxmox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// copyDisks takes the time of full copies. Each allocates its image under its storage's lock; that is
// where clones get into each other's way.
func (pl *clonePlan) copyDisks(ctx context.Context, t *task) error {
	s := pl.call.server
	for _, key := range slices.Sorted(maps.Keys(pl.config)) {
		vol := volumeOf(pl.config[key])
		v := pl.source.Volumes[vol]
		if !isDisk(key) || v == nil || isCloudInitVolume(vol) {
			continue
		}
		t.logf("create full clone of drive %s (%s)", key, vol)
		to := cmp.Or(pl.call.params.get("storage"), storageOf(vol))
		if err := s.allocating(ctx, to, s.speed.Copy/4); err != nil {
			return err
		}
		if err := sleep(ctx, s.speed.Copy-s.speed.Copy/4); err != nil {
			return err
		}
		t.logf("transferred %s of %s (100.00%%)", sizeText(v.Bytes), sizeText(v.Bytes))
	}
	return nil
}

// allocating holds a storage's lock for d.
func (s *Server) allocating(ctx context.Context, storage string, d time.Duration) error {
	s.mu.Lock()
	st, err := s.cluster.storage(storage, "")
	s.mu.Unlock()
	if err != nil {
		return err
	}
	unlock, err := s.locks.lock(ctx, "/var/lock/pve-manager/pve-storage-"+storage, false, s.speed.StorageLock)
	if err != nil {
		if st.Shared && ctx.Err() == nil {
			return fmt.Errorf("cfs-lock 'storage-%s' error: got lock request timeout", storage)
		}
		return err
	}
	defer unlock()
	return sleep(ctx, d)
}

// drive gives the clone its own image of a drive.
func (pl *clonePlan) drive(g *guest, key, text string, t *task) error {
	s := pl.call.server
	p, err := driveFormats[busOf(key)].parse(key, text)
	if err != nil {
		return err
	}
	old := p["file"]
	v := pl.source.Volumes[old]
	st, err := s.cluster.storage(cmp.Or(pl.call.params.get("storage"), storageOf(old)), pl.target)
	if err != nil {
		return err
	}
	var id string
	switch {
	case isCloudInitVolume(old):
		id = st.ID + ":" + st.path(g.ID, fmt.Sprintf("vm-%d-cloudinit", g.ID), "")
	case pl.full:
		id = g.newVolume(st, "disk", pl.call.params.get("format"))
	default:
		t.logf("create linked clone of drive %s (%s)", key, old)
		id = g.newVolume(st, "disk", "")
		if st.Type != "lvmthin" { // thin pools don't show what an image came from
			_, base, _ := strings.Cut(old, ":")
			_, name, _ := strings.Cut(id, ":")
			id = st.ID + ":" + base + "/" + name
		}
	}
	g.own(id, v.Bytes, v.Format, s)
	if !pl.full && !isCloudInitVolume(old) {
		g.Volumes[id].Base = old
	}
	p["file"], p["size"] = id, sizeText(v.Bytes)
	g.Config[key] = driveFormats[busOf(key)].String(p)
	return nil
}
