package proxmox

import (
	"maps"
	"slices"
	"strings"
)

// builtinRole gives the privileges of the roles that every Proxmox has.
func (f flavor) builtinRole(name string) ([]string, bool) {
	all := f.privileges()
	prefixed := func(prefixes ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(p string) bool {
			return !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p, prefix) })
		})
	}
	switch name {
	case "Administrator":
		return all, true
	case "NoAccess":
		return nil, true
	case "PVEAdmin":
		return slices.DeleteFunc(slices.Clone(all), func(p string) bool {
			return p == "Sys.Modify" || p == "Sys.PowerMgmt" || p == "Permissions.Modify" || p == "Realm.Allocate"
		}), true
	case "PVEVMAdmin":
		return prefixed("VM."), true
	case "PVEDatastoreAdmin":
		return prefixed("Datastore."), true
	case "PVESDNUser":
		return []string{"SDN.Audit", "SDN.Use"}, true
	case "PVEAuditor":
		out := []string{"Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit"}
		if f.nine() {
			out = append(out, "VM.GuestAgent.Audit")
		}
		return out, true
	}
	return nil, false
}

// privileges are what who may do on path.
func (s *Server) privileges(who identity, path string) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.privilegesLocked(who, path)
}

func (s *Server) privilegesLocked(who identity, path string) map[string]bool {
	if who.token == "" {
		return s.rolesOf(who.user, path)
	}
	of := s.rolesOf(who.user, path)
	u := s.cluster.user(who.user)
	if u == nil {
		return nil
	}
	t := u.token(who.token)
	if t == nil || !t.PrivSep {
		return of
	}
	// A separated token has what both it and its user have.
	own := s.rolesOf(who.String(), path)
	maps.DeleteFunc(own, func(p string, _ bool) bool { return !of[p] })
	return own
}

// rolesOf collects the privileges of a subject on a path: an entry further down replaces those above.
func (s *Server) rolesOf(subject, path string) map[string]bool {
	out := map[string]bool{}
	if subject == "root@pam" {
		for _, p := range s.flavor.privileges() {
			out[p] = true
		}
		return out
	}
	for _, prefix := range prefixes(path) {
		var roles []string
		for _, a := range s.cluster.ACL {
			if a.Subject == subject && a.Path == prefix && (!a.Exclusive || prefix == path) {
				roles = append(roles, a.Role)
			}
		}
		if len(roles) == 0 {
			continue
		}
		clear(out)
		for _, role := range roles {
			for _, p := range s.rolePrivileges(role) {
				out[p] = true
			}
		}
	}
	return out
}

func (s *Server) rolePrivileges(role string) []string {
	if privs, ok := s.cluster.Roles[role]; ok {
		return privs
	}
	privs, _ := s.flavor.builtinRole(role)
	return privs
}

// prefixes of "/vms/100" are "/", "/vms" and itself.
func prefixes(path string) []string {
	out := []string{"/"}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	if path != "/" {
		out = append(out, path)
	}
	return out
}

// may reports whether the caller has one of privs on path; for a VM, its pool's rights count too.
func (c *call) may(path string, privs ...string) bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.mayLocked(path, privs...)
}

func (c *call) mayLocked(path string, privs ...string) bool {
	have := c.server.privilegesLocked(c.user, path)
	for _, p := range privs {
		if have[p] {
			return true
		}
	}
	id, isVM := strings.CutPrefix(path, "/vms/")
	if !isVM {
		return false
	}
	g := c.server.guests[atoi(id)]
	return g != nil && g.Pool != "" && c.mayLocked("/pool/"+g.Pool, privs...)
}

// need fails with 403 unless the caller has one of privs on path.
func (c *call) need(path string, privs ...string) error {
	if c.may(path, privs...) {
		return nil
	}
	return denied(path, privs...)
}

// permission is what an endpoint asks of its caller before it looks at the parameters.
type permission func(c *call) error

// onVM asks for one of privs on the VM of the path.
func onVM(privs ...string) permission {
	return func(c *call) error { return c.need("/vms/"+c.vars["vmid"], privs...) }
}

// on asks for one of privs on a path, in which {name} stands for a path variable.
func on(path string, privs ...string) permission {
	return func(c *call) error {
		full := path
		for name, v := range c.vars {
			full = strings.ReplaceAll(full, "{"+name+"}", v)
		}
		return c.need(full, privs...)
	}
}

// agentPrivilege is for endpoints of the guest agent: one privilege in generation 8, several in 9.
func (f flavor) agentPrivilege(kinds ...string) permission {
	if !f.nine() {
		return onVM("VM.Monitor")
	}
	const everything = "VM.GuestAgent.Unrestricted" // implies the others
	if !slices.Contains(kinds, everything) {
		kinds = append(kinds, everything)
	}
	return onVM(kinds...)
}
