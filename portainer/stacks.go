package portainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Stack is a deployed compose project.
type Stack struct {
	ID          int
	Name        string
	Environment int
	Env         []Variable
	State       StackState
	Message     string // why a deployment failed
	Git         *GitSource
}

// Variable is one variable of a stack, its value as EncodeValue writes it.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// StackState is where a stack's last deployment stands.
type StackState int

// States, as the API numbers them. Before 2.41 the first two are all there are.
const (
	Active    StackState = 1
	Inactive  StackState = 2
	Deploying StackState = 3
	Broken    StackState = 4
)

// GitSource is the repository that a stack's compose file comes from.
type GitSource struct {
	URL       string
	Reference string
	Path      string
	Commit    string
	User      string
	Password  string // never told by the server
}

type stackRow struct {
	ID               int `json:"Id"`
	Name             string
	EndpointID       int `json:"EndpointId"`
	Env              []Variable
	Status           StackState
	DeploymentStatus []struct {
		Status  StackState
		Message string
	}
	GitConfig *struct {
		URL            string
		ReferenceName  string
		ConfigFilePath string
		ConfigHash     string
	}
}

func (r stackRow) stack() Stack {
	s := Stack{ID: r.ID, Name: r.Name, Environment: r.EndpointID, Env: r.Env, State: r.Status}
	for _, d := range r.DeploymentStatus {
		if d.Status == Broken {
			s.Message = d.Message
		}
	}
	if g := r.GitConfig; g != nil {
		s.Git = &GitSource{URL: g.URL, Reference: g.ReferenceName, Path: g.ConfigFilePath, Commit: g.ConfigHash}
	}
	return s
}

// Stacks lists the stacks of all environments, in one request.
func (c *Client) Stacks(ctx context.Context) ([]Stack, error) {
	var rows []stackRow
	if err := c.do(ctx, request{method: http.MethodGet, path: "/stacks"}, &rows); err != nil {
		return nil, fmt.Errorf("listing the stacks: %w", err)
	}
	list := make([]Stack, len(rows))
	for i, r := range rows {
		list[i] = r.stack()
	}
	return list, nil
}

// Stack reads one stack.
func (c *Client) Stack(ctx context.Context, id int) (Stack, error) {
	var row stackRow
	err := c.do(ctx, request{method: http.MethodGet, path: fmt.Sprintf("/stacks/%d", id)}, &row)
	return row.stack(), err
}

// StackFile reads a stack's compose file.
func (c *Client) StackFile(ctx context.Context, id int) (string, error) {
	var answer struct{ StackFileContent string }
	err := c.do(ctx, request{method: http.MethodGet, path: fmt.Sprintf("/stacks/%d/file", id)}, &answer)
	return answer.StackFileContent, err
}

// DeployError is a deployment that failed; Restored tells whether what ran before runs again.
type DeployError struct {
	Stack      string
	Err        error
	Restored   bool
	RestoreErr error
}

func (e *DeployError) Error() string {
	text := fmt.Sprintf("stack %s: %v", e.Stack, e.Err)
	switch {
	case e.RestoreErr != nil:
		text += fmt.Sprintf("\nand what ran before could not be brought back: %v", e.RestoreErr)
	case e.Restored:
		text += "\nwhat ran before was brought back and runs"
	}
	return text
}
func (e *DeployError) Unwrap() []error { return []error{e.Err, e.RestoreErr} }

// CreateStack deploys a new stack from a compose file's text, or from a repository.
func (c *Client) CreateStack(ctx context.Context, s Stack, compose string) error {
	path, body := "string", map[string]any{"Name": s.Name, "Env": env(s.Env)}
	if g := s.Git; g != nil {
		path = "repository"
		body["RepositoryURL"], body["RepositoryReferenceName"], body["ComposeFile"] = g.URL, g.Reference, g.Path
		body["RepositoryAuthentication"] = g.User != ""
		body["RepositoryUsername"], body["RepositoryPassword"] = g.User, g.Password
	} else {
		body["StackFileContent"] = compose
	}
	var row stackRow
	err := c.do(ctx, request{method: http.MethodPost, path: "/stacks/create/standalone/" + path, body: body,
		query: url.Values{"endpointId": {fmt.Sprint(s.Environment)}}, timeout: c.options.DeployTimeout}, &row)
	if errors.Is(err, ErrMaybeDone) {
		found, lookErr := c.find(ctx, s)
		if lookErr != nil {
			return &DeployError{Stack: s.Name, Err: errors.Join(err, lookErr)}
		}
		if found != nil {
			row.ID, err = found.ID, nil
		}
	}
	if err != nil {
		return &DeployError{Stack: s.Name, Err: err}
	}
	if err := c.settle(ctx, row.ID, s); err != nil {
		return &DeployError{Stack: s.Name, Err: err}
	}
	return nil
}

