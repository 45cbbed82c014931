package portainer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/api"
)

// agentProgram is the image portainer/agent.
type agentProgram struct{ opts Options }

// Start implements docker.Program.
func (p agentProgram) Start(ctx context.Context, rt *docker.Runtime) (io.Closer, error) {
	version, err := versionOf(p.opts, rt.Container)
	if err != nil {
		return nil, err
	}
	if rt.Socket == nil {
		return nil, errors.New("FTL unable to retrieve information from Docker | error=\"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\"")
	}
	port := 9001
	if v := rt.Env("AGENT_PORT"); v != "" {
		if port, err = strconv.Atoi(v); err != nil {
			return nil, errors.New("FTL invalid AGENT_PORT " + v)
		}
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	ips := []string{}
	if ip := rt.Container.NetworkSettings.IPAddress; ip != "" {
		ips = append(ips, ip)
	}
	cert, err := certificate(key, ips...)
	if err != nil {
		return nil, err
	}
	listeners, err := rt.ListenPort(ctx, port)
	if err != nil {
		return nil, err
	}
	agent := NewAgent(version, rt.Env("AGENT_SECRET"), rt.Socket)
	return serveOn(listeners, nil, tlsConfig(cert, key), agent, rt.Log), nil
}

func versionOf(o Options, c api.Container) (Version, error) {
	if o.Version != "" {
		return ParseVersion(o.Version)
	}
	ref, err := api.ParseReference(c.Config.Image)
	if err != nil {
		return Version{}, err
	}
	return ParseVersion(ref.Tag)
}

// Agent is Portainer's agent: Docker's API for the one server that it trusts. Without a secret it
// trusts the first server that signs a request, until it is restarted; with one, every server that
// knows the secret.
type Agent struct {
	version Version
	secret  string
	docker  http.Handler

	mu     sync.Mutex
	paired string // public key of the server
}

// NewAgent returns an agent before a Docker Engine.
func NewAgent(version Version, secret string, docker http.Handler) *Agent {
	return &Agent{version: version, secret: secret, docker: docker}
}

// ServeHTTP implements http.Handler.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(headerAgent, a.version.String())
	w.Header().Set("Portainer-Agent-Api-Version", "2")
	if r.URL.Path == "/ping" {
		w.Header().Set(headerPlatform, "1")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if text := a.refuse(r.Header); text != "" {
		writeJSON(w, http.StatusForbidden, map[string]string{"message": text, "details": "Unauthorized"})
		return
	}
	if r.URL.Path == "/key" || strings.HasPrefix(r.URL.Path, "/host/") || strings.HasPrefix(r.URL.Path, "/v2/") {
		http.NotFound(w, r)
		return
	}
	r = r.Clone(r.Context())
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Portaineragent-") {
			r.Header.Del(name)
		}
	}
	a.docker.ServeHTTP(w, r)
}

// refuse returns why a request is not from the agent's server, or "".
func (a *Agent) refuse(h http.Header) string {
	if h.Get(headerPublicKey) == "" || h.Get(headerSignature) == "" {
		return "Missing request signature headers"
	}
	if !verify(h, a.secret) {
		return "Invalid request signature"
	}
	if a.secret != "" {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.paired == "" {
		a.paired = h.Get(headerPublicKey)
	}
	if a.paired != h.Get(headerPublicKey) {
		return "Invalid request signature"
	}
	return ""
}

// closers closes several servers.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// serveOn serves a handler with TLS on some listeners and without on others.
func serveOn(secure, plain []net.Listener, config *tls.Config, h http.Handler, out io.Writer) io.Closer {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
	for _, l := range secure {
		go serveUntilClosed(func() error { return server.ServeTLS(l, "", "") }, out)
	}
	for _, l := range plain {
		go serveUntilClosed(func() error { return server.Serve(l) }, out)
	}
	all := closers{server}
	for _, l := range append(secure, plain...) {
		all = append(all, ignoreClosed{l})
	}
	return all
}

func serveUntilClosed(serve func() error, out io.Writer) {
	if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		io.WriteString(out, err.Error()+"\n") //nolint:errcheck // the log is all there is
	}
}

// ignoreClosed closes a listener that its server may have closed before.
type ignoreClosed struct{ net.Listener }

func (l ignoreClosed) Close() error {
	if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
