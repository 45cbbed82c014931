// Package portainer is the client of Portainer's API, for every version from 2.21 on: it goes by what
// a server does more than by what it calls itself. It knows no Starlark.
package portainer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"phoenix-run/secret"
)

// Options say how to reach a server.
type Options struct {
	URL         string // "https://10.0.0.5:9443"
	User        string
	Password    secret.Value
	SetupToken  secret.Value // what the server was started with; for the first administrator, from 2.43 on
	CAFile      string
	Fingerprint string // sha256 of the server's certificate, in hex
	// ReadOnly refuses everything but reading and signing in, before it leaves the process.
	ReadOnly bool
	// DeployTimeout bounds one deployment; 0: 15 minutes, the server's own limit.
	DeployTimeout time.Duration
}

// Client talks to one server. Its methods may be called from several goroutines.
type Client struct {
	options Options
	base    string
	http    *http.Client
	sent    atomic.Int64

	mu      sync.Mutex
	jwt     secret.Value
	signIns int
	refused error // a sign-in is never tried again: after ten tries a second, Portainer bans the address for an hour
}

// ErrPlanWrite is returned where a client opened for planning is asked to change something.
var ErrPlanWrite = errors.New("a plan may not change anything in Portainer")

// Open makes a client; nothing is sent before the first call.
func Open(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("portainer_api.url: %q is no address of a server", o.URL)
	}
	if o.DeployTimeout <= 0 {
		o.DeployTimeout = 15 * time.Minute
	}
	config, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	return &Client{options: o, base: strings.TrimSuffix(o.URL, "/") + "/api", http: &http.Client{
		// No cookies: with one, Portainer asks for a CSRF token. No redirects: 303 is an answer here.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, MaxIdleConnsPerHost: 8, TLSHandshakeTimeout: 15 * time.Second},
	}}, nil
}

// Close gives idle connections back.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Requests tells how many requests were sent.
func (c *Client) Requests() int64 { return c.sent.Load() }

// URL is the server's address.
func (c *Client) URL() string { return c.options.URL }

// CertificateError says which certificate was presented, so that people can compare and pin it.
type CertificateError struct {
	Presented string
	Err       error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("Portainer's certificate is not trusted: %v; it has the sha256 fingerprint %s: compare it, then set portainer_api.tls_fingerprint", e.Err, e.Presented)
}
func (e *CertificateError) Unwrap() error { return e.Err }

func tlsConfig(o Options) (*tls.Config, error) {
	var roots *x509.CertPool
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("portainer_api.ca_file: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("portainer_api.ca_file: %s holds no certificate", o.CAFile)
		}
	}
	pinned := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(o.Fingerprint, "sha256:"), ":", ""))
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // checked below, so that a refusal can say what was presented
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			sum := sha256.Sum256(leaf.Raw)
			presented := hex.EncodeToString(sum[:])
			if pinned != "" {
				if presented == pinned {
					return nil
				}
				return &CertificateError{presented, errors.New("it is not the pinned one")}
			}
			intermediates := x509.NewCertPool()
			for _, cert := range state.PeerCertificates[1:] {
				intermediates.AddCert(cert)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: state.ServerName, Roots: roots, Intermediates: intermediates}); err != nil {
				return &CertificateError{presented, err}
			}
			return nil
		},
	}, nil
}

// request is one call of the API.
type request struct {
	method, path string
	query        url.Values
	body         any         // sent as JSON
	form         url.Values  // sent instead of body, where the API wants a form
	header       http.Header // more
	open         bool        // needs no sign-in
	timeout      time.Duration
}

// do sends a request, signed in, and decodes the answer into into, if that is given. A 401 is answered
// by one new sign-in: every restart of the server makes the old one void.
func (c *Client) do(ctx context.Context, r request, into any) error {
	if c.options.ReadOnly && r.method != http.MethodGet {
		return fmt.Errorf("%w (%s %s)", ErrPlanWrite, r.method, r.path)
	}
	if r.open {
		return c.send(ctx, r, secret.Value{}, into)
	}
	jwt, err := c.signIn(ctx, secret.Value{})
	if err != nil {
		return err
	}
	err = c.send(ctx, r, jwt, into)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		if jwt, err = c.signIn(ctx, jwt); err != nil {
			return err
		}
		err = c.send(ctx, r, jwt, into)
	}
	return err
}

func (c *Client) send(ctx context.Context, r request, jwt secret.Value, into any) error {
	if r.timeout <= 0 {
		r.timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	address := c.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	contentType, body := "application/json", io.Reader(nil)
	switch {
	case r.form != nil:
		contentType, body = "application/x-www-form-urlencoded", strings.NewReader(r.form.Encode())
	case r.body != nil:
		text, err := json.Marshal(r.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	for k, v := range r.header {
		req.Header[k] = v
	}
	if !jwt.IsZero() {
		req.Header.Set("Authorization", "Bearer "+jwt.Reveal())
	}
	c.sent.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return c.sendError(r, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if resp.StatusCode >= 300 {
		return refusal(r, resp, text)
	}
	if err != nil {
		return c.sendError(r, err)
	}
	if into == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("the answer of Portainer to %s %s can't be read: %w", r.method, r.path, err)
	}
	return nil
}

func (c *Client) sendError(r request, err error) error {
	var cert *CertificateError
	if errors.As(err, &cert) {
		return cert
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if r.method == http.MethodGet {
		return fmt.Errorf("no answer from Portainer at %s (GET %s): %w", c.options.URL, r.path, err)
	}
	return &maybeDoneError{r.method, r.path, err}
}
