package portainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Status is what a server tells everyone.
type Status struct {
	Version    string // "2.45.0"
	InstanceID string // another one for each data volume
}

// Status asks whether the server is up, and for its version. It is not signed in for.
func (c *Client) Status(ctx context.Context) (Status, error) {
	// Not /status: that one says 200 from a server that has locked itself, too.
	q := call{op: "asking Portainer for its status", method: http.MethodGet, path: "/system/status", open: true, once: true}
	var s Status
	q.into = &s
	if err := c.do(ctx, q); err != nil {
		return Status{}, err
	}
	if s.Version == "" {
		return Status{}, &answerError{q.op, c.base.Path + q.path, errors.New("it holds no version")}
	}
	return s, nil
}

// Wait waits until the server answers, for at most Options.StartTimeout. What waiting can't change is
// an error at once: a server that has locked itself (IsInitTimeout), a certificate that is not trusted,
// http:// where the server wants https://, and something that is no Portainer.
func (c *Client) Wait(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.StartTimeout, fmt.Errorf("it did not come up in %v", c.options.StartTimeout))
	defer cancel()
	for {
		s, err := c.Status(ctx)
		if err == nil || hopeless(err) {
			return s, err
		}
		c.options.Progress("server", "waiting for it to answer: "+err.Error())
		if ended := pause(ctx, min(c.options.Poll, c.options.StartTimeout/10)); ended != nil {
			return Status{}, fmt.Errorf("waiting for Portainer at %s: %w; the last try: %w", c.options.URL, ended, err)
		}
	}
}

// hopeless reports whether a server that answers so will not come up by waiting.
func hopeless(err error) bool {
	var certificate *CertificateError
	var other *answerError
	if errors.As(err, &certificate) || errors.As(err, &other) {
		return true
	}
	e := as(err)
	return e.Status >= 300 && e.Status < 500 && e.Status != http.StatusNotFound && e.Status != http.StatusTooManyRequests
}

// Backup writes the server's whole database and settings, a tar.gz, to w. It holds secrets: the
// password, where one is given, encrypts it.
func (c *Client) Backup(ctx context.Context, w io.Writer, password string) error {
	return c.do(ctx, call{
		op: "backing Portainer up", method: http.MethodPost, path: "/backup", stream: w,
		body: map[string]string{"password": password}, timeout: c.options.DeployTimeout,
	})
}
