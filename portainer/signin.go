package portainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/sync/singleflight"

	"phoenix-run/secret"
)

// credential is what a request is signed with.
type credential struct {
	header string
	value  secret.Value
	number int // how many sign-ins there were, this one included
}

func (c credential) sign(h http.Header) {
	switch c.header {
	case "":
	case "Authorization":
		h.Set(c.header, "Bearer "+c.value.Reveal())
	default:
		h.Set(c.header, c.value.Reveal())
	}
}

// session holds the one sign-in that all requests share.
type session struct {
	flight singleflight.Group
	mu     sync.Mutex
	now    credential
	failed error // why signing in is not tried again
}

// maxSignIns bounds the sign-ins of one client. Each one after the first follows a session that the
// server has forgotten; servers ban an address for an hour after more than ten in a second.
const maxSignIns = 5

// SignIn signs in now, if that has not been done yet. Calls that need it do it themselves. One
// sign-in serves the whole client; it is never retried, since Portainer answers too many of them with
// a ban: a refusal is remembered and given to all later calls. With an API key there is nothing to do.
func (c *Client) SignIn(ctx context.Context) error {
	_, err := c.credential(ctx, credential{})
	return err
}

// credential gives what to sign a request with, signing in if there is nothing yet, or only what the
// server has refused.
func (c *Client) credential(ctx context.Context, refused credential) (credential, error) {
	if !c.options.APIKey.IsZero() {
		return credential{header: "X-API-KEY", value: c.options.APIKey}, nil
	}
	if now, ok := c.current(refused); ok {
		return now, nil
	}
	// The one who signs in does so for all, so it does not end with whoever came first.
	result := c.session.flight.DoChan("", func() (any, error) {
		if now, ok := c.current(refused); ok {
			return now, nil
		}
		return c.signIn(context.WithoutCancel(ctx))
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return credential{}, r.Err
		}
		return r.Val.(credential), nil
	case <-ctx.Done():
		return credential{}, fmt.Errorf("signing in to Portainer: %w", context.Cause(ctx))
	}
}

// current returns the session, unless there is none or it is the refused one.
func (c *Client) current(refused credential) (credential, bool) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.now, c.session.now.number > refused.number
}

func (c *Client) signIn(ctx context.Context) (credential, error) {
	s := &c.session
	s.mu.Lock()
	number, failed := s.now.number+1, s.failed
	s.mu.Unlock()
	op := fmt.Sprintf("signing in to Portainer as %s", c.options.User)
	switch {
	case failed != nil:
		return credential{}, failed
	case c.options.Password.IsZero():
		return credential{}, errors.New(op + ": there is no password and no API key")
	case number > maxSignIns:
		return credential{}, fmt.Errorf("%s: done %d times, and the server has forgotten every session; not tried again, since it would ban this address", op, maxSignIns)
	}
	var result struct{ JWT string }
	err := c.do(ctx, call{
		op: op, method: http.MethodPost, path: "/auth", signIn: true, into: &result,
		body: map[string]string{"Username": c.options.User, "Password": c.options.Password.Reveal()},
	})
	if err == nil && result.JWT == "" {
		err = fmt.Errorf("%s: the answer holds no token", op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// What the server has refused once it refuses again. Where nothing or a gateway answered, the
		// next call may try, and counts as one of the few.
		if e := as(err); e.Status >= 400 && e.Status < 500 {
			s.failed = err
		} else {
			s.now = credential{number: number}
		}
		return credential{}, err
	}
	s.now = credential{header: "Authorization", value: secret.New(result.JWT), number: number}
	return s.now, nil
}
