package portainer

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/cli"
	"phoenix-run/lab/docker/dockertest"
)

var lastMachine atomic.Int32

// machine is a guest with Docker and its command.
type machine struct {
	t      *testing.T
	host   *dockertest.Host
	engine *docker.Engine
}

func newMachine(t *testing.T, name string, o Options) *machine {
	t.Helper()
	h := dockertest.NewHost(name, fmt.Sprintf("127.95.%d.1", lastMachine.Add(1)))
	e := docker.New(h, docker.Options{Programs: Programs(o), PullTime: time.Millisecond})
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &machine{t, h, e}
}

func (m *machine) docker(line string) string {
	m.t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	code := cli.Run(ctx, &cli.Command{Args: strings.Fields(line), Stdout: &out, Stderr: &out, Client: m.engine.Client(), ReadFile: m.host.ReadFile, Stat: m.host.Stat, Compose: true, Version: "28.5.2"})
	if code != 0 {
		m.t.Fatalf("docker %s: exit %d\n%s", line, code, out.String())
	}
	return strings.TrimSpace(out.String())
}

// api asks the server on this machine over TLS.
func (m *machine) api(method, path, body string, header ...string) answer {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, "https://"+m.host.Address()+":9443/api"+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	client := http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the server's certificate is its own
	res, err := client.Do(req)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

const runServer = "run -d --name portainer --restart=always -p 9443:9443 -v /var/run/docker.sock:/var/run/docker.sock -v portainer_data:/data "
const runAgent = "run -d --name portainer_agent --restart=always -p 9001:9001 -v /var/run/docker.sock:/var/run/docker.sock "
const initBody = `{"Username":"admin","Password":"` + password + `"}`

func (m *machine) signIn() string {
	m.t.Helper()
	a := m.api("POST", "/auth", initBody)
	jwt, ok := a.object()["jwt"].(string)
	if !ok {
		m.t.Fatalf("auth: %d %s", a.status, a.text)
	}
	return "Authorization: Bearer " + jwt
}

func (m *machine) register(auth string, agent *machine) answer {
	m.t.Helper()
	f := url.Values{"Name": {agent.host.Name()}, "EndpointCreationType": {"2"}, "URL": {"tcp://" + agent.host.Address() + ":9001"}, "TLS": {"true"}, "TLSSkipVerify": {"true"}, "TLSSkipClientVerify": {"true"}}
	return m.api("POST", "/endpoints", f.Encode(), auth, "Content-Type: application/x-www-form-urlencoded")
}

func TestServerAsContainer(t *testing.T) {
	m := newMachine(t, "vm0", Options{})
	m.docker(runServer + "portainer/portainer-ce:2.39.0")
	if v := m.api("GET", "/system/status", "").object()["Version"]; v != "2.39.0" {
		t.Fatalf("version %v", v)
	}
	if a := m.api("POST", "/users/admin/init", initBody); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	auth := m.signIn()
	if a := m.api("POST", "/endpoints", "Name=local&EndpointCreationType=1", auth, "Content-Type: application/x-www-form-urlencoded"); a.status != 200 {
		t.Errorf("the local environment: %d %s", a.status, a.text)
	}
	m.docker("restart portainer")
	if a := m.api("GET", "/users/me", "", auth); a.status != 401 {
		t.Errorf("a session survived a restart: %d", a.status)
	}
	// An upgrade: another container with the same volume.
	m.docker("rm -f portainer")
	m.docker(runServer + "portainer/portainer-ce:2.45.0")
	if a := m.api("GET", "/users/admin/check", ""); a.status != 204 {
		t.Errorf("the data did not survive: %d %s", a.status, a.text)
	}
	if v := m.api("GET", "/system/status", "").object()["Version"]; v != "2.45.0" {
		t.Errorf("version %v", v)
	}
	m.docker("rm -f portainer")
	m.docker("volume rm portainer_data")
	m.docker(runServer + "portainer/portainer-ce:2.39.0")
	if a := m.api("GET", "/users/admin/check", ""); a.status != 404 {
		t.Errorf("the data survived its volume: %d", a.status)
	}
}

func TestHTTPOnTheTLSPort(t *testing.T) {
	m := newMachine(t, "vm0", Options{})
	m.docker("run -d --name portainer -p 9443:9443 -p 9000:9000 portainer/portainer-ce:2.39.0")
	for port, want := range map[int]string{9443: "Client sent an HTTP request to an HTTPS server.", 9000: `"Version":"2.39.0"`} {
		res, err := http.Get(fmt.Sprintf("http://%s:%d/api/system/status", m.host.Address(), port)) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%d: %s", port, b)
		}
	}
	conn, err := tls.Dial("tcp", m.host.Address()+":9443", &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if c := conn.ConnectionState().PeerCertificates[0]; c.DNSNames[0] != "localhost" || !c.IPAddresses[0].Equal(net.IPv4zero) {
		t.Errorf("certificate for %v %v", c.DNSNames, c.IPAddresses)
	}
}

func TestSetupTokenInTheLog(t *testing.T) {
	m := newMachine(t, "vm0", Options{})
	m.docker(runServer + "portainer/portainer-ce:2.45.0")
	logs := m.docker("logs portainer")
	if regexp.MustCompile(`setup_token=[0-9a-f]`).MatchString(logs) {
		t.Error("no escape sequence between name and value")
	}
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(logs, "")
	found := regexp.MustCompile(`setup_token=([0-9a-f]{64})`).FindStringSubmatch(plain)
	if found == nil {
		t.Fatalf("no token in %q", logs)
	}
	if a := m.api("POST", "/users/admin/init", initBody, "X-Setup-Token: "+found[1]); a.status != 200 {
		t.Errorf("%d %s", a.status, a.text)
	}
	m.docker("rm -f portainer")
	m.docker("volume rm portainer_data")
	m.docker(strings.Replace(runServer, "run -d", "run -d -e PORTAINER_SETUP_TOKEN=mine", 1) + "portainer/portainer-ce:2.45.0")
	if a := m.api("POST", "/users/admin/init", initBody, "X-Setup-Token: mine"); a.status != 200 {
		t.Errorf("token of the environment: %d %s", a.status, a.text)
	}
}

func TestAdminPasswordFile(t *testing.T) {
	m := newMachine(t, "vm0", Options{})
	if err := m.host.WriteFile("/srv/pw", []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.docker(strings.Replace(runServer, "-v portainer_data", "-v /srv/pw:/run/secrets/pw:ro -v portainer_data", 1) + "portainer/portainer-ce:2.45.0 --admin-password-file /run/secrets/pw")
	m.signIn()
}

func TestUnknownFlagEndsTheServer(t *testing.T) {
	m := newMachine(t, "vm0", Options{})
	m.docker(strings.Replace(runServer, "--restart=always ", "", 1) + "portainer/portainer-ce:2.39.0 --setup-token=x")
	if got := m.docker("inspect -f {{.State.ExitCode}} portainer"); got != "1" {
		t.Errorf("exit %s", got)
	}
	if logs := m.docker("logs portainer"); !strings.Contains(logs, "unknown long flag '--setup-token'") {
		t.Error(logs)
	}
}

func TestDowngradeIsRefused(t *testing.T) {
	m := newMachine(t, "vm0", Options{})
	m.docker(runServer + "portainer/portainer-ce:2.45.0")
	m.docker("rm -f portainer")
	m.docker(strings.Replace(runServer, "--restart=always ", "", 1) + "portainer/portainer-ce:2.39.0")
	if got := m.docker("inspect -f {{.State.Running}} portainer"); got != "false" {
		t.Error("an older server runs on newer data")
	}
}

func TestAgentPairing(t *testing.T) {
	server, agent := newMachine(t, "vm0", Options{}), newMachine(t, "vm1", Options{})
	agent.docker(runAgent + "portainer/agent:2.39.0")
	fresh := func(env string) string {
		server.docker("rm -f portainer")
		server.docker("volume rm -f portainer_data")
		server.docker(strings.Replace(runServer, "run -d", "run -d "+env, 1) + "portainer/portainer-ce:2.39.0")
		if a := server.api("POST", "/users/admin/init", initBody); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.text)
		}
		return server.signIn()
	}
	auth := fresh("")
	if a := server.register(auth, agent); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	auth = fresh("") // a new server with new keys
	paired := "500 Unable to initiate communications with environment / Agent already paired with another Portainer instance"
	if got := told(server.register(auth, agent)); got != paired {
		t.Error(got)
	}
	agent.docker("restart portainer_agent")
	if a := server.register(auth, agent); a.status != 200 {
		t.Errorf("after the agent's restart: %d %s", a.status, a.text)
	}
	// With a secret on both sides any server may come.
	agent.docker("rm -f portainer_agent")
	agent.docker(strings.Replace(runAgent, "run -d", "run -d -e AGENT_SECRET=s3cret", 1) + "portainer/agent:2.39.0")
	auth = fresh("")
	if got := told(server.register(auth, agent)); got != paired {
		t.Error(got)
	}
	for range 2 {
		auth = fresh("-e AGENT_SECRET=s3cret")
		if a := server.register(auth, agent); a.status != 200 {
			t.Errorf("%d %s", a.status, a.text)
		}
	}
	agent.docker("stop portainer_agent")
	if a := server.api("GET", "/endpoints/1/docker/_ping", "", auth); a.status != 502 {
		t.Errorf("a stopped agent: %d %s", a.status, a.text)
	}
}

