package proxmox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

func (s *Server) configRoutes(add addRoute) {
	change := with(s.flavor.vmOptions(), table{
		"delete": str(), "digest": str().chars(40), "revert": str(), "skiplock": boolean(),
	})
	vm := "/nodes/{node}/qemu/{vmid}"
	add(get, vm+"/config", onVM("VM.Audit"), table{"current": boolean(), "snapshot": formatted(formatConfigID).chars(40)}, getConfig)
	add(put, vm+"/config", nil, change, putConfig)
	add(post, vm+"/config", nil, with(change, table{
		"background_delay": integer().atLeast(1).atMost(30), "import-working-storage": formatted(formatStorage),
	}), postConfig)
	add(get, vm+"/pending", onVM("VM.Audit"), nil, getPending)
	add(get, vm+"/cloudinit", onVM("VM.Audit"), nil, getCloudInit)
	add(put, vm+"/cloudinit", onVM("VM.Config.Cloudinit"), nil, putCloudInit)
	add(get, vm+"/cloudinit/dump", onVM("VM.Audit"), table{"type": oneOf("user", "network", "meta").req()}, dumpCloudInit)
}

// shown is a configuration as clients get it: numbers as numbers, the password hidden.
func (s *Server) shown(config map[string]string) map[string]any {
	out := make(map[string]any, len(config)+1)
	for key, text := range config {
		switch {
		case key == "cipassword":
			out[key] = "**********"
		case s.flavor.isNumeric(key):
			out[key] = atoi(text)
		default:
			out[key] = text
		}
	}
	return out
}

func getConfig(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	config := g.planned()
	if c.params.flag("current") {
		config = g.Config
	}
	if name := c.params.get("snapshot"); name != "" {
		if c.params.has("current") {
			return nil, badParam("snapshot", "cannot use 'snapshot' parameter with 'current'")
		}
		snap := g.Snapshots[name]
		if snap == nil {
			return nil, fmt.Errorf("snapshot '%s' does not exist", name)
		}
		config = snap.Config
	}
	out := c.server.shown(config)
	out["digest"] = g.digest()
	return out, nil
}

// change is one update of a configuration, as the client asked for it.
type change struct {
	set    map[string]string
	delete []string
	revert []string
	force  bool
	digest string
}

// notOptions are parameters of config requests that are no keys of the configuration.
var notOptions = []string{"node", "vmid", "delete", "digest", "revert", "skiplock", "force", "background_delay", "import-working-storage"}

// readChange checks what can be checked before the configuration is locked, in Proxmox's order.
func readChange(c *call) (change, error) {
	p := c.params
	ch := change{
		set: map[string]string{}, delete: splitList(p.get("delete"), ""), revert: splitList(p.get("revert"), ""),
		force: p.flag("force"), digest: p.get("digest"),
	}
	for name, v := range p {
		if !slices.Contains(notOptions, name) {
			ch.set[name] = v.text
		}
	}
	if v, ok := ch.set["cdrom"]; ok {
		ch.set["ide2"] = v
		delete(ch.set, "cdrom")
	}
	if p.flag("skiplock") && !c.user.root() {
		return ch, badParam("skiplock", "Only root may use this option.")
	}
	if len(ch.set)+len(ch.delete)+len(ch.revert) == 0 {
		return ch, errors.New("no options specified")
	}
	for i, key := range ch.delete {
		if key == "cdrom" {
			key, ch.delete[i] = "ide2", "ide2"
		}
		if _, both := ch.set[key]; both {
			return ch, badParam("delete", "you can't use '-%s' and -delete %s' at the same time", key, key)
		}
		if _, known := c.server.flavor.options.lookup(key); !known {
			return ch, badParam("delete", "unknown option '%s'", key)
		}
	}
	for _, key := range ch.revert {
		if _, known := c.server.flavor.options.lookup(key); !known {
			return ch, badParam("revert", "unknown option '%s'", key)
		}
		if _, both := ch.set[key]; both {
			return ch, badParam("revert", "you can't use '-%s' and '-revert %s' at the same time", key, key)
		}
	}
	return ch, c.mayConfigure(ch)
}

// rootOnly are the keys that only a logged in root may set.
func rootOnly(key, text string) bool {
	switch key {
	case "args", "lock":
		return true
	}
	switch busOf(key) {
	case "hostpci", "usb":
		return !strings.Contains(text, "mapping=") && !strings.HasPrefix(text, "spice")
	case "serial", "parallel":
		return strings.HasPrefix(text, "/dev/")
	}
	return false
}

// mayConfigure checks the caller's rights to each key.
func (c *call) mayConfigure(ch change) error {
	return c.mayConfigureVM(c.vmid(), ch.set, slices.Concat(ch.delete, ch.revert))
}

func (c *call) mayConfigureVM(id int, set map[string]string, others []string) error {
	keys := slices.Concat(slices.Sorted(maps.Keys(set)), others)
	for _, key := range keys {
		if rootOnly(key, set[key]) && !c.user.root() {
			if bus := busOf(key); bus != "" {
				return fmt.Errorf("only root can set '%s' config for real devices", key)
			}
			return fmt.Errorf("only root can set '%s' config", key)
		}
		path, priv := privilegeFor(key, set[key])
		privs := []string{priv}
		if path == "" {
			path = "/vms/" + idText(id)
		}
		if isCloudInit(key) {
			privs = append(privs, "VM.Config.Network")
		}
		if err := c.need(path, privs...); err != nil {
			return err
		}
	}
	return nil
}

func putConfig(c *call) (any, error) {
	ch, err := readChange(c)
	if err != nil {
		return nil, err
	}
	return nil, c.applyChange(c.ctx, ch, nil)
}

// postConfig does the same as a task; with background_delay it answers null if the task ends in time.
func postConfig(c *call) (any, error) {
	ch, err := readChange(c)
	if err != nil {
		return nil, err
	}
	if _, err := c.guest(); err != nil {
		return nil, err
	}
	t, err := c.fork("qmconfig", idText(c.vmid()), 0, func(ctx context.Context, t *task) error {
		if err := sleep(ctx, c.server.speed.Config); err != nil {
			return err
		}
		return c.applyChange(ctx, ch, t)
	})
	if err != nil {
		return nil, err
	}
	delay := c.params.number("background_delay", 0)
	if delay == 0 {
		return t.UPID, nil
	}
	timer := time.NewTimer(time.Duration(delay) * time.Second)
	defer timer.Stop()
	select {
	case <-t.done:
		if exit, _ := t.ended(); exit != "OK" && !strings.HasPrefix(exit, "WARNINGS: ") {
			return nil, errors.New(exit)
		}
		return nil, nil
	case <-timer.C:
		return t.UPID, nil
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
}

// applyChange carries out a change under the configuration's lock.
func (c *call) applyChange(ctx context.Context, ch change, t *task) error {
	s := c.server
	id := c.vmid()
	unlock, err := s.locks.lock(ctx, guestLockFile(id), false, s.speed.ConfigLock)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.guestOn(id, c.node); err != nil {
		return err
	}
	var after effects
	err = c.edit(id, func(g *guest) error {
		if ch.digest != "" && ch.digest != g.digest() {
			return errors.New("checksum mismatch (file change by other user?)")
		}
		if err := g.checkLock(); err != nil && !c.params.flag("skiplock") {
			return err
		}
		after, err = c.changeGuest(ctx, g, ch, t)
		return err
	})
	if err != nil {
		return err
	}
	return c.settle(ctx, id, after)
}
