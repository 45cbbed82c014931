package docker

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

func sortBy[T any, K cmp.Ordered](list []T, key func(T) K) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

func (e *Engine) containerRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /containers/json", serve(func(r *http.Request) (int, any, error) {
		f, err := api.ParseFilters(r.FormValue("filters"))
		if err == nil {
			err = f.Known("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network", "publish", "since", "status", "volume")
		}
		if err != nil {
			return 0, nil, refuse(http.StatusBadRequest, "%v", err)
		}
		return http.StatusOK, e.List(truth(r, "all"), f), nil
	}))
	mux.HandleFunc("POST /containers/create", serve(func(r *http.Request) (int, any, error) {
		var req api.CreateRequest
		if err := decode(r, &req); err != nil {
			return 0, nil, err
		}
		created, err := e.Create(r.FormValue("name"), req)
		return http.StatusCreated, created, err
	}))
	mux.HandleFunc("GET /containers/{id}/json", serve(func(r *http.Request) (int, any, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		c, err := e.find(r.PathValue("id"))
		if err != nil {
			return 0, nil, err
		}
		return http.StatusOK, e.view(c), nil
	}))
	act := func(verb string, f func(id string) (bool, error)) {
		mux.HandleFunc("POST /containers/{id}/"+verb, serve(func(r *http.Request) (int, any, error) {
			done, err := f(r.PathValue("id"))
			if !done && err == nil {
				return http.StatusNotModified, nil, nil
			}
			return http.StatusNoContent, nil, err
		}))
	}
	act("start", e.StartContainer)
	act("stop", func(id string) (bool, error) { return e.StopContainer(id, 0) })
	act("restart", func(id string) (bool, error) { return true, e.RestartContainer(id) })
	act("kill", func(id string) (bool, error) {
		was, err := e.StopContainer(id, 137)
		if err == nil && !was {
			err = refuse(http.StatusConflict, "cannot kill container: %s: container %s is not running", id, id)
		}
		return was, err
	})
	mux.HandleFunc("POST /containers/{id}/rename", serve(func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, e.Rename(r.PathValue("id"), r.FormValue("name"))
	}))
	mux.HandleFunc("POST /containers/{id}/wait", serve(func(r *http.Request) (int, any, error) {
		done, err := e.wait(r.PathValue("id"))
		if err != nil {
			return 0, nil, err
		}
		select {
		case code := <-done:
			return http.StatusOK, struct{ StatusCode int }{code}, nil
		case <-r.Context().Done():
			return 0, nil, r.Context().Err()
		}
	}))
	mux.HandleFunc("DELETE /containers/{id}", serve(func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, e.Remove(r.PathValue("id"), truth(r, "force"), truth(r, "v"))
	}))
	mux.HandleFunc("GET /containers/{id}/logs", e.serveLogs)
	mux.HandleFunc("POST /containers/{id}/exec", serve(e.createExec))
	mux.HandleFunc("POST /exec/{id}/start", e.startExec)
	mux.HandleFunc("GET /exec/{id}/json", serve(func(r *http.Request) (int, any, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		x := e.execs[r.PathValue("id")]
		if x == nil {
			return 0, nil, refuse(http.StatusNotFound, "No such exec instance: %s", r.PathValue("id"))
		}
		return http.StatusOK, api.ExecInspect{ID: r.PathValue("id"), ExitCode: x.code, ContainerID: x.container}, nil
	}))
}

// List lists containers, newest first.
func (e *Engine) List(all bool, f api.Filters) []api.Summary {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	list := []api.Summary{}
	_, byStatus := f["status"]
	for _, c := range e.sorted() {
		v := e.view(c)
		if !all && !byStatus && !v.State.Running {
			continue
		}
		if e.matches(v, f) {
			list = append(list, summary(v, now))
		}
	}
	return list
}

// matches applies a list's filters. e.mu is held.
func (e *Engine) matches(c api.Container, f api.Filters) bool {
	name := c.Name[1:]
	image, hasImage := e.images[c.Image]
	return f.Labels(c.Config.Labels) &&
		f.Any("id", func(v string) bool { return strings.HasPrefix(c.ID, v) }) &&
		f.Any("name", func(v string) bool { return nameMatches(v, name) }) &&
		f.Any("status", func(v string) bool { return v == c.State.Status }) &&
		f.Any("exited", func(v string) bool { return c.State.Status == "exited" && v == strconv.Itoa(c.State.ExitCode) }) &&
		f.Any("health", func(v string) bool {
			return c.State.Health != nil && v == c.State.Health.Status || c.State.Health == nil && v == "none"
		}) &&
		f.Any("network", func(v string) bool {
			for n, s := range c.NetworkSettings.Networks {
				if n == v || strings.HasPrefix(s.NetworkID, v) {
					return true
				}
			}
			return false
		}) &&
		f.Any("volume", func(v string) bool {
			return slices.ContainsFunc(c.Mounts, func(m api.MountPoint) bool { return m.Name == v || m.Destination == v || m.Source == v })
		}) &&
		f.Any("ancestor", func(v string) bool {
			found, ok := e.image(v)
			return c.Config.Image == v || ok && hasImage && found.ID == image.ID
		}) &&
		f.Any("publish", func(v string) bool {
			for _, bindings := range c.NetworkSettings.Ports {
				for _, b := range bindings {
					if b.HostPort == strings.TrimSuffix(v, "/tcp") {
						return true
					}
				}
			}
			return false
		})
}

