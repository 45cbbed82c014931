package pve

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
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"phoenix-run/secret"
)

// transport carries go-proxmox's requests. It signs in, bounds what is under way, refuses writes in
// a plan, and makes an Error of every status that is no success, since go-proxmox takes most of them
// for success.
type transport struct {
	inner    *http.Transport
	options  Options
	base     string
	sent     atomic.Int64
	inFlight chan struct{}

	mu     sync.Mutex
	ticket secret.Value
	csrf   string
	made   time.Time
}

// ticketLife is when a ticket is renewed; Proxmox takes it for two hours.
const ticketLife = 90 * time.Minute

func newTransport(o Options, base string) (*transport, error) {
	config, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	inner := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: o.MaxInFlight,
		IdleConnTimeout:     90 * time.Second,
	}
	return &transport{inner: inner, options: o, base: base, inFlight: make(chan struct{}, o.MaxInFlight)}, nil
}

// CertificateError says which certificate was presented, so that people can compare and pin it.
type CertificateError struct {
	Presented string
	Err       error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("the certificate is not trusted: %v; it has the sha256 fingerprint %s: compare it with the one on the node (pvenode cert info), then set proxmox_api.tls_fingerprint", e.Err, e.Presented)
}
func (e *CertificateError) Unwrap() error { return e.Err }

func tlsConfig(o Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("proxmox_api.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("proxmox_api.ca_file: %s holds no certificate", o.CAFile)
		}
	}
	pinned := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(o.Fingerprint, "sha256:"), ":", ""))
	// The check is done here in both cases, so that a refusal can say what was presented.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		sum := sha256.Sum256(leaf.Raw)
		presented := hex.EncodeToString(sum[:])
		if pinned != "" {
			if presented == pinned {
				return nil
			}
			return &CertificateError{colons(presented), errors.New("it is not the pinned one")}
		}
		intermediates := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: state.ServerName, Roots: config.RootCAs, Intermediates: intermediates})
		if err != nil {
			return &CertificateError{colons(presented), err}
		}
		return nil
	}
	return config, nil
}

func colons(hexText string) string {
	var parts []string
	for i := 0; i+1 < len(hexText); i += 2 {
		parts = append(parts, hexText[i:i+2])
	}
	return strings.ToUpper(strings.Join(parts, ":"))
}

type readOnlyKey struct{}

// declaredRead marks an agent call that changes nothing, for clients that only plan.
func declaredRead(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

// RoundTrip sends one request and gives its answer, or an error.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(req.URL.Path, "/api2/json")
	if t.options.ReadOnly && req.Method != http.MethodGet && req.Context().Value(readOnlyKey{}) == nil {
		return nil, fmt.Errorf("%w (%s %s)", ErrPlanWrite, req.Method, path)
	}
	select {
	case t.inFlight <- struct{}{}:
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	defer func() { <-t.inFlight }()
	resp, err := t.signed(req, path)
	var e *Error
	if t.options.Token.IsZero() && errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		t.mu.Lock()
		t.ticket = secret.Value{} // a node may have forgotten it before its time
		t.mu.Unlock()
		if again, rewindErr := rewind(req); rewindErr == nil {
			return t.signed(again, path)
		}
	}
	return resp, err
}

func rewind(req *http.Request) (*http.Request, error) {
	again := req.Clone(req.Context())
	if req.GetBody == nil {
		if req.Body != nil {
			return nil, errors.New("the body can't be sent twice")
		}
		return again, nil
	}
	var err error
	again.Body, err = req.GetBody()
	return again, err
}

func (t *transport) signed(req *http.Request, path string) (*http.Response, error) {
	req = req.Clone(req.Context())
	if t.options.Token.IsZero() {
		ticket, csrf, err := t.session(req.Context())
		if err != nil {
			return nil, err
		}
		req.Header.Set("Cookie", "PVEAuthCookie="+ticket.Reveal())
		req.Header.Set("CSRFPreventionToken", csrf)
	} else {
		req.Header.Set("Authorization", "PVEAPIToken="+t.options.Token.Reveal())
	}
	return t.send(req, path)
}

func (t *transport) send(req *http.Request, path string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.options.Timeout)
	defer cancel()
	t.sent.Add(1)
	resp, err := t.inner.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, sendError(req, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode >= 400 {
		return nil, refusal(req.Method, path, resp, body)
	}
	if err != nil {
		return nil, sendError(req, path, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// sendError tells a request that was never sent from one that may have been carried out.
func sendError(req *http.Request, path string, err error) error {
	var cert *CertificateError
	var dial *net.OpError
	switch {
	case errors.As(err, &cert):
		return cert
	case req.Context().Err() != nil && req.Method == http.MethodGet:
		return context.Cause(req.Context())
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("can't reach Proxmox at %s: %w", req.URL.Host, err)
	case req.Method == http.MethodGet:
		return fmt.Errorf("no answer from Proxmox (%s %s): %w: %w", req.Method, path, errNoAnswer, err)
	}
	return &maybeDoneError{req.Method, path, err}
}

// refusal reads both places in which Proxmox says what is wrong: the reason phrase has the first line,
// the body, since 8.4, all of it.
func refusal(method, path string, resp *http.Response, body []byte) *Error {
	_, reason, _ := strings.Cut(resp.Status, " ")
	e := &Error{Method: method, Path: path, Status: resp.StatusCode, Message: strings.TrimSpace(reason)}
	var answer struct {
		Message string            `json:"message"`
		Errors  map[string]string `json:"errors"`
	}
	if json.Unmarshal(body, &answer) == nil {
		e.Params = answer.Errors
		if m := strings.TrimSpace(answer.Message); len(m) > len(e.Message) {
			e.Message = m
		}
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	return e
}

// session gives a ticket that is still good, getting a new one where needed: one caller asks, the
// others wait for it.
func (t *transport) session(ctx context.Context) (secret.Value, string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ticket.IsZero() && time.Since(t.made) < ticketLife {
		return t.ticket, t.csrf, nil
	}
	form := url.Values{"username": {t.options.User}, "password": {t.options.Password.Reveal()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+"/access/ticket", strings.NewReader(form.Encode()))
	if err != nil {
		return secret.Value{}, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := t.send(req, "/access/ticket")
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("signing in as %s: %w", t.options.User, err)
	}
	var answer struct {
		Data struct {
			Ticket string `json:"ticket"`
			CSRF   string `json:"CSRFPreventionToken"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return secret.Value{}, "", fmt.Errorf("signing in as %s: %w", t.options.User, err)
	}
	if answer.Data.Ticket == "" {
		return secret.Value{}, "", fmt.Errorf("signing in as %s: no ticket came; a second factor can't be used here, so make an API token", t.options.User)
	}
	t.ticket, t.csrf, t.made = secret.New(answer.Data.Ticket), answer.Data.CSRF, time.Now()
	return t.ticket, t.csrf, nil
}
