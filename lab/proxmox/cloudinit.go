package proxmox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	ci := s.cloudInit(g.ID, cloudInitKeys(g.Config))
	s.mu.Unlock()
	kind := c.params.get("type")
	if text, ok := ci.Custom[kind]; ok {
		return text, nil
	}
	var b strings.Builder
	switch kind {
	case "meta":
		fmt.Fprintf(&b, "instance-id: %s\n", ci.InstanceID)
	case "network":
		b.WriteString("version: 1\nconfig:\n")
		for n, text := range ci.IPConfig {
			p, err := ipFormat.parse("ipconfig", text)
			if err != nil {
				return nil, err
			}
			nic, err := netFormat.parse("net", g.Config["net"+idText(n)])
			if err != nil {
				continue
			}
			fmt.Fprintf(&b, "    - type: physical\n      name: eth%d\n      mac_address: '%s'\n      subnets:\n", n, strings.ToLower(nic["macaddr"]))
			if p["ip"] == "dhcp" {
				b.WriteString("      - type: dhcp4\n")
			} else if p["ip"] != "" {
				fmt.Fprintf(&b, "      - type: static\n        address: '%s'\n", p["ip"])
				if p["gw"] != "" {
					fmt.Fprintf(&b, "        gateway: '%s'\n", p["gw"])
				}
			}
		}
		if ci.Nameserver != "" {
			fmt.Fprintf(&b, "    - type: nameserver\n      address:\n")
			for _, a := range splitList(ci.Nameserver, "") {
				fmt.Fprintf(&b, "      - '%s'\n", a)
			}
		}
	default:
		fmt.Fprintf(&b, "#cloud-config\nhostname: %s\nmanage_etc_hosts: true\nfqdn: %s\n", g.name(), g.name())
		if ci.User != "" {
			fmt.Fprintf(&b, "user: %s\n", ci.User)
		}
		if ci.Password != "" {
			fmt.Fprintf(&b, "password: %s\n", ci.Password)
		}
		if len(ci.SSHKeys) > 0 {
			b.WriteString("ssh_authorized_keys:\n")
			for _, k := range ci.SSHKeys {
				fmt.Fprintf(&b, "  - %s\n", k)
			}
		}
		b.WriteString("chpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n")
	}
	return b.String(), nil
}
