package proxmox

import (
	"fmt"
	"strings"
)

func (s *Server) purgeParam() table {
	if s.flavor.nine() {
		return table{"purge": boolean()}
	}
	return table{}
}

func (s *Server) haParams() table {
	t := table{
		"sid": str().req(), "comment": str().chars(4096), "group": formatted(formatConfigID),
		"max_relocate": integer().atLeast(0), "max_restart": integer().atLeast(0),
		"state": oneOf("started", "stopped", "enabled", "disabled", "ignored"), "type": oneOf("ct", "vm"),
	}
	if s.flavor.nine() {
		t["failback"] = boolean()
	}
	return t
}

func (s *Server) haRow(id int) map[string]any {
	return map[string]any{"sid": fmt.Sprintf("vm:%d", id), "type": "vm", "state": s.cluster.HA[id], "digest": "0", "max_restart": 1}
}

func haResources(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	for _, id := range s.ids() {
		if _, ok := s.cluster.HA[id]; ok && c.params.get("type") != "ct" {
			rows = append(rows, s.haRow(id))
		}
	}
	return rows, nil
}

// haID reads "vm:100" or "100".
func haID(sid string) int { return atoi(strings.TrimPrefix(sid, "vm:")) }

func haResource(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	id := haID(c.params.get("sid"))
	if _, ok := s.cluster.HA[id]; !ok {
		return nil, fmt.Errorf("no such resource '%s'", c.params.get("sid"))
	}
	return s.haRow(id), nil
}

func addHA(c *call) (any, error) {
	id := haID(c.params.get("sid"))
	state := c.params.get("state")
	if state == "" || state == "enabled" {
		state = "started"
	}
	return nil, c.editCluster(func(cl *Cluster) error {
		if c.server.guests[id] == nil {
			return fmt.Errorf("unable to find service 'vm:%d'", id)
		}
		if _, ok := cl.HA[id]; ok {
			return fmt.Errorf("resource ID 'vm:%d' already defined", id)
		}
		if cl.HA == nil {
			cl.HA = map[int]string{}
		}
		cl.HA[id] = state
		return nil
	})
}

func removeHA(c *call) (any, error) {
	id := haID(c.params.get("sid"))
	return nil, c.editCluster(func(cl *Cluster) error {
		if _, ok := cl.HA[id]; !ok {
			return die("cannot delete service 'vm:%d', not HA managed!", id)
		}
		delete(cl.HA, id)
		return nil
	})
}
