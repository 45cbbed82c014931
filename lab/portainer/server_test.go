package portainer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/api"
	"phoenix-run/lab/docker/dockertest"
)

// memoryStore is a Store in memory.
type memoryStore struct {
	mu   sync.Mutex
	data []byte
}

func (m *memoryStore) Load(into any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil {
		return nil
	}
	return json.Unmarshal(m.data, into)
}

func (m *memoryStore) Save(v any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	m.data, err = json.Marshal(v)
	return err
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	add time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.add)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}

// world is a server with one machine that has an agent.
type world struct {
	t       *testing.T
	version string
	store   *memoryStore
	clock   *clock
	log     *syncBuffer
	config  Config
	server  *Server
	http    *httptest.Server
	git     *Repositories
	engine  *docker.Engine
	agent   *httptest.Server
	agentID int
	jwt     string
	missing *toggle
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// toggle is a fault that tests switch: an error for what matches.
type toggle struct {
	mu  sync.Mutex
	err error
}

func (f *toggle) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *toggle) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func newWorld(t *testing.T, version string, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, version: version, store: &memoryStore{}, clock: &clock{}, log: &syncBuffer{}, git: &Repositories{}, missing: &toggle{}}
	host := dockertest.NewHost("vm1", "127.94.0.1")
	w.engine = docker.New(host, docker.Options{PullTime: time.Millisecond, Missing: []string{"nginx:missing"},
		Faults: docker.Faults{Pull: func(string, string) error { return w.missing.get() }, Start: func(_ string, c api.Container) error {
			if strings.Contains(c.Config.Image, "startless") {
				return fmt.Errorf("no space left on device")
			}
			return nil
		}}})
	if err := w.engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = httptest.NewUnstartedServer(NewAgent(v, "", w.engine.Handler()))
	w.agent.Config.ErrorLog = log.New(io.Discard, "", 0)
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := certificate(key, "172.17.0.2")
	if err != nil {
		t.Fatal(err)
	}
	w.agent.TLS = tlsConfig(cert, key)
	w.agent.StartTLS()
	w.config = Config{Options: Options{Now: w.clock.now, Git: w.git}, Version: v, Host: "vm0", Store: w.store, Output: w.log, SetupToken: "token-of-the-test"}
	for _, f := range change {
		f(&w.config)
	}
	w.boot()
	t.Cleanup(func() {
		w.http.Close()
		w.server.Close() //nolint:errcheck // the end of the test
		w.agent.Close()
		if err := w.engine.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// boot starts the server's process, with the data that is there.
func (w *world) boot() {
	w.t.Helper()
	s, err := New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server, w.http = s, httptest.NewUnstartedServer(s)
	w.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.http.Start()
}

func (w *world) restart() {
	w.t.Helper()
	w.http.Close()
	if err := w.server.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.boot()
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	text   string
}

func (a answer) object() map[string]any {
	var m map[string]any
	if json.Unmarshal([]byte(a.text), &m) != nil {
		return nil
	}
	return m
}

func (a answer) id(t *testing.T) int {
	t.Helper()
	m := a.object()
	for _, key := range []string{"Id", "ID", "id"} {
		if n, ok := m[key].(float64); ok {
			return int(n)
		}
	}
	t.Fatalf("no id in %d %s", a.status, a.text)
	return 0
}

// send makes one request; header is "Name: value" lines.
func (w *world) send(method, path string, body any, header ...string) answer {
	w.t.Helper()
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case form:
		var buf bytes.Buffer
		m := multipart.NewWriter(&buf)
		for k, v := range b {
			if name, found := strings.CutPrefix(k, "@"); found {
				part, err := m.CreateFormFile(name, "f")
				if err != nil {
					w.t.Fatal(err)
				}
				if _, err := io.WriteString(part, v); err != nil {
					w.t.Fatal(err)
				}
				continue
			}
			if err := m.WriteField(k, v); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := m.Close(); err != nil {
			w.t.Fatal(err)
		}
		content, kind = &buf, m.FormDataContentType()
	case string:
		content = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		content = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.http.URL+"/api"+path, content)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if w.jwt != "" {
		req.Header.Set("Authorization", "Bearer "+w.jwt)
	}
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		if v == "" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, v)
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{text: err.Error()}
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

type form map[string]string

const password = "a-long-enough-password"

// ready makes the administrator, signs in and registers the machine.
func (w *world) ready() *world {
	w.t.Helper()
	w.signedIn()
	a := w.send("POST", "/endpoints", w.agentForm("vm1"))
	if a.status != 200 {
		w.t.Fatalf("registering the agent: %d %s", a.status, a.text)
	}
	w.agentID = a.id(w.t)
	return w
}

func (w *world) signedIn() *world {
	w.t.Helper()
	if a := w.send("POST", "/users/admin/init", map[string]string{"Username": "admin", "Password": password}, "X-Setup-Token: token-of-the-test"); a.status != 200 {
		w.t.Fatalf("init: %d %s", a.status, a.text)
	}
	// Signing in for real has its own rows; here bcrypt would only take time.
	jwt, err := w.server.newJWT(user{ID: 1, Username: "admin", Role: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.jwt = jwt
	return w
}

func (w *world) login() {
	w.t.Helper()
	w.jwt = ""
	a := w.send("POST", "/auth", map[string]string{"Username": "admin", "Password": password})
	jwt, ok := a.object()["jwt"].(string)
	if !ok {
		w.t.Fatalf("auth: %d %s", a.status, a.text)
	}
	w.jwt = jwt
}

func (w *world) agentURL() string {
	u, err := url.Parse(w.agent.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	return "tcp://" + u.Host
}

func (w *world) agentForm(name string) form {
	return form{"Name": name, "EndpointCreationType": "2", "URL": w.agentURL(), "TLS": "true", "TLSSkipVerify": "true", "TLSSkipClientVerify": "true"}
}

// stack creates one and waits for its deploy.
func (w *world) stack(name, file string, env ...pair) (answer, int) {
	w.t.Helper()
	a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/string?endpointId=%d", w.agentID), map[string]any{"Name": name, "StackFileContent": file, "Env": env})
	if a.status != 200 {
		return a, 0
	}
	id := a.id(w.t)
	w.settle(id)
	return a, id
}

// settle waits until a stack is no longer deploying, and returns its status.
func (w *world) settle(id int) int {
	w.t.Helper()
	for range 500 {
		status := int(w.send("GET", fmt.Sprintf("/stacks/%d", id), nil).object()["Status"].(float64))
		if status != statusDeploying {
			return status
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatal("the stack is deploying for ever")
	return 0
}

func (w *world) containers(project string) []api.Summary {
	w.t.Helper()
	list, err := w.engine.Client().Containers(w.t.Context(), true, api.Filters{"label": {"com.docker.compose.project=" + project}})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// env is a container's environment.
func (w *world) env(container string) map[string]string {
	w.t.Helper()
	c, err := w.engine.Client().Container(w.t.Context(), container)
	if err != nil {
		w.t.Fatal(err)
	}
	m := map[string]string{}
	for _, kv := range c.Config.Env {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}
