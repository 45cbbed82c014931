package docker

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

var versionPrefix = regexp.MustCompile(`^/v(\d+)\.(\d+)(/.*)$`)

// Handler serves the Engine's API, as its socket does, with or without a version in the path.
func (e *Engine) Handler() http.Handler {
	mux := http.NewServeMux()
	e.containerRoutes(mux)
	e.imageRoutes(mux)
	e.networkRoutes(mux)
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("OK"))
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, e.Version()) })
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, e.Info()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, api.Error{Message: "page not found"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := e.Version()
		w.Header().Set("Api-Version", v.APIVersion)
		w.Header().Set("Docker-Experimental", "false")
		w.Header().Set("Ostype", "linux")
		w.Header().Set("Server", "Docker/"+v.Version+" (linux)")
		if !e.Running() {
			answer(w, http.StatusServiceUnavailable, api.Error{Message: "the daemon is shutting down"})
			return
		}
		if m := versionPrefix.FindStringSubmatch(r.URL.Path); m != nil {
			asked := m[1] + "." + m[2]
			switch {
			case older(asked, v.MinAPIVersion):
				answer(w, http.StatusBadRequest, api.Error{Message: "client version " + asked + " is too old. Minimum supported API version is " + v.MinAPIVersion + ", please upgrade your client to a newer version"})
				return
			case older(v.APIVersion, asked):
				answer(w, http.StatusBadRequest, api.Error{Message: "client version " + asked + " is too new. Maximum supported API version is " + v.APIVersion})
				return
			}
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = m[3], ""
		}
		mux.ServeHTTP(w, r)
	})
}

// older compares API versions: major.minor.
func older(a, b string) bool {
	part := func(s string) (major, minor int) {
		x, y, _ := strings.Cut(s, ".")
		major, _ = strconv.Atoi(x)
		minor, _ = strconv.Atoi(y)
		return
	}
	amaj, amin := part(a)
	bmaj, bmin := part(b)
	return amaj < bmaj || amaj == bmaj && amin < bmin
}

// serve makes a handler of a function that returns a status and a body, nil for none.
func serve(f func(r *http.Request) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, body, err := f(r)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) {
				e = &api.Error{Status: http.StatusInternalServerError, Message: err.Error()}
			}
			answer(w, e.Status, e)
			return
		}
		answer(w, status, body)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

func decode(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return refuse(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	return nil
}

func (e *Engine) imageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /images/json", serve(func(r *http.Request) (int, any, error) {
		f, err := api.ParseFilters(r.FormValue("filters"))
		if err != nil {
			return 0, nil, refuse(http.StatusBadRequest, "%v", err)
		}
		return http.StatusOK, e.listImages(f), nil
	}))
	mux.HandleFunc("POST /images/create", func(w http.ResponseWriter, r *http.Request) {
		name, tag := r.FormValue("fromImage"), r.FormValue("tag")
		switch {
		case strings.Contains(tag, ":"):
			name += "@" + tag
		case tag != "":
			name += ":" + tag
		}
		ref, err := api.ParseReference(name)
		if err != nil {
			answer(w, http.StatusBadRequest, api.Error{Message: err.Error()})
			return
		}
		image, fresh, err := e.Pull(r.Context(), ref)
		if err != nil {
			serve(func(*http.Request) (int, any, error) { return 0, nil, err })(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		lines := []api.Progress{{Status: "Pulling from " + ref.Path, ID: ref.Tag}}
		if fresh {
			lines = append(lines, api.Progress{Status: "Pull complete", ID: image.ID[7:19]})
		}
		if len(image.RepoDigests) > 0 {
			_, digest, _ := strings.Cut(image.RepoDigests[0], "@")
			lines = append(lines, api.Progress{Status: "Digest: " + digest})
		}
		if fresh {
			lines = append(lines, api.Progress{Status: "Status: Downloaded newer image for " + ref.String()})
		} else {
			lines = append(lines, api.Progress{Status: "Status: Image is up to date for " + ref.String()})
		}
		for _, line := range lines {
			_ = json.NewEncoder(w).Encode(line) // the client is gone
		}
	})
	mux.HandleFunc("GET /images/{ref...}", serve(func(r *http.Request) (int, any, error) {
		ref, found := strings.CutSuffix(r.PathValue("ref"), "/json")
		if !found {
			return 0, nil, refuse(http.StatusNotFound, "page not found")
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		image, found := e.image(ref)
		if !found {
			return 0, nil, refuse(http.StatusNotFound, "No such image: %s", ref)
		}
		return http.StatusOK, image, nil
	}))
	mux.HandleFunc("DELETE /images/{ref...}", serve(func(r *http.Request) (int, any, error) {
		removed, err := e.RemoveImage(r.PathValue("ref"), truth(r, "force"))
		return http.StatusOK, removed, err
	}))
}

func truth(r *http.Request, key string) bool {
	switch strings.ToLower(r.FormValue(key)) {
	case "1", "true", "yes":
		return true
	}
	return false
}

func (e *Engine) listImages(f api.Filters) []api.ImageSummary {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []api.ImageSummary{}
	for _, image := range e.images {
		match := f.Labels(image.Config.Labels) && f.Any("reference", func(want string) bool {
			for _, tag := range image.RepoTags {
				repo, _, _ := strings.Cut(tag, ":")
				if tag == want || repo == want {
					return true
				}
			}
			return false
		}) && f.Any("dangling", func(want string) bool { return (want == "true") == (len(image.RepoTags) == 0) })
		if !match {
			continue
		}
		s := api.ImageSummary{ID: image.ID, RepoTags: image.RepoTags, RepoDigests: image.RepoDigests, Created: image.Created.Unix(), Size: image.Size, Labels: orEmpty(image.Config.Labels)}
		for _, c := range e.containers {
			if c.rec.Image == image.ID {
				s.Containers++
			}
		}
		list = append(list, s)
	}
	sortBy(list, func(s api.ImageSummary) string { return strings.Join(s.RepoTags, ",") + s.ID })
	return list
}

// wireTime is a time as filters and since parameters have it.
func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
