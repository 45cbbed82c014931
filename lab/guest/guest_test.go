package guest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"phoenix-run/lab/guest"
	"phoenix-run/lab/machine"
	"phoenix-run/lab/record"
)

// lab is a backend in a folder, with a key that may log in.
type lab struct {
	t       *testing.T
	dir     string
	backend *guest.Backend
	signer  ssh.Signer
	private ed25519.PrivateKey
	port    int
	log     *record.Log
}

func newLab(t *testing.T) *lab {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: t.TempDir(), port: freePort(t), private: private}
	if l.signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	l.open(guest.Options{})
	return l
}

func freePort(t *testing.T) int {
	t.Helper()
	n, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // only its number is wanted
	return n.Addr().(*net.TCPAddr).Port
}

// open starts a backend on the lab's folder, as a new run of the lab does.
func (l *lab) open(o guest.Options) {
	l.t.Helper()
	var err error
	if l.log, err = record.Open(filepath.Join(l.dir, "requests.jsonl")); err != nil {
		l.t.Fatal(err)
	}
	o.Dir, o.SSHPort, o.Log = filepath.Join(l.dir, "guests"), l.port, l.log
	o.Lease = func(id int) (string, error) { return fmt.Sprintf("127.77.0.%d", id%250), nil }
	if o.BootTime == 0 {
		o.BootTime, o.CloudInitTime, o.InstallTime = 5*time.Millisecond, 5*time.Millisecond, time.Millisecond
	}
	if l.backend, err = guest.NewBackend(o); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := l.backend.Close(); err != nil {
			l.t.Error(err)
		}
	})
}

func (l *lab) spec(name string) machine.Spec {
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(l.signer.PublicKey())))
	return machine.Spec{Name: name, Cores: 2, Sockets: 1, MemoryMiB: 2048, DiskBytes: 10 << 30, Image: "cloud.qcow2", Agent: true,
		MAC: []string{"BC:24:11:00:00:01"}, CloudInit: machine.CloudInit{InstanceID: "i-" + name, User: "root", SSHKeys: []string{key}}}
}

// boot makes and starts a machine and waits for its cloud-init.
func (l *lab) boot(id int) *guest.Guest {
	l.t.Helper()
	m, err := l.backend.Create(l.t.Context(), id, l.spec(fmt.Sprintf("vm-%d", id)))
	if err != nil {
		l.t.Fatal(err)
	}
	g := m.(*guest.Guest)
	if err := g.Start(l.t.Context(), l.spec(fmt.Sprintf("vm-%d", id))); err != nil {
		l.t.Fatal(err)
	}
	l.ready(g)
	return g
}

