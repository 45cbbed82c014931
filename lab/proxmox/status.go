package proxmox

import (
	"strings"
)

func (g *guest) status() string {
	if g.Running {
		return "running"
	}
	return "stopped"
}

// statusRow is a machine's state. s.mu is held.
func (s *Server) statusRow(id int, full bool) map[string]any {
	s.refresh(id)
	g, m := s.guests[id], s.machines[id]
	row := map[string]any{
		"vmid": id, "name": g.name(), "status": g.status(), "cpus": g.cpus(), "maxmem": g.memoryBytes(),
		"maxdisk": g.bootDiskBytes(), "mem": 0, "cpu": 0, "disk": 0, "diskread": 0, "diskwrite": 0, "netin": 0, "netout": 0, "uptime": 0,
	}
	if g.template() {
		row["template"] = 1
	}
	if l := g.lock(); l != "" {
		row["lock"] = l
	}
	if tags := g.Config["tags"]; tags != "" {
		row["tags"] = tags
	}
	if g.Running && m != nil {
		row["pid"], row["uptime"], row["mem"], row["cpu"] = 2000+id, m.UptimeSeconds(), g.memoryBytes()/2, 0.01
	}
	if !full {
		return row
	}
	row["qmpstatus"] = g.status()
	if g.Paused {
		row["qmpstatus"] = "paused"
	}
	if g.Running {
		row["running-qemu"], row["running-machine"] = s.flavor.qemu, "pc-i440fx-"+s.flavor.qemu[:strings.LastIndex(s.flavor.qemu, ".")]+"+pve0"
	}
	if agentOn(g.Config) {
		row["agent"] = 1
	}
	if _, ok := g.Config["serial0"]; ok {
		row["serial"] = 1
	}
	state, managed := s.cluster.HA[id]
	ha := map[string]any{"managed": bit(managed)}
	if managed {
		ha["state"] = state
	}
	row["ha"] = ha
	return row
}

func currentStatus(c *call) (any, error) {
	if _, err := c.guest(); err != nil {
		return nil, err
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guests[c.vmid()] == nil {
		return nil, noConfig(c.node, c.vmid())
	}
	return s.statusRow(c.vmid(), true), nil
}
