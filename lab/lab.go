// Package lab ties the rehearsal environment together: a simulated Proxmox, guests that are real SSH
// and SFTP servers on loopback addresses, Docker engines in them and a Portainer that is there once its
// container is. All of it speaks the real protocols; the product reaches it in no other way.
//
// A lab lives in a folder and keeps its state there, so that it is the same when it is started again.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/portainer"
	"phoenix-run/lab/proxmox"
	"phoenix-run/lab/record"
)

// Options say how a lab behaves. Only Dir is needed.
type Options struct {
	Dir     string          // its folder, made if needed
	Backend string          // what runs its machines, one of Backends; default is what the folder has, and simulated
	Subnet  netip.Prefix    // of real machines, 256 IPv4 addresses; default is what the folder has, and one made from its name
	Listen  string          // address of the Proxmox API; default is port 8006 of the lab's own loopback address
	Version proxmox.Version // of Proxmox; default 9
	Latency time.Duration   // added to each request to Proxmox
	// AuthDelay is how long Proxmox takes to refuse a wrong login: 3 s in reality. Default 0.
	AuthDelay time.Duration
	Speed     proxmox.Speed  // how long Proxmox's tasks take
	Faults    proxmox.Faults // what goes wrong in Proxmox; nil for nothing
	Seed      *proxmox.Seed  // what an empty folder starts as; nil is proxmox.DefaultSeed
	// Fetch gets what Proxmox is told to download; nil is HTTP from this machine.
	Fetch func(ctx context.Context, url string, verify bool) (io.ReadCloser, error)

	BootTime      time.Duration                       // until a guest's agent answers; 0 is the guest's default
	CloudInitTime time.Duration                       // from there to cloud-init's end
	InstallTime   time.Duration                       // of a package in a guest
	CloudInitFail func(vmid int) (moduleError string) // the error of a cloud-init module; nil for none

	Docker    docker.Options    // of the guests' engines; Programs are added to
	Portainer portainer.Options // Log is set to the lab's
	Progress  func(string)      // hears of what takes long while the lab starts; nil for nothing
	Report    func(error)       // hears of failures in the background; nil writes them to standard error
}

// progress tells of what takes long.
func (o *Options) progress(text string) {
	if o.Progress != nil {
		o.Progress(text)
	}
}

// sshPort is where every simulated guest's sshd listens, on the guest's own address. Not 22, which takes root.
const sshPort = 2222

// Lab is a running rehearsal environment.
type Lab struct {
	dir     string
	lock    *flock.Flock
	log     *record.Log
	network *network
	fleet   *docker.Fleet
	proxmox atomic.Pointer[proxmox.Server] // guests ask for addresses while it starts
	info    Info
	sshPort int // of the machines

	closing sync.Once
	closed  error
}

// Start opens the lab in o.Dir and runs it until Close; ctx bounds the start alone. If another process
// runs this lab, the error is a *BusyError.
func Start(ctx context.Context, o Options) (_ *Lab, err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the lab's folder: %w", err)
	}
	l := &Lab{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.lock, err = takeLock(dir); err != nil {
		return nil, err
	}
	if l.log, err = record.Open(filepath.Join(dir, "requests.jsonl")); err != nil {
		return nil, err
	}
	if l.network, err = openNetwork(dir); err != nil {
		return nil, err
	}
	if err := l.startProxmox(ctx, o); err != nil {
		return nil, err
	}
	if err := l.describe(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Lab) startProxmox(ctx context.Context, o Options) error {
	backend, err := l.openBackend(ctx, o)
	if err != nil {
		return err
	}
	l.sshPort = backend.sshPort
	seed := o.Seed
	if seed == nil {
		seed = proxmox.DefaultSeed(newSecret(), newUUID())
	}
	for i := range seed.Templates {
		if backend.image != "" {
			seed.Templates[i].Image, seed.Templates[i].DiskBytes = backend.image, backend.diskBytes
		}
	}
	listen := o.Listen
	if listen == "" {
		listen = net.JoinHostPort(l.network.address(gateway), "8006")
	}
	server, err := proxmox.New(ctx, proxmox.Options{
		Dir: filepath.Join(l.dir, "proxmox"), Listen: listen, Version: o.Version, Backend: backend.Backend, Log: l.log, Faults: o.Faults,
		Latency: o.Latency, AuthDelay: o.AuthDelay, Speed: o.Speed, Seed: seed, Fetch: o.Fetch, Report: o.Report,
	})
	if err != nil {
		return errors.Join(err, backend.Close())
	}
	l.proxmox.Store(server)
	return nil
}

// lease gives a machine its number in the lab's network, and tells of its address in guests.json.
func (l *Lab) lease(vmid int) (int, error) {
	host, fresh, err := l.network.lease(vmid, l.inUse)
	if err != nil || !fresh {
		return host, err
	}
	return host, l.noteGuests()
}

// address gives a simulated guest its loopback address.
func (l *Lab) address(vmid int) (string, error) {
	host, err := l.lease(vmid)
	return l.network.address(host), err
}

// inUse are the VMs that exist, so that the addresses of those that are gone can be given out again;
// nil while that is not known.
func (l *Lab) inUse() map[int]bool {
	server := l.proxmox.Load()
	if server == nil {
		return nil
	}
	ids := map[int]bool{}
	for _, id := range server.VMs() {
		ids[id] = true
	}
	return ids
}

// Proxmox is the lab's Proxmox server, for tests that play its administrator.
func (l *Lab) Proxmox() *proxmox.Server { return l.proxmox.Load() }

// Info says how to reach the lab.
func (l *Lab) Info() Info { return l.info }

// Close stops the lab. Machines that run now run again when it is started next. Closing twice is fine.
func (l *Lab) Close() error {
	l.closing.Do(func() {
		if server := l.proxmox.Load(); server != nil {
			l.closed = server.Close()
		}
		if l.network != nil {
			l.closed = errors.Join(l.closed, l.network.close())
		}
		if l.log != nil {
			l.closed = errors.Join(l.closed, l.log.Close())
		}
		if l.lock != nil {
			l.closed = errors.Join(l.closed, l.lock.Unlock())
		}
	})
	return l.closed
}
