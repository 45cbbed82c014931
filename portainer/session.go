package portainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"phoenix-run/secret"
)

// Status is what a server tells everyone.
type Status struct {
	Version    string `json:"Version"`
	InstanceID string `json:"InstanceID"`
}

// Status asks whether the server is up.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.do(ctx, request{method: http.MethodGet, path: "/system/status", open: true}, &s)
}

// Wait waits until the server answers. One that has locked itself is an error at once: only a restart
// of its container helps.
func (c *Client) Wait(ctx context.Context) (Status, error) {
	for pause := 20 * time.Millisecond; ; pause = min(pause*2, 2*time.Second) {
		s, err := c.Status(ctx)
		var e *Error
		var cert *CertificateError
		switch {
		case err == nil:
			return s, nil
		case errors.As(err, &e) && e.IsInitTimeout(), errors.As(err, &cert):
			return s, err
		}
		if waitErr := sleep(ctx, pause); waitErr != nil {
			return s, fmt.Errorf("%w (%w)", err, waitErr)
		}
	}
}

// AdminExists reports whether the server has an administrator.
func (c *Client) AdminExists(ctx context.Context) (bool, error) {
	err := c.do(ctx, request{method: http.MethodGet, path: "/users/admin/check", open: true}, nil)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// InitAdmin makes the first administrator, with the name and the password of the options.
func (c *Client) InitAdmin(ctx context.Context) error {
	header := http.Header{}
	if !c.options.SetupToken.IsZero() {
		header.Set("X-Setup-Token", c.options.SetupToken.Reveal())
	}
	err := c.do(ctx, request{method: http.MethodPost, path: "/users/admin/init", open: true, header: header,
		body: map[string]string{"Username": c.options.User, "Password": c.options.Password.Reveal()}}, nil)
	if errors.Is(err, ErrMaybeDone) {
		if done, lookErr := c.AdminExists(ctx); lookErr == nil && done {
			return nil
		}
	}
	return err
}

// signIn gives a token to sign requests with. stale is one that the server has refused.
func (c *Client) signIn(ctx context.Context, stale secret.Value) (secret.Value, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return secret.Value{}, c.refused
	}
	if !c.jwt.IsZero() && c.jwt != stale {
		return c.jwt, nil
	}
	if c.signIns >= 3 { // a server that forgets us again and again is not helped by more
		return secret.Value{}, errors.New("each sign-in to Portainer is void at once: is it restarting again and again?")
	}
	c.signIns++
	var answer struct {
		JWT string `json:"jwt"`
	}
	err := c.send(ctx, request{method: http.MethodPost, path: "/auth",
		body: map[string]string{"Username": c.options.User, "Password": c.options.Password.Reveal()}}, secret.Value{}, &answer)
	var e *Error
	if errors.As(err, &e) {
		err = fmt.Errorf("signing in to Portainer as %s: %w; check portainer_api.user and portainer_api.password", c.options.User, err)
		c.refused = err
	}
	if err != nil {
		return secret.Value{}, err
	}
	c.jwt = secret.New(answer.JWT)
	return c.jwt, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
