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
	inFlight *slots // by node

	mu     sync.Mutex
	ticket secret.Value
	csrf   string
	made   time.Time
}

// ticketPatience is how long a fresh ticket may be refused: the nodes may have to agree on a new key first.
const ticketPatience = 10 * time.Second

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
		MaxIdleConnsPerHost: 4 * o.MaxInFlight,
		IdleConnTimeout:     90 * time.Second,
	}
	return &transport{inner: inner, options: o, base: base, inFlight: newSlots(o.MaxInFlight)}, nil
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
	release, err := t.inFlight.take(req.Context(), nodeOf(path))
	if err != nil {
		return nil, err
	}
	defer release()
	deadline := time.Now().Add(ticketPatience)
	for pause := time.Duration(0); ; pause = min(2*pause+50*time.Millisecond, time.Second) {
		resp, ticket, err := t.signed(req, path)
		var e *Error
		if err == nil || ticket.IsZero() || time.Now().After(deadline) || !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
			return resp, err
		}
		if sleepErr := sleep(req.Context(), jitter(pause)); sleepErr != nil {
			return nil, errors.Join(err, sleepErr)
		}
		t.forget(ticket) // a node may have forgotten it before its time
		if req, err = rewind(req); err != nil {
			return nil, errors.Join(e, err)
		}
	}
}

// nodeOf gives the node that a path is about; "" for the cluster.
func nodeOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/nodes/")
	if !ok {
		return ""
	}
	node, _, _ := strings.Cut(rest, "/")
	return node
}

// forget drops a ticket that was refused, unless someone has got a new one meanwhile.
func (t *transport) forget(ticket secret.Value) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ticket.Reveal() == ticket.Reveal() {
		t.ticket = secret.Value{}
	}
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

// signed sends a request as the configured user, and tells which ticket it used, if one.
func (t *transport) signed(req *http.Request, path string) (*http.Response, secret.Value, error) {
	req = req.Clone(req.Context())
	var ticket secret.Value
	if t.options.Token.IsZero() {
		var csrf string
		var err error
		if ticket, csrf, err = t.session(req.Context()); err != nil {
			return nil, secret.Value{}, err
		}
		req.Header.Set("Cookie", "PVEAuthCookie="+ticket.Reveal())
		req.Header.Set("CSRFPreventionToken", csrf)
	} else {
		req.Header.Set("Authorization", "PVEAPIToken="+t.options.Token.Reveal())
	}
	resp, err := t.send(req, path)
	return resp, ticket, err
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
	resp, err := t.signIn(ctx)
	if err != nil {
		return secret.Value{}, "", &signInError{t.options.User, err}
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

// signInError is a failed sign-in. It does not pass on ErrMaybeDone: the request that the sign-in
// was for has not been sent.
type signInError struct {
	user string
	err  error
}

func (e *signInError) Error() string { return fmt.Sprintf("signing in as %s: %v", e.user, e.err) }

func (e *signInError) Unwrap() error {
	if errors.Is(e.err, ErrMaybeDone) {
		return nil
	}
	return e.err
}

// signIn asks for a ticket, again where the way falters: one ticket more harms nobody.
func (t *transport) signIn(ctx context.Context) (*http.Response, error) {
	form := url.Values{"username": {t.options.User}, "password": {t.options.Password.Reveal()}}
	deadline := time.Now().Add(readPatience)
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 5*time.Second) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+"/access/ticket", strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := t.send(req, "/access/ticket")
		if err == nil || !isTransient(err) && !errors.Is(err, ErrMaybeDone) || time.Now().After(deadline) {
			return resp, err
		}
		if sleepErr := sleep(ctx, jitter(pause)); sleepErr != nil {
			return nil, err
		}
	}
}