func summary(c api.Container, now time.Time) api.Summary {
	s := api.Summary{
		ID: c.ID, Names: []string{c.Name}, Image: c.Config.Image, ImageID: c.Image,
		Command: strings.Join(append([]string{c.Path}, c.Args...), " "), Created: c.Created.Unix(),
		Labels: c.Config.Labels, State: c.State.Status, Status: statusText(c, now), Mounts: c.Mounts, Ports: []api.Port{},
	}
	if s.Mounts == nil {
		s.Mounts = []api.MountPoint{}
	}
	s.HostConfig.NetworkMode = c.HostConfig.NetworkMode
	s.NetworkSettings.Networks = c.NetworkSettings.Networks
	if c.State.Running {
		for spec := range c.Config.ExposedPorts {
			port, proto, err := splitPort(spec)
			if err != nil {
				continue // refused when the container was made
			}
			bindings := c.NetworkSettings.Ports[spec]
			for _, b := range bindings {
				public, err := strconv.Atoi(b.HostPort)
				if err == nil {
					s.Ports = append(s.Ports, api.Port{IP: b.HostIP, PrivatePort: port, PublicPort: public, Type: proto})
				}
			}
			if len(bindings) == 0 {
				s.Ports = append(s.Ports, api.Port{PrivatePort: port, Type: proto})
			}
		}
		slices.SortFunc(s.Ports, func(a, b api.Port) int {
			return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.PublicPort, b.PublicPort))
		})
	}
	return s
}

// Rename gives a container another name.
func (e *Engine) Rename(ref, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(ref)
	if err != nil {
		return err
	}
	if !containerName.MatchString(name) {
		return refuse(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	name = "/" + strings.TrimPrefix(name, "/")
	if other, err := e.find(name); err == nil && other.rec.Name == name {
		return refuse(http.StatusConflict, "Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", name, other.rec.ID)
	}
	c.rec.Name = name
	return e.commit()
}

func (e *Engine) serveLogs(w http.ResponseWriter, r *http.Request) {
	c, err := e.lookup(r.PathValue("id"))
	if err != nil {
		serve(func(*http.Request) (int, any, error) { return 0, nil, err })(w, r)
		return
	}
	n := -1
	if tail := r.FormValue("tail"); tail != "" && tail != "all" {
		if n, err = strconv.Atoi(tail); err != nil {
			n = -1
		}
	}
	w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
	var out bytes.Buffer
	for _, line := range c.logs.tail(n) {
		if line.stream == api.Stderr && !truth(r, "stderr") || line.stream == api.Stdout && !truth(r, "stdout") {
			continue
		}
		text := line.text
		if truth(r, "timestamps") {
			text = wireTime(line.time) + " " + text
		}
		out.Write(api.Frame(line.stream, []byte(text)))
	}
	_, _ = w.Write(out.Bytes()) // the client is gone
}

func (e *Engine) createExec(r *http.Request) (int, any, error) {
	var req api.ExecCreate
	if err := decode(r, &req); err != nil {
		return 0, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	if !c.rec.State.Running {
		return 0, nil, refuse(http.StatusConflict, "container %s is not running", c.rec.ID)
	}
	if len(req.Cmd) == 0 {
		return 0, nil, refuse(http.StatusBadRequest, "no exec command specified")
	}
	id := newID()
	e.execs[id] = &execution{container: c.rec.ID, request: req}
	return http.StatusCreated, map[string]string{"Id": id}, nil
}

func (e *Engine) startExec(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	x := e.execs[r.PathValue("id")]
	var rec api.Container
	if x != nil {
		if c := e.containers[x.container]; c != nil {
			rec = c.rec
		}
	}
	e.mu.Unlock()
	if x == nil {
		answer(w, http.StatusNotFound, api.Error{Message: "No such exec instance: " + r.PathValue("id")})
		return
	}
	rec.Config.Env = append(slices.Clone(rec.Config.Env), x.request.Env...)
	stdout, stderr, code, err := tool(rec, e.host, x.request.Cmd)
	if err != nil {
		stdout, code = err.Error()+"\r\n", 127
	}
	e.mu.Lock()
	x.done, x.code = true, code
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
	var out bytes.Buffer
	if stdout != "" {
		out.Write(api.Frame(api.Stdout, []byte(stdout)))
	}
	if stderr != "" {
		out.Write(api.Frame(api.Stderr, []byte(stderr)))
	}
	_, _ = w.Write(out.Bytes()) // the client is gone
}
