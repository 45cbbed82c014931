package pve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"time"
)

// VM is a row of the cluster's list.
type VM struct {
	ID       int
	Name     string
	Node     string
	Status   string // running, stopped; unknown if the node is offline
	Template bool
	Tags     []string
	Lock     string
	HA       bool
	Uptime   int64 // seconds
}

// VMs lists every virtual machine and template of the cluster, in one request.
func (c *Client) VMs(ctx context.Context) ([]VM, error) {
	var rows []struct {
		Type     string `json:"type"`
		ID       number `json:"vmid"`
		Name     string `json:"name"`
		Node     string `json:"node"`
		Status   string `json:"status"`
		Template number `json:"template"`
		Tags     string `json:"tags"`
		Lock     string `json:"lock"`
		HA       string `json:"hastate"`
		Uptime   number `json:"uptime"`
	}
	if err := c.get(ctx, "/cluster/resources", url.Values{"type": {"vm"}}, &rows); err != nil {
		return nil, fmt.Errorf("listing the virtual machines: %w", err)
	}
	var vms []VM
	for _, r := range rows {
		if r.Type != "qemu" {
			continue
		}
		vms = append(vms, VM{ID: int(r.ID), Name: r.Name, Node: r.Node, Status: r.Status, Template: r.Template != 0,
			Tags: SplitTags(r.Tags), Lock: r.Lock, HA: r.HA != "" && r.HA != "ignored", Uptime: int64(r.Uptime)})
	}
	sort.Slice(vms, func(i, j int) bool { return vms[i].ID < vms[j].ID })
	return vms, nil
}

// Node is a member of the cluster.
type Node struct {
	Name   string
	Online bool
}

// Nodes lists the cluster's nodes.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	var rows []struct {
		Node   string `json:"node"`
		Status string `json:"status"`
	}
	if err := c.get(ctx, "/nodes", nil, &rows); err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	nodes := make([]Node, len(rows))
	for i, r := range rows {
		nodes[i] = Node{r.Node, r.Status == "online"}
	}
	return nodes, nil
}

// Version is the release of the node that answers.
func (c *Client) Version(ctx context.Context) (string, error) {
	var v struct {
		Version string `json:"version"`
	}
	return v.Version, c.get(ctx, "/version", nil, &v)
}

// Config is a machine's configuration as Proxmox has it: every key as text.
type Config map[string]string

// Config reads a machine's configuration, with pending changes taken as made.
func (c *Client) Config(ctx context.Context, node string, id int) (Config, error) {
	var raw map[string]json.RawMessage
	if err := c.get(ctx, vmPath(node, id)+"/config", nil, &raw); err != nil {
		return nil, fmt.Errorf("reading the configuration of VM %d: %w", id, err)
	}
	config := make(Config, len(raw))
	for key, value := range raw {
		config[key] = text(value)
	}
	return config, nil
}

// Settings are a machine's configuration in its two forms.
type Settings struct {
	Config           // with pending changes taken as made
	Live    Config   // what is in effect now
	Pending []string // the keys whose change waits for a restart, sorted
}

// Settings reads both forms of a machine's configuration, in one request.
func (c *Client) Settings(ctx context.Context, node string, id int) (Settings, error) {
	var rows []struct {
		Key     string          `json:"key"`
		Value   json.RawMessage `json:"value"`
		Pending json.RawMessage `json:"pending"`
		Delete  number          `json:"delete"`
	}
	if err := c.get(ctx, vmPath(node, id)+"/pending", nil, &rows); err != nil {
		return Settings{}, fmt.Errorf("reading the configuration of VM %d: %w", id, err)
	}
	s := Settings{Config: Config{}, Live: Config{}}
	for _, r := range rows {
		if r.Value != nil {
			s.Live[r.Key] = text(r.Value)
			s.Config[r.Key] = text(r.Value)
		}
		switch {
		case r.Delete != 0:
			delete(s.Config, r.Key)
		case r.Pending != nil:
			s.Config[r.Key] = text(r.Pending)
		default:
			continue
		}
		s.Pending = append(s.Pending, r.Key)
	}
	sort.Strings(s.Pending)
	return s, nil
}

// text gives a value that Proxmox writes as text or as a number.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}

