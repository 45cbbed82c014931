package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Client asks an engine over HTTP. Base is where the API is, without a final slash: "http://docker",
// or an agent's address. APIVersion is put in the path: "1.44"; "" leaves it out.
type Client struct {
	HTTP       *http.Client
	Base       string
	APIVersion string
	Header     http.Header // sent with every request
}

// Do sends a request with body as JSON (nil: none) and decodes the answer into out (nil: dropped).
// A status of 400 and above is an *Error.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	res, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if text, ok := out.(*string); ok {
		b, err := io.ReadAll(res.Body)
		*text = string(b)
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("docker: %s %s: %w", method, path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	u := c.Base
	if c.APIVersion != "" {
		u += "/v" + c.APIVersion
	}
	u += path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, content)
	if err != nil {
		return nil, err
	}
	for k, v := range c.Header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		e := &Error{Status: res.StatusCode}
		if json.Unmarshal(b, e) != nil || e.Message == "" {
			e.Message = strings.TrimSpace(string(b))
		}
		return nil, e
	}
	return res, nil
}

// NotFound tells whether err is the engine's 404.
func NotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

func get[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, error) {
	var v T
	err := c.Do(ctx, method, path, query, body, &v)
	return v, err
}

// Ping asks for the API version.
func (c *Client) Ping(ctx context.Context) error {
	var text string
	return c.Do(ctx, "GET", "/_ping", nil, nil, &text)
}

// Version is GET /version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return get[Version](ctx, c, "GET", "/version", nil, nil)
}

// Info is GET /info.
func (c *Client) Info(ctx context.Context) (Info, error) {
	return get[Info](ctx, c, "GET", "/info", nil, nil)
}

// Containers lists containers, newest first; all includes those that don't run.
func (c *Client) Containers(ctx context.Context, all bool, f Filters) ([]Summary, error) {
	return get[[]Summary](ctx, c, "GET", "/containers/json", list(all, f), nil)
}

// Container inspects one by id, its beginning, or name.
func (c *Client) Container(ctx context.Context, id string) (Container, error) {
	return get[Container](ctx, c, "GET", "/containers/"+url.PathEscape(id)+"/json", nil, nil)
}

// Create makes a container; name "" lets the engine choose one.
func (c *Client) Create(ctx context.Context, name string, r CreateRequest) (CreateResponse, error) {
	q := url.Values{}
	if name != "" {
		q.Set("name", name)
	}
	return get[CreateResponse](ctx, c, "POST", "/containers/create", q, r)
}

// Start starts a container; it is no error when it runs.
func (c *Client) Start(ctx context.Context, id string) error { return c.act(ctx, id, "start", nil) }

// Stop stops a container; it is no error when it does not run.
func (c *Client) Stop(ctx context.Context, id string) error { return c.act(ctx, id, "stop", nil) }

// Restart stops and starts a container.
func (c *Client) Restart(ctx context.Context, id string) error {
	return c.act(ctx, id, "restart", nil)
}

// Kill ends a container at once.
func (c *Client) Kill(ctx context.Context, id string) error { return c.act(ctx, id, "kill", nil) }

// Rename gives a container another name.
func (c *Client) Rename(ctx context.Context, id, name string) error {
	return c.act(ctx, id, "rename", url.Values{"name": {name}})
}

func (c *Client) act(ctx context.Context, id, verb string, q url.Values) error {
	return c.Do(ctx, "POST", "/containers/"+url.PathEscape(id)+"/"+verb, q, nil, nil)
}

// Remove removes a container; force stops it first, volumes removes its anonymous volumes too.
func (c *Client) Remove(ctx context.Context, id string, force, volumes bool) error {
	q := url.Values{"force": {strconv.FormatBool(force)}, "v": {strconv.FormatBool(volumes)}}
	return c.Do(ctx, "DELETE", "/containers/"+url.PathEscape(id), q, nil, nil)
}

// Wait waits for a container's end and returns its exit code.
func (c *Client) Wait(ctx context.Context, id string) (int, error) {
	var v struct{ StatusCode int }
	err := c.Do(ctx, "POST", "/containers/"+url.PathEscape(id)+"/wait", nil, nil, &v)
	return v.StatusCode, err
}

// Logs returns what a container wrote, without the frame headers. tail < 0 is all of it.
func (c *Client) Logs(ctx context.Context, id string, tail int) (stdout, stderr []byte, err error) {
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}}
	if tail >= 0 {
		q.Set("tail", strconv.Itoa(tail))
	}
	res, err := c.send(ctx, "GET", "/containers/"+url.PathEscape(id)+"/logs", q, nil)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	return Demux(res.Body)
}

