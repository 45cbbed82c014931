package portainer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Container is one container of a compose project.
type Container struct {
	ID      string
	Name    string
	Project string // the compose project's name
	Service string
	State   string // running, exited, restarting, created, paused, dead, removing
	Health  string // healthy, unhealthy, starting; "" without a health check
	Status  string // as `docker ps` shows it: "Exited (1) 3 seconds ago"
	Image   string
	Labels  map[string]string
	Ports   []Port // published ones
}

// Port is a port that a container publishes.
type Port struct {
	Address   string // of the machine; "0.0.0.0" and "::" are all
	Public    int
	Container int
	Protocol  string // tcp or udp
}

const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
	onceLabel    = "com.docker.compose.oneoff" // "True" for those of `compose run`
	folderLabel  = "com.docker.compose.project.working_dir"
	// stacksFolder is where Portainer keeps the compose files of its stacks.
	stacksFolder = "/data/compose/"
)

// Containers lists the containers of a compose project, stopped ones too, through the server; with
// project "", those of all projects in the environment.
func (c *Client) Containers(ctx context.Context, environment int, project string) ([]Container, error) {
	label, op := projectLabel, fmt.Sprintf("listing the containers of environment %d", environment)
	if project != "" {
		label, op = label+"="+project, fmt.Sprintf("listing the containers of %s in environment %d", project, environment)
	}
	filters, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	var rows []containerRow
	err = c.do(ctx, call{
		op: op, method: http.MethodGet, path: environmentPath(environment) + "/docker/containers/json", into: &rows,
		query: url.Values{"all": {"true"}, "filters": {string(filters)}},
	})
	if err != nil {
		return nil, err
	}
	var list []Container
	for _, r := range rows {
		if r.Labels[onceLabel] != "True" {
			list = append(list, r.container())
		}
	}
	slices.SortFunc(list, func(a, b Container) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// containerRow is a container as Docker's list tells of it.
type containerRow struct {
	ID                   string `json:"Id"`
	Names                []string
	State, Status, Image string
	Labels               map[string]string
	Ports                []struct {
		IP                      string
		PublicPort, PrivatePort int
		Type                    string
	}
}

func (r containerRow) container() Container {
	one := Container{
		ID: r.ID, State: r.State, Status: r.Status, Image: r.Image, Labels: r.Labels,
		Project: r.Labels[projectLabel], Service: r.Labels[serviceLabel],
	}
	if len(r.Names) > 0 {
		one.Name = strings.TrimPrefix(r.Names[0], "/")
	}
	// Docker's list tells of the health in the status text only.
	for _, health := range []string{"unhealthy", "healthy", "starting"} {
		if strings.Contains(r.Status, "("+health+")") || strings.Contains(r.Status, "(health: "+health+")") {
			one.Health = health
		}
	}
	for _, p := range r.Ports {
		if p.PublicPort > 0 {
			one.Ports = append(one.Ports, Port{p.IP, p.PublicPort, p.PrivatePort, p.Type})
		}
	}
	return one
}

// Foreign gives those containers that were made by something else than a Portainer's stack: by compose
// on the machine itself. A new stack of their project's name would silently take them over.
func Foreign(containers []Container) []Container {
	return slices.DeleteFunc(slices.Clone(containers), func(c Container) bool {
		folder := c.Labels[folderLabel]
		return folder == "" || strings.HasPrefix(folder+"/", stacksFolder)
	})
}

// removeContainer takes a container away, running or not. One that is gone is no error.
func (c *Client) removeContainer(ctx context.Context, environment int, one Container) error {
	err := c.do(ctx, call{
		op:     fmt.Sprintf("removing the container %s, whose service %s the stack no longer has", one.Name, one.Service),
		method: http.MethodDelete, path: environmentPath(environment) + "/docker/containers/" + one.ID, query: url.Values{"force": {"true"}},
	})
	if IsNotFound(err) {
		return nil
	}
	return err
}
