package portainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one request to the API.
type call struct {
	op      string // what it does, for people
	method  string
	path    string // below /api
	query   url.Values
	body    any           // sent as JSON
	form    *form         // sent instead of body
	into    any           // gets the answer's JSON
	stream  io.Writer     // gets the answer's body, instead of into
	header  *http.Header  // gets the answer's header
	open    bool          // needs no sign-in
	signIn  bool          // is the sign-in
	token   string        // setup token
	timeout time.Duration // 0: Options.Timeout
	once    bool          // a read that is not repeated: its failure says something
}

// form is a body that is no JSON.
type form struct {
	contentType string
	text        []byte
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// readTries is how often a read is sent when no answer comes, or only a gateway's.
const readTries = 3

// do sends a call, signed in, and reads its answer. Reads are repeated where no answer came; anything
// else is sent once, or twice when the first time met a session that the server has forgotten.
func (c *Client) do(ctx context.Context, q call) error {
	read := q.method == http.MethodGet || q.method == http.MethodHead
	if c.options.ReadOnly && !read && !q.signIn {
		return fmt.Errorf("%s: %w (%s /api%s)", q.op, ErrPlanWrite, q.method, q.path)
	}
	for try := 1; ; try++ {
		err := c.signed(ctx, q)
		if err == nil || !read || q.once || try == readTries || ctx.Err() != nil || !isTransient(err) {
			return err
		}
		if pause(ctx, c.options.Poll*time.Duration(try)) != nil {
			return err
		}
	}
}

// isTransient reports whether a read may get an answer if it is sent again.
func isTransient(err error) bool {
	if e := as(err); e.Status != 0 {
		return isGateway(e.Status)
	}
	var certificate *CertificateError
	var syntax *answerError
	return !errors.As(err, &certificate) && !errors.As(err, &syntax) && !errors.Is(err, context.DeadlineExceeded)
}

// signed sends a call once with the session, and again with a new one if the server has forgotten it:
// a restart makes it forget all of them.
func (c *Client) signed(ctx context.Context, q call) error {
	if q.open || q.signIn {
		return c.send(ctx, q, credential{})
	}
	cred, err := c.credential(ctx, credential{})
	if err != nil {
		return err
	}
	err = c.send(ctx, q, cred)
	if as(err).Status != http.StatusUnauthorized || !c.options.APIKey.IsZero() {
		return err
	}
	again, signErr := c.credential(ctx, cred)
	if signErr != nil {
		return signErr
	}
	return c.send(ctx, q, again)
}

// send sends a call once.
func (c *Client) send(ctx context.Context, q call, cred credential) error {
	timeout := q.timeout
	if timeout == 0 {
		timeout = c.options.Timeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer in %v: %w", timeout, context.DeadlineExceeded))
	defer cancel()
	req, sent, err := c.request(ctx, q, cred)
	if err != nil {
		return err
	}
	began := time.Now()
	c.sent.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		err = unreached(ctx, err)
		c.options.Log.Debug("portainer", "method", q.method, "path", req.URL.Path, "took", time.Since(began), "error", err.Error())
		if *sent && q.method != http.MethodGet && q.method != http.MethodHead {
			return &maybeDoneError{q.op, err}
		}
		return fmt.Errorf("%s: %w", q.op, err)
	}
	defer resp.Body.Close()
	c.options.Log.Debug("portainer", "method", q.method, "path", req.URL.Path, "status", resp.StatusCode, "took", time.Since(began))
	return answer(ctx, q, req.URL.Path, resp)
}

// request makes the HTTP request of a call. The flag that it returns becomes true once something of
// it may have reached the server.
func (c *Client) request(ctx context.Context, q call, cred credential) (*http.Request, *bool, error) {
	u := c.base.JoinPath(q.path)
	u.RawQuery = q.query.Encode()
	var body io.Reader
	contentType := "application/json" // on reads too: with anything else, some versions read no body
	switch {
	case q.form != nil:
		body, contentType = bytes.NewReader(q.form.text), q.form.contentType
	case q.body != nil:
		text, err := json.Marshal(q.body)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", q.op, err)
		}
		body = bytes.NewReader(text)
	}
	connected := new(bool)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { *connected = true }})
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", q.op, err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	cred.sign(req.Header)
	if q.token != "" {
		req.Header.Set("X-Setup-Token", q.token)
	}
	return req, connected, nil
}

// unreached leaves out net/http's own wrapping, which repeats method and address, and tells of the
// deadline that ended the request.
func unreached(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// answerError says that something answered with success, but not as Portainer does.
type answerError struct {
	op, path string
	err      error
}

func (e *answerError) Error() string {
	return fmt.Sprintf("%s: the answer of %s is not Portainer's: %v; is the address right?", e.op, e.path, e.err)
}
func (e *answerError) Unwrap() error { return e.err }

// answer makes of a response the value that is wanted, or an Error.
func answer(ctx context.Context, q call, path string, resp *http.Response) error {
	if q.header != nil {
		*q.header = resp.Header
	}
	if resp.StatusCode >= 300 {
		// What can't be read of a refusal leaves it a refusal.
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return refusal(q, path, resp, text)
	}
	if q.stream != nil {
		if _, err := io.Copy(q.stream, resp.Body); err != nil {
			return fmt.Errorf("%s: %w", q.op, unreached(ctx, err))
		}
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		err = unreached(ctx, err)
		if q.method != http.MethodGet {
			return &maybeDoneError{q.op, err}
		}
		return fmt.Errorf("%s: %w", q.op, err)
	}
	if q.into == nil {
		return nil
	}
	if raw, ok := q.into.(*string); ok {
		*raw = string(text)
		return nil
	}
	if err := json.Unmarshal(text, q.into); err != nil {
		return &answerError{q.op, path, err}
	}
	return nil
}

func refusal(q call, path string, resp *http.Response, text []byte) *Error {
	e := &Error{Op: q.op, Method: q.method, Path: path, Status: resp.StatusCode, Reason: resp.Header.Get("Redirect-Reason")}
	var body struct{ Message, Details string }
	if json.Unmarshal(text, &body) == nil && body.Message+body.Details != "" {
		e.Message, e.Details = body.Message, body.Details
		return e
	}
	e.Message = strings.TrimSpace(string(text))
	if strings.HasPrefix(e.Message, "<") {
		e.Message = "a web page instead of an answer, so something else than Portainer answers: " + title(e.Message)
	}
	return e
}

// title returns what the title of a web page says, or the page's status line.
func title(page string) string {
	lower := strings.ToLower(page)
	_, rest, ok := strings.Cut(lower, "<title>")
	end := strings.Index(rest, "</title>")
	if !ok || end < 0 || len(lower) != len(page) {
		return "(no title)"
	}
	start := len(lower) - len(rest)
	return strconv.Quote(strings.TrimSpace(page[start : start+end]))
}
