package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/machine"
	"phoenix-run/lab/record"
)

// agentOutput is how much of each stream of a command the agent keeps.
const agentOutput = 16 << 20

// agent is the machine's qemu-guest-agent while its unit is active.
type agent struct {
	r *running

	mu   sync.Mutex
	jobs map[int]*agentJob
}

type agentJob struct {
	mu       sync.Mutex
	out, err capped
	status   int
	died     proc.Signal
	streams  int // of the command's that are still open
	exited   bool
}

// capped keeps the first bytes of a stream.
type capped struct {
	job       *agentJob
	buf       bytes.Buffer
	truncated bool
}

func (c *capped) Write(b []byte) (int, error) {
	c.job.mu.Lock()
	defer c.job.mu.Unlock()
	room := agentOutput - c.buf.Len()
	if len(b) > room {
		c.truncated = true
	}
	c.buf.Write(b[:min(len(b), room)])
	return len(b), nil
}

func (r *running) startAgent() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agent = &agent{r: r, jobs: map[int]*agentJob{}}
	return nil
}

func (r *running) stopAgent() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agent = nil
	return nil
}

// Agent implements machine.Machine.
func (g *Guest) Agent() machine.Agent {
	g.mu.Lock()
	run, paused, device := g.run, g.paused, g.meta.Spec.Agent
	g.mu.Unlock()
	if run == nil || paused || !device {
		return nil
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.agent == nil {
		return nil
	}
	return run.agent
}

// Ping implements machine.Agent.
func (a *agent) Ping(context.Context) error {
	if a.r.ctx.Err() != nil {
		return &machine.ErrAgent{Class: "GenericError", Desc: "the guest agent is gone"}
	}
	return nil
}

// Exec starts a command as root. Its environment is the agent's own: PATH and little else.
func (a *agent) Exec(_ context.Context, argv []string, input []byte) (int, error) {
	if len(argv) == 0 {
		return 0, &machine.ErrAgent{Class: "GenericError", Desc: "Invalid parameter type for 'path', expected: string"}
	}
	job := &agentJob{}
	job.out.job, job.err.job = job, job
	root := account.User{Name: "root", Home: "/root", Shell: "/bin/bash"}
	p := a.r.process(root, argv, bytes.NewReader(input), nil, nil)
	job.streams = 2
	for fd, w := range map[int]io.Writer{1: &job.out, 2: &job.err} {
		d := proc.NewDesc(nil, w, nil)
		d.OnClose(job.closed)
		p.Set(fd, d)
	}
	p.Env = map[string]string{"PATH": systemPath, "LANG": "C.UTF-8"}
	trace, end := a.r.g.audit(record.Agent, "exec", strings.Join(argv, " "))
	p.FS.Trace = trace
	p.Audit = a.r.g.auditCommands(record.Agent)
	wait, err := a.r.start(p)
	if err != nil {
		end(127, err)
		return 0, &machine.ErrAgent{Class: "GenericError", Desc: fmt.Sprintf("Guest agent command failed, error was 'Failed to execute child process “%s” (%s)'", argv[0], execText(err))}
	}
	pid := p.PID
	a.mu.Lock()
	a.jobs[pid] = job
	a.mu.Unlock()
	a.r.work.Go(func() {
		status := wait(context.Background())
		end(status, nil)
		job.mu.Lock()
		job.exited, job.status, job.died = true, status, p.Died
		job.mu.Unlock()
	})
	return pid, nil
}

func execText(err error) string {
	if errors.Is(err, proc.ErrNotFound) {
		return "No such file or directory"
	}
	return proc.Text(err)
}

// closed counts a stream that the last process has closed.
func (j *agentJob) closed() {
	j.mu.Lock()
	j.streams--
	j.mu.Unlock()
}

// ExecStatus implements machine.Agent. As qemu-ga has it, a command has not exited while any process
// still holds its output.
func (a *agent) ExecStatus(_ context.Context, pid int) (machine.ExecStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	job := a.jobs[pid]
	if job == nil {
		return machine.ExecStatus{}, &machine.ErrAgent{Class: "GenericError", Desc: "Invalid parameter 'pid'"}
	}
	job.mu.Lock()
	defer job.mu.Unlock()
	if !job.exited || job.streams > 0 {
		return machine.ExecStatus{}, nil
	}
	delete(a.jobs, pid)
	s := machine.ExecStatus{Exited: true, Code: job.status, Stdout: job.out.buf.Bytes(), Stderr: job.err.buf.Bytes(),
		StdoutTruncated: job.out.truncated, StderrTruncated: job.err.truncated}
	if job.died != 0 {
		s.Code, s.Signal = 0, int(job.died)
	}
	return s, nil
}

// ReadFile implements machine.Agent.
func (a *agent) ReadFile(_ context.Context, path string, offset int64, count int) (content []byte, eof bool, err error) {
	_, end := a.r.g.audit(record.Agent, "file-read", path)
	defer func() { end(statusOf(err), err) }()
	f, err := a.r.g.root().Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, false, openError(path, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	buf := make([]byte, count)
	n, err := f.ReadAt(buf, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, &machine.ErrAgent{Class: "GenericError", Desc: "failed to read file: " + proc.Text(err)}
	}
	return buf[:n], errors.Is(err, io.EOF) || offset+int64(n) >= f.Stat().Size(), nil
}

// WriteFile implements machine.Agent: the file is truncated, and has no mode but fopen's.
func (a *agent) WriteFile(_ context.Context, path string, content []byte) (err error) {
	trace, end := a.r.g.audit(record.Agent, "file-write", path)
	defer func() { end(statusOf(err), err) }()
	v := a.r.g.root()
	v.Trace = trace
	if err := v.WriteFile(path, content, 0o666); err != nil {
		return openError(path, err)
	}
	return a.r.g.Flush()
}

func statusOf(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

func openError(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return &machine.ErrAgent{Class: "GenericError", Desc: fmt.Sprintf("failed to open file '%s' (mode: 'r'): %s", path, proc.Text(p.Err))}
	}
	return &machine.ErrAgent{Class: "GenericError", Desc: err.Error()}
}

// Interfaces implements machine.Agent.
func (a *agent) Interfaces(context.Context) ([]machine.Interface, error) {
	return []machine.Interface{
		{Name: "lo", MAC: "00:00:00:00:00:00", Addresses: []machine.Address{{IP: "127.0.0.1", Type: "ipv4", Prefix: 8}, {IP: "::1", Type: "ipv6", Prefix: 128}}},
		{Name: "eth0", MAC: a.r.mac(), Addresses: []machine.Address{{IP: a.r.address, Type: "ipv4", Prefix: 24}, {IP: linkLocal(a.r.mac()), Type: "ipv6", Prefix: 64}}},
	}, nil
}

// mac is the first network card's address.
func (r *running) mac() string {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	if macs := r.g.meta.Spec.MAC; len(macs) > 0 && macs[0] != "" {
		return strings.ToLower(macs[0])
	}
	h := fnv.New32a()
	fmt.Fprint(h, r.g.id) //nolint:errcheck // a hash takes all
	s := h.Sum(nil)
	return fmt.Sprintf("bc:24:11:%02x:%02x:%02x", s[0], s[1], s[2])
}

// linkLocal is the IPv6 address that a card gives itself.
func linkLocal(mac string) string {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return "fe80::1"
	}
	ip := net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0, hw[0] ^ 2, hw[1], hw[2], 0xff, 0xfe, hw[3], hw[4], hw[5]}
	return ip.String()
}

// OSInfo implements machine.Agent.
func (a *agent) OSInfo(context.Context) (map[string]string, error) {
	text, err := a.r.g.ReadFile("/etc/os-release")
	if err != nil {
		return nil, &machine.ErrAgent{Class: "GenericError", Desc: "failed to open file '/etc/os-release': " + proc.Text(err)}
	}
	info := map[string]string{"kernel-release": kernelRelease, "kernel-version": kernelVersion, "machine": "x86_64"}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name := map[string]string{"ID": "id", "NAME": "name", "PRETTY_NAME": "pretty-name", "VERSION": "version", "VERSION_ID": "version-id"}[key]; name != "" {
			info[name] = strings.Trim(value, `"`)
		}
	}
	return info, nil
}

// HostName implements machine.Agent.
func (a *agent) HostName(context.Context) (string, error) { return a.r.g.Name(), nil }
