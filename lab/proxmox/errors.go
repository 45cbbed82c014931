package proxmox

import (
	"fmt"
	"net/http"
	"strings"
)

// apiError is an answer other than 200. Any other error that a handler returns is Proxmox's plain die:
// status 500 with the error's text.
type apiError struct {
	status int
	text   string            // its first line is the reason phrase
	fields map[string]string // "errors" of the body
	bare   bool              // no body at all, as the front end's own refusals
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s", e.status, e.text) }

// paramError is Proxmox's answer to bad parameters.
func paramError(fields map[string]string) error {
	return &apiError{status: http.StatusBadRequest, text: "Parameter verification failed.", fields: fields}
}

func badParam(name, format string, args ...any) error {
	return paramError(map[string]string{name: fmt.Sprintf(format, args...)})
}

// denied names the privilege that is missing; several, joined by "|", where any of them would do.
func denied(path string, privs ...string) error {
	return &apiError{
		status: http.StatusForbidden,
		text:   fmt.Sprintf("Permission check failed (%s, %s)", path, strings.Join(privs, "|")),
	}
}

func unauthorized(text string) error {
	return &apiError{status: http.StatusUnauthorized, text: text, bare: true}
}

func notImplemented(format string, args ...any) error {
	return &apiError{status: http.StatusNotImplemented, text: fmt.Sprintf(format, args...)}
}

// death is an error with Proxmox's own text, capitals and full stops included.
type death string

func (d death) Error() string { return string(d) }

// die is Perl's die: status 500, or a task's exit status, with this text.
func die(format string, args ...any) error { return death(fmt.Sprintf(format, args...)) }
