package portainer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

const maxForm = 32 << 20

// form reads multipart and urlencoded forms, and notes them for the request log.
func (c *call) form() error {
	if err := c.ParseMultipartForm(maxForm); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return fail(http.StatusBadRequest, "Invalid request payload", err)
	}
	for k, v := range c.PostForm {
		var list []any
		if json.Unmarshal([]byte(v[0]), &list) == nil {
			c.noteField(k, list)
		} else {
			c.noteField(k, v[0])
		}
	}
	return nil
}

func (s *Server) createEndpoint(c *call) (int, any, error) {
	if err := c.form(); err != nil {
		return 0, nil, err
	}
	e, err := s.readEndpoint(c)
	if err != nil {
		return 0, nil, err
	}
	taken := false
	s.view(func(db *database) { taken = nameTaken(db, e.Name, 0) })
	if taken {
		return 0, nil, fail(http.StatusConflict, "Name is not unique", nil)
	}
	if e.TLSConfig.TLS && !e.TLSConfig.TLSSkipVerify {
		return 0, nil, fail(http.StatusBadRequest, "Invalid CA certificate file. Ensure that the file is uploaded correctly", errors.New("http: no such file"))
	}
	if e.TLSConfig.TLS && !e.TLSConfig.TLSSkipClientAuth {
		return 0, nil, fail(http.StatusBadRequest, "Invalid certificate file. Ensure that the file is uploaded correctly", errors.New("http: no such file"))
	}
	var id int
	if err := s.update(func(db *database) error { id = db.next("endpoint"); return nil }); err != nil { // failed tries burn ids
		return 0, nil, err
	}
	e.ID = id
	agent := ""
	if e.Type == typeAgent && strings.Contains(e.URL, "://") {
		if agent, err = s.pingAgent(c.Context(), e); err != nil {
			return 0, nil, fail(http.StatusInternalServerError, "Unable to get environment type", err)
		}
	}
	snap, err := s.look(c.Context(), e)
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Unable to initiate communications with environment", err)
	}
	c.changed = true
	var answer map[string]any
	err = s.update(func(db *database) error {
		if nameTaken(db, e.Name, 0) {
			return fail(http.StatusConflict, "Name is not unique", nil)
		}
		db.Endpoints = append(db.Endpoints, e)
		s.snapshots[id], s.agents[id] = snap, agent
		answer = s.shown(e, true)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	// Group and tags are looked up only now: a bad one fails, and leaves the environment saved.
	err = s.update(func(db *database) error {
		if db.group(e.GroupID) == nil {
			return fail(http.StatusInternalServerError, "Unable to find an environment group inside the database", missing("endpoint_groups", e.GroupID))
		}
		return tagEndpoint(db, e.ID, nil, e.TagIDs)
	})
	return http.StatusOK, answer, err
}

func nameTaken(db *database, name string, except int) bool {
	for _, e := range db.Endpoints {
		if e.Name == name && e.ID != except {
			return true
		}
	}
	return false
}

// tagEndpoint moves an environment from old tags to new ones.
func tagEndpoint(db *database, id int, old, now []int) error {
	for _, t := range now {
		if db.tag(t) == nil {
			return fail(http.StatusInternalServerError, "Unable to find a tag inside the database", missing("tags", t))
		}
	}
	for _, t := range old {
		if found := db.tag(t); found != nil {
			delete(found.Endpoints, id)
		}
	}
	for _, t := range now {
		db.tag(t).Endpoints[id] = true
	}
	return nil
}

// readEndpoint checks the form's fields.
func (s *Server) readEndpoint(c *call) (endpoint, error) {
	bad := func(text string) error {
		return fail(http.StatusBadRequest, "Invalid request payload", errors.New(text))
	}
	e := endpoint{Name: c.FormValue("Name"), URL: c.FormValue("URL"), PublicURL: c.FormValue("PublicURL"), GroupID: 1, Status: 1, ContainerEngine: "docker", TagIDs: []int{}}
	if e.Name == "" {
		return e, bad("invalid environment name")
	}
	kind, err := strconv.Atoi(c.FormValue("EndpointCreationType"))
	if err != nil || kind < 1 || kind > 5 {
		return e, bad("invalid environment type value. Value must be one of: 1 (Docker environment), 2 (Agent environment), 3 (Azure environment), 4 (Edge Agent environment) or 5 (Local Kubernetes environment)")
	}
	if kind > typeAgent {
		return e, bad("the lab's Portainer has only environments of type 1 and 2")
	}
	e.Type = kind
	if v := c.FormValue("GroupID"); v != "" {
		if e.GroupID, err = strconv.Atoi(v); err != nil {
			return e, bad("invalid group identifier")
		}
		if e.GroupID == 0 {
			e.GroupID = 1
		}
	}
	if v := c.FormValue("TagIds"); v != "" {
		if err := json.Unmarshal([]byte(v), &e.TagIDs); err != nil {
			return e, bad("invalid TagIds parameter")
		}
	}
	if v := c.FormValue("ContainerEngine"); v != "" && s.is.ContainerEngine {
		if v != "docker" && v != "podman" {
			return e, bad("invalid container engine value. Value must be one of: 'docker' or 'podman'")
		}
		e.ContainerEngine = v
	}
	if e.TLSConfig.TLS, err = flag(c.FormValue("TLS")); err != nil {
		return e, bad("invalid TLS parameter")
	}
	if e.TLSConfig.TLS {
		if e.TLSConfig.TLSSkipVerify, err = flag(c.FormValue("TLSSkipVerify")); err != nil {
			return e, bad("invalid TLSSkipVerify parameter")
		}
		if e.TLSConfig.TLSSkipClientAuth, err = flag(c.FormValue("TLSSkipClientVerify")); err != nil {
			return e, bad("invalid TLSSkipClientVerify parameter")
		}
	}
	if e.URL == "" {
		if e.Type == typeAgent {
			return e, bad("invalid environment URL")
		}
		e.URL = "unix:///var/run/docker.sock"
	}
	return e, nil
}

func flag(v string) (bool, error) {
	if v == "" {
		return false, nil
	}
	return strconv.ParseBool(v)
}
