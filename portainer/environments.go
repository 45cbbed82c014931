package portainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
)

// Kind is how an environment is reached.
type Kind int

// Kinds, as the API numbers them when one is made.
const (
	LocalDocker Kind = 1 // the server's own Docker, through its socket
	DockerAgent Kind = 2
)

// Environment is a Docker Engine that the server works on.
type Environment struct {
	ID     int
	Name   string
	URL    string
	Kind   Kind
	Up     bool
	TagIDs []int
}

// Environments lists all environments, in one request.
func (c *Client) Environments(ctx context.Context) ([]Environment, error) {
	var rows []struct {
		ID     int `json:"Id"`
		Name   string
		URL    string
		Type   int
		Status int
		TagIds []int
	}
	if err := c.do(ctx, request{method: http.MethodGet, path: "/endpoints",
		query: url.Values{"excludeSnapshots": {"true"}, "limit": {"1000"}, "start": {"1"}}}, &rows); err != nil {
		return nil, fmt.Errorf("listing the environments: %w", err)
	}
	list := make([]Environment, len(rows))
	for i, r := range rows {
		slices.Sort(r.TagIds)
		list[i] = Environment{r.ID, r.Name, r.URL, Kind(r.Type), r.Status == 1, r.TagIds}
	}
	return list, nil
}

// CreateEnvironment registers an environment. After an error of the server it looks first: a wrong tag
// leaves a saved environment behind.
func (c *Client) CreateEnvironment(ctx context.Context, e Environment) (int, error) {
	tags, err := json.Marshal(append([]int{}, e.TagIDs...))
	if err != nil {
		return 0, err
	}
	form := url.Values{"Name": {e.Name}, "EndpointCreationType": {fmt.Sprint(int(e.Kind))}, "URL": {e.URL},
		"GroupID": {"1"}, "TagIds": {string(tags)}}
	if e.Kind == DockerAgent { // an agent's certificate is its own, made anew at each start; the secret is what is checked
		for _, flag := range []string{"TLS", "TLSSkipVerify", "TLSSkipClientVerify"} {
			form.Set(flag, "true")
		}
	}
	var made struct {
		ID int `json:"Id"`
	}
	err = c.do(ctx, request{method: http.MethodPost, path: "/endpoints", form: form, timeout: c.options.DeployTimeout}, &made)
	if err == nil {
		return made.ID, nil
	}
	var refused *Error
	if errors.Is(err, ErrMaybeDone) || errors.As(err, &refused) && refused.Status >= 500 {
		list, listErr := c.Environments(ctx)
		for _, known := range list {
			if known.Name == e.Name {
				return known.ID, c.UpdateEnvironment(ctx, known.ID, e)
			}
		}
		err = errors.Join(err, listErr)
	}
	if IsPaired(err) {
		return 0, fmt.Errorf("environment %s: %w; the agent belongs to another server or has another secret: check portainer.agent_secret, then restart the container portainer_agent", e.Name, err)
	}
	return 0, fmt.Errorf("environment %s at %s: %w", e.Name, e.URL, err)
}

// UpdateEnvironment changes name, address and tags, and checks that something answers there: the
// server itself takes any address.
func (c *Client) UpdateEnvironment(ctx context.Context, id int, e Environment) error {
	body := map[string]any{"Name": e.Name, "URL": e.URL, "TagIDs": append([]int{}, e.TagIDs...)}
	if e.Kind == DockerAgent {
		body["TLS"], body["TLSSkipVerify"], body["TLSSkipClientVerify"] = true, true, true
	}
	if err := c.do(ctx, request{method: http.MethodPut, path: fmt.Sprintf("/endpoints/%d", id), body: body}, nil); err != nil {
		return fmt.Errorf("environment %s: %w", e.Name, err)
	}
	if err := c.do(ctx, request{method: http.MethodGet, path: fmt.Sprintf("/endpoints/%d/docker/version", id)}, nil); err != nil {
		return fmt.Errorf("environment %s: Docker does not answer through %s: %w", e.Name, e.URL, err)
	}
	return nil
}

// DeleteEnvironment forgets an environment; its containers go on running.
func (c *Client) DeleteEnvironment(ctx context.Context, id int) error {
	err := c.do(ctx, request{method: http.MethodDelete, path: fmt.Sprintf("/endpoints/%d", id)}, nil)
	if IsNotFound(err) {
		return nil
	}
	return err
}

// Tags gives the ids of tags by name.
func (c *Client) Tags(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		ID   int
		Name string
	}
	if err := c.do(ctx, request{method: http.MethodGet, path: "/tags"}, &rows); err != nil {
		return nil, fmt.Errorf("listing the tags: %w", err)
	}
	tags := map[string]int{}
	for _, r := range rows {
		tags[r.Name] = r.ID
	}
	return tags, nil
}

// EnsureTags gives the ids of the named tags, making those that are missing.
func (c *Client) EnsureTags(ctx context.Context, names []string) ([]int, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known, err := c.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, name := range names {
		id, ok := known[name]
		if !ok {
			var made struct{ ID int }
			err := c.do(ctx, request{method: http.MethodPost, path: "/tags", body: map[string]string{"Name": name}}, &made)
			if IsConflict(err) || errors.Is(err, ErrMaybeDone) { // someone else has just made it, or we have
				if known, err = c.Tags(ctx); err == nil {
					made.ID = known[name]
				}
			}
			if err != nil {
				return nil, fmt.Errorf("tag %s: %w", name, err)
			}
			id = made.ID
		}
		ids = append(ids, id)
	}
	sort.Ints(ids)
	return ids, nil
}

// Container is one container of a compose project.
type Container struct {
	Name    string
	Service string
	State   string // running, exited, restarting, …
	Health  string // healthy, unhealthy, starting; "" without a health check
	Image   string
}

// Containers lists a compose project's containers, through the server.
func (c *Client) Containers(ctx context.Context, environment int, project string) ([]Container, error) {
	filters, err := json.Marshal(map[string][]string{"label": {"com.docker.compose.project=" + project}})
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Names  []string
		State  string
		Status string
		Image  string
		Labels map[string]string
	}
	if err := c.do(ctx, request{method: http.MethodGet, path: fmt.Sprintf("/endpoints/%d/docker/containers/json", environment),
		query: url.Values{"all": {"1"}, "filters": {string(filters)}}}, &rows); err != nil {
		return nil, fmt.Errorf("listing the containers of %s: %w", project, err)
	}
	var list []Container
	for _, r := range rows {
		one := Container{State: r.State, Image: r.Image, Service: r.Labels["com.docker.compose.service"]}
		if len(r.Names) > 0 {
			one.Name = strings.TrimPrefix(r.Names[0], "/")
		}
		for _, health := range []string{"unhealthy", "healthy", "starting"} {
			if strings.Contains(r.Status, "("+health+")") || strings.Contains(r.Status, "health: "+health) {
				one.Health = health
				break
			}
		}
		list = append(list, one)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}
