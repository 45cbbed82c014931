package proxmox

import (
	"net/http"
	"net/url"
	"strings"
)

// route is one endpoint.
type route struct {
	method, path string
	parts        []string // of path; "{x}" takes anything
	allow        permission
	params       table
	public       bool // needs no login
	ticketOnly   bool // not for API tokens
	do           func(c *call) (any, error)
}

// pathParams are the parameters that stand in paths.
var pathParams = table{
	"node": formatted(formatNode).req(), "vmid": vmidParam().req(), "storage": formatted(formatStorage).req(),
	"snapname": formatted(formatConfigID).chars(40).req(), "upid": str().req(), "volume": str().req(),
	"userid": str().chars(64).req(), "tokenid": matching(`[A-Za-z][A-Za-z0-9.\-_]+`).req(),
	"roleid": str().req(), "sid": str().req(), "iface": str().req(), "poolid": formatted(formatPool).req(),
}

func vmidParam() param {
	return param{kind: kindInteger, format: formatVMID}.atLeast(100).atMost(999999999)
}

// api is all endpoints. Each part of the API adds its own.
func (s *Server) api() []*route {
	var all []*route
	add := func(method, path string, allow permission, params table, do func(c *call) (any, error)) *route {
		r := &route{method: method, path: path, parts: strings.Split(path, "/")[1:], allow: allow, do: do}
		r.params = with(params)
		for _, part := range r.parts {
			if name, ok := variable(part); ok {
				r.params[name] = pathParams[name]
			}
		}
		all = append(all, r)
		return r
	}
	s.accessRoutes(add)
	s.clusterRoutes(add)
	s.nodeRoutes(add)
	s.taskRoutes(add)
	s.storageRoutes(add)
	s.configRoutes(add)
	s.lifeRoutes(add)
	s.powerRoutes(add)
	s.snapshotRoutes(add)
	s.diskRoutes(add)
	s.agentRoutes(add)
	return all
}

type addRoute func(method, path string, allow permission, params table, do func(c *call) (any, error)) *route

const (
	get    = http.MethodGet
	put    = http.MethodPut
	post   = http.MethodPost
	remove = http.MethodDelete
)

func variable(part string) (string, bool) {
	if !strings.HasPrefix(part, "{") {
		return part, false
	}
	return strings.Trim(part, "{}"), true
}

// find returns the endpoint of a request and its path's variables.
func (s *Server) find(method, path string) (*route, map[string]string, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for _, r := range s.routes {
		if r.method != method {
			continue
		}
		if vars, ok := r.match(parts); ok {
			return r, vars, true
		}
	}
	return nil, nil, false
}

func (r *route) match(parts []string) (map[string]string, bool) {
	if last := len(r.parts) - 1; r.parts[last] == "{volume}" && len(parts) > len(r.parts) {
		// A volume id may hold slashes.
		parts = append(parts[:last:last], strings.Join(parts[last:], "/"))
	}
	if len(parts) != len(r.parts) {
		return nil, false
	}
	vars := map[string]string{}
	for i, want := range r.parts {
		name, isVar := variable(want)
		if !isVar {
			if parts[i] != want {
				return nil, false
			}
			continue
		}
		text, err := url.PathUnescape(parts[i])
		if err != nil || text == "" {
			return nil, false
		}
		vars[name] = text
	}
	return vars, true
}
