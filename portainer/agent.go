package portainer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// AgentInfo is what an agent tells everyone.
type AgentInfo struct{ Version string }

// AgentPing asks the agent at an address (port 9001 where it has none) whether it is there. It needs no
// secret and pairs nobody, so it is safe before an environment is made; the server, not this client, is
// who must reach the agent in the end. The request goes through Options.DialContext.
func (c *Client) AgentPing(ctx context.Context, host string) (AgentInfo, error) {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "9001")
	}
	op := "asking the agent at " + host
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, fmt.Errorf("no answer in %v: %w", c.options.Timeout, context.DeadlineExceeded))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/ping", nil)
	if err != nil {
		return AgentInfo{}, fmt.Errorf("%s: %w", op, err)
	}
	transport := &http.Transport{
		DialContext: c.options.DialContext,
		// An agent makes its certificate anew at each start. Nothing is told to it, and nothing that
		// it says is relied on but that it is there.
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}
	c.sent.Add(1)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return AgentInfo{}, fmt.Errorf("%s: %w", op, unreached(ctx, err))
	}
	defer resp.Body.Close()
	version := resp.Header.Get("Portainer-Agent")
	if resp.StatusCode >= 300 || version == "" {
		return AgentInfo{}, errors.New(op + ": something else answers: " + resp.Status)
	}
	return AgentInfo{version}, nil
}
