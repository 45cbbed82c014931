package portainer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Stack is a compose project that a server deploys.
type Stack struct {
	ID          int
	Name        string // as NormalizeName writes it, when it comes from the server
	Environment int    // the environment's id
	Env         []Variable
	State       StackState
	Message     string // why the last deployment failed, where the server says (from 2.41 on)
	Git         *GitSource
	Updated     int64 // when it was last deployed, in seconds since 1970; 0: never since it was made
	// Adopt lets CreateStack take over containers that compose on the machine itself has made under
	// the same project name.
	Adopt bool
}

// StackState is where a stack's last deployment stands.
type StackState int

// States, as the API numbers them. Before 2.41 the first two are all there are.
const (
	Active    StackState = 1
	Inactive  StackState = 2 // stopped by hand, or by StopStack
	Deploying StackState = 3
	Broken    StackState = 4
)

// String says it for people.
func (s StackState) String() string {
	switch s {
	case Active:
		return "active"
	case Inactive:
		return "stopped"
	case Deploying:
		return "being deployed"
	case Broken:
		return "failed"
	}
	return "state " + strconv.Itoa(int(s))
}

// GitSource is the repository that a stack's compose file comes from.
type GitSource struct {
	URL           string // http:// or https://; servers from 2.43 on tell it without a trailing .git
	Reference     string // in full, such as refs/heads/main; "": the default branch
	Path          string // of the compose file; "": docker-compose.yml
	Commit        string // what is deployed; told by the server
	User          string
	Password      string // never told by the server; "" on an update: the one that it has
	TLSSkipVerify bool
}

// String leaves the password out.
func (g *GitSource) String() string {
	if g == nil {
		return "no repository"
	}
	return strings.TrimSpace(g.URL + " " + g.Reference + " " + g.Path)
}

// GoString leaves the password out, too.
func (g *GitSource) GoString() string { return g.String() }

// same reports whether a stack of the one can become one of the other by an update.
func (g *GitSource) same(other *GitSource) bool {
	plain := func(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "/"), ".git") }
	return plain(g.URL) == plain(other.URL) && g.path() == other.path()
}

func (g *GitSource) path() string {
	if g.Path == "" {
		return "docker-compose.yml"
	}
	return g.Path
}

// stackRow is a stack as the API tells of it.
type stackRow struct {
	ID               int `json:"Id"`
	Name             string
	EndpointID       int `json:"EndpointId"`
	Env              []Variable
	Status           StackState
	UpdateDate       int64
	DeploymentStatus []struct {
		Status  StackState
		Message string
	}
	GitConfig *struct {
		URL            string
		ReferenceName  string
		ConfigFilePath string
		ConfigHash     string
		TLSSkipVerify  bool
	}
}

func (r stackRow) stack() Stack {
	s := Stack{ID: r.ID, Name: r.Name, Environment: r.EndpointID, State: r.Status, Updated: r.UpdateDate}
	for _, v := range r.Env {
		s.Env = append(s.Env, Variable{v.Name, canonical(v.Value)})
	}
	for _, d := range r.DeploymentStatus {
		if d.Status == Broken && d.Message != "" {
			s.Message = d.Message
		}
	}
	if g := r.GitConfig; g != nil {
		s.Git = &GitSource{URL: g.URL, Reference: g.ReferenceName, Path: g.ConfigFilePath, Commit: g.ConfigHash, TLSSkipVerify: g.TLSSkipVerify}
	}
	return s
}

// Stacks lists the stacks of all environments, in one request.
func (c *Client) Stacks(ctx context.Context) ([]Stack, error) {
	var rows []stackRow
	if err := c.do(ctx, call{op: "listing the stacks", method: http.MethodGet, path: "/stacks", into: &rows}); err != nil {
		return nil, err
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
	err := c.do(ctx, call{op: fmt.Sprintf("reading the stack %d", id), method: http.MethodGet, path: stackPath(id), into: &row})
	return row.stack(), err
}

// StackFile reads a stack's compose file.
func (c *Client) StackFile(ctx context.Context, id int) (string, error) {
	var answer struct{ StackFileContent string }
	err := c.do(ctx, call{op: fmt.Sprintf("reading the compose file of stack %d", id), method: http.MethodGet, path: stackPath(id) + "/file", into: &answer})
	return answer.StackFileContent, err
}

// DeleteStack takes a stack down and forgets it; its volumes stay. It may be under deployment. One that
// is gone is no error.
func (c *Client) DeleteStack(ctx context.Context, s Stack) error {
	err := c.do(ctx, call{
		op: "removing the stack " + s.Name, method: http.MethodDelete, path: stackPath(s.ID),
		query: inEnvironment(s), timeout: c.options.DeployTimeout,
	})
	if err == nil || IsNotFound(err) {
		return nil
	}
	if MaybeDone(err) || as(err).Status >= 500 {
		if _, lookErr := c.Stack(ctx, s.ID); IsNotFound(lookErr) {
			return nil
		}
	}
	return err
}

// StopStack stops a stack's containers. One that is stopped is no error.
func (c *Client) StopStack(ctx context.Context, s Stack) error {
	return c.turn(ctx, s, "stop", Inactive)
}

// StartStack starts the containers of a stopped stack. One that is active is no error.
func (c *Client) StartStack(ctx context.Context, s Stack) error {
	return c.turn(ctx, s, "start", Active)
}

func (c *Client) turn(ctx context.Context, s Stack, verb string, want StackState) error {
	now, err := c.Stack(ctx, s.ID)
	if err != nil || now.State == want {
		return err
	}
	err = c.do(ctx, call{
		op: verb + " the stack " + s.Name, method: http.MethodPost, path: stackPath(s.ID) + "/" + verb,
		query: inEnvironment(s), timeout: c.options.DeployTimeout,
	})
	if err != nil && !MaybeDone(err) && as(err).Status < 500 {
		return err
	}
	now, lookErr := c.finished(ctx, s.ID)
	if lookErr == nil && now.State == want {
		return nil
	}
	if err == nil && lookErr == nil {
		err = fmt.Errorf("%s the stack %s: Portainer accepted it, and the stack is %v", verb, s.Name, now.State)
	}
	if err == nil {
		err = lookErr
	}
	return err
}

func stackPath(id int) string { return fmt.Sprintf("/stacks/%d", id) }

// inEnvironment is the parameter without which most requests about a stack fail, or move it.
func inEnvironment(s Stack) url.Values {
	return url.Values{"endpointId": {strconv.Itoa(s.Environment)}}
}

// env gives the variables as the API wants them: all of them each time, or the server forgets them.
func env(list []Variable) []Variable { return append([]Variable{}, list...) }

// SameEnv reports whether two lists of variables mean the same, in whatever order and notation.
func SameEnv(a, b []Variable) bool {
	return slices.Equal(sortedEnv(a), sortedEnv(b))
}

func sortedEnv(list []Variable) []Variable {
	var out []Variable
	for _, v := range list {
		out = slices.DeleteFunc(out, func(o Variable) bool { return o.Name == v.Name }) // the last one counts
		out = append(out, Variable{v.Name, canonical(v.Value)})
	}
	slices.SortFunc(out, func(x, y Variable) int { return strings.Compare(x.Name, y.Name) })
	return out
}
