package api

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// Local is a transport that calls a handler in the same process, as a client on the socket would.
// DialError, if set, is asked before each request and its error returned.
type Local struct {
	Handler   http.Handler
	DialError func(*http.Request) error
}

// RoundTrip implements http.RoundTripper. The answer is whole when it returns.
func (l Local) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.DialError != nil {
		if err := l.DialError(r); err != nil {
			return nil, err
		}
	}
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	w := &memoryWriter{header: http.Header{}}
	l.Handler.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:        strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       r,
	}, nil
}

type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header { return w.header }

func (w *memoryWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *memoryWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
