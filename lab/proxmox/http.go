package proxmox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const apiPrefix = "/api2/json"

// serve answers one request. Refusals carry their text in the reason phrase, which net/http can't
// send: they take over the connection, and close it, as Proxmox does after any status from 400 on.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		cut()
	}
	defer s.workers.Done()
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), apiPrefix)
	if !ok {
		s.refuse(w, &apiError{status: http.StatusNotFound, text: fmt.Sprintf("File '%s' not found", r.URL.Path), bare: true})
		return
	}
	// Proxmox carries on with its work when a client has gone: only the server's end ends it.
	c := &call{server: s, ctx: s.ctx, method: r.Method, path: path, started: time.Now()}
	c.fault = s.faultFor(r.Method, path)
	if err := sleep(r.Context(), s.opts.Latency+c.fault.Delay); err != nil {
		return
	}
	if c.fault.Expire {
		s.expireTickets()
	}
	if c.fault.CutBefore {
		cut()
	}
	var data any
	err := s.readParams(r, c)
	switch {
	case err != nil:
	case c.fault.Refuse != nil:
		err = c.fault.Refuse.err()
	default:
		data, err = c.answer(r)
	}
	if c.fault.Replace != nil && err == nil {
		err = c.fault.Replace.err()
	}
	if c.async == nil {
		c.discardUpload()
	}
	c.record(statusOf(err))
	if c.fault.CutAfter {
		cut()
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	if err := writeJSON(w, data); err != nil && r.Context().Err() == nil { // a client that has gone is no failure
		s.report(fmt.Errorf("answer to %s %s: %w", r.Method, path, err))
	}
}

func (r Reply) err() error { return &apiError{status: r.Status, text: r.Reason} }

func (s *Server) faultFor(method, path string) Fault {
	if s.opts.Faults == nil {
		return Fault{}
	}
	return s.opts.Faults.Fault(s.count.next(method, path))
}

func (s *Server) expireTickets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = s.now()
}

// enter counts a request among what Close waits for; false once the server closes.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.workers.Add(1)
	return true
}

// cut ends the connection without an answer.
func cut() { panic(http.ErrAbortHandler) }

func statusOf(err error) int {
	var e *apiError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &e):
		return e.status
	}
	return http.StatusInternalServerError
}

func writeJSON(w http.ResponseWriter, data any) error {
	body, err := encode(map[string]any{"data": data})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=UTF-8")
	h.Set("Cache-Control", "max-age=0")
	h.Set("Pragma", "no-cache")
	h.Set("Server", "pve-api-daemon/3.0")
	_, err = w.Write(body)
	return err
}

// encode is JSON as Perl writes it: no escaping for HTML, no newline at the end.
func encode(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// refuse writes an error answer by hand: status line with reason, body, and the end of the connection.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, text: err.Error()}
	}
	if e.status == http.StatusUnauthorized {
		if sleep(s.ctx, s.opts.AuthDelay) != nil {
			return
		}
	}
	var body []byte
	if !e.bare {
		out := map[string]any{"data": nil}
		if len(e.fields) > 0 {
			out["errors"] = e.fields
		}
		if s.flavor.message {
			out["message"] = strings.TrimRight(e.text, "\n") + "\n"
		}
		var encodeErr error
		if body, encodeErr = encode(out); encodeErr != nil {
			s.report(encodeErr)
		}
	}
	conn, rw, hijackErr := http.NewResponseController(w).Hijack()
	if hijackErr != nil {
		s.report(hijackErr)
		return
	}
	defer func() {
		if err := conn.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
			s.report(err)
		}
	}()
	reason, _, _ := strings.Cut(e.text, "\n")
	writeRaw(rw.Writer, e.status, reason, body)
}

func writeRaw(w *bufio.Writer, status int, reason string, body []byte) {
	fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n", status, reason)
	fmt.Fprintf(w, "Cache-Control: max-age=0\r\nConnection: close\r\nDate: %s\r\nPragma: no-cache\r\nServer: pve-api-daemon/3.0\r\n",
		time.Now().UTC().Format(http.TimeFormat))
	if body != nil {
		fmt.Fprint(w, "Content-Type: application/json;charset=UTF-8\r\n")
	}
	fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(body), body)
	w.Flush() // a client that has gone is nobody's fault
}
