package qemu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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
const closeTime = time.Minute

// Machine is one virtual machine. Its methods may be called from several goroutines.
type Machine struct {
	backend *Backend
	id      int
	dir     string
	agent   *qga.Client

	op sync.Mutex // one change of power or disk at a time

	mu     sync.Mutex
	meta   meta
	paused bool
	booted time.Time
	pid    int           // of QEMU; 0 while it is off
	off    chan struct{} // closed once it is off
}

func newMachine(b *Backend, id int, kept meta) *Machine {
	dir := b.folder(id)
	return &Machine{backend: b, id: id, dir: dir, meta: kept, agent: qga.New(filepath.Join(dir, "run", "agent.sock"))}
}

// Power implements machine.Machine.
func (m *Machine) Power() machine.Power {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.pid == 0:
		return machine.Stopped
	case m.paused:
		return machine.Paused
	}
	return machine.Running
}

// UptimeSeconds implements machine.Machine.
func (m *Machine) UptimeSeconds() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pid == 0 {
		return 0
	}
	return int64(time.Since(m.booted).Seconds())
}

func (m *Machine) monitor(ctx context.Context, command string, arguments map[string]any) error {
	return qmp(ctx, filepath.Join(m.dir, "run", "qmp.sock"), command, arguments)
}

// Start implements machine.Machine.
func (m *Machine) Start(ctx context.Context, spec machine.Spec) error {
	m.op.Lock()
	defer m.op.Unlock()
	return m.start(ctx, spec)
}

// start is Start with m.op held.
func (m *Machine) start(ctx context.Context, spec machine.Spec) error {
	if m.Power() != machine.Stopped {
		return fmt.Errorf("VM %d already running", m.id)
	}
	if err := m.growDisk(ctx, spec.DiskBytes); err != nil {
		return err
	}
	iso, err := m.writeSeed(spec)
	if err != nil {
		return err
	}
	argv, err := m.argv(ctx, spec, iso)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta.Spec = spec
	if err := m.save(); err != nil {
		return err
	}
	began := make(chan error, 1)
	off := make(chan struct{})
	go m.run(argv, began, off)
	if err := <-began; err != nil {
		return err
	}
	m.off, m.paused, m.booted = off, false, time.Now()
	return nil
}

// writeSeed makes the image that cloud-init reads; "" where the machine has none.
func (m *Machine) writeSeed(spec machine.Spec) (string, error) {
	if spec.CloudInit.InstanceID == "" {
		return "", nil
	}
	if n := m.backend.opts.Network; n != nil {
		host, err := m.backend.opts.Lease(m.id)
		if err != nil {
			return "", err
		}
		seed.Reserve(&spec.CloudInit, n.Address(host)+"/24", n.Gateway(), vnet.DNS)
	} else if len(spec.CloudInit.IPConfig) == 0 {
		spec.CloudInit.IPConfig = []string{"ip=dhcp"} // QEMU's own network has a server for it
	}
	files, err := seed.Files(spec)
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.dir, "seed.iso")
	return path, seed.WriteISO(path, files)
}

// argv is QEMU's command line. Paths in it start at the machine's folder.
func (m *Machine) argv(ctx context.Context, spec machine.Spec, iso string) ([]string, error) {
	argv := []string{
		"qemu-system-x86_64", "-name", spec.Name, "-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none",
		"-smp", fmt.Sprintf("sockets=%d,cores=%d", spec.Sockets, spec.Cores), "-m", strconv.Itoa(spec.MemoryMiB),
		"-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console",
		"-qmp", "unix:run/qmp.sock,server=on,wait=off",
		"-device", "virtio-rng-pci", "-device", "virtio-scsi-pci,id=scsi",
		"-drive", "if=none,id=disk,file=disk.qcow2,format=qcow2,cache=unsafe,discard=unmap",
		"-device", "scsi-hd,bus=scsi.0,drive=disk,bootindex=1",
	}
	if m.backend.kvm {
		argv = append(argv, "-accel", "kvm", "-cpu", "host")
	} else {
		argv = append(argv, "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max")
	}
	if iso != "" {
		argv = append(argv, "-drive", "if=none,id=seed,file=seed.iso,format=raw,readonly=on,media=cdrom", "-device", "scsi-cd,bus=scsi.0,drive=seed")
	}
	if spec.Agent {
		argv = append(argv, "-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=run/agent.sock,server=on,wait=off",
			"-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0")
	}
	if b := m.meta.Boot; b.Kernel != "" {
		argv = append(argv, "-kernel", b.Kernel, "-initrd", b.Initrd, "-append", b.Cmdline)
	}
	if len(spec.MAC) == 0 {
		return argv, nil
	}
	card := "virtio-net-pci,netdev=net0,mac=" + spec.MAC[0]
	if n := m.backend.opts.Network; n != nil {
		tap, err := n.Tap(ctx, m.id)
		argv = append(argv, "-netdev", "tap,id=net0,script=no,downscript=no,ifname="+tap, "-device", card)
		return append([]string{"nsenter", "--net=" + n.Namespace(), "--"}, argv...), err
	}
	ip, err := m.backend.opts.Address(m.id)
	if err != nil {
		return nil, err
	}
	user := "user,id=net0"
	for _, port := range slices.Sorted(maps.Keys(m.backend.opts.Forward)) {
		user += fmt.Sprintf(",hostfwd=tcp:%s:%d-:%d", ip, port, m.backend.opts.Forward[port])
	}
	return append(argv, "-netdev", user, "-device", card), nil
}

