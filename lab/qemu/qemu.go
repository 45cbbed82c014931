// Package qemu runs the lab's machines as virtual machines: with KVM where it works, and else with
// QEMU's own interpreter, which is ten times slower. As root their cards are on a bridge; otherwise each
// has a network of its own, with some ports forwarded.
package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/google/renameio/v2"

	"phoenix-run/lab/machine"
	"phoenix-run/lab/machine/image"
	"phoenix-run/lab/machine/need"
	"phoenix-run/lab/machine/vnet"
)

// Options are a backend's settings. Dir and Lease are needed.
type Options struct {
	Dir     string                                // where the machines' disks are kept
	Image   image.Image                           // what the template is made from: its disk is never copied
	Lease   func(vmid int) (host int, err error)  // a machine's number in the network
	Network *vnet.Network                         // nil for a network of each machine's own
	Address func(vmid int) (ip string, err error) // the loopback address that ports are forwarded from, without Network
	Forward map[int]int                           // port on that address to port in the machine
}

// Backend makes virtual machines.
type Backend struct {
	opts Options
	kvm  bool

	mu       sync.Mutex
	machines map[int]*Machine
}

// socketRoom is what the longest path below a machine's folder adds; a socket's path has 107 bytes.
const socketRoom = 107 - len("/1000000/run/agent.sock")

// NewBackend opens the backend whose machines are in o.Dir, and ends those that a killed lab left.
func NewBackend(ctx context.Context, o Options) (*Backend, error) {
	if err := need.Programs("qemu-system-x86_64", "qemu-img"); err != nil {
		return nil, err
	}
	if len(o.Dir) > socketRoom {
		return nil, fmt.Errorf("%s is too long a path for sockets: use another folder (--lab-dir)", o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	b := &Backend{opts: o, machines: map[int]*Machine{}}
	if err := b.sweep(); err != nil {
		return nil, err
	}
	b.kvm = kvmWorks(ctx, o.Dir)
	return b, nil
}

// KVM reports whether machines run on the processor itself.
func (b *Backend) KVM() bool { return b.kvm }

// sweep kills what a killed lab left running.
func (b *Backend) sweep() error {
	files, err := filepath.Glob(filepath.Join(b.opts.Dir, "*", "pid"))
	for _, f := range files {
		text, readErr := os.ReadFile(f)
		pid, convErr := strconv.Atoi(string(text))
		if readErr != nil || convErr != nil {
			continue
		}
		// The number may be another's by now: only a process that works in the machine's folder is ours.
		if cwd, linkErr := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); linkErr == nil && cwd == filepath.Dir(f) {
			if killErr := syscall.Kill(pid, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
				err = errors.Join(err, killErr)
			}
		}
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

func (b *Backend) folder(id int) string { return filepath.Join(b.opts.Dir, strconv.Itoa(id)) }

// meta is what is kept of a machine besides its disk.
type meta struct {
	Spec machine.Spec
	Boot image.Image // how it starts, where its disk can't by itself
}

// Create makes a machine with an empty disk, or one that is imported.
func (b *Backend) Create(ctx context.Context, id int, spec machine.Spec) (machine.Machine, error) {
	kept := meta{Spec: spec}
	if spec.Image != "" && spec.Image == b.opts.Image.Disk {
		kept.Boot = b.opts.Image
	}
	return b.add(id, kept, func(m *Machine) error { return m.makeDisk(ctx, spec) })
}

// Clone makes a machine with a copy of source's disk, which is what source has changed of its image.
func (b *Backend) Clone(ctx context.Context, id int, source machine.Machine, spec machine.Spec) (machine.Machine, error) {
	from, ok := source.(*Machine)
	if !ok || from.backend != b {
		return nil, fmt.Errorf("cloning from a machine of another backend: %w", machine.ErrUnsupported)
	}
	if from.Power() != machine.Stopped {
		return nil, fmt.Errorf("cloning a running VM: %w", machine.ErrUnsupported)
	}
	return b.add(id, meta{Spec: spec, Boot: from.meta.Boot}, func(m *Machine) error {
		if _, err := need.Run(ctx, "cp", "--sparse=always", "--reflink=auto", from.disk(), m.disk()); err != nil {
			return err
		}
		return m.growDisk(ctx, spec.DiskBytes)
	})
}

func (b *Backend) add(id int, kept meta, fill func(*Machine) error) (*Machine, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.machines[id] != nil {
		return nil, fmt.Errorf("machine %d exists already", id)
	}
	m := newMachine(b, id, kept)
	// What a killed lab left of a machine that never came to be.
	if err := os.RemoveAll(m.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(m.dir, "run"), 0o700); err != nil {
		return nil, err
	}
	if err := errors.Join(fill(m), m.save()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(m.dir))
	}
	b.machines[id] = m
	return m, nil
}

// Open finds a machine again that an earlier run of the lab made. It is off.
func (b *Backend) Open(_ context.Context, id int) (machine.Machine, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.machines[id]; m != nil {
		return m, nil
	}
	text, err := os.ReadFile(filepath.Join(b.folder(id), "machine.json"))
	if err != nil {
		return nil, fmt.Errorf("machine %d: %w", id, err)
	}
	var kept meta
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("machine %d: %w", id, err)
	}
	m := newMachine(b, id, kept)
	b.machines[id] = m
	return m, nil
}

// Close shuts all machines down, all at once, and pulls the plug of those that take too long.
func (b *Backend) Close() error {
	b.mu.Lock()
	all := b.machines
	b.machines = map[int]*Machine{}
	b.mu.Unlock()
	var errs []error
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, m := range all {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), closeTime)
			defer cancel()
			err := m.Shutdown(ctx)
			if err != nil {
				err = m.Stop(context.Background())
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wait.Wait()
	if b.opts.Network != nil {
		errs = append(errs, b.opts.Network.Close())
	}
	return errors.Join(errs...)
}

func (b *Backend) forget(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.machines, id)
}

func (m *Machine) save() error {
	text, err := json.Marshal(m.meta)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(m.dir, "machine.json"), text, 0o600)
}

var (
	_ machine.Backend = (*Backend)(nil)
	_ machine.Machine = (*Machine)(nil)
	_ machine.Pauser  = (*Machine)(nil)
)