func TestAgentRefusesUnsigned(t *testing.T) {
	m := newMachine(t, "vm1", Options{})
	m.docker(runAgent + "portainer/agent:2.39.0")
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the agent's certificate is its own
	get := func(path string) answer {
		res, err := client.Get("https://" + m.host.Address() + ":9001" + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{res.StatusCode, res.Header, string(b)}
	}
	if a := get("/ping"); a.status != 204 || a.header.Get("Portainer-Agent") != "2.39.0" || a.header.Get("Portainer-Agent-Platform") != "1" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := get("/containers/json"); a.status != 403 || !strings.Contains(a.text, "Missing request signature headers") {
		t.Errorf("%d %s", a.status, a.text)
	}
}

func TestRestartFaultRestartsTheContainer(t *testing.T) {
	script := &scripted{suffix: "/tags"}
	m := newMachine(t, "vm0", Options{Faults: script})
	m.docker(runServer + "portainer/portainer-ce:2.39.0")
	m.api("POST", "/users/admin/init", initBody)
	auth := m.signIn()
	script.fault = &Fault{Restart: true, After: true}
	if a := m.api("POST", "/tags", `{"Name":"t"}`, auth); a.status != 0 {
		t.Errorf("answered %d", a.status)
	}
	deadline := time.Now().Add(5 * time.Second)
	for m.api("GET", "/system/status", "").status != 200 {
		if time.Now().After(deadline) {
			t.Fatal("the server does not come back")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if text := m.api("GET", "/tags", "", m.signIn()).text; !strings.Contains(text, `"t"`) {
		t.Errorf("the work was lost: %s", text)
	}
}
