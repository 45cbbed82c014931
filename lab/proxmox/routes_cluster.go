package proxmox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (s *Server) clusterRoutes(add addRoute) {
	add(get, "/cluster/resources", nil, table{"type": oneOf("vm", "storage", "node", "sdn")}, resources)
	add(get, "/cluster/status", on("/", "Sys.Audit"), nil, clusterStatus)
	add(get, "/cluster/nextid", nil, table{"vmid": vmidParam()}, nextID)
	add(get, "/cluster/options", on("/", "Sys.Audit"), nil, clusterOptions)
	add(get, "/cluster/tasks", nil, nil, clusterTasks)
	add(get, "/cluster/ha/resources", on("/", "Sys.Audit"), table{"type": oneOf("ct", "vm")}, haResources)
	add(get, "/cluster/ha/resources/{sid}", on("/", "Sys.Audit"), nil, haResource)
	add(post, "/cluster/ha/resources", on("/", "Sys.Console"), s.haParams(), addHA)
	add(remove, "/cluster/ha/resources/{sid}", on("/", "Sys.Console"), s.purgeParam(), removeHA)
	add(get, "/pools", nil, table{"poolid": formatted(formatPool), "type": oneOf("qemu", "lxc", "storage")}, pools)
}

// resources is the list of everything that the caller may see.
func resources(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	want := c.params.get("type")
	rows := []map[string]any{}
	if want == "" || want == "vm" {
		for _, id := range s.ids() {
			if row := c.vmResource(id); row != nil {
				rows = append(rows, row)
			}
		}
	}
	for _, n := range s.cluster.Nodes {
		if want == "" || want == "node" {
			row := s.nodeRow(n)
			delete(row, "ssl_fingerprint")
			row["cgroup-mode"] = 2
			rows = append(rows, row)
		}
		for _, st := range s.cluster.Storages {
			if want != "" && want != "storage" || !st.on(n.Name) || st.Disabled ||
				!c.mayLocked("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") {
				continue
			}
			status := "available"
			if n.Offline {
				status = "unknown"
			}
			rows = append(rows, map[string]any{
				"id": "storage/" + n.Name + "/" + st.ID, "type": "storage", "node": n.Name, "storage": st.ID, "plugintype": st.Type,
				"content": strings.Join(st.Content, ","), "shared": bit(st.Shared), "status": status,
				"maxdisk": st.Bytes, "disk": s.used(st.ID, n.Name),
			})
		}
	}
	return rows, nil
}

// ids are all machines' numbers in order. s.mu is held.
func (s *Server) ids() []int {
	ids := make([]int, 0, len(s.guests))
	for id := range s.guests {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// vmResource is a machine's row in the cluster's list; nil if the caller may not see it. s.mu is held.
func (c *call) vmResource(id int) map[string]any {
	s := c.server
	if !c.mayLocked("/vms/"+strconv.Itoa(id), "VM.Audit") {
		return nil
	}
	s.refresh(id)
	g := s.guests[id]
	row := map[string]any{
		"id": "qemu/" + strconv.Itoa(id), "type": "qemu", "vmid": id, "node": g.Node, "template": bit(g.template()),
		"name": g.name(), "disk": 0, "maxdisk": g.bootDiskBytes(), "maxmem": g.memoryBytes(), "maxcpu": g.cpus(),
		"netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0, "mem": 0, "cpu": 0, "uptime": 0,
		"status": g.status(),
	}
	if tags := g.Config["tags"]; tags != "" {
		row["tags"] = tags
	}
	if g.Pool != "" {
		row["pool"] = g.Pool
	}
	if l := g.lock(); l != "" {
		row["lock"] = l
	}
	if state, ok := s.cluster.HA[id]; ok {
		row["hastate"] = state
	}
	if n := s.cluster.node(g.Node); n != nil && n.Offline {
		row["status"] = "unknown"
		return row
	}
	if g.Running {
		row["mem"] = g.memoryBytes() / 2
		row["cpu"] = 0.01
		if m := s.machines[id]; m != nil {
			row["uptime"] = m.UptimeSeconds()
		}
	}
	return row
}

func clusterStatus(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	if s.cluster.Name != "" {
		online := 0
		for _, n := range s.cluster.Nodes {
			online += bit(!n.Offline)
		}
		rows = append(rows, map[string]any{
			"id": "cluster", "type": "cluster", "name": s.cluster.Name, "nodes": len(s.cluster.Nodes), "version": len(s.cluster.Nodes),
			"quorate": bit(online*2 > len(s.cluster.Nodes)),
		})
	}
	for i, n := range s.cluster.Nodes {
		rows = append(rows, map[string]any{
			"id": "node/" + n.Name, "type": "node", "name": n.Name, "ip": n.IP, "nodeid": i + 1, "level": "",
			"online": bit(!n.Offline), "local": bit(i == 0),
		})
	}
	return rows, nil
}

// nextID proposes a free number, or checks the given one. It reserves nothing.
func nextID(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(id int) (any, error) {
		if s.flavor.nextIDString {
			return strconv.Itoa(id), nil
		}
		return id, nil
	}
	if c.params.has("vmid") {
		id := c.params.number("vmid", 0)
		if s.guests[id] != nil {
			return nil, badParam("vmid", "VM %d already exists", id)
		}
		return answer(id)
	}
	lower, upper := s.cluster.NextID[0], s.cluster.NextID[1]
	if lower == 0 {
		lower, upper = 100, 1_000_000
	}
	for id := lower; id < upper; id++ {
		if s.guests[id] == nil {
			return answer(id)
		}
	}
	return nil, fmt.Errorf("unable to get any free VMID in range [%d, %d]", lower, upper)
}

func clusterOptions(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]any{"keyboard": "en-us", "mac_prefix": "BC:24:11"}
	if s.cluster.NextID[0] != 0 {
		out["next-id"] = map[string]any{"lower": strconv.Itoa(s.cluster.NextID[0]), "upper": strconv.Itoa(s.cluster.NextID[1])}
	}
	if s.cluster.TagCase {
		out["tag-style"] = map[string]any{"case-sensitive": 1}
	}
	return out, nil
}

func pools(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	for _, p := range s.cluster.Pools {
		if c.mayLocked("/pool/"+p, "Pool.Audit") {
			rows = append(rows, map[string]any{"poolid": p})
		}
	}
	return rows, nil
}
