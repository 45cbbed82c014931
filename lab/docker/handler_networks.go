package docker

import (
	"net/http"
	"regexp"
	"strings"

	"phoenix-run/lab/docker/api"
)

// nameMatches is the name filter: a regular expression, with or without the leading slash.
func nameMatches(pattern, name string) bool {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return strings.Contains(name, pattern)
	}
	return re.MatchString(name) || re.MatchString("/"+name)
}

func (e *Engine) networkRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /networks", serve(func(r *http.Request) (int, any, error) {
		f, err := api.ParseFilters(r.FormValue("filters"))
		if err != nil {
			return 0, nil, refuse(http.StatusBadRequest, "%v", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		list := []api.Network{}
		for _, n := range e.networks {
			if f.Labels(n.Labels) && f.Any("name", func(v string) bool { return nameMatches(v, n.Name) }) &&
				f.Any("id", func(v string) bool { return strings.HasPrefix(n.ID, v) }) && f.Any("driver", func(v string) bool { return v == n.Driver }) {
				list = append(list, *n)
			}
		}
		sortBy(list, func(n api.Network) string { return n.Name })
		return http.StatusOK, list, nil
	}))
	mux.HandleFunc("GET /networks/{id}", serve(func(r *http.Request) (int, any, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		n, err := e.network(r.PathValue("id"))
		if err != nil {
			return 0, nil, err
		}
		return http.StatusOK, e.networkView(n), nil
	}))
	mux.HandleFunc("POST /networks/create", serve(func(r *http.Request) (int, any, error) {
		var req api.NetworkCreate
		if err := decode(r, &req); err != nil {
			return 0, nil, err
		}
		n, err := e.CreateNetwork(req)
		return http.StatusCreated, map[string]string{"Id": n.ID, "Warning": ""}, err
	}))
	mux.HandleFunc("DELETE /networks/{id}", serve(func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, e.RemoveNetwork(r.PathValue("id"))
	}))
	mux.HandleFunc("GET /volumes", serve(func(r *http.Request) (int, any, error) {
		f, err := api.ParseFilters(r.FormValue("filters"))
		if err != nil {
			return 0, nil, refuse(http.StatusBadRequest, "%v", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		list := api.VolumeList{Volumes: []api.Volume{}, Warnings: []string{}}
		for _, v := range e.volumes {
			if f.Labels(v.Labels) && f.Any("name", func(want string) bool { return nameMatches(want, v.Name) }) {
				list.Volumes = append(list.Volumes, v)
			}
		}
		sortBy(list.Volumes, func(v api.Volume) string { return v.Name })
		return http.StatusOK, list, nil
	}))
	mux.HandleFunc("GET /volumes/{name}", serve(func(r *http.Request) (int, any, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		v, found := e.volumes[r.PathValue("name")]
		if !found {
			return 0, nil, refuse(http.StatusNotFound, "get %s: no such volume", r.PathValue("name"))
		}
		return http.StatusOK, v, nil
	}))
	mux.HandleFunc("POST /volumes/create", serve(func(r *http.Request) (int, any, error) {
		var req api.VolumeCreate
		if err := decode(r, &req); err != nil {
			return 0, nil, err
		}
		v, err := e.CreateVolume(req)
		return http.StatusCreated, v, err
	}))
	mux.HandleFunc("DELETE /volumes/{name}", serve(func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, e.RemoveVolume(r.PathValue("name"))
	}))
}
