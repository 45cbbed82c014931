package portainer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"phoenix-run/secret"
)

// Options say how to reach a server and how patient to be.
type Options struct {
	URL      string       // "https://portainer.example:9443", with or without /api
	User     string       // to sign in with, and the first administrator's name; "": "admin"
	Password secret.Value // of that user
	APIKey   secret.Value // instead of user and password, for everything but InitAdmin

	CAFile      string // PEM file of the authority, or of the server's own certificate; or
	Fingerprint string // sha256 of the server's certificate, in hex, with or without colons

	// SetupToken is what servers from 2.43 on want to see before they make the first administrator.
	SetupToken secret.Value
	// ReadOnly refuses everything that could change something, with ErrPlanWrite, before it leaves
	// the process. Signing in is allowed.
	ReadOnly bool
	// DialContext reaches the server, and the agents that AgentPing asks; nil: a plain dialer. It lets
	// a caller go through an SSH tunnel.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	Timeout       time.Duration // of one ordinary request; 0: 30 s
	DeployTimeout time.Duration // of one deployment to its end, pulling images included; 0: 15 minutes
	HealthTimeout time.Duration // for containers to become running and healthy once deployed; 0: 5 minutes
	// Grace is how long a container may be missing, stopped, restarting or unhealthy after a
	// deployment before that counts as a failure, and how long an answer that never came is looked
	// for on the server; 0: 30 s.
	Grace time.Duration
	Poll  time.Duration // between two looks at something that is being waited for; 0: 1 s
	// StartTimeout is how long Wait waits for a server that is starting; 0: 5 minutes.
	StartTimeout time.Duration

	// Progress is told, in a few words, what is being waited for: on is "server", or "stack NAME". It
	// may be called from several goroutines; nil: nobody is told.
	Progress func(on, text string)
	Log      *slog.Logger // gets one debug record per request, without bodies; nil: none
}

// Client talks to one Portainer server. Its methods may be called from several goroutines.
type Client struct {
	options Options
	base    *url.URL // ends in /api
	http    *http.Client
	inner   *http.Transport
	session session
	sent    atomic.Int64
}

// Open makes a client; nothing is sent before the first call. It fails if the address is none, or if
// the CA file can't be read.
func Open(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(strings.TrimSuffix(o.URL, "/"), "/api"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("portainer: %q is no https:// or http:// address", o.URL)
	}
	if base.User != nil {
		return nil, errors.New("portainer: the address may not hold a user or a password; give them apart")
	}
	base = base.JoinPath("api")
	if o.User == "" {
		o.User = "admin"
	}
	o.Timeout = orDefault(o.Timeout, 30*time.Second)
	o.DeployTimeout = orDefault(o.DeployTimeout, 15*time.Minute)
	o.HealthTimeout = orDefault(o.HealthTimeout, 5*time.Minute)
	o.Grace = orDefault(o.Grace, 30*time.Second)
	o.Poll = orDefault(o.Poll, time.Second)
	o.StartTimeout = orDefault(o.StartTimeout, 5*time.Minute)
	if o.Progress == nil {
		o.Progress = func(string, string) {}
	}
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	inner := &http.Transport{
		DialContext:         o.DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     60 * time.Second,
	}
	return &Client{
		options: o,
		base:    base,
		inner:   inner,
		http: &http.Client{
			Transport: inner,
			// A locked server answers 303 without a place to go to; and no answer of this API asks
			// to be looked for elsewhere. There is no cookie jar either: with its cookie, some
			// versions want a CSRF token too.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close gives idle connections back.
func (c *Client) Close() error {
	c.inner.CloseIdleConnections()
	return nil
}

// Requests tells how many requests were sent, signing in and repeated ones included.
func (c *Client) Requests() int64 { return c.sent.Load() }

// URL is the server's address, as it was given.
func (c *Client) URL() string { return c.options.URL }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
