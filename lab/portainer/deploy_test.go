package portainer

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/api"
	"phoenix-run/lab/docker/dockertest"
	"phoenix-run/lab/record"
)

const withVariable = "services:\n  web:\n    image: nginx:1\n    container_name: web\n    environment:\n      V: ${V}\n"

// deployValue deploys a stack whose service gets a variable, and returns what its container has.
func deployValue(w *world, sent string) string {
	w.t.Helper()
	_, id := w.stack("s", withVariable, pair{"V", sent})
	if id == 0 {
		return "(failed)"
	}
	if w.settle(id) != statusActive {
		w.send("DELETE", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), nil)
		return "(failed)"
	}
	got := w.env("web")["V"]
	w.send("DELETE", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), nil)
	return got
}

// encode is the one form that arrives byte for byte.
func encode(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`).Replace(v) + `"`
}

func TestVariablesAreParsedAsDotenv(t *testing.T) {
	for _, version := range []string{"2.23.0", "2.45.0"} {
		w := newWorld(t, version).ready()
		for sent, want := range map[string]string{
			"pa$word": "pa", "pa$$word": "pa$word", "a #b": "a", "  padded  ": "padded", `"quoted"`: "quoted", `'single'`: "single",
			"a#b": "a#b", "a=b": "a=b", "it's": "it's", `say "hi"`: `say "hi"`, `a\nb`: `a\nb`, "grüße": "grüße", "": "",
		} {
			if got := deployValue(w, sent); got != want {
				t.Errorf("%s: %q arrives as %q, want %q", version, sent, got, want)
			}
		}
		if got := deployValue(w, "one\ntwo"); got == "one\ntwo" {
			t.Errorf("%s: a raw line break arrived whole", version)
		}
		for _, v := range []string{"pa$word", "$$", "${X}", "a #b", "  padded ", `"q"`, "it's", `back\`, `\\`, "`x`", "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n", "a\r\nb", "é🙂", "#", ""} {
			if got := deployValue(w, encode(v)); got != v {
				t.Errorf("%s: %q encoded arrives as %q", version, v, got)
			}
		}
	}
}

func TestStackEnvFile(t *testing.T) {
	w := newWorld(t, "2.39.0").ready()
	w.stack("s", "services:\n  web:\n    image: nginx\n    container_name: web\n    env_file: stack.env\n", pair{"A", "1"}, pair{"B", "two"})
	if env := w.env("web"); env["A"] != "1" || env["B"] != "two" {
		t.Errorf("%v", env)
	}
}

func TestDeployInProgress(t *testing.T) {
	w := newWorld(t, "2.45.0").ready()
	_, id := w.stack("s", oneService)
	hold := make(chan struct{})
	w.server.deploys <- struct{}{} // another deploy is under way
	go func() { <-hold; <-w.server.deploys }()
	path := fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID)
	body := map[string]any{"StackFileContent": twoServices}
	if a := w.send("PUT", path, body); a.status != 200 || a.object()["Status"] != float64(statusDeploying) {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if got := told(w.send("PUT", path, body)); got != "409 Unable to update stack / Stack deployment is already in progress" {
		t.Error(got)
	}
	close(hold)
	if status := w.settle(id); status != statusActive {
		t.Errorf("status %d", status)
	}
}

func TestRestartInMidDeploy(t *testing.T) {
	for stuck, want := range map[bool]float64{false: statusFailed, true: statusDeploying} {
		w := newWorld(t, "2.45.0", func(c *Config) { c.StuckDeploys = stuck }).ready()
		w.server.deploys <- struct{}{} // another deploy is under way
		a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/string?endpointId=%d", w.agentID), map[string]any{"Name": "s", "StackFileContent": oneService})
		w.restart()
		w.login()
		if got := w.send("GET", fmt.Sprint("/stacks/", a.id(t)), nil).object()["Status"]; got != want {
			t.Errorf("stuck %t: status %v", stuck, got)
		}
		if got := w.send("DELETE", fmt.Sprintf("/stacks/%d?endpointId=%d", a.id(t), w.agentID), nil).status; got != 204 {
			t.Errorf("stuck %t: delete: %d", stuck, got)
		}
	}
}

func TestDiskFull(t *testing.T) {
	w := newWorld(t, "2.39.0").ready()
	w.missing.set(errors.New("failed to register layer: write /x: no space left on device"))
	a, _ := w.stack("s", oneService)
	if a.status != 500 || !strings.Contains(a.text, "no space left on device") {
		t.Errorf("%d %s", a.status, a.text)
	}
	w.missing.set(nil)
	if a, _ := w.stack("s", oneService); a.status != 200 {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// scripted gives one fault to the next request whose path ends so.
type scripted struct {
	suffix string
	fault  *Fault
}

func (s *scripted) Request(r *http.Request) Fault {
	if s.fault != nil && strings.HasSuffix(r.URL.Path, s.suffix) {
		f := *s.fault
		s.fault = nil
		return f
	}
	return Fault{}
}

func TestFaultAfterTheWork(t *testing.T) {
	for _, test := range []struct {
		fault Fault
		want  string
		count int
	}{
		{Fault{Status: 502}, "502 Bad Gateway", 0},
		{Fault{Status: 502, After: true}, "502 Bad Gateway", 1},
		{Fault{Drop: true, After: true}, "EOF", 1},
		{Fault{Delay: time.Millisecond}, "200", 1},
	} {
		script := &scripted{suffix: "/tags"}
		w := newWorld(t, "2.45.0", func(c *Config) { c.Faults = script }).signedIn()
		script.fault = &test.fault
		if a := w.send("POST", "/tags", map[string]string{"Name": "t"}); !strings.Contains(seen(a), test.want) {
			t.Errorf("%+v: %s", test.fault, seen(a))
		}
		if got := strings.Count(w.send("GET", "/tags", nil).text, `"Name"`); got != test.count {
			t.Errorf("%+v: %d tags, want %d", test.fault, got, test.count)
		}
	}
}

func TestSeededFaultsRepeat(t *testing.T) {
	one, two := NewSeeded(7, 0.5, 3), NewSeeded(7, 0.5, 3)
	r := httptest.NewRequest("GET", "/api/stacks", nil)
	n := 0
	for range 50 {
		f := one.Request(r)
		if f != two.Request(r) {
			t.Fatal("the same seed gives other faults")
		}
		if f != (Fault{}) {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d faults", n)
	}
}

func TestRequestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	l, err := record.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t, "2.45.0", func(c *Config) { c.Log = l }).ready()
	_, id := w.stack("s", oneService, pair{"SECRET", "the-secret-value"})
	w.send("GET", fmt.Sprint("/stacks/", id), nil)
	w.send("GET", "/endpoints?name=x", nil)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, leak := range []string{"the-secret-value", password, w.jwt} {
		if strings.Contains(text, leak) {
			t.Errorf("the log holds %q", leak)
		}
	}
	for _, want := range []string{`"path":"/api/stacks/create/standalone/string"`, `"SECRET"`, `"path":"/api/endpoints","params":{"name":"x"},"status":200,"changed":false`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		reading := strings.Contains(line, `"method":"GET"`) || strings.Contains(line, "/api/auth")
		if strings.Contains(line, `"changed":true`) == reading {
			t.Errorf("wrong changed: %s", line)
		}
	}
}

func TestBackupAndRestore(t *testing.T) {
	for _, pw := range []string{"", "backup-password"} {
		w := newWorld(t, "2.45.0").ready()
		w.stack("s", oneService)
		archive := w.send("POST", "/backup", map[string]string{"password": pw}).text
		w.store.data = nil
		ended := make(chan int, 1)
		w.config.Exit = func(code int) { ended <- code }
		w.restart()
		w.jwt = ""
		if pw != "" {
			if a := w.send("POST", "/restore", form{"@file": archive, "password": "wrong"}, "X-Setup-Token: token-of-the-test"); a.status != 500 {
				t.Errorf("wrong password: %d %s", a.status, a.text)
			}
		}
		if a := w.send("POST", "/restore", form{"@file": archive, "password": pw}); a.status != 403 {
			t.Errorf("without setup token: %d %s", a.status, a.text)
		}
		if a := w.send("POST", "/restore", form{"@file": archive, "password": pw}, "X-Setup-Token: token-of-the-test"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.text)
		}
		if code := <-ended; code != 0 {
			t.Errorf("exit %d", code)
		}
		w.restart()
		w.login()
		if text := w.send("GET", "/stacks", nil).text; !strings.Contains(text, `"Name":"s"`) {
			t.Error(text)
		}
		if a := w.send("GET", fmt.Sprintf("/endpoints/%d/docker/_ping", w.agentID), nil); a.status != 200 {
			t.Errorf("the agent knows the restored server: %d", a.status)
		}
	}
}

// Servers whose Docker client is too old can't use Docker 29, whose oldest API is 1.44.
func TestDocker29(t *testing.T) {
	host := dockertest.NewHost("new", "127.94.1.1")
	engine := docker.New(host, docker.Options{Version: "29.0.1"})
	if err := engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer engine.Stop() //nolint:errcheck // the end of the test
	for version, works := range map[string]bool{"2.21.4": false, "2.27.1": false, "2.33.4": false, "2.33.5": true, "2.35.0": false, "2.36.0": true, "2.45.0": true} {
		w := newWorld(t, version, func(c *Config) { c.Socket = engine.Handler() }).signedIn()
		a := w.send("POST", "/endpoints", form{"Name": "local", "EndpointCreationType": "1"})
		if (a.status == 200) != works {
			t.Errorf("%s: %d %s", version, a.status, a.text)
		}
		if !works && !strings.Contains(a.text, "client version 1.41 is too old. Minimum supported API version is 1.44") {
			t.Errorf("%s: %s", version, a.text)
		}
	}
}

func TestOrphanedStack(t *testing.T) {
	w := newWorld(t, "2.39.0").ready()
	_, id := w.stack("s", oneService)
	w.send("DELETE", fmt.Sprint("/endpoints/", w.agentID), nil)
	if text := w.send("GET", "/stacks", nil).text; strings.TrimSpace(text) != "[]" {
		t.Errorf("orphans are listed: %s", text)
	}
	a := w.send("POST", "/endpoints", w.agentForm("vm1"))
	if got := w.send("PUT", fmt.Sprintf("/stacks/%d/associate?endpointId=%d&orphanedRunning=true", id, a.id(t)), nil); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if text := w.send("GET", "/stacks", nil).text; !strings.Contains(text, `"Name":"s"`) {
		t.Errorf("still an orphan: %s", text)
	}
}

// An external compose project of a stack's name is taken over without a word.
func TestExternalProjectIsAdopted(t *testing.T) {
	w := newWorld(t, "2.45.0").ready()
	c := w.engine.Client()
	if err := c.Pull(t.Context(), "nginx:1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), "s-old-1", api.CreateRequest{Config: api.Config{Image: "nginx:1", Labels: map[string]string{"com.docker.compose.project": "s", "com.docker.compose.service": "old", "com.docker.compose.oneoff": "False"}}}); err != nil {
		t.Fatal(err)
	}
	if a, _ := w.stack("s", oneService); a.status != 200 {
		t.Errorf("%d %s", a.status, a.text)
	}
	if n := len(w.containers("s")); n != 2 {
		t.Errorf("%d containers", n)
	}
}