// Status is what a machine does now.
type Status struct {
	Status string // running, stopped
	QMP    string // finer: paused, prelaunch, …
	Lock   string
	Uptime int64
	Agent  bool
	HA     bool
}

// String tells it to people: "running for 2m0s", "paused", "stopped, locked (backup)".
func (s Status) String() string {
	text := s.Status
	switch {
	case s.QMP != "" && s.QMP != s.Status:
		text = s.QMP
	case s.Status == "running":
		text += " for " + (time.Duration(s.Uptime) * time.Second).String()
	}
	if s.Lock != "" {
		text += ", locked (" + s.Lock + ")"
	}
	return text
}

// Status reads what a machine does now.
func (c *Client) Status(ctx context.Context, node string, id int) (Status, error) {
	var s struct {
		Status string `json:"status"`
		QMP    string `json:"qmpstatus"`
		Lock   string `json:"lock"`
		Uptime number `json:"uptime"`
		Agent  number `json:"agent"`
		HA     struct {
			Managed number `json:"managed"`
		} `json:"ha"`
	}
	if err := c.get(ctx, vmPath(node, id)+"/status/current", nil, &s); err != nil {
		return Status{}, fmt.Errorf("reading the status of VM %d: %w", id, err)
	}
	return Status{s.Status, s.QMP, s.Lock, int64(s.Uptime), s.Agent != 0, s.HA.Managed != 0}, nil
}

// Storage is a place for disks, images or snippets on a node.
type Storage struct {
	Name    string
	Content []string
	Shared  bool
	Active  bool
}

// Storages lists what a node can store on.
func (c *Client) Storages(ctx context.Context, node string) ([]Storage, error) {
	var rows []struct {
		Storage string `json:"storage"`
		Content string `json:"content"`
		Shared  number `json:"shared"`
		Active  number `json:"active"`
	}
	if err := c.get(ctx, "/nodes/"+url.PathEscape(node)+"/storage", nil, &rows); err != nil {
		return nil, fmt.Errorf("listing the storages of node %s: %w", node, err)
	}
	list := make([]Storage, len(rows))
	for i, r := range rows {
		list[i] = Storage{r.Storage, strings.Split(r.Content, ","), r.Shared != 0, r.Active != 0}
	}
	return list, nil
}

// Bridges lists the names of a node's bridges.
func (c *Client) Bridges(ctx context.Context, node string) ([]string, error) {
	var rows []struct {
		Iface string `json:"iface"`
	}
	if err := c.get(ctx, "/nodes/"+url.PathEscape(node)+"/network", url.Values{"type": {"any_bridge"}}, &rows); err != nil {
		return nil, fmt.Errorf("listing the bridges of node %s: %w", node, err)
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Iface
	}
	return names, nil
}

// Permissions gives the privileges that the caller has on a path of the permission tree.
func (c *Client) Permissions(ctx context.Context, path string) (map[string]bool, error) {
	var granted map[string]map[string]number
	if err := c.get(ctx, "/access/permissions", url.Values{"path": {path}}, &granted); err != nil {
		return nil, fmt.Errorf("asking for the privileges on %s: %w", path, err)
	}
	have := map[string]bool{}
	for privilege := range granted[path] {
		have[privilege] = true // the value says whether it holds below, too
	}
	return have, nil
}

func vmPath(node string, id int) string {
	return fmt.Sprintf("/nodes/%s/qemu/%d", url.PathEscape(node), id)
}

// Settled reads a machine's configuration once nothing is being done to it as a whole: a machine that
// is just being cloned, moved or restored has no configuration to rely on.
func (c *Client) Settled(ctx context.Context, node string, id int) (Settings, error) {
	deadline := time.Now().Add(c.options.LockWait)
	for {
		settings, err := c.Settings(ctx, node, id)
		if err != nil {
			return settings, err
		}
		lock := settings.Live["lock"]
		switch lock {
		case "clone", "create", "migrate", "rollback":
		default:
			return settings, nil
		}
		if time.Now().After(deadline) {
			return settings, fmt.Errorf("VM %d is locked (%s) and does not become free; if nothing works on it any more: qm unlock %d on node %s", id, lock, id, node)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return settings, err
		}
	}
}
