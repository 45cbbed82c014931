package portainer

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"phoenix-run/lab/record"
)

// callKey is where a request's *call is in its context, for the middleware's log.
type callKey struct{}

// middleware is what every request goes through: the request log, faults, the five-minute lock, and
// the protection against foreign sites.
func (s *Server) middleware(next http.Handler) http.Handler {
	next = s.crossSite(s.adminLock(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r}
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		out := &statusWriter{ResponseWriter: w}
		defer func() {
			if s.Log == nil || !strings.HasPrefix(r.URL.Path, "/api/") {
				return
			}
			params := c.note
			for k, v := range r.URL.Query() {
				if params == nil {
					params = map[string]any{}
				}
				params[k] = strings.Join(v, ",")
			}
			if err := s.Log.Add(record.Entry{Service: record.Portainer, Host: s.Host, Method: r.Method, Path: r.URL.Path, Params: params, Status: out.status, Changed: c.changed}); err != nil {
				s.logf("ERR request log | error=%q", err)
			}
		}()
		s.withFault(out, r, next)
	})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// adminLock answers all but two calls with 303 once the time for a first administrator is over.
func (s *Server) adminLock(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.lockedOut() || r.URL.Path == "/api/status" || r.URL.Path == "/api/settings/public" || r.URL.Path == "/timeout.html" {
			next.ServeHTTP(w, r)
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			w.Header().Set("Location", "/timeout.html")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Redirect-Reason", "AdminInitTimeout")
		writeJSON(w, http.StatusSeeOther, map[string]string{"message": "Administrator initialization timeout", "details": "Administrator initialization timeout"})
	})
}

const authCookie = "portainer_api_key"

// crossSite is the protection against requests from other sites: until 2.39 a token for everybody with
// the cookie, from 2.41 a look at what browsers send.
func (s *Server) crossSite(next http.Handler) http.Handler {
	switch {
	case s.is.GorillaCSRF:
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := r.Cookie(authCookie)
			if err == nil && !safe(r.Method) {
				http.Error(w, "Forbidden - CSRF token not found in request", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	case s.is.CrossOrigin:
		p := http.NewCrossOriginProtection()
		p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Forbidden", http.StatusForbidden)
		}))
		return p.Handler(next)
	}
	return next
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
}

// access is who may call a route.
type access int

const (
	public access = iota
	signedIn
	admin
)

// handle registers a route.
func (s *Server) handle(mux *http.ServeMux, pattern string, who access, f route) {
	method, path, _ := strings.Cut(pattern, " ")
	mux.HandleFunc(method+" /api"+path, func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(callKey{}).(*call)
		if !ok {
			c = &call{}
		}
		c.Request, c.w = r, w
		if who != public {
			u, err := s.authenticate(r)
			if err != nil {
				writeError(w, err)
				return
			}
			if who == admin && u.Role != 1 {
				writeError(w, fail(http.StatusForbidden, "Access denied", errors.New("access denied to resource")))
				return
			}
			c.user = u
		}
		status, body, err := f(c)
		switch {
		case err != nil:
			writeError(w, err)
		case status == 0: // the route has answered itself
		case body == nil:
			w.WriteHeader(status)
		default:
			writeJSON(w, status, body)
		}
	})
}

// notRouted answers as Portainer does where no route fits: 404 as text, 405 without a body.
func notRouted(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		m := &memory{header: http.Header{}}
		h.ServeHTTP(m, r)
		if m.status == http.StatusMethodNotAllowed {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		http.NotFound(w, r)
	})
}

// memory is an answer that is not sent, or not yet.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (m *memory) Header() http.Header { return m.header }

func (m *memory) WriteHeader(status int) {
	if m.status == 0 {
		m.status = status
	}
}

func (m *memory) Write(b []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	return m.body.Write(b)
}
