package proxmox

import (
	"slices"
	"strings"
)

var interfaceTypes = []string{
	"bridge", "bond", "eth", "alias", "vlan", "OVSBridge", "OVSBond", "OVSPort", "OVSIntPort", "vnet",
	"any_bridge", "any_local_bridge",
}

func (s *Server) nodeRoutes(add addRoute) {
	types := slices.Clone(interfaceTypes)
	if s.flavor.nine() {
		types = append(types, "fabric", "include_sdn")
	}
	add(get, "/nodes", nil, nil, nodes)
	add(get, "/nodes/{node}/status", on("/nodes/{node}", "Sys.Audit"), nil, nodeStatus)
	add(get, "/nodes/{node}/version", nil, nil, func(*call) (any, error) {
		return map[string]any{"version": s.flavor.version, "release": s.flavor.release, "repoid": s.flavor.repoid}, nil
	})
	add(get, "/nodes/{node}/network", nil, table{"type": oneOf(types...)}, network)
	add(get, "/nodes/{node}/qemu", nil, table{"full": boolean()}, listGuests)
}

// nodeRow is a node in lists. s.mu is held.
func (s *Server) nodeRow(n *Node) map[string]any {
	row := map[string]any{
		"id": "node/" + n.Name, "type": "node", "node": n.Name, "level": "", "status": "online",
		"ssl_fingerprint": s.cert.fingerprint, "maxcpu": n.CPUs, "maxmem": n.Memory, "mem": n.Memory / 4, "cpu": 0.02,
		"disk": 4 << 30, "maxdisk": 100 << 30, "uptime": int(s.now().Sub(s.booted).Seconds()) + 1,
	}
	if n.Offline {
		row["status"] = "offline"
		for _, k := range []string{"maxcpu", "maxmem", "mem", "cpu", "disk", "maxdisk", "uptime"} {
			delete(row, k)
		}
	}
	return row
}

func nodes(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	for _, n := range s.cluster.Nodes {
		rows = append(rows, s.nodeRow(n))
	}
	return rows, nil
}

func nodeStatus(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.cluster.node(c.node)
	return map[string]any{
		"cpu": 0.02, "uptime": int(s.now().Sub(s.booted).Seconds()) + 1, "wait": 0, "idle": 0,
		"loadavg":    []string{"0.08", "0.05", "0.01"},
		"memory":     map[string]any{"total": n.Memory, "used": n.Memory / 4, "free": n.Memory - n.Memory/4},
		"swap":       map[string]any{"total": 0, "used": 0, "free": 0},
		"rootfs":     map[string]any{"total": 100 << 30, "used": 4 << 30, "free": 96 << 30, "avail": 96 << 30},
		"kversion":   "Linux 6.14.8-2-pve #1 SMP PREEMPT_DYNAMIC",
		"pveversion": "pve-manager/" + s.flavor.version + "/" + s.flavor.repoid,
		"cpuinfo":    map[string]any{"cpus": n.CPUs, "cores": n.CPUs, "sockets": 1, "model": "QEMU Virtual CPU", "mhz": "2600.000", "hvm": "1"},
	}, nil
}

func network(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.cluster.node(c.node)
	want := c.params.get("type")
	rows := []map[string]any{}
	if want == "" || want == "eth" {
		rows = append(rows, map[string]any{"iface": "eno1", "type": "eth", "active": 1, "exists": 1, "method": "manual", "method6": "manual", "priority": 3, "families": []string{"inet"}})
	}
	if want == "" || want == "bridge" || strings.HasPrefix(want, "any_") {
		for i, b := range n.Bridges {
			row := map[string]any{
				"iface": b, "type": "bridge", "active": 1, "autostart": 1, "bridge_fd": "0", "bridge_stp": "off",
				"bridge_ports": "", "method": "manual", "method6": "manual", "priority": 4 + i, "families": []string{"inet"},
			}
			if i == 0 {
				row["method"], row["address"], row["netmask"], row["cidr"], row["bridge_ports"] = "static", n.IP, "24", n.IP+"/24", "eno1"
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func listGuests(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	for _, id := range s.ids() {
		if s.guests[id].Node != c.node || c.vmResource(id) == nil {
			continue
		}
		rows = append(rows, s.statusRow(id, false))
	}
	return rows, nil
}
