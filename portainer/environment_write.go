package portainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// environmentTimeoutFactor makes of Options.Timeout what bounds the making of an environment: the server asks the agent and looks at
// everything that its Docker Engine has, before it answers.
const environmentTimeoutFactor = 4

// CreateEnvironment registers an environment and returns its id. An agent's address is given the
// scheme tcp:// and the port 9001 where it has none. After a fault of the server it looks before it
// gives up: some faults leave a saved environment behind, which is then brought to what was wanted.
// IsPaired tells of an agent that refuses the server, IsConflict of a name that is taken.
func (c *Client) CreateEnvironment(ctx context.Context, e Environment) (int, error) {
	op := fmt.Sprintf("registering the environment %s at %s", e.Name, e.URL)
	tags, err := json.Marshal(append([]int{}, e.TagIDs...))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	values := url.Values{
		"Name": {e.Name}, "EndpointCreationType": {strconv.Itoa(int(e.Kind))}, "URL": {address(e)},
		"GroupID": {strconv.Itoa(max(e.GroupID, 1))}, "TagIds": {string(tags)},
	}
	for name, value := range agentTLS(e) {
		values.Set(name, strconv.FormatBool(value))
	}
	var made struct {
		ID int `json:"Id"`
	}
	err = c.do(ctx, call{
		op: op, method: http.MethodPost, path: "/endpoints", into: &made, timeout: environmentTimeoutFactor * c.options.Timeout,
		form: &form{"application/x-www-form-urlencoded", []byte(values.Encode())},
	})
	if err == nil {
		return made.ID, nil
	}
	if !MaybeDone(err) && as(err).Status < 500 {
		return 0, err
	}
	saved, ok, lookErr := c.EnvironmentByName(ctx, e.Name)
	if lookErr != nil {
		return 0, errors.Join(err, lookErr)
	}
	if !ok {
		return 0, err
	}
	if repairErr := c.UpdateEnvironment(ctx, saved.ID, e); repairErr != nil {
		return 0, fmt.Errorf("%w; the server has saved it all the same (id %d), and it could not be repaired: %w", err, saved.ID, repairErr)
	}
	return saved.ID, nil
}

// UpdateEnvironment gives an environment this name, address, group and these tags, and then checks
// that a Docker Engine answers there: the server itself takes any address.
func (c *Client) UpdateEnvironment(ctx context.Context, id int, e Environment) error {
	body := map[string]any{"Name": e.Name, "URL": address(e), "TagIDs": append([]int{}, e.TagIDs...)}
	if e.GroupID > 0 {
		body["GroupID"] = e.GroupID
	}
	for name, value := range agentTLS(e) {
		body[name] = value
	}
	op := fmt.Sprintf("changing the environment %s", e.Name)
	if err := c.do(ctx, call{op: op, method: http.MethodPut, path: environmentPath(id), body: body}); err != nil {
		return err
	}
	if err := c.Ping(ctx, id); err != nil {
		return fmt.Errorf("%s: it is changed, but no Docker Engine answers at %s: %w", op, address(e), err)
	}
	return nil
}

// agentTLS is how a server is told to talk to an agent, whose certificate is its own and made anew at
// each start: encrypted, unchecked. What the two check is the secret. With any other mix of the three,
// the server asks for files.
func agentTLS(e Environment) map[string]bool {
	if e.Kind != DockerAgent {
		return nil
	}
	return map[string]bool{"TLS": true, "TLSSkipVerify": true, "TLSSkipClientVerify": true}
}

// address writes an agent's address as the server wants it. It takes https:// as well, and then can't
// be compared.
func address(e Environment) string {
	if e.Kind != DockerAgent || e.URL == "" {
		return e.URL
	}
	_, rest, found := strings.Cut(e.URL, "://")
	if !found {
		rest = e.URL
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.LastIndex(rest, ":") <= strings.LastIndex(rest, "]") && (strings.HasSuffix(rest, "]") || !strings.Contains(rest, ":")) {
		rest += ":9001"
	}
	return "tcp://" + rest
}
