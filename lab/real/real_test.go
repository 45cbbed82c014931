//go:build real

// Package real proves phoenix-run on real machines: the built binary, with a lab that it serves itself.
package real

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take. It only ends what hangs: machines are slow where many work.
const patience = 20 * time.Minute

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "phoenix-real-")
	if err == nil {
		binary = filepath.Join(dir, "phoenix-run")
		build := exec.Command("go", "build", "-o", binary, "phoenix-run/cmd/phoenix-run")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// project is a configuration folder, and the lab that is served for it.
type project struct {
	t      *testing.T
	dir    string
	flags  []string // of lab serve
	server *exec.Cmd
	ended  chan error
}

func newProject(t *testing.T, files map[string]string, flags ...string) *project {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("real machines take root")
	}
	p := &project{t: t, dir: t.TempDir(), flags: flags}
	for name, text := range files {
		path := filepath.Join(p.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.consoles()
		}
		p.stop(syscall.SIGTERM)
	})
	return p
}

// serve starts the lab and waits until it serves.
func (p *project) serve() {
	p.t.Helper()
	out, err := os.Create(filepath.Join(p.dir, "serve.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.server = exec.Command(binary, append([]string{"lab", "serve"}, p.flags...)...)
	p.server.Dir, p.server.Stdout, p.server.Stderr = p.dir, out, out
	if err := p.server.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.server.Wait() }()
	p.eventually("the lab serves", func() bool {
		select {
		case err := <-p.ended:
			p.t.Fatalf("the lab ended: %v\n%s", err, p.read("serve.log"))
		default:
		}
		return strings.Contains(p.read("serve.log"), "fingerprint")
	})
}

// stop ends the lab by a signal.
func (p *project) stop(signal syscall.Signal) {
	if p.server == nil {
		return
	}
	p.server.Process.Signal(signal)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.server.Process.Kill()
		p.t.Errorf("the lab does not end at %v", signal)
	}
	p.server = nil
}

func (p *project) read(name string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// run runs phoenix-run, and gives what it printed and its exit code.
func (p *project) run(args ...string) (string, int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--lab"}, args...)...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%v: %v", args, err)
	}
	p.t.Logf("%s: %s", strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond))
	return string(out), cmd.ProcessState.ExitCode()
}

// must is run that succeeds.
func (p *project) must(args ...string) string {
	p.t.Helper()
	out, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// unchanged is a run that finds nothing to do.
func (p *project) unchanged(args ...string) {
	p.t.Helper()
	if out := p.must(args...); !strings.Contains(out, "Done: 0 changed") && !strings.Contains(out, "Plan: nothing would change") {
		p.t.Errorf("%s changed something:\n%s", strings.Join(args, " "), out)
	}
}

// info is lab.json.
func (p *project) info() (info struct {
	SSHPort    int    `json:"ssh_port"`
	SSHKeyFile string `json:"ssh_key_file"`
}) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.read(".phoenix/lab/lab.json")), &info); err != nil {
		p.t.Fatal(err)
	}
	return info
}

func (p *project) address(id string) string {
	p.t.Helper()
	var guests map[string]string
	if err := json.Unmarshal([]byte(p.read(".phoenix/lab/guests.json")), &guests); err != nil {
		p.t.Fatal(err)
	}
	return guests[id]
}

// in runs a shell script in a machine with OpenSSH's own client.
func (p *project) in(id, script string) (string, error) {
	p.t.Helper()
	info := p.info()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-q", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-i", info.SSHKeyFile, "-p", fmt.Sprint(info.SSHPort), "root@"+p.address(id), "sh -eu")
	cmd.Stdin = strings.NewReader(script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

// mustIn is in that succeeds.
func (p *project) mustIn(id, script string) string {
	p.t.Helper()
	out, err := p.in(id, script)
	if err != nil {
		p.t.Fatalf("on %s: %s: %v\n%s", id, script, err, out)
	}
	return out
}

// eventually polls.
func (p *project) eventually(what string, true func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !true(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// consoles shows what the machines had to say.
func (p *project) consoles() {
	logs, _ := filepath.Glob(filepath.Join(p.dir, ".phoenix/lab/machines/*/console.log"))
	for _, l := range append(logs, filepath.Join(p.dir, "serve.log")) {
		text, _ := os.ReadFile(l)
		p.t.Logf("%s:\n%s", l, text[max(0, len(text)-3000):])
	}
}

// leftovers are what there is of any lab outside its folder.
func leftovers(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, pattern := range []string{"/run/netns/phx*", "/sys/fs/cgroup/phoenix-run/phx*", "/sys/fs/cgroup/*/phoenix-run/phx*", "/sys/class/net/phx*", "/run/systemd/nspawn/*/phx*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/.phoenix/lab/") {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		text, _ := os.ReadFile(p) // it may have ended
		line := strings.ReplaceAll(string(text), "\x00", " ")
		for _, name := range []string{"systemd-nspawn", "slirp4netns", "qemu-system-"} {
			if strings.HasPrefix(line, name) {
				left = append(left, line)
			}
		}
	}
	return left
}
