package compose

import (
	"context"
	"fmt"
	"io"
	"strings"

	"phoenix-run/lab/docker/api"
)

// DownOptions are the flags of docker compose down.
type DownOptions struct {
	Volumes bool // the project's named volumes too
}

// Down stops and removes what carries the project's label: containers and networks, and volumes when
// asked. A project that isn't there is no error.
func Down(ctx context.Context, c *api.Client, project string, o DownOptions, progress io.Writer) error {
	label := api.Filters{"label": {labelProject + "=" + project}}
	containers, err := c.Containers(ctx, true, label)
	if err != nil {
		return err
	}
	for _, s := range containers {
		name := strings.TrimPrefix(s.Names[0], "/")
		if err := c.Stop(ctx, s.ID); err != nil && !api.NotFound(err) {
			return err
		}
		if err := c.Remove(ctx, s.ID, true, false); err != nil && !api.NotFound(err) {
			return err
		}
		fmt.Fprintf(progress, " Container %s  Removed\n", name) //nolint:errcheck // progress is best effort
	}
	if o.Volumes {
		volumes, err := c.Volumes(ctx, label)
		if err != nil {
			return err
		}
		for _, v := range volumes.Volumes {
			if err := c.RemoveVolume(ctx, v.Name); err != nil && !api.NotFound(err) {
				return err
			}
			fmt.Fprintf(progress, " Volume %s  Removed\n", v.Name) //nolint:errcheck // as above
		}
	}
	networks, err := c.Networks(ctx, label)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if err := c.RemoveNetwork(ctx, n.ID); err != nil && !api.NotFound(err) {
			return err
		}
		fmt.Fprintf(progress, " Network %s  Removed\n", n.Name) //nolint:errcheck // as above
	}
	return nil
}

// Stop stops a project's containers and keeps them.
func Stop(ctx context.Context, c *api.Client, project string) error {
	return each(ctx, c, project, false, c.Stop)
}

// Start starts a project's containers that are there.
func Start(ctx context.Context, c *api.Client, project string) error {
	return each(ctx, c, project, true, c.Start)
}

func each(ctx context.Context, c *api.Client, project string, all bool, act func(context.Context, string) error) error {
	list, err := c.Containers(ctx, all, api.Filters{"label": {labelProject + "=" + project}})
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := act(ctx, s.ID); err != nil {
			return err
		}
	}
	return nil
}
