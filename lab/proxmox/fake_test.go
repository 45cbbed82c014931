package proxmox

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"phoenix-run/lab/machine"
)

// fakeBackend runs machines that are nothing but their power state and an agent.
type fakeBackend struct {
	mu       sync.Mutex
	machines map[int]*fakeMachine
	made     int           // Create and Clone calls
	slow     time.Duration // of each Clone
	fail     error         // of each Clone
}

func newFake() *fakeBackend { return &fakeBackend{machines: map[int]*fakeMachine{}} }

func (b *fakeBackend) add(id int, spec machine.Spec) *fakeMachine {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	m := &fakeMachine{backend: b, id: id, spec: spec, power: machine.Stopped}
	m.agent = &fakeAgent{m: m, files: map[string][]byte{}, procs: map[int]machine.ExecStatus{}}
	b.machines[id] = m
	return m
}

func (b *fakeBackend) Create(_ context.Context, id int, spec machine.Spec) (machine.Machine, error) {
	return b.add(id, spec), nil
}

func (b *fakeBackend) Clone(ctx context.Context, id int, source machine.Machine, spec machine.Spec) (machine.Machine, error) {
	if err := sleep(ctx, b.slow); err != nil {
		return nil, err
	}
	if b.fail != nil {
		return nil, b.fail
	}
	return b.add(id, spec), nil
}

func (b *fakeBackend) Open(_ context.Context, id int) (machine.Machine, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.machines[id]; m != nil {
		return m, nil
	}
	return nil, fs.ErrNotExist
}

func (b *fakeBackend) Close() error { return nil }

func (b *fakeBackend) get(id int) *fakeMachine {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.machines[id]
}

type fakeMachine struct {
	backend *fakeBackend
	id      int
	agent   *fakeAgent

	mu     sync.Mutex
	power  machine.Power
	spec   machine.Spec
	disk   int64
	hangs  bool // does not answer to shutdown
	silent bool // the agent does not answer
	snaps  []string
}

func (m *fakeMachine) set(p machine.Power) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.power = p
}

func (m *fakeMachine) Power() machine.Power {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.power
}

func (m *fakeMachine) Start(_ context.Context, spec machine.Spec) error {
	m.mu.Lock()
	m.spec = spec
	m.mu.Unlock()
	m.set(machine.Running)
	return nil
}

func (m *fakeMachine) Shutdown(ctx context.Context) error {
	if m.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	m.set(machine.Stopped)
	return nil
}

func (m *fakeMachine) Stop(context.Context) error   { m.set(machine.Stopped); return nil }
func (m *fakeMachine) Reboot(context.Context) error { return nil }
func (m *fakeMachine) Reset(context.Context) error  { return nil }
func (m *fakeMachine) Pause(context.Context) error  { m.set(machine.Paused); return nil }
func (m *fakeMachine) Resume(context.Context) error { m.set(machine.Running); return nil }

func (m *fakeMachine) Configure(_ context.Context, spec machine.Spec) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spec.MAC = spec.MAC
	return nil, nil
}

func (m *fakeMachine) ResizeDisk(_ context.Context, bytes int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = bytes
	return nil
}

func (m *fakeMachine) Snapshot(_ context.Context, name string) error {
	m.snaps = append(m.snaps, name)
	return nil
}
func (m *fakeMachine) Rollback(context.Context, string) error       { return nil }
func (m *fakeMachine) DeleteSnapshot(context.Context, string) error { return nil }

func (m *fakeMachine) Destroy(context.Context) error {
	m.backend.mu.Lock()
	defer m.backend.mu.Unlock()
	delete(m.backend.machines, m.id)
	return nil
}

func (m *fakeMachine) UptimeSeconds() int64 { return 5 }

func (m *fakeMachine) Agent() machine.Agent {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent || m.power != machine.Running {
		return nil
	}
	return m.agent
}

func (m *fakeMachine) lastSpec() machine.Spec {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spec
}

// fakeAgent knows the programs echo (its arguments), cat (its input), kill (a signal), big (truncated
// output), sleep (never ends), stuck (never answers).
type fakeAgent struct {
	m     *fakeMachine
	mu    sync.Mutex
	pid   int
	files map[string][]byte
	procs map[int]machine.ExecStatus
}

func (a *fakeAgent) Ping(context.Context) error { return nil }

func (a *fakeAgent) Exec(ctx context.Context, argv []string, input []byte) (int, error) {
	st := machine.ExecStatus{Exited: true}
	switch argv[0] {
	case "echo":
		for _, s := range argv[1:] {
			st.Stdout = append(st.Stdout, s...)
		}
	case "cat":
		st.Stdout = input
	case "kill":
		st.Signal = 9
	case "big":
		st.Stderr, st.StderrTruncated, st.Code = []byte("x"), true, 3
	case "sleep":
		st.Exited = false
	case "stuck":
		<-ctx.Done()
		return 0, ctx.Err()
	default:
		return 0, &machine.ErrAgent{Class: "GenericError", Desc: "Failed to execute child process \u201c" + argv[0] + "\u201d (No such file or directory)"}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pid++
	a.procs[a.pid] = st
	return a.pid, nil
}

func (a *fakeAgent) ExecStatus(_ context.Context, pid int) (machine.ExecStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	st, ok := a.procs[pid]
	if !ok {
		return st, &machine.ErrAgent{Class: "GenericError", Desc: "Invalid parameter 'pid'"}
	}
	if st.Exited {
		delete(a.procs, pid)
	}
	return st, nil
}

func (a *fakeAgent) ReadFile(_ context.Context, path string, offset int64, count int) ([]byte, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.files[path]
	if !ok {
		return nil, false, &machine.ErrAgent{Class: "GenericError", Desc: "failed to open file '" + path + "' (mode: 'r'): No such file or directory"}
	}
	b = b[min(offset, int64(len(b))):]
	if len(b) > count {
		return b[:count], false, nil
	}
	return b, true, nil
}

func (a *fakeAgent) WriteFile(_ context.Context, path string, content []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[path] = content
	return nil
}

func (a *fakeAgent) Interfaces(context.Context) ([]machine.Interface, error) {
	return []machine.Interface{
		{Name: "lo", Addresses: []machine.Address{{IP: "127.0.0.1", Type: "ipv4", Prefix: 8}}},
		{Name: "eth0", MAC: "BC:24:11:00:00:01", Addresses: []machine.Address{{IP: "10.0.0.5", Type: "ipv4", Prefix: 24}}},
		{Name: "wg0"},
	}, nil
}

func (a *fakeAgent) OSInfo(context.Context) (map[string]string, error) {
	return map[string]string{"id": "ubuntu", "pretty-name": "Ubuntu 22.04.5 LTS"}, nil
}

func (a *fakeAgent) HostName(context.Context) (string, error) {
	return "", &machine.ErrAgent{Class: "GenericError", Desc: "hostname is unset"}
}

var errFakeClone = errors.New("no space left on device")
