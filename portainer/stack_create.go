package portainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ForeignProjectError says that compose on the machine itself has made containers under a new stack's
// name. Stack.Adopt takes them over.
type ForeignProjectError struct {
	Project    string
	Containers []Container
}

func (e *ForeignProjectError) Error() string {
	var names []string
	for _, c := range e.Containers {
		names = append(names, c.Name)
	}
	return fmt.Sprintf("the machine runs a compose project %s that Portainer did not make (%s); take it down there, or adopt it", e.Project, strings.Join(names, ", "))
}

// CreateStack deploys a new stack from a compose file's text, or from the repository of s.Git, and
// waits until its containers run. It fails with IsConflict where the environment has a stack of that
// name, and with ForeignProjectError. What a failed deployment leaves behind is the server's matter:
// versions before 2.41 take all of it down, later ones keep a stack that is Broken, to be updated.
func (c *Client) CreateStack(ctx context.Context, s Stack, text string) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	path, body := "string", map[string]any{"Name": s.Name, "Env": env(s.Env)}
	if g := s.Git; g != nil {
		path, text = "repository", ""
		body["RepositoryURL"], body["RepositoryReferenceName"], body["ComposeFile"] = g.URL, g.Reference, g.path()
		body["TLSSkipVerify"] = g.TLSSkipVerify
		authenticate(body, g)
	} else {
		body["StackFileContent"] = text
	}
	if c.options.ReadOnly {
		return fmt.Errorf("deploying the stack %s: %w", s.Name, ErrPlanWrite)
	}
	if !s.Adopt {
		containers, err := c.Containers(ctx, s.Environment, NormalizeName(s.Name))
		if err != nil {
			return &DeployError{Stack: s.Name, Err: err}
		}
		if foreign := Foreign(containers); len(foreign) > 0 {
			return &ForeignProjectError{NormalizeName(s.Name), foreign}
		}
	}
	c.options.Progress("stack "+NormalizeName(s.Name), "deploying")
	var row stackRow
	err := c.do(ctx, call{
		op: "deploying the stack " + s.Name, method: http.MethodPost, path: "/stacks/create/standalone/" + path,
		query: inEnvironment(s), body: body, into: &row, timeout: c.options.DeployTimeout,
	})
	id := row.ID
	if err != nil {
		id = c.created(ctx, s, err)
	}
	if id == 0 {
		return &DeployError{Stack: s.Name, Err: err}
	}
	if err := c.settled(ctx, id, text); err != nil {
		return &DeployError{Stack: s.Name, Err: err}
	}
	return nil
}

// authenticate says how to sign in to a repository. Without it, an update would forget the old way.
func authenticate(body map[string]any, g *GitSource) {
	body["RepositoryAuthentication"] = g.User != "" || g.Password != ""
	body["RepositoryUsername"], body["RepositoryPassword"] = g.User, g.Password
}

// created looks for a stack whose making was answered with err, and gives its id if it is there. After
// a fault that the server itself told of, one look is enough. Where no answer came, it may still be at
// work, and versions before 2.41 save a stack at the end only; but making it again meanwhile could
// make it twice.
func (c *Client) created(ctx context.Context, s Stack, err error) int {
	var unreadable *answerError
	if !MaybeDone(err) && as(err).Status < 500 && !errors.As(err, &unreadable) {
		return 0
	}
	began := time.Now()
	for {
		list, lookErr := patiently(ctx, c, c.Stacks)
		for _, known := range list {
			if known.Environment == s.Environment && strings.EqualFold(known.Name, NormalizeName(s.Name)) {
				return known.ID
			}
		}
		if lookErr != nil || !MaybeDone(err) || time.Since(began) > c.options.Grace {
			return 0
		}
		c.options.Progress("stack "+NormalizeName(s.Name), "no answer came; looking whether it is there")
		if pause(ctx, c.options.Poll) != nil {
			return 0
		}
	}
}
