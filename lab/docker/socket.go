package docker

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"phoenix-run/lab/docker/api"
)

// ErrDown is what a client of a daemon that does not run gets.
//
//lint:ignore ST1005 Docker's own words
var ErrDown = errors.New("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")

// Client returns a client of the engine for root.
func (e *Engine) Client() *api.Client { return e.ClientOf("root") }

// ClientOf returns a client for a user of the guest, who needs to be root or in the group docker. Its
// requests fail as a dial to the socket does while the daemon is down.
func (e *Engine) ClientOf(user string) *api.Client {
	transport := api.Local{Handler: e.Handler(), DialError: func(r *http.Request) error {
		if !e.mayDial(user) {
			return fmt.Errorf("permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: %s %q: dial unix /var/run/docker.sock: connect: permission denied",
				r.Method[:1]+strings.ToLower(r.Method[1:]), "http://%2Fvar%2Frun%2Fdocker.sock/v"+e.Version().APIVersion+r.URL.RequestURI())
		}
		if !e.Running() {
			return ErrDown
		}
		return nil
	}}
	return &api.Client{HTTP: &http.Client{Transport: transport}, Base: "http://docker"}
}

// mayDial tells whether a user may open the socket, which is root:docker 0660.
func (e *Engine) mayDial(user string) bool {
	if user == "root" || user == "" {
		return true
	}
	groups, err := e.host.ReadFile("/etc/group")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 4 && fields[0] == "docker" && slices.Contains(strings.Split(fields[3], ","), user) {
			return true
		}
	}
	return false
}
