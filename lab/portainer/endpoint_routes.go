package portainer

import (
	"encoding/json"

	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (s *Server) getEndpoint(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var out map[string]any
	s.view(func(db *database) {
		if e := db.endpoint(id); e != nil {
			out = s.shown(*e, c.URL.Query().Get("excludeSnapshot") != "true")
		}
	})
	if out == nil {
		return 0, nil, notFound("an environment", "endpoints", id)
	}
	return http.StatusOK, out, nil
}

func (s *Server) listEndpoints(c *call) (int, any, error) {
	q := c.URL.Query()
	ids := func(names ...string) ([]int, error) {
		var out []int
		for _, name := range names {
			for _, v := range q[name] {
				var list []int
				if json.Unmarshal([]byte(v), &list) == nil {
					out = append(out, list...)
					continue
				}
				n, err := strconv.Atoi(v)
				if err != nil {
					return nil, fail(http.StatusBadRequest, "Invalid query parameter: "+name, err)
				}
				out = append(out, n)
			}
		}
		return out, nil
	}
	var wanted = map[string][]int{}
	for _, name := range []string{"types", "status", "groupIds", "tagIds", "endpointIds"} {
		list, err := ids(name, name+"[]")
		if err != nil {
			return 0, nil, err
		}
		wanted[name] = list
	}
	in := func(name string, v int) bool { return len(wanted[name]) == 0 || slices.Contains(wanted[name], v) }
	out := []map[string]any{}
	available := 0
	s.view(func(db *database) {
		available = len(db.Endpoints)
		for _, e := range db.Endpoints {
			match := in("types", e.Type) && in("status", e.Status) && in("groupIds", e.GroupID) && in("endpointIds", e.ID) &&
				(!q.Has("name") || e.Name == q.Get("name")) && matchesTags(e, wanted["tagIds"], q.Get("tagsPartialMatch") == "true")
			if search := strings.ToLower(q.Get("search")); search != "" && !strings.Contains(strings.ToLower(e.Name+" "+e.URL), search) {
				match = false
			}
			if match {
				out = append(out, s.shown(e, q.Get("excludeSnapshots") != "true"))
			}
		}
	})
	c.w.Header().Set("X-Total-Count", strconv.Itoa(len(out)))
	c.w.Header().Set("X-Total-Available", strconv.Itoa(available))
	slices.SortStableFunc(out, func(a, b map[string]any) int {
		return strings.Compare(strings.ToLower(a["Name"].(string)), strings.ToLower(b["Name"].(string)))
	})
	start, _ := strconv.Atoi(q.Get("start")) // 0 and 1 both mean the first
	limit, _ := strconv.Atoi(q.Get("limit"))
	if limit <= 0 {
		limit = 100
		if !q.Has("limit") && !q.Has("start") {
			limit = max(len(out), 1)
		}
	}
	from := min(max(start-1, 0), len(out))
	return http.StatusOK, out[from:min(from+limit, len(out))], nil
}

func matchesTags(e endpoint, tags []int, partial bool) bool {
	if len(tags) == 0 {
		return true
	}
	n := 0
	for _, t := range tags {
		if slices.Contains(e.TagIDs, t) {
			n++
		}
	}
	return n == len(tags) || partial && n > 0
}

func (s *Server) updateEndpoint(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var p struct {
		Name, URL, PublicURL                    *string
		GroupID                                 *int
		TagIDs                                  *[]int
		TLS, TLSSkipVerify, TLSSkipClientVerify *bool
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	var answer map[string]any
	err = s.update(func(db *database) error {
		e := db.endpoint(id)
		if e == nil {
			return notFound("an environment", "endpoints", id)
		}
		if p.Name != nil && nameTaken(db, *p.Name, id) {
			return fail(http.StatusConflict, "Name is not unique", nil)
		}
		if p.TagIDs != nil && !slices.Equal(e.TagIDs, *p.TagIDs) {
			if err := tagEndpoint(db, id, e.TagIDs, *p.TagIDs); err != nil {
				return err
			}
			e.TagIDs = *p.TagIDs
		}
		set(&e.Name, p.Name)
		set(&e.URL, p.URL) // nobody looks whether it answers
		set(&e.PublicURL, p.PublicURL)
		set(&e.GroupID, p.GroupID)
		set(&e.TLSConfig.TLS, p.TLS)
		set(&e.TLSConfig.TLSSkipVerify, p.TLSSkipVerify)
		set(&e.TLSConfig.TLSSkipClientAuth, p.TLSSkipClientVerify)
		answer = s.shown(*e, true)
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, answer, err
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Server) deleteEndpoint(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	err = s.update(func(db *database) error {
		e := db.endpoint(id)
		if e == nil {
			return notFound("an environment", "endpoints", id)
		}
		for _, t := range e.TagIDs {
			if found := db.tag(t); found != nil {
				delete(found.Endpoints, id)
			}
		}
		db.Endpoints = slices.DeleteFunc(db.Endpoints, func(e endpoint) bool { return e.ID == id })
		delete(s.snapshots, id)
		delete(s.agents, id)
		return nil
	})
	c.changed = err == nil
	return http.StatusNoContent, nil, err
}

func (s *Server) snapshotEndpoint(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	c.changed, err = s.refresh(c.Context(), id)
	return http.StatusNoContent, nil, err
}

func (s *Server) snapshotAll(c *call) (int, any, error) {
	var ids []int
	s.view(func(db *database) {
		for _, e := range db.Endpoints {
			ids = append(ids, e.ID)
		}
	})
	for _, id := range ids {
		changed, err := s.refresh(c.Context(), id)
		if err != nil {
			return 0, nil, err
		}
		c.changed = c.changed || changed
	}
	return http.StatusNoContent, nil, nil
}

// proxyDocker hands a request to an environment's Docker Engine.
func (s *Server) proxyDocker(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var e endpoint
	s.view(func(db *database) {
		if found := db.endpoint(id); found != nil {
			e = *found
		}
	})
	if e.ID == 0 {
		return 0, nil, notFound("an environment", "endpoints", id)
	}
	transport, base, err := s.transport(e)
	if err != nil {
		return 0, nil, s.proxyFailure(c, err)
	}
	header := http.Header{}
	if e.Type == typeAgent {
		if header, err = s.sign.header(); err != nil {
			return 0, nil, err
		}
	}
	target, err := url.Parse(base)
	if err != nil {
		return 0, nil, s.proxyFailure(c, err)
	}
	_, path, _ := strings.Cut(c.URL.Path, "/docker")
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.Path, r.Out.URL.RawPath = path, ""
			r.Out.Host = target.Host
			for _, name := range []string{"Authorization", "X-Api-Key", "Cookie"} {
				r.Out.Header.Del(name)
			}
			for name, v := range header {
				r.Out.Header[name] = v
			}
		},
		ModifyResponse: func(r *http.Response) error {
			c.changed = !safe(c.Method) && r.StatusCode < 300
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if !s.is.JSONProxyFailure {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			writeError(w, fail(http.StatusBadGateway, "Proxy failure", err))
		},
	}
	proxy.ServeHTTP(c.w, c.Request)
	return 0, nil, nil
}

// proxyFailure is the answer for an environment that can't even be dialled.
func (s *Server) proxyFailure(c *call, cause error) error {
	if s.is.JSONProxyFailure {
		return fail(http.StatusBadGateway, "Proxy failure", cause)
	}
	c.w.WriteHeader(http.StatusBadGateway)
	return nil
}

// endpointOf returns the environment of the query parameter endpointId.
func (s *Server) endpointOf(c *call) (endpoint, error) {
	id, err := c.number("endpointId")
	if err != nil {
		return endpoint{}, err
	}
	return s.endpointByID(id)
}

func (s *Server) endpointByID(id int) (e endpoint, err error) {
	s.view(func(db *database) {
		if found := db.endpoint(id); found != nil {
			e = *found
		}
	})
	if e.ID == 0 {
		return e, notFound("an environment", "endpoints", id)
	}
	return e, nil
}
