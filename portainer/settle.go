package portainer

import (
	"context"
	"fmt"
	"time"

	"phoenix-run/portainer/compose"
)

// deploymentError is a deployment that the server has accepted and then failed at.
type deploymentError struct{ message string }

func (e *deploymentError) Error() string {
	return "the deployment failed: " + lastLines(e.message)
}

// containersError says that a deployment came through, and its containers do not run.
type containersError struct{ what string }

func (e *containersError) Error() string { return "it was deployed, but " + e.what }

// patiently reads something that is being waited for, and goes on trying while no answer comes: a
// server that restarts in the midst of a deployment is back in seconds.
func patiently[T any](ctx context.Context, c *Client, read func(context.Context) (T, error)) (T, error) {
	began := time.Now()
	for {
		v, err := read(ctx)
		if err == nil || !isTransient(err) || ctx.Err() != nil || time.Since(began) > c.options.Grace {
			return v, err
		}
		if pause(ctx, c.options.Poll) != nil {
			return v, err
		}
	}
}

// firstLook is how soon something that is being waited for is looked at again; most take little time.
const firstLook = 50 * time.Millisecond

// Finished waits until no deployment of the stack is under way, and gives it as it is then.
func (c *Client) Finished(ctx context.Context, id int) (Stack, error) { return c.finished(ctx, id) }

// finished waits until no deployment of the stack is under way. Versions before 2.41 answer a
// deployment at its end, so that there is nothing to wait for.
func (c *Client) finished(ctx context.Context, id int) (Stack, error) {
	began := time.Now()
	for wait := firstLook; ; wait = min(wait*2, c.options.Poll) {
		s, err := patiently(ctx, c, func(ctx context.Context) (Stack, error) { return c.Stack(ctx, id) })
		if err != nil || s.State != Deploying {
			return s, err
		}
		took := time.Since(began)
		if took > c.options.DeployTimeout {
			return s, fmt.Errorf("the server has been deploying the stack %s for %v; if a restart of the server has cut that off, only removing the stack helps (its volumes stay)", s.Name, c.options.DeployTimeout)
		}
		c.options.Progress("stack "+s.Name, fmt.Sprintf("the server is deploying it (%v)", took.Round(time.Second)))
		if err := pause(ctx, wait); err != nil {
			return s, fmt.Errorf("waiting for the deployment of %s: %w", s.Name, err)
		}
	}
}

// settled waits for a deployment's end and then looks at the containers themselves: it returns nil only
// once they run. text is the compose file, or "" where it comes from a repository. Containers of services
// that a text no longer has are removed: versions before 2.40 don't do it when asked, and 2.27 not even
// with COMPOSE_REMOVE_ORPHANS. Those of a repository are left, since it may have more files than one.
func (c *Client) settled(ctx context.Context, id int, text string) error {
	s, err := c.finished(ctx, id)
	switch {
	case err != nil:
		return err
	case s.State == Broken:
		return &deploymentError{s.Message}
	case s.State == Inactive:
		return &containersError{"the server says that it is stopped"}
	}
	ours := text != ""
	if !ours {
		text, err = patiently(ctx, c, func(ctx context.Context) (string, error) { return c.StackFile(ctx, id) })
		if err != nil {
			return err
		}
	}
	services, err := compose.Services(text)
	if err != nil {
		return err
	}
	containers, err := c.run(ctx, s, services)
	if err != nil {
		return err
	}
	if !ours {
		return nil
	}
	for _, one := range leftOver(containers, services) {
		if err := c.removeContainer(ctx, s.Environment, one); err != nil {
			return err
		}
	}
	return nil
}

// run waits until a project's containers run, twice in a row: one that crashes at its start runs, too,
// for a moment.
func (c *Client) run(ctx context.Context, s Stack, services []compose.Service) ([]Container, error) {
	began := time.Now()
	var badSince time.Time
	good := false
	for wait := firstLook; ; wait = min(wait*2, c.options.Poll) {
		containers, err := patiently(ctx, c, func(ctx context.Context) ([]Container, error) {
			return c.Containers(ctx, s.Environment, s.Name)
		})
		if err != nil {
			return nil, fmt.Errorf("it was deployed, but its containers can't be looked at: %w", err)
		}
		waiting, bad := Judge(containers, services...)
		now := time.Now()
		switch {
		case waiting == "" && bad == "" && good:
			return containers, nil
		case bad == "":
			badSince = time.Time{}
		case badSince.IsZero():
			badSince = now
		case now.Sub(badSince) >= c.options.Grace:
			return nil, &containersError{bad}
		}
		good = waiting == "" && bad == ""
		if now.Sub(began) >= c.options.HealthTimeout {
			return nil, &containersError{fmt.Sprintf("after %v %s", c.options.HealthTimeout, bad+waiting)}
		}
		if !good {
			c.options.Progress("stack "+s.Name, "waiting for its containers: "+bad+waiting)
		}
		if good {
			wait = c.options.Poll / 2 // long enough for one that crashes at its start
		}
		if err := pause(ctx, wait); err != nil {
			return nil, fmt.Errorf("waiting for the containers of %s: %w", s.Name, err)
		}
	}
}
