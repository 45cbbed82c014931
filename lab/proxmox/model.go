package proxmox

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Cluster is what all nodes share, and what a fresh server can be seeded with.
type Cluster struct {
	Name     string              `json:"name,omitempty"` // "" for a node that is in no cluster
	Nodes    []*Node             `json:"nodes"`
	Storages []*Storage          `json:"storages"`
	Users    []*User             `json:"users"`
	Roles    map[string][]string `json:"roles,omitempty"` // besides the built-in ones
	ACL      []ACL               `json:"acl,omitempty"`
	Pools    []string            `json:"pools,omitempty"`
	HA       map[int]string      `json:"ha,omitempty"`      // requested state ("started", "stopped") by VM id
	NextID   [2]int              `json:"next_id,omitempty"` // datacenter option next-id; zero: 100 to 1000000
	TagCase  bool                `json:"tag_case,omitempty"`
}

// Node is one host of the cluster.
type Node struct {
	Name    string   `json:"name"`
	IP      string   `json:"ip"`
	Offline bool     `json:"offline,omitempty"`
	CPUs    int      `json:"cpus"`
	Memory  int64    `json:"memory"` // bytes
	Bridges []string `json:"bridges"`
}

// Storage is one entry of storage.cfg.
type Storage struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"` // dir, zfspool, lvmthin, lvm, nfs, rbd
	Content  []string `json:"content"`
	Shared   bool     `json:"shared,omitempty"`
	Nodes    []string `json:"nodes,omitempty"` // where it is; empty: everywhere
	Disabled bool     `json:"disabled,omitempty"`
	Bytes    int64    `json:"bytes"`
}

// User is one account, with its tokens.
type User struct {
	ID       string   `json:"id"` // name@realm
	Password string   `json:"password,omitempty"`
	Tokens   []*Token `json:"tokens,omitempty"`
}

// Token is an API token of a User.
type Token struct {
	ID      string `json:"id"`
	Secret  string `json:"secret"`
	PrivSep bool   `json:"privsep,omitempty"` // its rights are only those that both user and token have
	Comment string `json:"comment,omitempty"`
}

// ACL gives a role to a user or token on a path.
type ACL struct {
	Path      string `json:"path"`
	Subject   string `json:"subject"` // user id, or user id!token id
	Role      string `json:"role"`
	Exclusive bool   `json:"exclusive,omitempty"` // does not propagate to what is below
}

// guest is a VM as Proxmox keeps it.
type guest struct {
	ID        int                  `json:"id"`
	Node      string               `json:"node"`
	Pool      string               `json:"pool,omitempty"`
	Config    map[string]string    `json:"config"`
	Pending   map[string]string    `json:"pending,omitempty"`
	Delete    map[string]int       `json:"delete,omitempty"` // pending deletions: 1, or 2 if forced
	Snapshots map[string]*snapshot `json:"snapshots,omitempty"`
	Volumes   map[string]*volume   `json:"volumes,omitempty"`    // images that it owns, by volume id
	CloudInit map[string]string    `json:"cloud_init,omitempty"` // what the cloud-init image was last made of
	Running   bool                 `json:"running,omitempty"`
	Paused    bool                 `json:"paused,omitempty"`
}

type snapshot struct {
	Config      map[string]string `json:"config"`
	Description string            `json:"description,omitempty"`
	Parent      string            `json:"parent,omitempty"`
	Time        int64             `json:"time"`
	VMState     bool              `json:"vmstate,omitempty"`
}

type volume struct {
	Bytes  int64  `json:"bytes"`
	Format string `json:"format"`
	Made   int64  `json:"made"`
	Base   string `json:"base,omitempty"` // the template's volume that it is linked to
}

func (g *guest) name() string {
	if n := g.Config["name"]; n != "" {
		return n
	}
	return fmt.Sprintf("VM %d", g.ID)
}

func (g *guest) template() bool { return g.Config["template"] == "1" }

func (g *guest) lock() string { return g.Config["lock"] }

// checkLock is Proxmox's refusal to touch what another task works on.
func (g *guest) checkLock() error {
	if l := g.lock(); l != "" {
		return fmt.Errorf("VM is locked (%s)", l)
	}
	return nil
}

// digest identifies the content of the configuration file, pending changes and snapshots included.
func (g *guest) digest() string {
	content := map[string]any{"config": g.Config}
	for name, part := range map[string]any{"pending": g.Pending, "delete": g.Delete, "snapshots": g.Snapshots} {
		if reflect.ValueOf(part).Len() > 0 { // empty and missing are the same
			content[name] = part
		}
	}
	text, err := json.Marshal(content)
	if err != nil {
		panic("proxmox: a guest's configuration is plain text: " + err.Error())
	}
	sum := sha1.Sum(text)
	return hex.EncodeToString(sum[:])
}

// planned is the configuration as it will be after the next start.
func (g *guest) planned() map[string]string {
	c := maps.Clone(g.Config)
	for key := range g.Delete {
		delete(c, key)
	}
	maps.Copy(c, g.Pending)
	return c
}

// clone is a deep copy.
func (g *guest) clone() *guest {
	c := *g
	c.Config, c.Pending, c.Delete = maps.Clone(g.Config), maps.Clone(g.Pending), maps.Clone(g.Delete)
	c.CloudInit = maps.Clone(g.CloudInit)
	c.Snapshots = make(map[string]*snapshot, len(g.Snapshots))
	for name, s := range g.Snapshots {
		copied := *s
		copied.Config = maps.Clone(s.Config)
		c.Snapshots[name] = &copied
	}
	c.Volumes = make(map[string]*volume, len(g.Volumes))
	for id, v := range g.Volumes {
		copied := *v
		c.Volumes[id] = &copied
	}
	return &c
}

func (c *Cluster) node(name string) *Node {
	i := slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return c.Nodes[i]
}

// storage finds a storage that exists on node ("" for any); its errors are Proxmox's.
func (c *Cluster) storage(id, node string) (*Storage, error) {
	i := slices.IndexFunc(c.Storages, func(s *Storage) bool { return s.ID == id })
	switch {
	case i < 0:
		return nil, fmt.Errorf("storage '%s' does not exist", id)
	case c.Storages[i].Disabled:
		return nil, fmt.Errorf("storage '%s' is disabled", id)
	case node != "" && !c.Storages[i].on(node):
		return nil, fmt.Errorf("storage '%s' is not available on node '%s'", id, node)
	}
	return c.Storages[i], nil
}

func (s *Storage) on(node string) bool { return len(s.Nodes) == 0 || slices.Contains(s.Nodes, node) }

func (s *Storage) holds(content string) bool { return slices.Contains(s.Content, content) }

// files reports whether the storage is a folder that holds ISO files and the like.
func (s *Storage) files() bool { return s.Type == "dir" || s.Type == "nfs" || s.Type == "cifs" }

func (c *Cluster) user(id string) *User {
	i := slices.IndexFunc(c.Users, func(u *User) bool { return u.ID == id })
	if i < 0 {
		return nil
	}
	return c.Users[i]
}

func (u *User) token(id string) *Token {
	i := slices.IndexFunc(u.Tokens, func(t *Token) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	return u.Tokens[i]
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func unix(t time.Time) int64 { return t.Unix() }
