// Package guest is a simulated Debian-like machine: a file tree, users, packages, services and a POSIX
// shell, reached by SSH and SFTP on a loopback address of its own and by a guest agent.
package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/machine"
	"phoenix-run/lab/record"
)

// Options are a backend's settings.
type Options struct {
	Dir           string                                // where the machines' state is kept
	Lease         func(vmid int) (ip string, err error) // a machine's loopback address
	Log           *record.Log                           // of commands; nil for none
	Listen        Listen                                // for sshd; nil: TCP on the machine's address
	SSHPort       int                                   // of every machine on its own address; 0: 2222
	Packages      []Package                             // installable besides the built-in catalogue
	BootTime      time.Duration                         // until the agent answers; 0: 150 ms
	CloudInitTime time.Duration                         // from there to cloud-init's end; 0: 150 ms
	InstallTime   time.Duration                         // for each package installed; 0: 5 ms
	CloudInitFail func(vmid int) (moduleError string)   // a module's error to simulate; nil or "": none
}

// Listen gives what a machine's sshd accepts connections from.
type Listen func(ctx context.Context, address string) (net.Listener, error)

// Backend makes simulated machines.
type Backend struct {
	opts     Options
	catalog  *catalog
	programs map[string]Program // by path
	image    func() (*vfs.FS, error)

	mu     sync.Mutex
	guests map[int]*Guest
}

// NewBackend opens the backend whose state is in o.Dir.
func NewBackend(o Options) (*Backend, error) {
	if o.Dir == "" || o.Lease == nil {
		return nil, errors.New("lab/guest: Options.Dir and Options.Lease are needed")
	}
	o.SSHPort = orDefault(o.SSHPort, 2222)
	if o.Listen == nil {
		o.Listen = func(ctx context.Context, address string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "tcp", address)
		}
	}
	o.BootTime = orDefault(o.BootTime, 150*time.Millisecond)
	o.CloudInitTime = orDefault(o.CloudInitTime, 150*time.Millisecond)
	o.InstallTime = orDefault(o.InstallTime, 5*time.Millisecond)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	b := &Backend{opts: o, guests: map[int]*Guest{}, programs: map[string]Program{}}
	b.catalog = newCatalog(o.Packages)
	for _, p := range b.catalog.packages {
		for path, program := range p.Programs {
			b.programs[p.Name+":"+path] = program
		}
	}
	b.image = sync.OnceValues(func() (*vfs.FS, error) { return baseImage(b.catalog) })
	return b, nil
}

func orDefault[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

func (b *Backend) folder(id int) string { return filepath.Join(b.opts.Dir, strconv.Itoa(id)) }
func (b *Backend) blobs() string        { return filepath.Join(b.opts.Dir, "blobs") }

// Create makes a machine whose disk holds the base image, whatever spec.Image is; "" is an empty disk,
// from which nothing boots.
func (b *Backend) Create(_ context.Context, id int, spec machine.Spec) (machine.Machine, error) {
	tree := vfs.New()
	bootable := spec.Image != ""
	if bootable {
		image, err := b.image()
		if err != nil {
			return nil, fmt.Errorf("making the base image: %w", err)
		}
		tree = image.Copy()
	}
	return b.add(id, spec, tree, meta{Bootable: bootable, DiskBytes: spec.DiskBytes, RootBytes: imageBytes}, nil)
}

// Clone makes a machine with a copy of source's disk.
func (b *Backend) Clone(_ context.Context, id int, source machine.Machine, spec machine.Spec) (machine.Machine, error) {
	from, ok := source.(*Guest)
	if !ok || from.backend != b {
		return nil, fmt.Errorf("cloning from a machine of another backend: %w", machine.ErrUnsupported)
	}
	from.mu.Lock()
	m, state := from.meta, from.state.clone()
	tree := from.fs.Copy()
	from.mu.Unlock()
	return b.add(id, spec, tree, meta{Bootable: m.Bootable, DiskBytes: max(m.DiskBytes, spec.DiskBytes), RootBytes: m.RootBytes}, state)
}

// add keeps a new machine.
func (b *Backend) add(id int, spec machine.Spec, tree *vfs.FS, m meta, state stateMap) (*Guest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.guests[id] != nil {
		return nil, fmt.Errorf("machine %d exists already", id)
	}
	dir := b.folder(id)
	// What a killed lab left of a machine that never came to be.
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	g := newGuest(b, id, tree, m)
	g.meta.Spec = spec
	g.state = state
	if g.state == nil {
		g.state = stateMap{}
	}
	if err := errors.Join(tree.Keep(g.journalFile(), b.blobs()), g.state.save(g.stateFile()), g.saveMeta()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	b.guests[id] = g
	return g, nil
}

// Open finds a machine again that an earlier run of the lab made. One that was running when that lab
// ended goes on running: it has the same boot id, and its services are there at once.
func (b *Backend) Open(ctx context.Context, id int) (machine.Machine, error) {
	b.mu.Lock()
	g := b.guests[id]
	b.mu.Unlock()
	if g != nil {
		return g, nil
	}
	g = newGuest(b, id, nil, meta{})
	if err := g.load(); err != nil {
		return nil, fmt.Errorf("machine %d: %w", id, err)
	}
	b.mu.Lock()
	b.guests[id] = g
	b.mu.Unlock()
	if g.meta.Running {
		if err := g.resume(ctx); err != nil {
			return nil, fmt.Errorf("machine %d: %w", id, err)
		}
	}
	return g, nil
}

// Close ends all machines' work without switching them off: Open lets them go on.
func (b *Backend) Close() error {
	b.mu.Lock()
	guests := b.guests
	b.guests = map[int]*Guest{}
	b.mu.Unlock()
	var errs []error
	for _, g := range guests {
		errs = append(errs, g.freeze())
	}
	return errors.Join(errs...)
}

// forget takes a destroyed machine off the list.
func (b *Backend) forget(id int) {
	b.mu.Lock()
	delete(b.guests, id)
	b.mu.Unlock()
}

var (
	_ machine.Backend = (*Backend)(nil)
	_ machine.Machine = (*Guest)(nil)
	_ machine.Pauser  = (*Guest)(nil)
)
