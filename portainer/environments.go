package portainer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Kind is how an environment is reached.
type Kind int

// Kinds, as the API numbers them.
const (
	LocalDocker Kind = 1 // the server's own Docker, through its socket
	DockerAgent Kind = 2
)

// Environment is a Docker Engine that the server works on; the API calls it endpoint.
type Environment struct {
	ID           int
	Name         string
	URL          string // tcp://ADDRESS:9001 of an agent
	Kind         Kind
	Up           bool // as the server saw it at its last look, up to 5 minutes ago
	GroupID      int  // 0: leave it as it is, or the first group
	TagIDs       []int
	AgentVersion string // "" where the server does not say
}

// pageSize is how many environments one request asks for.
const pageSize = 1000

// Environments lists all environments: in one request, up to a thousand of them.
func (c *Client) Environments(ctx context.Context) ([]Environment, error) {
	var all []Environment
	for {
		var header http.Header
		// Before 2.41 empty fields are there, later they are left out.
		var rows []struct {
			ID      int `json:"Id"`
			Name    string
			URL     string
			Type    Kind
			Status  int
			GroupID int   `json:"GroupId"`
			TagIDs  []int `json:"TagIds"`
			Agent   struct{ Version string }
		}
		err := c.do(ctx, call{
			op: "listing the environments", method: http.MethodGet, path: "/endpoints", into: &rows, header: &header,
			// Snapshots would make this many megabytes; start counts from 1.
			query: url.Values{"excludeSnapshots": {"true"}, "start": {strconv.Itoa(len(all) + 1)}, "limit": {strconv.Itoa(pageSize)}},
		})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			slices.Sort(r.TagIDs)
			all = append(all, Environment{r.ID, r.Name, r.URL, r.Type, r.Status == 1, r.GroupID, r.TagIDs, r.Agent.Version})
		}
		total, err := strconv.Atoi(header.Get("X-Total-Count"))
		if err != nil || len(rows) == 0 || len(all) >= total {
			return all, nil // where no total is told, a page is all there is
		}
	}
}

// EnvironmentByName gives the environment of that name, whose case counts; false if there is none.
func (c *Client) EnvironmentByName(ctx context.Context, name string) (Environment, bool, error) {
	list, err := c.Environments(ctx)
	if err != nil {
		return Environment{}, false, err
	}
	i := slices.IndexFunc(list, func(e Environment) bool { return e.Name == name })
	if i < 0 {
		return Environment{}, false, nil
	}
	return list[i], true, nil
}

// DeleteEnvironment forgets an environment; its containers go on running, and its stacks stay with
// the server as orphans. One that is gone is no error.
func (c *Client) DeleteEnvironment(ctx context.Context, id int) error {
	err := c.do(ctx, call{op: fmt.Sprintf("removing the environment %d", id), method: http.MethodDelete, path: environmentPath(id)})
	if IsNotFound(err) {
		return nil
	}
	return err
}

// Ping asks the Docker Engine of an environment whether it is there, through server and agent.
func (c *Client) Ping(ctx context.Context, id int) error {
	var text string
	return c.do(ctx, call{
		op:     fmt.Sprintf("reaching Docker through the environment %d", id),
		method: http.MethodGet, path: environmentPath(id) + "/docker/_ping", into: &text, once: true,
	})
}

func environmentPath(id int) string { return fmt.Sprintf("/endpoints/%d", id) }
