package nspawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"phoenix-run/lab/machine"
	"phoenix-run/lab/machine/child"
	"phoenix-run/lab/machine/qga"
	"phoenix-run/lab/machine/seed"
	"phoenix-run/lab/machine/vnet"
)

// closeTime is how long a machine has to shut down when the lab ends.
const closeTime = 30 * time.Second

// rebooted is how systemd-nspawn ends when its machine wants to start again.
const rebooted = 133

// Machine is one container. Its methods may be called from several goroutines.
type Machine struct {
	backend *Backend
	id      int
	dir     string
	agent   *qga.Client

	op sync.Mutex // one change of power or disk at a time

	mu      sync.Mutex
	meta    meta
	running bool
	pid     int           // of systemd-nspawn; 0 between two boots
	booted  time.Time     // the last boot
	off     chan struct{} // closed once it is off
	stopped bool          // it is not to start again
}

func newMachine(b *Backend, id int, kept meta) *Machine {
	dir := b.folder(id)
	return &Machine{backend: b, id: id, dir: dir, meta: kept, agent: qga.New(filepath.Join(dir, "run", "agent.sock"))}
}

// name is the machine's among those of all labs.
func (m *Machine) name() string { return m.backend.opts.Name + "-" + strconv.Itoa(m.id) }

// Power implements machine.Machine.
func (m *Machine) Power() machine.Power {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return machine.Running
	}
	return machine.Stopped
}

// UptimeSeconds implements machine.Machine.
func (m *Machine) UptimeSeconds() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running {
		return 0
	}
	return int64(time.Since(m.booted).Seconds())
}

// Start implements machine.Machine.
func (m *Machine) Start(ctx context.Context, spec machine.Spec) error {
	m.op.Lock()
	defer m.op.Unlock()
	if m.Power() != machine.Stopped {
		return fmt.Errorf("VM %d already running", m.id)
	}
	if m.meta.Image == "" {
		return fmt.Errorf("starting an empty disk: %w", machine.ErrUnsupported)
	}
	if err := m.growDisk(spec.DiskBytes); err != nil {
		return err
	}
	if err := m.writeSeed(spec); err != nil {
		return err
	}
	mac := ""
	if len(spec.MAC) > 0 {
		mac = spec.MAC[0]
	}
	netns, err := m.backend.opts.Network.MachineNamespace(ctx, m.id, mac)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta.Spec = spec
	if err := m.save(); err != nil {
		return err
	}
	m.off, m.stopped = make(chan struct{}), false
	began := make(chan error, 1)
	go m.supervise(netns, began)
	if err := <-began; err != nil {
		return err
	}
	m.running, m.booted = true, time.Now()
	return nil
}

// writeSeed makes the folder that cloud-init reads, with what Proxmox would put on its image.
func (m *Machine) writeSeed(spec machine.Spec) error {
	dir := filepath.Join(m.dir, "seed")
	if err := os.RemoveAll(dir); err != nil || spec.CloudInit.InstanceID == "" {
		return err
	}
	host, err := m.backend.opts.Lease(m.id)
	if err != nil {
		return err
	}
	network := m.backend.opts.Network
	seed.Reserve(&spec.CloudInit, network.Address(host)+"/24", network.Gateway(), vnet.DNS)
	files, err := seed.Files(spec)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// supervise runs the machine until it is off, through all its reboots. began hears of the first start.
func (m *Machine) supervise(netns string, began chan<- error) {
	// The kernel kills the machine when the thread that started it ends: this one stays until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(m.off)
	for first := true; ; first = false {
		cmd, err := m.launch(netns)
		if first {
			began <- err
		} else if err != nil {
			m.note(fmt.Errorf("starting again after a reboot: %w", err))
		}
		if err != nil {
			m.ended()
			return
		}
		if !m.began(cmd.Process.Pid) {
			m.kill()
		}
		if !m.again(cmd.Wait()) {
			return
		}
	}
}

// began keeps a boot's process, and reports whether the machine is still meant to run.
func (m *Machine) began(pid int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.pid, m.booted = true, pid, time.Now()
	return !m.stopped
}

// again takes note of a boot's end, and reports whether it was a reboot.
func (m *Machine) again(err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid = 0
	var exit *exec.ExitError
	if !m.stopped && errors.As(err, &exit) && exit.ExitCode() == rebooted {
		return true
	}
	m.running = false
	if err != nil && !m.stopped {
		m.note(err)
	}
	return false
}

func (m *Machine) ended() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.pid = false, 0
}

