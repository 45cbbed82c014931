package portainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"phoenix-run/secret"
)

// AdminExists reports whether the server has an administrator. IsInitTimeout tells of a server that
// had none for too long.
func (c *Client) AdminExists(ctx context.Context) (bool, error) {
	err := c.do(ctx, call{op: "looking for Portainer's administrator", method: http.MethodGet, path: "/users/admin/check", open: true})
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// InitAdmin makes the first administrator, with the name and the password of the options; one that is
// there is left alone. Servers from 2.43 on want Options.SetupToken (IsSetupToken).
func (c *Client) InitAdmin(ctx context.Context) error {
	// Asked first: with an administrator there, a wrong token is still refused before anything else.
	exists, err := c.AdminExists(ctx)
	if err != nil || exists {
		return err
	}
	if c.options.Password.IsZero() {
		return errors.New("making Portainer's administrator: there is no password")
	}
	err = c.do(ctx, call{
		// The answer holds the password's hash: it is not read.
		op: fmt.Sprintf("making Portainer's administrator %s", c.options.User), method: http.MethodPost, path: "/users/admin/init", open: true,
		body:  map[string]string{"Username": c.options.User, "Password": c.options.Password.Reveal()},
		token: c.options.SetupToken.Reveal(),
	})
	if IsConflict(err) { // another run was quicker
		return nil
	}
	if MaybeDone(err) || as(err).Status >= 500 {
		if exists, lookErr := c.AdminExists(ctx); lookErr == nil && exists {
			return nil
		}
	}
	return err
}

// CreateAPIKey makes an API key of the user of the options. It has no end, and is shown this once.
func (c *Client) CreateAPIKey(ctx context.Context, description string) (secret.Value, error) {
	var me struct{ ID int }
	if err := c.do(ctx, call{op: "asking Portainer who is signed in", method: http.MethodGet, path: "/users/me", into: &me}); err != nil {
		return secret.Value{}, err
	}
	var made struct{ RawAPIKey string }
	err := c.do(ctx, call{
		op: "making an API key", method: http.MethodPost, path: fmt.Sprintf("/users/%d/tokens", me.ID), into: &made,
		body: map[string]string{"description": description, "password": c.options.Password.Reveal()},
	})
	return secret.New(made.RawAPIKey), err
}
