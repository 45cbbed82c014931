package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/machine"
)

// Guest is one simulated machine. Its methods may be called from several goroutines.
type Guest struct {
	backend *Backend
	id      int
	dir     string

	op sync.Mutex // one change of power at a time

	mu     sync.Mutex
	fs     *vfs.FS
	meta   meta
	state  stateMap
	run    *running // nil while it is off
	paused bool
	gone   bool // destroyed, or left by a lab that ended
	frozen bool // its plug is being pulled: what its services do from here on is not kept
}

func newGuest(b *Backend, id int, tree *vfs.FS, m meta) *Guest {
	return &Guest{backend: b, id: id, dir: b.folder(id), fs: tree, meta: m}
}

// ID is the machine's number in Proxmox.
func (g *Guest) ID() int { return g.id }

// Name is the host name, or the VM's name while there is none.
func (g *Guest) Name() string {
	if text, err := g.ReadFile("/etc/hostname"); err == nil {
		if name := strings.TrimSpace(string(text)); name != "" {
			return name
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.meta.Spec.Name
}

// Address is the loopback address the machine has, "" before its first start.
func (g *Guest) Address() string {
	if run := g.current(); run != nil {
		return run.address
	}
	return ""
}

// BootID changes with each boot.
func (g *Guest) BootID() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.meta.BootID
}

// current is what runs, nil while the machine is off.
func (g *Guest) current() *running {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.run
}

// Power implements machine.Machine.
func (g *Guest) Power() machine.Power {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.run == nil:
		return machine.Stopped
	case g.paused:
		return machine.Paused
	}
	return machine.Running
}

// UptimeSeconds is the time since the last boot; 0 while the machine is off.
func (g *Guest) UptimeSeconds() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.run == nil {
		return 0
	}
	return int64(time.Since(g.meta.Booted).Seconds())
}

// Start boots the machine with spec. It returns as soon as the machine runs; what happens in it then
// takes its time.
func (g *Guest) Start(_ context.Context, spec machine.Spec) error {
	g.op.Lock()
	defer g.op.Unlock()
	return g.start(spec)
}

// start is Start with g.op held.
func (g *Guest) start(spec machine.Spec) error {
	if g.current() != nil {
		return fmt.Errorf("VM %d already running", g.id)
	}
	address, err := g.backend.opts.Lease(g.id)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.meta.Spec = spec
	g.meta.DiskBytes = max(g.meta.DiskBytes, spec.DiskBytes)
	g.meta.Running, g.meta.Up, g.meta.BootID, g.meta.Booted = true, false, newUUID(), time.Now()
	g.paused = false
	err = g.saveMeta()
	if err == nil {
		g.run = newRunning(g, address)
	}
	run := g.run
	g.mu.Unlock()
	if err != nil {
		return err
	}
	run.work.Go(func() { run.boot(false) })
	return nil
}

// resume goes on with a machine that was running when the lab ended. One that was still booting then
// boots anew, as after a cut of the power.
func (g *Guest) resume(context.Context) error {
	address, err := g.backend.opts.Lease(g.id)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.run = newRunning(g, address)
	run, up := g.run, g.meta.Up
	g.mu.Unlock()
	if !up {
		run.work.Go(func() { run.boot(false) })
		return nil
	}
	run.boot(true)
	return nil
}

// freeze ends a machine's work with the lab, and leaves it as running.
func (g *Guest) freeze() error {
	g.op.Lock()
	defer g.op.Unlock()
	err := g.Flush()
	g.mu.Lock()
	err = errors.Join(err, g.saveMeta())
	g.gone = true
	g.mu.Unlock()
	if run := g.current(); run != nil {
		run.halt(false)
	}
	return err
}

// off ends what runs. clean stops the services in order first.
func (g *Guest) off(clean bool) error {
	run := g.current()
	if run == nil {
		return nil
	}
	g.mu.Lock()
	g.frozen = !clean
	g.mu.Unlock()
	run.halt(clean)
	err := g.Flush()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen = false
	g.run, g.paused = nil, false
	g.meta.Running = false
	return errors.Join(err, g.saveMeta())
}

// Shutdown implements machine.Machine: it waits for a boot in progress as ACPI events do.
func (g *Guest) Shutdown(ctx context.Context) error {
	run := g.current()
	if run == nil {
		return nil
	}
	if !g.bootable() {
		<-ctx.Done() // no operating system that could answer
		return context.Cause(ctx)
	}
	select {
	case <-run.up:
	case <-run.ctx.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	g.op.Lock()
	defer g.op.Unlock()
	return g.off(true)
}

func (g *Guest) bootable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.meta.Bootable
}

// Stop pulls the plug.
func (g *Guest) Stop(context.Context) error {
	g.op.Lock()
	defer g.op.Unlock()
	return g.off(false)
}

// Reboot restarts through the guest.
func (g *Guest) Reboot(context.Context) error { return g.restart(true) }

// Reset restarts as the button does.
func (g *Guest) Reset(context.Context) error { return g.restart(false) }

func (g *Guest) restart(clean bool) error {
	g.op.Lock()
	defer g.op.Unlock()
	g.mu.Lock()
	spec := g.meta.Spec
	g.mu.Unlock()
	if err := g.off(clean); err != nil {
		return err
	}
	return g.start(spec)
}

// fromInside carries out a power command that the guest itself gave, after it has had time to answer.
func (g *Guest) fromInside(run *running, act func() error) {
	time.AfterFunc(20*time.Millisecond, func() {
		if g.current() != run {
			return
		}
		if err := act(); err != nil {
			g.Journal("systemd", "the lab could not do that: "+err.Error())
		}
	})
}

// Pause implements machine.Pauser.
func (g *Guest) Pause(context.Context) error { return g.setPaused(true) }

// Resume implements machine.Pauser.
func (g *Guest) Resume(context.Context) error { return g.setPaused(false) }

func (g *Guest) setPaused(paused bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.run == nil {
		return fmt.Errorf("VM %d not running", g.id)
	}
	g.paused = paused
	return nil
}

// Configure implements machine.Machine: processors and memory of a running machine wait for its restart.
func (g *Guest) Configure(_ context.Context, spec machine.Spec) ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.meta.Spec
	var pending []string
	if g.run != nil {
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
	g.meta.Spec = spec
	return pending, g.saveMeta()
}

// ResizeDisk makes the disk larger. The root file system follows at the next boot, or by growpart and
// resize2fs.
func (g *Guest) ResizeDisk(_ context.Context, bytes int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if bytes < g.meta.DiskBytes {
		return fmt.Errorf("shrinking disks is not supported")
	}
	g.meta.DiskBytes = bytes
	g.meta.Spec.DiskBytes = bytes
	return g.saveMeta()
}

// Destroy implements machine.Machine.
func (g *Guest) Destroy(context.Context) error {
	g.op.Lock()
	defer g.op.Unlock()
	if err := g.off(false); err != nil {
		return err
	}
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
	g.backend.forget(g.id)
	return os.RemoveAll(g.dir)
}

// newUUID makes a random UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