func (l *lab) ready(g *guest.Guest) {
	l.t.Helper()
	for range 1000 {
		if g.Agent() != nil && g.UnitActive("ssh") {
			if s := l.agent(g, "/usr/bin/cloud-init", "status", "--wait"); s.Code != 0 && s.Code != 1 {
				l.t.Fatalf("cloud-init: %+v", s)
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	l.t.Fatal("the machine does not come up")
}

// agent runs a command through the guest agent.
func (l *lab) agent(g *guest.Guest, argv ...string) machine.ExecStatus {
	l.t.Helper()
	a := g.Agent()
	pid, err := a.Exec(l.t.Context(), argv, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for range 2000 {
		s, err := a.ExecStatus(l.t.Context(), pid)
		if err != nil {
			l.t.Fatal(err)
		}
		if s.Exited {
			return s
		}
		time.Sleep(2 * time.Millisecond)
	}
	l.t.Fatalf("%v does not end", argv)
	return machine.ExecStatus{}
}

func (l *lab) dial(g *guest.Guest, user string) *ssh.Client {
	l.t.Helper()
	c, err := ssh.Dial("tcp", fmt.Sprintf("%s:%d", g.Address(), l.port), &ssh.ClientConfig{User: user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(l.signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second}) //nolint:gosec // a test's own server
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() }) //nolint:errcheck // the machine may be gone
	return c
}

// sh runs a command over SSH.
func (l *lab) sh(c *ssh.Client, command string) (stdout, stderr string, code int) {
	l.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		l.t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // it has ended
	var out, errs strings.Builder
	s.Stdout, s.Stderr = &out, &errs
	err = s.Run(command)
	var exit *ssh.ExitError
	switch e := err.(type) { //nolint:errorlint // the package's own types
	case nil:
	case *ssh.ExitError:
		exit = e
		code = exit.ExitStatus()
	default:
		l.t.Fatalf("%s: %v (%s)", command, err, errs.String())
	}
	return out.String(), errs.String(), code
}

func (l *lab) entries() []record.Entry {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "requests.jsonl"))
	if err != nil {
		l.t.Fatal(err)
	}
	var list []record.Entry
	for line := range strings.Lines(string(text)) {
		var e record.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			l.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func TestCommandsOverSSH(t *testing.T) {
	l := newLab(t)
	c := l.dial(l.boot(101), "root")
	for _, tt := range []struct {
		command, out, err string
		code              int
	}{
		{command: "echo hello", out: "hello\n"},
		{command: "cat /etc/hostname; hostname", out: "vm-101\nvm-101\n"},
		{command: ". /etc/os-release; echo $ID $VERSION_CODENAME", out: "ubuntu jammy\n"},
		{command: "exit 7", code: 7},
		{command: "foo", err: "foo: command not found\n", code: 127},
		{command: "sh -c foo", err: "sh: 1: foo: not found\n", code: 127},
		{command: "cat /none", err: "cat: /none: No such file or directory\n", code: 1},
		{command: "dpkg-query -W -f '${db:Status-Status} ${Package}\\n' curl", out: "installed curl\n"},
		{command: "command -v docker || echo none", out: "none\n"},
		{command: "apt-get -q -y install foo 2>&1 >/dev/null", out: "E: Unable to locate package foo\n", code: 100},
		{command: "export DEBIAN_FRONTEND=noninteractive\napt-get install -q -y -- htop jq >/dev/null && dpkg-query -W -f '${Package} ${Version}\\n' jq && which htop", out: "jq 1.6-2.1ubuntu3\n/usr/bin/htop\n"},
		{command: "apt-get -y remove htop >/dev/null; which htop; dpkg-query -W -f '${db:Status-Status}' htop", out: "config-files", code: 0},
		{command: "systemctl is-active ssh cron; systemctl is-enabled ssh", out: "active\nactive\nenabled\n"},
		{command: "systemctl show -p LoadState -p ActiveState -p UnitFileState -- none.service", out: "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n"},
		{command: "systemctl start none", err: "Failed to start none.service: Unit none.service not found.\n", code: 5},
		{command: "a=$(printf 'x\\ny\\n' | wc -l); echo $((a+1))", out: "3\n"},
		{command: "cd /tmp && mktemp -d XXX >/dev/null && pwd", out: "/tmp\n"},
		{command: "stat -c 'file %a %U %G %s' -- /etc/hostname", out: "file 644 root root 7\n"},
		{command: "readlink -f /etc/localtime | sed 's|^.*/zoneinfo/||'", out: "Etc/UTC\n"},
		{command: "nproc; uname -m; id -nG -- root; getent passwd root", out: "2\nx86_64\nroot\nroot:x:0:0:root:/root:/bin/bash\n"},
		{command: "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/ok/p' /proc/meminfo", out: "ok\n"},
		{command: "useradd -U -m -s /bin/bash -- deploy && usermod -a -G sudo -- deploy && id -nG -- deploy && getent group deploy >/dev/null && stat -c '%U %a' /home/deploy", out: "deploy sudo\ndeploy 750\n"},
		{command: "sysctl -q -w vm.swappiness=10 && sysctl -n vm.swappiness && cat /proc/sys/vm/swappiness", out: "10\n10\n"},
		{command: "sudo -u deploy whoami; sudo -n id -u", out: "deploy\n0\n"},
		{command: "hostnamectl set-hostname other && cat /etc/hostname", out: "other\n"},
		{command: "df -k / | tail -1 | { read -r a b c; echo $a $b; }", out: "/dev/sda1 10276045\n"},
		{command: "journalctl -n 1 --no-pager -o cat -u ssh | wc -l", out: "1\n"},
		{command: "cloud-init status --format json | grep -c '\"status\": \"done\"'", out: "1\n"},
	} {
		out, errs, code := l.sh(c, tt.command)
		if out != tt.out || !strings.HasSuffix(errs, tt.err) || tt.err == "" && errs != "" || code != tt.code {
			t.Errorf("%s:\n got %q, %q, %d\nwant %q, %q, %d", tt.command, out, errs, code, tt.out, tt.err, tt.code)
		}
	}
}

// TestOnlyChangesAreChanges: the log tells what changed the machine, as the machine saw it.
func TestOnlyChangesAreChanges(t *testing.T) {
	l := newLab(t)
	g := l.boot(102)
	c := l.dial(g, "root")
	for _, tt := range []struct {
		command string
		changed bool
	}{
		{"cat /etc/passwd", false},
		{"f=$(mktemp) && echo x >$f && rm $f", false},
		{"echo x > /etc/.tmp && rm /etc/.tmp", false},
		{"echo x > /etc/new", true},
		{"cat /etc/new >/dev/null", false},
		{"chmod 600 /etc/new", true},
		{"chmod 600 /etc/new", false},
		{"systemctl stop cron", true},
		{"systemctl stop cron", false},
		{"systemctl show cron", false},
		{"systemctl enable ssh", false},
		{"apt-get update", false},
		{"apt-get -y install tree", true},
		{"apt-get -y install tree", false},
	} {
		l.sh(c, tt.command)
		list := l.entries()
		last := list[len(list)-1]
		if last.Path != tt.command || last.Service != record.SSH || last.Host != "vm-102" || last.Changed != tt.changed {
			t.Errorf("%q: want changed %v, got %+v", tt.command, tt.changed, last)
		}
	}
}

func TestAgent(t *testing.T) {
	l := newLab(t)
	g := l.boot(103)
	a := g.Agent()
	s := l.agent(g, "/bin/sh", "-c", "echo out; echo err >&2; echo $HOME; exit 3")
	if s.Code != 3 || string(s.Stdout) != "out\n\n" || string(s.Stderr) != "err\n" {
		t.Errorf("exec: %+v", s)
	}
	var fault *machine.ErrAgent
	if _, err := a.Exec(t.Context(), []string{"/no/such"}, nil); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("a missing binary: %v", err)
	} else if e, ok := err.(*machine.ErrAgent); !ok { //nolint:errorlint // the interface's own type
		t.Errorf("not the agent's error: %v %v", e, fault)
	}
	pid, err := a.Exec(t.Context(), []string{"true"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, err := a.ExecStatus(t.Context(), pid)
		if err != nil {
			t.Fatal(err)
		}
		if s.Exited {
			break
		}
	}
	if _, err := a.ExecStatus(t.Context(), pid); err == nil || err.Error() != "Invalid parameter 'pid'" {
		t.Errorf("a second status: %v", err)
	}
	if err := a.WriteFile(t.Context(), "/root/f", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if b, eof, err := a.ReadFile(t.Context(), "/root/f", 1, 10); string(b) != "bc" || !eof || err != nil {
		t.Errorf("read: %q %v %v", b, eof, err)
	}
	nets, err := a.Interfaces(t.Context())
	if err != nil || len(nets) != 2 || nets[1].Addresses[0].IP != g.Address() || nets[1].MAC != "bc:24:11:00:00:01" {
		t.Errorf("interfaces: %+v, %v", nets, err)
	}
	if info, err := a.OSInfo(t.Context()); err != nil || info["id"] != "ubuntu" {
		t.Errorf("osinfo: %v, %v", info, err)
	}
}

// TestLife: what is written survives a reboot, a new run of the lab, a clone and a rollback, each as it should.
func TestLife(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	g := l.boot(104)
	if err := g.WriteFile("/srv/data", []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := g.SaveState("k", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	boot := g.BootID()
	if err := g.Snapshot(ctx, "before"); err != nil {
		t.Fatal(err)
	}
	if err := g.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	l.ready(g)
	if g.BootID() == boot {
		t.Error("a reboot has a boot id of its own")
	}
	boot = g.BootID()
	print := g.Fingerprint()

	if err := l.backend.Close(); err != nil {
		t.Fatal(err)
	}
	l.open(guest.Options{})
	m, err := l.backend.Open(ctx, 104)
	if err != nil {
		t.Fatal(err)
	}
	g = m.(*guest.Guest)
	var kept map[string]int
	if err := g.LoadState("k", &kept); err != nil || kept["n"] != 1 {
		t.Errorf("state: %v, %v", kept, err)
	}
	if g.Power() != machine.Running || g.BootID() != boot || g.Agent() == nil || !g.UnitActive("ssh.service") {
		t.Errorf("after a new run of the lab: %s, agent %v", g.Power(), g.Agent())
	}
	if g.Fingerprint() != print {
		t.Error("the state is another one after a new run of the lab")
	}
	if b, err := g.ReadFile("/srv/data"); err != nil || string(b) != "one" {
		t.Errorf("%q, %v", b, err)
	}

	if err := g.WriteFile("/srv/data", []byte("two"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := g.Rollback(ctx, "before"); err != nil {
		t.Fatal(err)
	}
	if b, err := g.ReadFile("/srv/data"); err != nil || string(b) != "one" || g.Power() != machine.Stopped {
		t.Errorf("after a rollback: %q, %v, %s", b, err, g.Power())
	}

	c, err := l.backend.Clone(ctx, 105, g, l.spec("clone"))
	if err != nil {
		t.Fatal(err)
	}
	clone := c.(*guest.Guest)
	if err := clone.Start(ctx, l.spec("clone")); err != nil {
		t.Fatal(err)
	}
	l.ready(clone)
	out, _, _ := l.sh(l.dial(clone, "root"), "hostname; cat /srv/data")
	if out != "clone\none" {
		t.Errorf("the clone says %q", out)
	}
	if err := clone.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := l.backend.Open(ctx, 105); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a destroyed machine: %v", err)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "guests", "105")); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
}
