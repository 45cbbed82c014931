package portainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal by Portainer, in its own words.
type Error struct {
	Method, Path     string
	Status           int
	Message, Details string
	Redirect         string // why a 303 was given
}

// shownLines is how much of a multi-line text, most often compose's, an error shows.
const shownLines = 6

func (e *Error) Error() string {
	text := e.Message
	if e.Details != "" && !strings.EqualFold(e.Details, e.Message) {
		text += ": " + e.Details
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > shownLines {
		lines = append([]string{"…"}, lines[len(lines)-shownLines:]...)
	}
	out := fmt.Sprintf("Portainer says %d: %s (%s %s)", e.Status, strings.Join(lines, "\n  "), e.Method, e.Path)
	switch {
	case e.IsBanned():
		out += "; after too many sign-ins it bans an address for one hour: wait, and don't try again before"
	case e.IsInitTimeout():
		out += "; no administrator was made within five minutes of its start: restart the container"
	case e.IsSetupToken():
		out += "; the server wants the setup token that it was started with, or that stands in its log"
	}
	return out
}

// IsBanned reports whether signing in was refused for too many tries.
func (e *Error) IsBanned() bool { return e.Path == "/auth" && e.Status == http.StatusForbidden }

// IsInitTimeout reports whether the server has locked itself, since it had no administrator in time.
func (e *Error) IsInitTimeout() bool { return e.Status == http.StatusSeeOther }

// IsSetupToken reports whether the setup token is missing or wrong.
func (e *Error) IsSetupToken() bool {
	return e.Status == http.StatusForbidden && strings.Contains(e.Message+e.Details, "setup token")
}

// Is lets errors.Is find ErrMaybeDone.
func (e *Error) Is(target error) bool {
	return target == ErrMaybeDone && (e.Status == 502 || e.Status == 503 || e.Status == 504 || e.Status == 524)
}

// ErrMaybeDone marks a request of which nobody knows whether it was carried out.
var ErrMaybeDone = errors.New("the request may have been carried out")

type maybeDoneError struct {
	method, path string
	err          error
}

func (e *maybeDoneError) Error() string {
	return fmt.Sprintf("Portainer did not answer, so it may have been done (%s %s): %v", e.method, e.path, e.err)
}
func (e *maybeDoneError) Unwrap() []error { return []error{ErrMaybeDone, e.err} }

// refusal reads an answer that is none: JSON with message and details, or plain text.
func refusal(r request, resp *http.Response, body []byte) *Error {
	e := &Error{Method: r.method, Path: r.path, Status: resp.StatusCode, Redirect: resp.Header.Get("Redirect-Reason")}
	var answer struct{ Message, Details string }
	if json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		e.Message, e.Details = answer.Message, answer.Details
	} else {
		e.Message = strings.TrimSpace(string(body))
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	return e
}

// IsConflict reports whether the name is taken, or a deployment is under way.
func IsConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

// IsNotFound reports whether the thing does not exist.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsPaired reports whether an agent belongs to another server, or has another secret.
func IsPaired(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.Contains(e.Message+e.Details, "already paired")
}

func hasStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}
