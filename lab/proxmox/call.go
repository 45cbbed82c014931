package proxmox

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"phoenix-run/lab/record"
)

// call is one request on its way through the API.
type call struct {
	server  *Server
	ctx     context.Context
	method  string
	path    string // without /api2/json, still escaped
	started time.Time
	vars    map[string]string // from the path
	params  values            // typed once verified; path variables included
	user    identity
	node    string // that the request is for, or the one that answers
	fault   Fault
	upload  *upload

	async   *task // what it started
	changed atomic.Bool

	mu     sync.Mutex
	entry  *record.Entry // waits for the task's end
	worked bool          // the task has done its work
}

// answer authenticates, finds the endpoint, checks rights and parameters, and does the work, in
// Proxmox's order.
func (c *call) answer(r *http.Request) (any, error) {
	ep, vars, known := c.server.find(c.method, c.path)
	if !known || !ep.public {
		user, err := c.server.authenticate(r)
		if err != nil {
			return nil, err
		}
		c.user = user
	}
	if !known {
		return nil, notImplemented("Method '%s %s' not implemented", c.method, c.path)
	}
	c.vars = vars
	if ep.ticketOnly && c.user.token != "" {
		return nil, &apiError{status: http.StatusForbidden,
			text: fmt.Sprintf("URI '%s' not available with API token, need proper ticket.", apiPrefix+c.path)}
	}
	if ep.allow != nil {
		if err := ep.allow(c); err != nil {
			return nil, err
		}
	}
	if err := c.toNode(); err != nil {
		return nil, err
	}
	for name, v := range vars {
		c.params[name] = value{text: v}
	}
	typed, err := ep.params.verify(c.params)
	if err != nil {
		return nil, err
	}
	c.params = typed
	return ep.do(c)
}

// toNode finds the node that the request goes to, and fails as a front end that can't reach it.
func (c *call) toNode() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	local := c.server.cluster.Nodes[0].Name
	name, given := c.vars["node"]
	if !given || name == "localhost" {
		c.node = local
		if given {
			c.vars["node"] = local
		}
		return nil
	}
	if formatNode(name) != nil {
		return badParam("node", "invalid format - value does not look like a valid node name\n")
	}
	n := c.server.cluster.node(name)
	if n == nil {
		return fmt.Errorf("hostname lookup '%s' failed - failed to get address info for: %s: Name or service not known", name, name)
	}
	if n.Offline {
		return NodeUnreachable.err()
	}
	c.node = name
	return nil
}

// vmid is the machine that the path names.
func (c *call) vmid() int { return c.params.number("vmid", 0) }

// guest is a copy of the machine that the path names.
func (c *call) guest() (*guest, error) { return c.server.guestOn(c.vmid(), c.node) }

// guestOn is a copy of machine id, which has to be on node.
func (s *Server) guestOn(id int, node string) (*guest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil || g.Node != node {
		return nil, noConfig(node, id)
	}
	s.refresh(id)
	return g.clone(), nil
}

// noConfig is how Proxmox says that there is no such machine on a node.
func noConfig(node string, id int) error {
	return die("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", node, id)
}

// edit changes machine id in a transaction: fn works on a copy, which is kept and saved if fn returns
// no error. Whether anything differs then goes into the request log.
func (c *call) edit(id int, fn func(g *guest) error) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil {
		return noConfig(c.node, id)
	}
	s.refresh(id)
	next := g.clone()
	if err := fn(next); err != nil {
		return err
	}
	return c.keep(next)
}

// keep puts a machine in place and saves it. s.mu is held.
func (c *call) keep(g *guest) error {
	changed, err := c.server.store.save(guestFile(g.ID), g)
	if err != nil {
		return err
	}
	c.server.guests[g.ID] = g
	if changed {
		c.changed.Store(true)
	}
	return nil
}

// drop removes a machine's configuration. s.mu is held.
func (c *call) drop(id int) error {
	s := c.server
	delete(s.guests, id)
	delete(s.machines, id)
	delete(s.agents, id)
	c.changed.Store(true)
	return s.store.remove(guestFile(id))
}

// editCluster changes what the nodes share.
func (c *call) editCluster(fn func(*Cluster) error) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := fn(s.cluster); err != nil {
		return err
	}
	changed, err := s.store.save("cluster.json", s.cluster)
	if changed {
		c.changed.Store(true)
	}
	return err
}

// hidden are parameters that the log doesn't show; of true ones it shows the length.
var hidden = map[string]bool{"password": false, "cipassword": false, "otp": false, "input-data": true, "content": true}

// record logs the request: at once, or when the task that it started has ended and it is known
// whether anything changed.
func (c *call) record(status int) {
	s := c.server
	if s.opts.Log == nil {
		return
	}
	params := map[string]any{}
	for name, v := range c.params {
		_, fromPath := c.vars[name]
		long, hide := hidden[name]
		switch {
		case fromPath:
		case hide && !long:
			params[name] = "(hidden)"
		case hide && !strings.Contains(c.path, "/storage/"):
			params[name] = fmt.Sprintf("(%d characters)", len([]rune(v.text)))
		case v.list != nil:
			params[name] = slices.Clone(v.list)
		default:
			params[name] = v.text
		}
	}
	entry := record.Entry{
		Time: c.started.UTC(), Service: record.Proxmox, Host: c.node, Method: c.method, Path: c.path, Status: status,
		Params: maps.Clone(params),
	}
	if entry.Host == "" {
		entry.Host = strings.Split(s.listener.Addr().String(), ":")[0]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.async != nil && !c.worked {
		c.entry = &entry
		return
	}
	c.log(entry)
}

// log writes the entry, now that it is known whether anything changed.
func (c *call) log(e record.Entry) {
	e.Changed = c.changed.Load()
	if err := c.server.opts.Log.Add(e); err != nil {
		c.server.report(err)
	}
}

// taskWorked writes the entry of the request that started a task, before anyone can see that the task
// has ended.
func (c *call) taskWorked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worked = true
	if c.entry != nil {
		c.log(*c.entry)
	}
}
