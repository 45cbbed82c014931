package proxmox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"phoenix-run/lab/machine"
)

func (s *Server) lifeRoutes(add addRoute) {
	create := with(s.flavor.vmOptions(), table{
		"vmid": vmidParam().req(), "archive": str().chars(255), "bwlimit": integer().atLeast(0),
		"import-working-storage": formatted(formatStorage), "live-restore": boolean(), "pool": formatted(formatPool),
		"start": boolean(), "storage": formatted(formatStorage), "unique": boolean(),
	})
	if s.flavor.nine() {
		create["ha-managed"] = boolean()
	}
	vm := "/nodes/{node}/qemu/{vmid}"
	add(post, "/nodes/{node}/qemu", nil, create, createGuest)
	add(remove, vm, onVM("VM.Allocate"), table{
		"destroy-unreferenced-disks": boolean(), "purge": boolean(), "skiplock": boolean(),
	}, destroyGuest)
	add(post, vm+"/clone", onVM("VM.Clone"), table{
		"newid": vmidParam().req(), "bwlimit": integer().atLeast(0), "description": str(), "format": oneOf("raw", "qcow2", "vmdk"),
		"full": boolean(), "name": formatted(formatDNSName), "pool": formatted(formatPool),
		"snapname": formatted(formatConfigID).chars(40), "storage": formatted(formatStorage), "target": formatted(formatNode),
	}, cloneGuest)
	add(post, vm+"/template", onVM("VM.Allocate"), table{"disk": oneOf(diskKeys(false)...)}, makeTemplate)
	add(get, vm+"/migrate", onVM("VM.Migrate"), table{"target": formatted(formatNode)}, migratable)
	migrate := table{
		"target": formatted(formatNode).req(), "bwlimit": integer().atLeast(0), "force": boolean(),
		"migration_network": formatted(formatCIDR), "migration_type": oneOf("secure", "insecure"), "online": boolean(),
		"targetstorage": str(), "with-local-disks": boolean(),
	}
	if s.flavor.nine() {
		migrate["with-conntrack-state"] = boolean()
	}
	add(post, vm+"/migrate", onVM("VM.Migrate"), migrate, migrateGuest)
}

// mayAllocate checks the right to make VM id, alone or in a pool.
func (c *call) mayAllocate(id int, pool string) error {
	if c.may("/vms/"+idText(id), "VM.Allocate") || pool != "" && c.may("/pool/"+pool, "VM.Allocate") {
		return nil
	}
	return denied("/vms/"+idText(id), "VM.Allocate")
}

// notKeys are parameters of a creation that are no keys of the configuration.
var notKeys = slices.Concat(notOptions, []string{
	"archive", "bwlimit", "live-restore", "pool", "start", "storage", "unique", "ha-managed",
})

func createGuest(c *call) (any, error) {
	s := c.server
	id, pool := c.vmid(), c.params.get("pool")
	if err := c.mayAllocate(id, pool); err != nil {
		return nil, err
	}
	if c.params.has("archive") {
		return nil, fmt.Errorf("restoring archives: %w", machine.ErrUnsupported)
	}
	set := map[string]string{}
	for name, v := range c.params {
		if !slices.Contains(notKeys, name) {
			set[name] = v.text
		}
	}
	if v, ok := set["cdrom"]; ok {
		set["ide2"] = v
		delete(set, "cdrom")
	}
	if err := c.mayConfigureVM(id, set, nil); err != nil {
		return nil, err
	}
	if other := s.nodeHolding(id); other != "" {
		return nil, fmt.Errorf("unable to create VM %d - VM %d already exists on node '%s'", id, id, other)
	}
	// The configuration is made, and locked, before the worker starts.
	if err := c.addGuest(&guest{ID: id, Node: c.node, Pool: pool, Config: map[string]string{"lock": "create"}}); err != nil {
		return nil, err
	}
	return upid(c.fork("qmcreate", idText(id), id, func(ctx context.Context, t *task) error {
		err := c.buildGuest(ctx, id, set, t)
		if err == nil {
			if c.params.flag("start") {
				return c.startGuest(ctx, id, t)
			}
			return nil
		}
		return fmt.Errorf("unable to create VM %d - %w", id, errors.Join(err, c.forget(id)))
	}))
}