func (c *Client) find(ctx context.Context, s Stack) (*Stack, error) {
	list, err := c.Stacks(ctx)
	if err != nil {
		return nil, err
	}
	for _, known := range list {
		if known.Environment == s.Environment && known.Name == NormalizeName(s.Name) {
			return &known, nil
		}
	}
	return nil, nil
}

// UpdateStack deploys a stack anew with another compose file or other variables. Where that fails and
// the server has taken the old one down, as versions before 2.41 do, the old one is put back.
func (c *Client) UpdateStack(ctx context.Context, s Stack, compose string, old Stack, oldCompose string) error {
	err := c.put(ctx, s, compose)
	if err == nil {
		return nil
	}
	failure := &DeployError{Stack: s.Name, Err: err}
	if ctx.Err() != nil || old.State != Active || IsConflict(err) {
		return failure
	}
	if failure.RestoreErr = c.put(ctx, old, oldCompose); failure.RestoreErr == nil {
		failure.Restored = true
	}
	return failure
}

func (c *Client) put(ctx context.Context, s Stack, compose string) error {
	r := request{method: http.MethodPut, path: fmt.Sprintf("/stacks/%d", s.ID), timeout: c.options.DeployTimeout,
		query: url.Values{"endpointId": {fmt.Sprint(s.Environment)}},
		body:  map[string]any{"StackFileContent": compose, "Env": env(s.Env), "Prune": true}}
	if s.Git != nil {
		r.path += "/git/redeploy"
		r.body = map[string]any{"Env": env(s.Env), "RepositoryReferenceName": s.Git.Reference, "Prune": true,
			"RepositoryAuthentication": s.Git.User != "", "RepositoryUsername": s.Git.User, "RepositoryPassword": s.Git.Password}
	}
	err := c.do(ctx, r, nil)
	for IsConflict(err) { // another deployment of it is under way: wait for that, then ours
		if waitErr := c.settleOnly(ctx, s.ID); waitErr != nil {
			return errors.Join(err, waitErr)
		}
		err = c.do(ctx, r, nil)
	}
	if err != nil && !errors.Is(err, ErrMaybeDone) {
		return err
	}
	return errors.Join(c.settle(ctx, s.ID, s))
}

// env gives the variables as the API wants them: all of them each time, or the server forgets them.
func env(list []Variable) []Variable { return append([]Variable{}, list...) }

// DeleteStack takes a stack down and forgets it; its volumes stay.
func (c *Client) DeleteStack(ctx context.Context, s Stack) error {
	err := c.do(ctx, request{method: http.MethodDelete, path: fmt.Sprintf("/stacks/%d", s.ID), timeout: c.options.DeployTimeout,
		query: url.Values{"endpointId": {fmt.Sprint(s.Environment)}}}, nil)
	if IsNotFound(err) {
		return nil
	}
	return err
}

// settleOnly waits until no deployment of the stack is under way.
func (c *Client) settleOnly(ctx context.Context, id int) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.DeployTimeout)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 2*time.Second) {
		s, err := c.Stack(ctx, id)
		switch {
		case err != nil:
			return err
		case s.State == Broken:
			return fmt.Errorf("the deployment failed: %s", lastLines(s.Message))
		case s.State != Deploying:
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("the deployment does not end: %w", err)
		}
	}
}

// settle waits for a deployment's end, and then looks at the containers themselves.
func (c *Client) settle(ctx context.Context, id int, s Stack) error {
	if err := c.settleOnly(ctx, id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 2*time.Second) {
		containers, err := c.Containers(ctx, s.Environment, NormalizeName(s.Name))
		if err != nil {
			return err
		}
		waiting, bad := Judge(containers)
		if bad == "" && waiting == "" {
			return nil
		}
		if bad != "" && pause > time.Second {
			return fmt.Errorf("it was deployed, but %s", bad)
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("it was deployed, but %s%s", bad, waiting)
		}
	}
}

// Judge tells what is not well with a project's containers: what may still come, and what is wrong.
func Judge(containers []Container) (waiting, bad string) {
	if len(containers) == 0 {
		return "", "it has no container"
	}
	var wait, wrong []string
	for _, c := range containers {
		switch {
		case c.Health == "starting" || c.State == "created":
			wait = append(wait, c.Name+" is starting")
		case c.Health == "unhealthy":
			wrong = append(wrong, c.Name+" is unhealthy")
		case c.State != "running":
			wrong = append(wrong, c.Name+" is "+c.State)
		}
	}
	return strings.Join(wait, ", "), strings.Join(wrong, ", ")
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > shownLines {
		lines = lines[len(lines)-shownLines:]
	}
	return strings.Join(lines, "\n  ")
}
