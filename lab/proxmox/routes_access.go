package proxmox

import (
	"maps"
	"slices"
	"strings"
)

func (s *Server) accessRoutes(add addRoute) {
	add(get, "/version", nil, nil, func(*call) (any, error) {
		return map[string]any{"version": s.flavor.version, "release": s.flavor.release, "repoid": s.flavor.repoid}, nil
	})
	add(get, "/access/ticket", nil, nil, func(*call) (any, error) { return nil, nil }).public = true
	add(post, "/access/ticket", nil, table{
		"username": str().chars(64).req(), "password": str().req(), "realm": str().chars(32), "otp": str(),
		"new-format": boolean(), "path": str().chars(64), "privs": str().chars(64), "tfa-challenge": str(),
	}, login).public = true
	add(get, "/access/permissions", nil, table{"path": str(), "userid": str()}, permissions)
	add(get, "/access/users", nil, table{"enabled": boolean(), "full": boolean()}, users)
	add(get, "/access/users/{userid}/token", nil, nil, tokens)
	add(get, "/access/users/{userid}/token/{tokenid}", nil, nil, oneToken)
	add(get, "/access/roles", nil, nil, roles)
	add(post, "/access/roles", on("/access", "Sys.Modify"), table{"roleid": str().req(), "privs": str()}, addRole)
	add(get, "/access/acl", nil, nil, acl)
}

// permissions are the caller's rights, by path.
func permissions(c *call) (any, error) {
	s := c.server
	who := c.user
	if other := c.params.get("userid"); other != "" && other != who.String() {
		owned := strings.HasPrefix(other, who.user+"!") && who.token == ""
		if !owned {
			if err := c.need("/access", "Sys.Audit"); err != nil {
				return nil, err
			}
		}
		user, token, _ := strings.Cut(other, "!")
		who = identity{user, token}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	paths := []string{"/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
	for _, a := range s.cluster.ACL {
		if !slices.Contains(paths, a.Path) {
			paths = append(paths, a.Path)
		}
	}
	if p := c.params.get("path"); p != "" {
		paths = []string{p}
	}
	out := map[string]map[string]int{}
	for _, p := range paths {
		for priv := range s.privilegesLocked(who, p) {
			if out[p] == nil {
				out[p] = map[string]int{}
			}
			out[p][priv] = 1
		}
	}
	return out, nil
}

func users(c *call) (any, error) {
	all := c.may("/access/groups", "User.Modify", "Sys.Audit")
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []map[string]any{}
	for _, u := range s.cluster.Users {
		if !all && u.ID != c.user.user {
			continue
		}
		row := map[string]any{"userid": u.ID, "enable": 1, "expire": 0, "realm-type": u.ID[strings.LastIndex(u.ID, "@")+1:]}
		if c.params.flag("full") {
			row["tokens"] = u.tokenRows()
		}
		out = append(out, row)
	}
	return out, nil
}

func (u *User) tokenRows() []map[string]any {
	rows := []map[string]any{}
	for _, t := range u.Tokens {
		rows = append(rows, t.row(true))
	}
	return rows
}

func (t *Token) row(named bool) map[string]any {
	row := map[string]any{"privsep": bit(t.PrivSep), "expire": 0}
	if named {
		row["tokenid"] = t.ID
	}
	if t.Comment != "" {
		row["comment"] = t.Comment
	}
	return row
}

// userOf finds the user of the path, which has to be the caller unless the caller manages users.
func userOf(c *call) (*User, error) {
	id := c.params.get("userid")
	if id != c.user.user {
		if err := c.need("/access/groups", "User.Modify"); err != nil {
			return nil, err
		}
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	u := c.server.cluster.user(id)
	if u == nil {
		return nil, die("no such user ('%s')", id)
	}
	return u, nil
}

func tokens(c *call) (any, error) {
	u, err := userOf(c)
	if err != nil {
		return nil, err
	}
	return u.tokenRows(), nil
}

func oneToken(c *call) (any, error) {
	u, err := userOf(c)
	if err != nil {
		return nil, err
	}
	t := u.token(c.params.get("tokenid"))
	if t == nil {
		return nil, die("no such token '%s' for user '%s'", c.params.get("tokenid"), u.ID)
	}
	return t.row(false), nil
}

func roles(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []map[string]any{}
	for _, name := range []string{"Administrator", "NoAccess", "PVEAdmin", "PVEAuditor", "PVEDatastoreAdmin", "PVESDNUser", "PVEVMAdmin"} {
		privs, _ := s.flavor.builtinRole(name)
		out = append(out, map[string]any{"roleid": name, "privs": strings.Join(privs, ","), "special": 1})
	}
	for _, name := range slices.Sorted(maps.Keys(s.cluster.Roles)) {
		out = append(out, map[string]any{"roleid": name, "privs": strings.Join(s.cluster.Roles[name], ","), "special": 0})
	}
	return out, nil
}

// addRole refuses privileges that this generation doesn't have.
func addRole(c *call) (any, error) {
	name, privs := c.params.get("roleid"), splitList(c.params.get("privs"), "")
	known := c.server.flavor.privileges()
	for _, p := range privs {
		if !slices.Contains(known, p) {
			return nil, badParam("privs", "invalid format - invalid privilege '%s'\n", p)
		}
	}
	return nil, c.editCluster(func(cl *Cluster) error {
		if _, builtin := c.server.flavor.builtinRole(name); builtin || cl.Roles[name] != nil {
			return die("role '%s' already exists", name)
		}
		if cl.Roles == nil {
			cl.Roles = map[string][]string{}
		}
		cl.Roles[name] = privs
		return nil
	})
}

func acl(c *call) (any, error) {
	if !c.may("/access", "Sys.Audit", "Permissions.Modify") {
		return []any{}, nil
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []map[string]any{}
	for _, a := range s.cluster.ACL {
		kind := "user"
		if strings.Contains(a.Subject, "!") {
			kind = "token"
		}
		out = append(out, map[string]any{"path": a.Path, "type": kind, "ugid": a.Subject, "roleid": a.Role, "propagate": bit(!a.Exclusive)})
	}
	return out, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