// note keeps what went wrong with the machine beside its console.
func (m *Machine) note(err error) {
	if f, openErr := os.OpenFile(m.console(), os.O_APPEND|os.O_WRONLY, 0o600); openErr == nil {
		fmt.Fprintln(f, "lab:", err) //nolint:errcheck // there is no better place to tell
		f.Close()                    //nolint:errcheck // as above
	}
}

func (m *Machine) console() string { return filepath.Join(m.dir, "console.log") }

// launch starts systemd-nspawn.
func (m *Machine) launch(netns string) (*exec.Cmd, error) {
	console, err := os.OpenFile(m.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer console.Close() //nolint:errcheck // the machine has it
	if err := os.RemoveAll(filepath.Join(m.dir, "run", "agent.sock")); err != nil {
		return nil, err
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", runScript, "sh",
		m.dir, m.meta.Image, m.backend.layer, netns, m.name())
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = child.Attr()
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close() //nolint:errcheck // it was only read
	cmd.ExtraFiles = []*os.File{tell}
	if err := errors.Join(cmd.Start(), tell.Close()); err != nil {
		return nil, err
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return nil, fmt.Errorf("%w: %s", cmd.Wait(), m.lastWords())
	}
	return cmd, nil
}

// lastWords is the end of what was written to the console.
func (m *Machine) lastWords() string {
	text, err := os.ReadFile(m.console())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-500):]))
}

// Shutdown implements machine.Machine.
func (m *Machine) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	pid, off, running := m.pid, m.off, m.running
	m.mu.Unlock()
	if !running {
		return nil
	}
	// Like a power button, it has no effect before the system is up to see it.
	for told := false; ; {
		if !told && pid != 0 && m.agent.Ping(ctx) == nil {
			told = syscall.Kill(pid, syscall.SIGTERM) == nil
		}
		select {
		case <-off:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
		m.mu.Lock()
		pid = m.pid
		m.mu.Unlock()
	}
}

// Stop pulls the plug.
func (m *Machine) Stop(context.Context) error {
	m.op.Lock()
	defer m.op.Unlock()
	return m.stop()
}

// stop is Stop with m.op held.
func (m *Machine) stop() error {
	m.mu.Lock()
	running, off := m.running, m.off
	m.stopped = true
	m.mu.Unlock()
	if !running {
		return nil
	}
	m.kill()
	<-off
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m.backend.opts.Network.Remove(ctx, m.id)
}

// kill ends systemd-nspawn, and with it everything in the machine.
func (m *Machine) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pid != 0 {
		syscall.Kill(m.pid, syscall.SIGKILL) //nolint:errcheck // it may have ended just now
	}
}

// Reboot implements machine.Machine.
func (m *Machine) Reboot(ctx context.Context) error {
	spec := m.spec()
	if err := m.Shutdown(ctx); err != nil {
		return err
	}
	return m.Start(ctx, spec)
}

// Reset implements machine.Machine.
func (m *Machine) Reset(ctx context.Context) error {
	spec := m.spec()
	if err := m.Stop(ctx); err != nil {
		return err
	}
	return m.Start(ctx, spec)
}

func (m *Machine) spec() machine.Spec {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta.Spec
}

// Configure implements machine.Machine: what a machine has of processors and memory is its host's, so
// nothing waits but the agent.
func (m *Machine) Configure(_ context.Context, spec machine.Spec) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.meta.Spec
	var pending []string
	if m.running {
		for name, differs := range map[string]bool{
			"Sockets": old.Sockets != spec.Sockets, "Cores": old.Cores != spec.Cores,
			"MemoryMiB": old.MemoryMiB != spec.MemoryMiB, "Agent": old.Agent != spec.Agent,
		} {
			if differs {
				pending = append(pending, name)
			}
		}
		spec.Sockets, spec.Cores, spec.MemoryMiB, spec.Agent = old.Sockets, old.Cores, old.MemoryMiB, old.Agent
	}
	m.meta.Spec = spec
	return pending, m.save()
}

// Destroy implements machine.Machine.
func (m *Machine) Destroy(ctx context.Context) error {
	if err := m.Stop(ctx); err != nil {
		return err
	}
	m.backend.forget(m.id)
	return os.RemoveAll(m.dir)
}

// Agent implements machine.Machine.
func (m *Machine) Agent() machine.Agent {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running || m.pid == 0 || !m.meta.Spec.Agent {
		return nil
	}
	return m.agent
}
