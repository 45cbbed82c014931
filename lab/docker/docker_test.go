package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/cli"
	"phoenix-run/lab/docker/dockertest"
)

var lastAddress atomic.Int32

// address gives each test a loopback address of its own.
func address() string { return fmt.Sprintf("127.93.%d.%d", lastAddress.Add(1), 1) }

type box struct {
	t      *testing.T
	host   *dockertest.Host
	engine *docker.Engine
	user   string
	env    map[string]string
	stdin  string
}

func newBox(t *testing.T, o docker.Options) *box {
	t.Helper()
	if o.PullTime == 0 {
		o.PullTime = time.Millisecond
	}
	h := dockertest.NewHost("box", address())
	e := docker.New(h, o)
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &box{t: t, host: h, engine: e, user: "root"}
}

// docker runs the command and returns its output and exit code.
func (b *box) docker(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	code = cli.Run(ctx, &cli.Command{
		Args: args, Env: b.env, Dir: "/srv/app", Stdin: strings.NewReader(b.stdin), Stdout: &out, Stderr: &errs,
		Client: b.engine.ClientOf(b.user), ReadFile: b.host.ReadFile, Stat: b.host.Stat, Compose: true, Version: "28.5.2",
	})
	return out.String(), errs.String(), code
}

func (b *box) must(args ...string) string {
	b.t.Helper()
	out, errs, code := b.docker(args...)
	if code != 0 {
		b.t.Fatalf("docker %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return strings.TrimSpace(out)
}

func (b *box) fails(code int, text string, args ...string) {
	b.t.Helper()
	out, errs, got := b.docker(args...)
	if got != code || !strings.Contains(errs, text) {
		b.t.Errorf("docker %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, text, out, errs)
	}
}

func (b *box) write(path, content string) {
	b.t.Helper()
	if err := b.host.WriteFile(path, []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) get(port int) (string, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(fmt.Sprintf("http://%s:%d/", b.host.Address(), port))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func TestRunPublishesPortsUntilStopped(t *testing.T) {
	b := newBox(t, docker.Options{})
	_, errs, code := b.docker("run", "-d", "--name", "web", "-p", "8080:80", "nginx")
	if code != 0 || !strings.Contains(errs, "Unable to find image 'nginx:latest' locally") {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	if body, err := b.get(8080); err != nil || body != "web\n" {
		t.Errorf("got %q, %v", body, err)
	}
	if got := b.must("ps", "--format", "{{.Names}} {{.Image}} {{.Ports}}"); got != "web nginx 0.0.0.0:8080->80/tcp" {
		t.Errorf("ps: %q", got)
	}
	b.fails(125, `docker: Error response from daemon: Conflict. The container name "/web" is already in use by container`, "run", "-d", "--name", "web", "nginx")
	b.fails(125, "Bind for 0.0.0.0:8080 failed: port is already allocated", "run", "-d", "--name", "other", "-p", "8080:80", "nginx")
	if got := b.must("ps", "-a", "--filter", "name=other", "--format", "{{.State}}"); got != "created" {
		t.Errorf("a container whose start failed is %q", got)
	}
	before := b.host.Touched()
	b.must("stop", "web")
	if b.host.Touched() == before {
		t.Error("stop did not touch the guest")
	}
	before = b.host.Touched()
	b.must("ps", "-a")
	b.must("inspect", "web")
	b.must("stop", "web")
	if b.host.Touched() != before {
		t.Error("reading commands touched the guest")
	}
	if _, err := b.get(8080); err == nil {
		t.Error("a stopped container still answers")
	}
	b.must("start", "web")
	if _, err := b.get(8080); err != nil {
		t.Error(err)
	}
	b.fails(1, `cannot remove container "/web": container is running: stop the container before removing or force remove`, "rm", "web")
	b.must("rm", "-f", "web")
	b.fails(1, "Error response from daemon: No such container: web", "stop", "web")
	b.fails(1, "No such object: web", "inspect", "web")
}

func TestRefusals(t *testing.T) {
	b := newBox(t, docker.Options{Missing: []string{"nginx:9.9", "nobody/nothing"}})
	b.fails(1, "Error response from daemon: manifest for nginx:9.9 not found: manifest unknown: manifest unknown", "pull", "nginx:9.9")
	b.fails(1, "pull access denied for nobody/nothing, repository does not exist or may require 'docker login'", "pull", "nobody/nothing")
	b.fails(125, "docker: Error response from daemon: manifest for nginx:9.9 not found", "run", "-d", "nginx:9.9")
	b.fails(1, "invalid reference format", "pull", "Bad Name")
	b.fails(125, `invalid mount config for type "bind": bind source path does not exist: /nowhere`, "run", "-d", "--mount", "type=bind,src=/nowhere,dst=/x", "nginx")
	b.fails(125, "unknown flag: --nonsense", "run", "--nonsense", "nginx")
	b.fails(125, "unknown shorthand flag: 'y' in -y", "ps", "-y")
	b.fails(1, "docker: 'fly' is not a docker command.", "fly")
	b.fails(125, "invalid restart policy: unknown policy 'sometimes'", "run", "-d", "--restart", "sometimes", "nginx")
	b.fails(1, "network nope not found", "network", "inspect", "nope")
	b.fails(1, "get nope: no such volume", "volume", "inspect", "nope")
	b.must("run", "-d", "--name", "vv", "-v", "/srv/made:/data", "-v", "named:/n", "nginx")
	if info, err := b.host.Stat("/srv/made"); err != nil || !info.IsDir() {
		t.Errorf("-v did not make its source: %v", err)
	}
	b.fails(1, "remove named: volume is in use", "volume", "rm", "named")
	b.user = "ann"
	b.fails(1, "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock", "ps")
	b.write("/etc/group", "root:x:0:\ndocker:x:999:bob,ann\n")
	b.must("ps")
	b.user = "root"
	if err := b.engine.Stop(); err != nil {
		t.Fatal(err)
	}
	b.fails(1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "ps")
}

func TestEnvironmentReachesContainer(t *testing.T) {
	b := newBox(t, docker.Options{})
	b.stdin = "# comment\nA=plain\nB=\"kept\" $HOME\nFROM_SHELL\n"
	b.env = map[string]string{"FROM_SHELL": "yes"}
	b.must("run", "-d", "--name", "ee", "--env-file", "/dev/stdin", "-e", "A=wins", "-e", "C=a=b", "nginx")
	got := b.must("exec", "ee", "env")
	for _, want := range []string{"A=wins", `B="kept" $HOME`, "C=a=b", "FROM_SHELL=yes"} {
		if !strings.Contains(got, want+"\n") && !strings.HasSuffix(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	b.write("/srv/conf/x", "content\n")
	b.must("run", "-d", "--name", "ff", "-v", "/srv/conf:/conf:ro", "nginx")
	if got := b.must("exec", "ff", "cat", "/conf/x"); got != "content" {
		t.Errorf("cat: %q", got)
	}
	if got := b.must("run", "--rm", "alpine", "echo", "hi"); got != "hi" {
		t.Errorf("run --rm: %q", got)
	}
	if got := b.must("inspect", "-f", "{{.State.Status}} {{json .Config.Labels}}", "ff"); got != "running {}" {
		t.Errorf("inspect: %q", got)
	}
}

func TestRestartPoliciesAtBoot(t *testing.T) {
	for _, test := range []struct {
		policy  string
		byHand  bool
		running bool
	}{{"always", false, true}, {"always", true, true}, {"unless-stopped", false, true}, {"unless-stopped", true, false}, {"no", false, false}} {
		t.Run(fmt.Sprint(test.policy, test.byHand), func(t *testing.T) {
			b := newBox(t, docker.Options{})
			b.must("run", "-d", "--name", "cc", "--restart", test.policy, "-p", "8081:80", "nginx")
			if test.byHand {
				b.must("stop", "cc")
			}
			b.engine.Detach() // the plug is pulled
			b.host.Reboot()
			again := docker.New(b.host, docker.Options{})
			if err := again.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer again.Stop() //nolint:errcheck // the end of the test
			c, err := again.Client().Container(t.Context(), "cc")
			if err != nil || c.State.Running != test.running {
				t.Errorf("running %t, want %t (%v)", c.State.Running, test.running, err)
			}
		})
	}
}

func TestResumeInTheSameBoot(t *testing.T) {
	b := newBox(t, docker.Options{})
	b.must("run", "-d", "--name", "cc", "-p", "8082:80", "nginx")
	id := b.must("ps", "-q", "--no-trunc")
	b.engine.Detach()
	again := docker.New(b.host, docker.Options{})
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer again.Stop() //nolint:errcheck // the end of the test
	c, err := again.Client().Container(t.Context(), "cc")
	if err != nil || !c.State.Running || c.ID != id {
		t.Errorf("after the lab's restart: %+v, %v", c.State, err)
	}
	if _, err := b.get(8082); err != nil {
		t.Error(err)
	}
}

// crasher exits with code after it started, as often as it is started.
type crasher struct{ starts atomic.Int32 }

func (p *crasher) Start(_ context.Context, rt *docker.Runtime) (io.Closer, error) {
	if p.starts.Add(1) < 3 {
		rt.Exit(1)
	}
	return io.NopCloser(nil), nil
}

func TestProgramThatExitsIsRestarted(t *testing.T) {
	p := &crasher{}
	b := newBox(t, docker.Options{Programs: map[string]docker.Program{"me/crasher": p}})
	b.must("run", "-d", "--name", "always", "--restart=always", "me/crasher:1")
	deadline := time.Now().Add(5 * time.Second)
	for b.must("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "always") != "2 running" {
		if time.Now().After(deadline) {
			t.Fatal(b.must("inspect", "always"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.must("run", "-d", "--name", "once", "me/crasher:1") // the fourth start stays
	p.starts.Store(0)
	b.must("run", "-d", "--name", "dies", "me/crasher:1")
	for b.must("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "dies") != "exited 1" {
		if time.Now().After(deadline) {
			t.Fatal(b.must("inspect", "dies"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestDaemonConfiguration(t *testing.T) {
	for content, want := range map[string]string{
		`{"log-driver": "local",}`: "unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid character '}' looking for beginning of object key string",
		`{"nonsense": 1}`:          "the following directives don't match any configuration option: nonsense",
		`{"log-driver": "local"}`:  "",
		``:                         "",
	} {
		h := dockertest.NewHost("h", address())
		if err := h.WriteFile("/etc/docker/daemon.json", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		e := docker.New(h, docker.Options{})
		err := e.Start(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
		if err == nil && content != "" && e.Info().LoggingDriver != "local" {
			t.Errorf("log driver %q", e.Info().LoggingDriver)
		}
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestHealth(t *testing.T) {
	b := newBox(t, docker.Options{HealthTime: 50 * time.Millisecond})
	b.must("run", "-d", "--name", "hh", "--health-cmd", "true", "nginx")
	if got := b.must("inspect", "-f", "{{.State.Health.Status}}", "hh"); got != "starting" {
		t.Errorf("at once: %q", got)
	}
	time.Sleep(60 * time.Millisecond)
	if got := b.must("ps", "--filter", "health=healthy", "--format", "{{.Status}}"); !strings.HasSuffix(got, "(healthy)") {
		t.Errorf("later: %q", got)
	}
}

func TestPortTakenByAnotherProcess(t *testing.T) {
	b := newBox(t, docker.Options{})
	l, err := net.Listen("tcp", b.host.Address()+":8083")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.fails(125, "address already in use", "run", "-d", "-p", "8083:80", "nginx")
}

func TestSeededFaults(t *testing.T) {
	count := func(seed uint64) (trace string) {
		f := docker.SeededFaults(seed, 0.4, 5, func(image string) bool { return image != "spared" })
		for range 60 {
			if f.Pull("h", "spared") != nil {
				t.Error("a spared image failed")
			}
			if err := f.Pull("h", "x"); err != nil {
				trace += err.Error() + ";"
			}
		}
		return trace
	}
	if a, b := count(3), count(3); a != b || strings.Count(a, ";") != 5 {
		t.Errorf("%q, then %q", a, b)
	}
}

func TestOldClientsOfDocker29(t *testing.T) {
	b := newBox(t, docker.Options{Version: "29.0.0"})
	c := b.engine.Client()
	c.APIVersion = "1.43"
	if err := c.Ping(t.Context()); err == nil || err.Error() != "Error response from daemon: client version 1.43 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version" {
		t.Error(err)
	}
	c.APIVersion = "1.99"
	if err := c.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "client version 1.99 is too new. Maximum supported API version is 1.52") {
		t.Error(err)
	}
	c.APIVersion = "1.44"
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