// run runs QEMU to its end. began hears of its start: once the monitor answers, or it has failed. m.mu
// is held until then.
func (m *Machine) run(argv []string, began chan<- error, off chan<- struct{}) {
	// The kernel kills the machine when the thread that started it ends: this one stays until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(off)
	for _, name := range []string{"agent.sock", "qmp.sock"} {
		if err := os.RemoveAll(filepath.Join(m.dir, "run", name)); err != nil {
			began <- err
			return
		}
	}
	var said strings.Builder
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stderr, cmd.SysProcAttr = m.dir, &said, child.Attr()
	if err := cmd.Start(); err != nil {
		began <- err
		return
	}
	pidFile := filepath.Join(m.dir, "pid")
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(pidFile, []byte(pid), 0o600); err != nil {
		began <- errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer os.Remove(pidFile) //nolint:errcheck // a number that is no machine's does no harm
	for {
		conn, err := net.Dial("unix", filepath.Join(m.dir, "run", "qmp.sock"))
		if err == nil {
			conn.Close() //nolint:errcheck // nothing was written
			break
		}
		select {
		case err := <-ended:
			began <- fmt.Errorf("start failed: QEMU exited: %w: %s", err, strings.TrimSpace(said.String()))
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	m.pid = cmd.Process.Pid
	began <- nil
	<-ended
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid, m.paused = 0, false
}

// Shutdown implements machine.Machine: through the agent where it answers, else by the power button.
func (m *Machine) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	off, running := m.off, m.pid != 0
	m.mu.Unlock()
	if !running {
		return nil
	}
	for {
		asked, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := m.agent.Ping(asked)
		cancel()
		if err == nil {
			err = m.agent.Shutdown(ctx, "powerdown")
		} else {
			err = m.monitor(ctx, "system_powerdown", nil)
		}
		wait := 20 * time.Second // before it is asked again: a system that is booting does not hear
		if err != nil {
			wait = 100 * time.Millisecond
		}
		select {
		case <-off:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// Stop pulls the plug.
func (m *Machine) Stop(context.Context) error {
	m.op.Lock()
	defer m.op.Unlock()
	m.stop()
	return nil
}

// stop is Stop with m.op held.
func (m *Machine) stop() {
	m.mu.Lock()
	off, pid := m.off, m.pid
	if pid != 0 {
		syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended just now
	}
	m.mu.Unlock()
	if pid != 0 {
		<-off
	}
}

// Reboot implements machine.Machine.
func (m *Machine) Reboot(ctx context.Context) error {
	m.mu.Lock()
	spec := m.meta.Spec
	m.mu.Unlock()
	if err := m.Shutdown(ctx); err != nil {
		return err
	}
	return m.Start(ctx, spec)
}

// Reset implements machine.Machine.
func (m *Machine) Reset(ctx context.Context) error {
	m.op.Lock()
	defer m.op.Unlock()
	return m.monitor(ctx, "system_reset", nil)
}

// Pause implements machine.Pauser.
func (m *Machine) Pause(ctx context.Context) error { return m.setPaused(ctx, "stop", true) }

// Resume implements machine.Pauser.
func (m *Machine) Resume(ctx context.Context) error { return m.setPaused(ctx, "cont", false) }

func (m *Machine) setPaused(ctx context.Context, command string, paused bool) error {
	m.op.Lock()
	defer m.op.Unlock()
	if err := m.monitor(ctx, command, nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = paused
	return nil
}

// Configure implements machine.Machine: processors, memory and the agent's device wait for a restart.
func (m *Machine) Configure(_ context.Context, spec machine.Spec) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.meta.Spec
	var pending []string
	if m.pid != 0 {
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
	if m.pid == 0 || m.paused || !m.meta.Spec.Agent {
		return nil
	}
	if m.backend.opts.Network != nil {
		return m.agent
	}
	return forwarded{m.agent, m}
}

// forwarded is the agent of a machine that is reached by forwarded ports: it tells the address where
// they are instead of the one that only the machine itself knows.
type forwarded struct {
	*qga.Client
	m *Machine
}

func (f forwarded) Interfaces(ctx context.Context) ([]machine.Interface, error) {
	list, err := f.Client.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	ip, err := f.m.backend.opts.Address(f.m.id)
	if err != nil {
		return nil, err
	}
	for n := range list {
		for a := range list[n].Addresses {
			if strings.HasPrefix(list[n].Addresses[a].IP, "10.0.2.") {
				list[n].Addresses[a].IP, list[n].Addresses[a].Prefix = ip, 24
			}
		}
	}
	return list, nil
}
