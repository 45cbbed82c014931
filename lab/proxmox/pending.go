package proxmox

import (
	"maps"
	"slices"
)

// getPending lists every key with its live and its coming value.
func getPending(c *call) (any, error) {
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	live, coming := c.server.shown(g.Config), c.server.shown(g.Pending)
	keys := map[string]bool{}
	for key := range g.Config {
		keys[key] = true
	}
	for key := range g.Pending {
		keys[key] = true
	}
	rows := []map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		row := map[string]any{"key": key}
		if v, ok := live[key]; ok {
			row["value"] = v
		}
		if v, ok := coming[key]; ok {
			row["pending"] = v
		}
		if n, ok := g.Delete[key]; ok {
			row["delete"] = n
		}
		rows = append(rows, row)
	}
	return append(rows, map[string]any{"key": "digest", "value": g.digest()}), nil
}
