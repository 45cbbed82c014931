package pve

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Error is a refusal by Proxmox, in its own words.
type Error struct {
	Method, Path string
	Status       int               // HTTP status; 595 and more are the proxy's own
	Message      string            // the reason phrase, or the body's message where it says more
	Params       map[string]string // what is wrong with which parameter
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Proxmox says %d: %s", e.Status, e.Message)
	for _, name := range slices.Sorted(maps.Keys(e.Params)) {
		fmt.Fprintf(&b, "; %s: %s", name, strings.TrimSpace(e.Params[name]))
	}
	fmt.Fprintf(&b, " (%s %s)", e.Method, e.Path)
	switch {
	case e.Status == 401:
		b.WriteString("; check proxmox_api.token, or user and password")
	case e.Status == 403:
		b.WriteString("; give the user, and a token with privilege separation itself, this privilege")
	case e.Status == 595:
		b.WriteString("; the node can't be reached by the one that answers: is it off?")
	}
	return b.String()
}

// Is lets errors.Is find ErrMaybeDone.
func (e *Error) Is(target error) bool {
	return target == ErrMaybeDone && (e.Status == 596 || e.Status == 599)
}

// ErrMaybeDone marks a request of which nobody knows whether it was carried out: the connection ended
// before an answer came. Such a request is never sent again before someone has looked.
var ErrMaybeDone = errors.New("the request may have been carried out")

// errNoAnswer marks a read that was cut off: it may be asked again.
var errNoAnswer = errors.New("the read was cut off")

// ErrPlanWrite is returned where a client opened for planning is asked to change something.
var ErrPlanWrite = errors.New("a plan may not change anything in Proxmox")

type maybeDoneError struct {
	method, path string
	err          error
}

func (e *maybeDoneError) Error() string {
	return fmt.Sprintf("the connection ended before Proxmox answered, so it may have been carried out (%s %s): %v", e.method, e.path, e.err)
}
func (e *maybeDoneError) Unwrap() []error { return []error{ErrMaybeDone, e.err} }

// has reports whether err is Proxmox's and its text holds one of the parts.
func has(err error, parts ...string) bool {
	var e *Error
	var t *TaskError
	var text string
	switch {
	case errors.As(err, &t):
		text = t.Exit
	case errors.As(err, &e):
		text = e.Message
	default:
		return false
	}
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
}

// IsNotFound reports whether the thing that was asked for does not exist. Proxmox says so with 500.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == 404 || e.Status >= 500 && has(err, "does not exist", "no such"))
}

// IsLocked reports whether something else is working on the thing at the moment.
func IsLocked(err error) bool {
	return has(err, "can't lock file", "got lock request timeout", "VM is locked", "got lock timeout")
}

// IsAlreadyExists reports whether the id is taken.
func IsAlreadyExists(err error) bool { return has(err, "already exists") }

// IsChangedMeanwhile reports whether the configuration is not what it was when it was read.
func IsChangedMeanwhile(err error) bool {
	return has(err, "checksum mismatch", "detected modified configuration")
}

// IsAgentNotReady reports whether the guest agent may answer later.
func IsAgentNotReady(err error) bool {
	return has(err, "QEMU guest agent is not running", "got timeout", "is not running", "qga socket", "not available", "not ready")
}

// isTransient reports whether sending the same request again, unchanged, may succeed and can't do
// harm: Proxmox has said that it did nothing.
func isTransient(err error) bool {
	var e *Error
	if IsLocked(err) || has(err, "got no worker upid", "got timeout") {
		return true
	}
	return errors.Is(err, errNoAnswer) ||
		errors.As(err, &e) && (e.Status == 595 || e.Status == 502 || e.Status == 503 || e.Status == 429 ||
			e.Method == http.MethodGet && (e.Status == 596 || e.Status == 599))
}
