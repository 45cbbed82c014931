package proxmox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"phoenix-run/lab/machine"
)

// diskKeys are the names of all drives; with unused volumes, if wanted.
func diskKeys(unused bool) []string {
	var keys []string
	for _, bus := range []string{"ide", "scsi", "virtio", "sata"} {
		for n := range indexLimits[bus] {
			keys = append(keys, bus+strconv.Itoa(n))
		}
	}
	keys = append(keys, "efidisk0", "tpmstate0")
	if unused {
		for n := range indexLimits["unused"] {
			keys = append(keys, "unused"+strconv.Itoa(n))
		}
	}
	return keys
}

func (s *Server) diskRoutes(add addRoute) {
	vm := "/nodes/{node}/qemu/{vmid}"
	add(put, vm+"/resize", onVM("VM.Config.Disk"), table{
		"disk": oneOf(diskKeys(false)...).req(), "size": matching(`\+?\d+(\.\d+)?[KMGT]?`).req(),
		"digest": str().chars(40), "skiplock": boolean(),
	}, resize)
	add(post, vm+"/move_disk", onVM("VM.Config.Disk"), table{
		"disk": oneOf(diskKeys(true)...).req(), "bwlimit": integer().atLeast(0), "delete": boolean(), "digest": str().chars(40),
		"format": oneOf("raw", "qcow2", "vmdk"), "storage": formatted(formatStorage), "target-digest": str().chars(40),
		"target-disk": oneOf(diskKeys(true)...), "target-vmid": vmidParam(),
	}, moveDisk)
	add(put, vm+"/unlink", onVM("VM.Config.Disk"), table{"force": boolean(), "idlist": str().req()}, unlinkDisks)
}

// resize answers with a task at once; what is wrong with the request shows in its exit status.
func resize(c *call) (any, error) {
	key := c.params.get("disk")
	return c.power("resize", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		if d := c.params.get("digest"); d != "" && d != g.digest() {
			return errors.New("checksum mismatch (file change by other user?)")
		}
		text, ok := g.Config[key]
		if !ok {
			return fmt.Errorf("disk '%s' does not exist", key)
		}
		vol := volumeOf(text)
		v := g.Volumes[vol]
		if strings.Contains(text, "media=cdrom") {
			return errors.New("you can't resize a cdrom")
		}
		if v == nil {
			return fmt.Errorf("volume '%s' does not exist", vol)
		}
		size, plus, ok := parseSize(c.params.get("size"))
		if !ok {
			return fmt.Errorf("unable to parse size '%s'", c.params.get("size"))
		}
		if plus {
			size += v.Bytes
		}
		if size < v.Bytes {
			return errors.New("shrinking disks is not supported")
		}
		if size == v.Bytes {
			return nil
		}
		if err := sleep(ctx, c.server.speed.Resize); err != nil {
			return err
		}
		if key == bootDisk(g.Config) {
			if err := m.ResizeDisk(ctx, size); err != nil {
				return err
			}
		}
		return c.edit(g.ID, func(g *guest) error {
			format := driveFormats[busOf(key)]
			p, err := format.parse(key, g.Config[key])
			if err != nil {
				return err
			}
			p["size"] = sizeText(size)
			g.Config[key] = format.String(p)
			g.Volumes[vol].Bytes = size
			return nil
		})
	})
}

// moveDisk copies a drive to another storage; the old image stays as unusedN unless delete is given.
func moveDisk(c *call) (any, error) {
	s := c.server
	key, to := c.params.get("disk"), c.params.get("storage")
	if c.params.has("target-vmid") {
		return nil, fmt.Errorf("moving a disk to another VM: %w", machine.ErrUnsupported)
	}
	if to == "" {
		return nil, badParam("storage", "one of 'storage' or 'target-vmid' is needed") // as an exclusive pair
	}
	if err := c.need("/storage/"+to, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	check := func(g *guest) (*Storage, error) {
		if d := c.params.get("digest"); d != "" && d != g.digest() {
			return nil, errors.New("checksum mismatch (file change by other user?)")
		}
		text, ok := g.Config[key]
		if !ok {
			return nil, fmt.Errorf("disk '%s' does not exist", key)
		}
		if strings.Contains(text, "media=cdrom") && !isCloudInitVolume(volumeOf(text)) {
			return nil, errors.New("you can't move a cdrom")
		}
		if g.Volumes[volumeOf(text)] == nil {
			return nil, fmt.Errorf("disk '%s' has no associated volume", key)
		}
		st, err := s.imageStorage(c, c.node, to)
		if err != nil {
			return nil, err
		}
		wanted := cmp.Or(c.params.get("format"), g.Volumes[volumeOf(text)].Format)
		if storageOf(volumeOf(text)) == to && (!st.files() || st.imageFormat(wanted) == g.Volumes[volumeOf(text)].Format) {
			return nil, errors.New("you can't move to the same storage with same format")
		}
		return st, nil
	}
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, err = check(g)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c.power("qmmove", func(ctx context.Context, g *guest, m machine.Machine, t *task) error {
		return c.whileLocked(g.ID, "disk", func() error {
			t.logf("create full clone of drive %s (%s)", key, volumeOf(g.Config[key]))
			if err := s.allocating(ctx, to, s.speed.Copy/4); err != nil {
				return fmt.Errorf("storage migration failed: %w", err)
			}
			if err := sleep(ctx, s.speed.Copy-s.speed.Copy/4); err != nil {
				return err
			}
			return c.edit(g.ID, func(g *guest) error {
				st, err := check(g)
				if err != nil {
					return err
				}
				return g.moveDrive(c, key, st)
			})
		})
	})
}

// moveDrive gives a drive an image on another storage. s.mu is held.
func (g *guest) moveDrive(c *call, key string, st *Storage) error {
	old := g.Config[key]
	vol := volumeOf(old)
	v := g.Volumes[vol]
	id := g.newVolume(st, "disk", c.params.get("format"))
	if isCloudInitVolume(vol) {
		id = st.ID + ":" + st.path(g.ID, fmt.Sprintf("vm-%d-cloudinit", g.ID), "")
	}
	g.own(id, v.Bytes, st.imageFormat(c.params.get("format")), c.server)
	g.Config[key] = id + strings.TrimPrefix(old, vol)
	g.detach(old, c.params.flag("delete"))
	return nil
}

// unlinkDisks is a config change that deletes drives.
func unlinkDisks(c *call) (any, error) {
	ch := change{delete: splitList(c.params.get("idlist"), ""), force: c.params.flag("force")}
	for _, key := range ch.delete {
		if !isDisk(key) && busOf(key) != "unused" {
			return nil, badParam("idlist", "'%s' is no disk", key)
		}
	}
	return nil, c.applyChange(c.ctx, ch, nil)
}
