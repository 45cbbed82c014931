package portainer

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal by Portainer, in its own words.
type Error struct {
	Op           string // what was being done, for people: "updating the stack qdrant"
	Method, Path string // of the request; the path without query
	Status       int    // HTTP status
	// Message and Details are what the answer's body says. Where it is no JSON, Message is its text.
	// What compose printed comes whole, in both.
	Message, Details string
	Reason           string // the header Redirect-Reason
}

// shownLines is how many of the last lines of a message Error shows: compose tells its whole progress
// and what went wrong at the end.
const shownLines = 4

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: Portainer says %d: %s", e.Op, e.Status, e.Text())
	fmt.Fprintf(&b, " (%s %s)", e.Method, e.Path)
	if hint := e.hint(); hint != "" {
		b.WriteString("; " + hint)
	}
	return b.String()
}

// Text is what Portainer said, shortened: message and details, only the last lines of each.
func (e *Error) Text() string {
	message, details := lastLines(e.Message), lastLines(e.Details)
	switch {
	case message == "" && details == "":
		return strings.ToLower(http.StatusText(e.Status))
	case details == "" || strings.EqualFold(message, details):
		return message
	case message == "":
		return details
	}
	return message + ": " + details
}

func (e *Error) hint() string {
	switch {
	case IsInitTimeout(e):
		return "the server was up for five minutes without an administrator and locked itself: restart its container, then run again"
	case IsBanned(e):
		return "the server refuses this address for an hour after more than ten sign-ins in a second, the right password too: wait, or restart its container"
	case IsSetupToken(e):
		return "start the server with PORTAINER_SETUP_TOKEN set to the same token as given here, or take setup_token from its log"
	case IsPaired(e):
		return "AGENT_SECRET of agent and server differ, or the agent belongs to another server: check the secret on both sides, then restart the agent's container"
	case e.Status == http.StatusUnauthorized:
		return "check the API key, or user and password"
	case e.Status == http.StatusUnprocessableEntity && strings.HasSuffix(e.Path, "/auth"):
		return "check user and password; it is not tried again, since too many sign-ins are answered with a ban"
	case strings.Contains(e.Message, "HTTP request to an HTTPS server"):
		return "use https:// in the address"
	case e.Status == http.StatusForbidden && strings.HasPrefix(e.Message, "Forbidden"):
		return "something between here and the server adds an Origin header or a cookie"
	}
	return ""
}

// lastLines returns the last few lines of text that hold something, on one line.
func lastLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if left := len(lines) - shownLines; left > 0 {
		lines = append([]string{fmt.Sprintf("… (%d lines before)", left)}, lines[left:]...)
	}
	shown := strings.Join(lines, " | ")
	if runes := []rune(shown); len(runes) > 1000 {
		shown = "…" + string(runes[len(runes)-1000:])
	}
	return shown
}

// ErrPlanWrite is returned where a client opened for planning is asked to change something.
var ErrPlanWrite = errors.New("a plan may not change anything in Portainer")

// ErrMaybeDone marks a request of which nobody knows whether it was carried out: no answer came, or
// one that a gateway gave on the server's behalf.
var ErrMaybeDone = errors.New("the request may have been carried out")

type maybeDoneError struct {
	op  string
	err error
}

func (e *maybeDoneError) Error() string {
	return fmt.Sprintf("%s: no answer came, so it may have been carried out: %v", e.op, e.err)
}
func (e *maybeDoneError) Unwrap() []error { return []error{ErrMaybeDone, e.err} }

// Is lets errors.Is find ErrMaybeDone.
func (e *Error) Is(target error) bool {
	return target == ErrMaybeDone && e.Method != http.MethodGet && isGateway(e.Status)
}

// isGateway reports whether a status is one that a proxy in front of the server gives for it; 524 is
// Cloudflare's.
func isGateway(status int) bool {
	return status == 502 || status == 503 || status == 504 || status == 520 || status == 522 || status == 524
}

// as returns err's Error, or one that matches nothing.
func as(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{}
}

// says reports whether message or details of the refusal hold the text, whatever its case.
func (e *Error) says(text string) bool {
	return strings.Contains(strings.ToLower(e.Message+"\n"+e.Details), strings.ToLower(text))
}

// MaybeDone reports whether nobody knows if the request behind err was carried out.
func MaybeDone(err error) bool { return errors.Is(err, ErrMaybeDone) }

// IsConflict reports whether the name is taken, or the thing is busy.
func IsConflict(err error) bool { return as(err).Status == http.StatusConflict }

// IsInProgress reports whether the stack is being deployed at the moment (from 2.41 on).
func IsInProgress(err error) bool { return IsConflict(err) && as(err).says("in progress") }

// IsNotFound reports whether the thing does not exist.
func IsNotFound(err error) bool { return as(err).Status == http.StatusNotFound }

// IsBanned reports whether the server refuses all sign-ins from this address for an hour.
func IsBanned(err error) bool {
	e := as(err)
	return e.Status == http.StatusForbidden && strings.HasSuffix(e.Path, "/auth")
}

// IsInitTimeout reports whether the server has locked itself because nobody made an administrator in
// its first five minutes. Only a restart of its container opens it again.
func IsInitTimeout(err error) bool {
	e := as(err)
	return e.Status == http.StatusSeeOther && (e.Reason == "AdminInitTimeout" || e.says("initialization timeout"))
}

// IsSetupToken reports whether the server wants a setup token that it was not given (from 2.43 on).
func IsSetupToken(err error) bool {
	e := as(err)
	return e.Status == http.StatusForbidden && e.says("setup token")
}

// IsPaired reports whether an agent refuses the server: it is paired with another one, or their
// AGENT_SECRETs differ. The server gives one text for both.
func IsPaired(err error) bool { return as(err).says("already paired") }

// IsUnreachable reports whether the server could not reach an agent, or the Docker Engine behind it: a
// moment later it may.
func IsUnreachable(err error) bool {
	e := as(err)
	return e.Status == http.StatusBadGateway || e.Status >= 500 && (e.says("connection refused") || e.says("i/o timeout") ||
		e.says("connection reset") || e.says("no route to host") || e.says("deadline exceeded") || e.says("EOF"))
}
