package portainer

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

func (s *Server) listTags(*call) (int, any, error) {
	out := []tag{}
	s.view(func(db *database) {
		for _, t := range db.Tags {
			t.Endpoints = cloneMap(t.Endpoints)
			out = append(out, t)
		}
	})
	return http.StatusOK, out, nil
}

func cloneMap(m map[int]bool) map[int]bool {
	out := map[int]bool{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (s *Server) createTag(c *call) (int, any, error) {
	var p struct{ Name string }
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.Name == "" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid tag name"))
	}
	var made tag
	err := s.update(func(db *database) error {
		for _, t := range db.Tags {
			if t.Name == p.Name {
				return fail(http.StatusConflict, "This name is already associated to a tag", errors.New("a tag already exists with this name"))
			}
		}
		made = tag{ID: db.next("tag"), Name: p.Name, Endpoints: map[int]bool{}, EndpointGroups: map[int]bool{}}
		db.Tags = append(db.Tags, made)
		made.Endpoints = map[int]bool{}
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, made, err
}

func (s *Server) deleteTag(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	err = s.update(func(db *database) error {
		if db.tag(id) == nil {
			return notFound("a tag", "tags", id)
		}
		db.Tags = slices.DeleteFunc(db.Tags, func(t tag) bool { return t.ID == id })
		for i := range db.Endpoints {
			db.Endpoints[i].TagIDs = slices.DeleteFunc(slices.Clone(db.Endpoints[i].TagIDs), func(t int) bool { return t == id })
		}
		return nil
	})
	c.changed = err == nil
	return http.StatusNoContent, nil, err
}

func (s *Server) listGroups(*call) (int, any, error) {
	var out []group
	s.view(func(db *database) { out = slices.Clone(db.Groups) })
	return http.StatusOK, out, nil
}

// createGroup does not mind a name that is there already.
func (s *Server) createGroup(c *call) (int, any, error) {
	var p struct {
		Name, Description   string
		AssociatedEndpoints []int
		TagIDs              []int
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.Name == "" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid environment group name"))
	}
	var made group
	err := s.update(func(db *database) error {
		made = group{ID: db.next("group"), Name: p.Name, Description: p.Description, TagIDs: orEmpty(p.TagIDs)}
		db.Groups = append(db.Groups, made)
		for _, id := range p.AssociatedEndpoints {
			if e := db.endpoint(id); e != nil {
				e.GroupID = made.ID
			}
		}
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, made, err
}

func (s *Server) updateGroup(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var p struct {
		Name, Description *string
		TagIDs            *[]int
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	var out group
	err = s.update(func(db *database) error {
		g := db.group(id)
		if g == nil {
			return notFound("an environment group", "endpoint_groups", id)
		}
		set(&g.Name, p.Name)
		set(&g.Description, p.Description)
		set(&g.TagIDs, p.TagIDs)
		out = *g
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, out, err
}

func (s *Server) deleteGroup(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	if id == 1 {
		return 0, nil, fail(http.StatusForbidden, "Unable to remove the default 'Unassigned' group", errors.New("cannot remove the default environment group"))
	}
	err = s.update(func(db *database) error {
		if db.group(id) == nil {
			return notFound("an environment group", "endpoint_groups", id)
		}
		db.Groups = slices.DeleteFunc(db.Groups, func(g group) bool { return g.ID == id })
		for i := range db.Endpoints {
			if db.Endpoints[i].GroupID == id {
				db.Endpoints[i].GroupID = 1
			}
		}
		return nil
	})
	c.changed = err == nil
	return http.StatusNoContent, nil, err
}

func (s *Server) listRegistries(*call) (int, any, error) {
	out := []registry{}
	s.view(func(db *database) {
		for _, r := range db.Registries {
			r.Password = ""
			out = append(out, r)
		}
	})
	return http.StatusOK, out, nil
}

func (s *Server) createRegistry(c *call) (int, any, error) {
	var p registry
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if err := checkRegistry(p); err != nil {
		return 0, nil, err
	}
	err := s.update(func(db *database) error {
		if err := uniqueRegistry(db, p); err != nil {
			return err
		}
		p.ID = db.next("registry")
		db.Registries = append(db.Registries, p)
		return nil
	})
	c.changed = err == nil
	p.Password = ""
	return http.StatusOK, p, err
}

func checkRegistry(p registry) error {
	text := ""
	switch {
	case p.Name == "":
		text = "invalid registry name"
	case p.URL == "":
		text = "invalid registry URL"
	case p.Type < 1 || p.Type > 8:
		text = "invalid registry type. Valid values are: 1 (Quay.io), 2 (Azure container registry), 3 (custom registry), 4 (Gitlab registry), 5 (ProGet registry), 6 (DockerHub), 7 (ECR), 8 (Github)"
	case p.Authentication && (p.Username == "" || p.Password == ""):
		text = "invalid credentials. Username and password must be specified when authentication is enabled"
	default:
		return nil
	}
	return fail(http.StatusBadRequest, "Invalid request payload", errors.New(text))
}

func uniqueRegistry(db *database, p registry) error {
	for _, r := range db.Registries {
		if r.ID == p.ID {
			continue
		}
		if r.Name == p.Name {
			return fail(http.StatusConflict, "Another registry with the same name already exists", errors.New("a registry is already defined with this name"))
		}
		if strings.EqualFold(r.URL, p.URL) && r.Username == p.Username && r.Authentication == p.Authentication {
			return fail(http.StatusConflict, "There is already a registry with the same URL and credentials", errors.New("a registry is already defined for this URL and credentials"))
		}
	}
	return nil
}

func (s *Server) updateRegistry(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var p struct {
		Name, URL, Username, Password *string
		Authentication                *bool
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	var out registry
	err = s.update(func(db *database) error {
		r := db.registry(id)
		if r == nil {
			return notFound("a registry", "registries", id)
		}
		changed := *r
		set(&changed.Name, p.Name)
		set(&changed.URL, p.URL)
		set(&changed.Username, p.Username)
		set(&changed.Authentication, p.Authentication)
		if p.Password != nil && *p.Password != "" {
			changed.Password = *p.Password
		}
		if err := uniqueRegistry(db, changed); err != nil {
			return err
		}
		*r = changed
		out = changed
		out.Password = ""
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, out, err
}

func (s *Server) deleteRegistry(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	err = s.update(func(db *database) error {
		if db.registry(id) == nil {
			return notFound("a registry", "registries", id)
		}
		db.Registries = slices.DeleteFunc(db.Registries, func(r registry) bool { return r.ID == id })
		return nil
	})
	c.changed = err == nil
	return http.StatusNoContent, nil, err
}
