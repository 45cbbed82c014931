// Package pve is the Proxmox VE client: go-proxmox for the wire, behind a transport that turns every
// refusal into a typed error with Proxmox's own words, keeps a plan from writing, and never sends
// again what may have been done. It knows no Starlark.
package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	proxmox "github.com/luthermonson/go-proxmox"

	"phoenix-run/secret"
)

// Options say how to reach the API.
type Options struct {
	URL         string       // "https://pve.example:8006", with or without /api2/json
	Token       secret.Value // "user@realm!name=secret"; or
	User        string       // "root@pam", and
	Password    secret.Value
	CAFile      string // PEM file of the authority that signed the certificate; or
	Fingerprint string // sha256 of the certificate, in hex, with or without colons
	// ReadOnly refuses everything that could change something before it leaves the process.
	ReadOnly bool
	// MaxInFlight bounds the requests under way at once on each node, and on the cluster; 0: 8.
	MaxInFlight int
	// ClonesPerStorage bounds the clones under way at once on one storage; 0: 4.
	ClonesPerStorage int
	// Timeout bounds one request; 0: 60 s. Proxmox itself gives up after 30 s.
	Timeout time.Duration
	// LockWait bounds how long a locked thing is waited for; 0: 2 minutes.
	LockWait time.Duration
}

// Client talks to one Proxmox cluster. Its methods may be called from several goroutines.
type Client struct {
	api       *proxmox.Client
	transport *transport
	options   Options
	agents    keyed[string] // one agent call at a time per VM
	clones    *slots
}

// Open makes a client; nothing is sent before the first call.
func Open(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("proxmox_api.url: %q is no https:// address", o.URL)
	}
	if o.Token.IsZero() == (o.User == "") {
		return nil, errors.New("proxmox_api: give a token, or a user and a password")
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 8
	}
	if o.ClonesPerStorage <= 0 {
		o.ClonesPerStorage = 4
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.LockWait <= 0 {
		o.LockWait = 2 * time.Minute
	}
	base := strings.TrimSuffix(strings.TrimSuffix(o.URL, "/"), "/api2/json") + "/api2/json"
	t, err := newTransport(o, base)
	if err != nil {
		return nil, err
	}
	api := proxmox.NewClient(base, proxmox.WithHTTPClient(&http.Client{Transport: t}))
	return &Client{api: api, transport: t, options: o, clones: newSlots(o.ClonesPerStorage)}, nil
}

// Close gives idle connections back.
func (c *Client) Close() error {
	c.transport.inner.CloseIdleConnections()
	return nil
}

// Requests tells how many requests were sent.
func (c *Client) Requests() int64 { return c.transport.sent.Load() }

// readPatience bounds how long a read is asked again where a node or the way to it falters.
const readPatience = 30 * time.Second

// get reads, and asks again where a node or the way to it falters: that harms nothing.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	deadline := time.Now().Add(min(readPatience, c.options.LockWait))
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 5*time.Second) {
		err := c.getOnce(ctx, path, query, into)
		if err == nil || !isTransient(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if sleepErr := sleep(ctx, jitter(pause)); sleepErr != nil {
			return err
		}
	}
}

// getOnce reads what may be read only once, or by those who ask again themselves.
func (c *Client) getOnce(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return unwrap(c.api.Get(ctx, path, into))
}

func (c *Client) post(ctx context.Context, path string, params map[string]any, into any) error {
	if params == nil {
		params = map[string]any{}
	}
	return unwrap(c.api.Post(ctx, path, params, into))
}

func (c *Client) put(ctx context.Context, path string, params map[string]any, into any) error {
	return unwrap(c.api.Put(ctx, path, params, into))
}

func (c *Client) delete(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return unwrap(c.api.Delete(ctx, path, into))
}

// unwrap leaves out net/http's own wrapping, which repeats method and address.
func unwrap(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// number reads a JSON value that Proxmox gives as a number or as text.
type number int64

func (n *number) UnmarshalJSON(text []byte) error {
	s := strings.Trim(string(text), `"`)
	if s == "" || s == "null" {
		return nil
	}
	f, err := json.Number(s).Float64()
	if err != nil {
		return fmt.Errorf("%s is no number", text)
	}
	*n = number(f)
	return nil
}
