package portainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"phoenix-run/lab/docker/api"
)

// httpError is an error that the API answers with.
type httpError struct {
	status  int
	message string
	cause   error
}

func (e *httpError) Error() string { return e.message }

func fail(status int, message string, cause error) error {
	return &httpError{status, message, cause}
}

// details is the cause's text, its first letter in upper case, as Portainer has it.
func (e *httpError) details() string {
	text := e.message
	if e.cause != nil {
		text = plain(e.cause)
	}
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// plain is an error's text without what this process's own clients put around it.
func plain(err error) string {
	var u *url.Error
	var e *api.Error
	if errors.As(err, &u) && strings.Contains(u.Err.Error(), "Cannot connect to the Docker daemon") {
		return u.Err.Error()
	}
	if errors.As(err, &e) && err == error(e) {
		return e.Error()
	}
	return err.Error()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

func writeError(w http.ResponseWriter, err error) {
	var e *httpError
	if !errors.As(err, &e) {
		e = &httpError{http.StatusInternalServerError, "Unexpected error", err}
	}
	writeJSON(w, e.status, map[string]string{"message": e.message, "details": e.details()})
}

// call is one request on its way through a route.
type call struct {
	*http.Request
	w       http.ResponseWriter
	user    user
	changed bool
	note    map[string]any // what the request log shows
}

// route is a handler: the status and body of its answer (nil: none), or an error.
type route func(c *call) (int, any, error)

func (c *call) id() (int, error) {
	id, err := strconv.Atoi(c.PathValue("id"))
	if err != nil {
		return 0, fail(http.StatusBadRequest, "Invalid identifier route variable", err)
	}
	return id, nil
}

// number reads a query parameter that must be there.
func (c *call) number(name string) (int, error) {
	n, err := strconv.Atoi(c.URL.Query().Get(name))
	if err != nil || n < 1 {
		cause := fmt.Errorf("missing query parameter")
		if c.URL.Query().Has(name) {
			cause = fmt.Errorf("invalid query parameter")
		}
		return 0, fail(http.StatusBadRequest, "Invalid query parameter: "+name, cause)
	}
	return n, nil
}

// decode reads a JSON body. An empty one, and one that a form parser has eaten, is "EOF".
func (c *call) decode(into any) error {
	if strings.HasPrefix(c.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return fail(http.StatusBadRequest, "Invalid request payload", io.EOF)
	}
	b, err := io.ReadAll(c.Body)
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(b))) == 0 {
		return fail(http.StatusBadRequest, "Invalid request payload", io.EOF)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fail(http.StatusBadRequest, "Invalid request payload", err)
	}
	c.remember(b)
	return nil
}

// remember keeps a body's fields for the request log, without what could be secret.
func (c *call) remember(body []byte) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return
	}
	for k, v := range fields {
		c.noteField(k, v)
	}
}

func (c *call) noteField(key string, v any) {
	if c.note == nil {
		c.note = map[string]any{}
	}
	lower := strings.ToLower(key)
	switch v := v.(type) {
	case string:
		switch {
		case strings.Contains(lower, "password") || strings.Contains(lower, "token") || strings.Contains(lower, "secret"):
			c.note[key] = "(hidden)"
		case strings.Contains(lower, "content"):
			c.note[key] = fmt.Sprintf("(%d bytes)", len(v))
		default:
			c.note[key] = v
		}
	case []any:
		if lower != "env" {
			c.note[key] = v
			return
		}
		names := []any{}
		for _, pair := range v {
			if m, ok := pair.(map[string]any); ok {
				for k, name := range m {
					if strings.EqualFold(k, "name") {
						names = append(names, name)
					}
				}
			}
		}
		c.note[key] = names
	case map[string]any:
		c.note[key] = "(object)"
	default:
		c.note[key] = v
	}
}

func notFound(kind, bucket string, id int) error {
	return fail(http.StatusNotFound, "Unable to find "+kind+" with the specified identifier inside the database", missing(bucket, id))
}

func missing(bucket string, id int) error {
	return fmt.Errorf("object not found inside the database (bucket=%s, key=%d)", bucket, id)
}