// nodeHolding is where VM id exists, "" if nowhere.
func (s *Server) nodeHolding(id int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodeOf(id)
}

// addGuest puts a new configuration in place, unless someone else was faster.
func (c *call) addGuest(g *guest) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.nodeOf(g.ID); other != "" {
		return fmt.Errorf("unable to create VM %d - VM %d already exists on node '%s'", g.ID, g.ID, other)
	}
	if g.Pool != "" && !slices.Contains(s.cluster.Pools, g.Pool) {
		return fmt.Errorf("no such pool '%s'", g.Pool)
	}
	return c.keep(g)
}

func (c *call) buildGuest(ctx context.Context, id int, set map[string]string, t *task) error {
	s := c.server
	unlock, err := s.locks.lock(ctx, guestLockFile(id), false, s.speed.CreateLock)
	if err != nil {
		return err
	}
	defer unlock()
	if err := sleep(ctx, s.speed.Create); err != nil {
		return err
	}
	image := ""
	var spec machine.Spec
	err = c.edit(id, func(g *guest) error {
		var err error
		if image, err = c.fill(ctx, g, set, t); err != nil {
			return err
		}
		spec = s.spec(id, g.Config, g)
		return nil
	})
	if err != nil {
		return err
	}
	spec.Image = image
	m, err := s.opts.Backend.Create(ctx, id, spec)
	if err != nil {
		return err
	}
	return c.ready(id, m)
}

// fill writes the keys of a new machine, with what Proxmox adds of its own.
func (c *call) fill(ctx context.Context, g *guest, set map[string]string, t *task) (image string, err error) {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		stored, from, err := c.stored(ctx, g, key, set[key])
		if err != nil {
			return "", err
		}
		if from != "" {
			image = from
			t.logf("importing disk '%s' to VM %d ...", set[key], g.ID)
		}
		if stored != "" {
			g.Config[key] = stored
		}
	}
	if order, ok := set["boot"]; ok {
		if err := checkBootOrder(g.Config, order); err != nil {
			return "", err
		}
	} else if order := defaultBoot(g.Config); order != "" {
		g.Config["boot"] = order
	}
	g.Config["meta"] = fmt.Sprintf("creation-qemu=%s,ctime=%d", c.server.flavor.qemu, unix(c.server.now()))
	g.Config["smbios1"] = cmp.Or(g.Config["smbios1"], "uuid="+newUUID())
	g.Config["vmgenid"] = cmp.Or(g.Config["vmgenid"], newUUID())
	if g.Config["template"] != "1" {
		delete(g.Config, "template")
	}
	return image, nil
}

// defaultBoot is the boot order of a machine that was created without one.
func defaultBoot(config map[string]string) string {
	var order []string
	if d := bootDisk(config); d != "" {
		order = append(order, d)
	}
	if text, ok := config["ide2"]; ok && !isCloudInitVolume(volumeOf(text)) {
		order = append(order, "ide2")
	}
	if _, ok := config["net0"]; ok {
		order = append(order, "net0")
	}
	if len(order) == 0 {
		return ""
	}
	return "order=" + strings.Join(order, ";")
}

// ready hands a finished machine over: the lock goes.
func (c *call) ready(id int, m machine.Machine) error {
	s := c.server
	s.mu.Lock()
	s.machines[id] = m
	s.mu.Unlock()
	return c.edit(id, func(g *guest) error {
		delete(g.Config, "lock")
		return nil
	})
}

// remake replaces a machine's boot disk by an imported image.
func (c *call) remake(ctx context.Context, id int, old machine.Machine, spec machine.Spec, image string) error {
	s := c.server
	if old != nil {
		if err := old.Destroy(ctx); err != nil {
			return err
		}
	}
	spec.Image = image
	m, err := s.opts.Backend.Create(ctx, id, spec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[id] = m
	return nil
}
