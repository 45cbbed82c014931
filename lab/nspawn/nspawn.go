// Package nspawn runs the lab's machines as systemd-nspawn containers: real systemd, cloud-init, sshd,
// guest agent, apt and Docker, up in seconds. They have a disk of their own, which can be grown, but no
// kernel of their own, and are no place for what one does not trust. It takes root on Linux.
package nspawn

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/google/renameio/v2"

	"phoenix-run/lab/machine"
	"phoenix-run/lab/machine/need"
	"phoenix-run/lab/machine/vnet"
)

//go:embed run.sh
var runScript string

// Options are a backend's settings; all are needed.
type Options struct {
	Dir     string // where the machines' disks are kept
	Name    string // of this lab, different from those of other labs
	Network *vnet.Network
	Lease   func(vmid int) (host int, err error) // a machine's number in the network
}

// Backend makes such machines.
type Backend struct {
	opts  Options
	layer string

	mu       sync.Mutex
	machines map[int]*Machine
}

// NewBackend opens the backend whose machines are in o.Dir.
func NewBackend(o Options) (*Backend, error) {
	if err := need.Programs("systemd-nspawn", "nsenter", "unshare", "mke2fs", "e2fsck", "resize2fs"); err != nil {
		return nil, err
	}
	b := &Backend{opts: o, layer: filepath.Join(o.Dir, "layer"), machines: map[int]*Machine{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	return b, errors.Join(writeLayer(b.layer), b.sweepGroups())
}

func (b *Backend) folder(id int) string { return filepath.Join(b.opts.Dir, strconv.Itoa(id)) }

// meta is what is kept of a machine besides its disk.
type meta struct {
	Spec  machine.Spec
	Image string // the file tree below its disk; "" if there is none, and nothing to boot
}

// Create makes a machine. Its image is a file tree: nothing else can be booted without a kernel.
func (b *Backend) Create(ctx context.Context, id int, spec machine.Spec) (machine.Machine, error) {
	if info, err := os.Stat(spec.Image); spec.Image != "" && (err != nil || !info.IsDir()) {
		return nil, fmt.Errorf("importing %s, as these machines start from file trees only: %w", filepath.Base(spec.Image), errors.Join(err, machine.ErrUnsupported))
	}
	return b.add(id, meta{Spec: spec, Image: spec.Image}, func(m *Machine) error { return m.makeDisk(ctx, spec.DiskBytes) })
}

// Clone makes a machine with a copy of source's disk.
func (b *Backend) Clone(ctx context.Context, id int, source machine.Machine, spec machine.Spec) (machine.Machine, error) {
	from, ok := source.(*Machine)
	if !ok || from.backend != b {
		return nil, fmt.Errorf("cloning from a machine of another backend: %w", machine.ErrUnsupported)
	}
	return b.add(id, meta{Spec: spec, Image: from.meta.Image}, func(m *Machine) error {
		if err := from.copyDisk(ctx, m.disk()); err != nil {
			return err
		}
		return m.growDisk(spec.DiskBytes)
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
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
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
	errs := make([]error, 0, len(all))
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
	return errors.Join(append(errs, b.sweepGroups(), b.opts.Network.Close())...)
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
)