// Image inspects an image.
func (c *Client) Image(ctx context.Context, ref string) (Image, error) {
	return get[Image](ctx, c, "GET", "/images/"+ref+"/json", nil, nil)
}

// Images lists images.
func (c *Client) Images(ctx context.Context, f Filters) ([]ImageSummary, error) {
	return get[[]ImageSummary](ctx, c, "GET", "/images/json", list(false, f), nil)
}

// RemoveImage removes an image.
func (c *Client) RemoveImage(ctx context.Context, ref string, force bool) ([]map[string]string, error) {
	return get[[]map[string]string](ctx, c, "DELETE", "/images/"+ref, url.Values{"force": {strconv.FormatBool(force)}}, nil)
}

// Progress is one line of a pull's answer.
type Progress struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Pull fetches an image and calls report (if not nil) with each line of progress.
func (c *Client) Pull(ctx context.Context, ref string, report func(Progress)) error {
	r, err := ParseReference(ref)
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Message: err.Error()}
	}
	q := url.Values{"fromImage": {r.Familiar()}, "tag": {r.Tag}}
	if r.Digest != "" {
		q.Set("tag", r.Digest)
	}
	res, err := c.send(ctx, "POST", "/images/create", q, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); ; {
		var p Progress
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("docker: pull %s: %w", ref, err)
		case p.Error != "":
			return &Error{Status: http.StatusInternalServerError, Message: p.Error}
		}
		if report != nil {
			report(p)
		}
	}
}

// Networks lists networks.
func (c *Client) Networks(ctx context.Context, f Filters) ([]Network, error) {
	return get[[]Network](ctx, c, "GET", "/networks", list(false, f), nil)
}

// Network inspects one.
func (c *Client) Network(ctx context.Context, id string) (Network, error) {
	return get[Network](ctx, c, "GET", "/networks/"+url.PathEscape(id), nil, nil)
}

// CreateNetwork makes one and returns its id.
func (c *Client) CreateNetwork(ctx context.Context, r NetworkCreate) (string, error) {
	v, err := get[Network](ctx, c, "POST", "/networks/create", nil, r)
	return v.ID, err
}

// RemoveNetwork removes one that nothing uses.
func (c *Client) RemoveNetwork(ctx context.Context, id string) error {
	return c.Do(ctx, "DELETE", "/networks/"+url.PathEscape(id), nil, nil, nil)
}

// Volumes lists volumes.
func (c *Client) Volumes(ctx context.Context, f Filters) (VolumeList, error) {
	return get[VolumeList](ctx, c, "GET", "/volumes", list(false, f), nil)
}

// Volume inspects one.
func (c *Client) Volume(ctx context.Context, name string) (Volume, error) {
	return get[Volume](ctx, c, "GET", "/volumes/"+url.PathEscape(name), nil, nil)
}

// CreateVolume makes one, or returns the one that is there.
func (c *Client) CreateVolume(ctx context.Context, r VolumeCreate) (Volume, error) {
	return get[Volume](ctx, c, "POST", "/volumes/create", nil, r)
}

// RemoveVolume removes one that no container has.
func (c *Client) RemoveVolume(ctx context.Context, name string) error {
	return c.Do(ctx, "DELETE", "/volumes/"+url.PathEscape(name), nil, nil, nil)
}

// Exec runs a command in a container and returns its output and exit code.
func (c *Client) Exec(ctx context.Context, id string, r ExecCreate) (stdout, stderr []byte, code int, err error) {
	var created struct {
		ID string `json:"Id"`
	}
	r.AttachStdout, r.AttachStderr = true, true
	if err := c.Do(ctx, "POST", "/containers/"+url.PathEscape(id)+"/exec", nil, r, &created); err != nil {
		return nil, nil, 0, err
	}
	res, err := c.send(ctx, "POST", "/exec/"+created.ID+"/start", nil, struct{ Detach, Tty bool }{})
	if err != nil {
		return nil, nil, 0, err
	}
	defer res.Body.Close()
	if stdout, stderr, err = Demux(res.Body); err != nil {
		return nil, nil, 0, err
	}
	var end ExecInspect
	if err := c.Do(ctx, "GET", "/exec/"+created.ID+"/json", nil, nil, &end); err != nil {
		return nil, nil, 0, err
	}
	return stdout, stderr, end.ExitCode, nil
}

func list(all bool, f Filters) url.Values {
	q := url.Values{}
	if all {
		q.Set("all", "1")
	}
	if len(f) > 0 {
		q.Set("filters", f.String())
	}
	return q
}
