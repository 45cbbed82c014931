package lab

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/guest"
	"phoenix-run/lab/machine"
	"phoenix-run/lab/machine/image"
	"phoenix-run/lab/machine/vnet"
	"phoenix-run/lab/nspawn"
	"phoenix-run/lab/portainer"
	"phoenix-run/lab/qemu"
)

// Backends: what stands behind the lab's Proxmox API.
const (
	Simulated = "simulated" // needs nothing
	Nspawn    = "nspawn"    // real systems without a kernel of their own; root on Linux
	QEMU      = "qemu"      // virtual machines
)

// Backends are the names of all backends.
var Backends = []string{Simulated, Nspawn, QEMU}

// backend is an open backend, and what the rest of the lab must know of it.
type backend struct {
	machine.Backend
	sshPort   int
	image     string // what the template is made from; "" for one that is made up
	diskBytes int64  // of the template; 0 for the seed's own
}

// openBackend opens the backend that the folder has, or gets now.
func (l *Lab) openBackend(ctx context.Context, o Options) (backend, error) {
	name := o.Backend
	switch has := l.network.Backend; {
	case name == "" && has == "":
		name = Simulated
	case name == "":
		name = has
	case has != "" && has != name:
		return backend{}, fmt.Errorf("the lab in %s has backend %s, not %s: use another folder (--lab-dir)", l.dir, has, name)
	}
	open := map[string]func(context.Context, Options) (backend, error){Simulated: l.openSimulated, Nspawn: l.openNspawn, QEMU: l.openQEMU}[name]
	if open == nil {
		return backend{}, fmt.Errorf("there is no lab backend %q: there are %q", name, Backends)
	}
	if l.network.Backend != name {
		l.network.Backend = name
		if err := l.network.save(); err != nil {
			return backend{}, err
		}
	}
	b, err := open(ctx, o)
	if err != nil && name != Simulated {
		err = fmt.Errorf("lab backend %s: %w", name, err)
	}
	return b, err
}

func (l *Lab) openSimulated(_ context.Context, o Options) (backend, error) {
	o.Portainer.Log = l.log
	programs := portainer.Programs(o.Portainer)
	for name, p := range o.Docker.Programs {
		programs[name] = p
	}
	o.Docker.Programs = programs
	l.fleet = docker.NewFleet(o.Docker)
	b, err := guest.NewBackend(guest.Options{
		Dir: filepath.Join(l.dir, "guests"), Lease: l.address, Log: l.log, SSHPort: sshPort, Packages: l.fleet.Packages(),
		BootTime: o.BootTime, CloudInitTime: o.CloudInitTime, InstallTime: o.InstallTime, CloudInitFail: o.CloudInitFail,
	})
	return backend{Backend: b, sshPort: sshPort}, err
}

// templateDisk is the size of the template's disk where machines have disks of their own.
const templateDisk = 2 << 30

func (l *Lab) openNspawn(ctx context.Context, o Options) (backend, error) {
	im, err := image.Build(ctx, false, o.progress)
	if err != nil {
		return backend{}, err
	}
	net, err := l.openVNet(ctx, o)
	if err != nil {
		return backend{}, err
	}
	b, err := nspawn.NewBackend(nspawn.Options{Dir: filepath.Join(l.dir, "machines"), Name: l.name(), Network: net, Lease: l.lease})
	if err != nil {
		return backend{}, errors.Join(err, net.Close())
	}
	return backend{Backend: b, sshPort: 22, image: im.Root, diskBytes: templateDisk}, nil
}

// forwarded are the ports of machines that have no address which this machine could reach.
var forwarded = map[int]int{sshPort: 22, 8000: 8000, 8080: 8080, 9001: 9001, 9443: 9443}

func (l *Lab) openQEMU(ctx context.Context, o Options) (backend, error) {
	im, err := image.Find(ctx, o.progress)
	if err != nil {
		return backend{}, err
	}
	out := backend{sshPort: sshPort, image: im.Disk, diskBytes: templateDisk}
	q := qemu.Options{Dir: filepath.Join(l.dir, "machines"), Image: im, Lease: l.lease, Address: l.address, Forward: forwarded}
	if os.Geteuid() == 0 {
		if q.Network, err = l.openVNet(ctx, o); err != nil {
			return backend{}, err
		}
		out.sshPort = 22
	}
	b, err := qemu.NewBackend(ctx, q)
	if err != nil {
		if q.Network != nil {
			err = errors.Join(err, q.Network.Close())
		}
		return backend{}, err
	}
	if !b.KVM() {
		o.progress("KVM does not run anything here: machines are interpreted, and take minutes where they would take seconds")
	}
	out.Backend = b
	return out, nil
}

// openVNet opens the network of real machines, whose addresses are theirs from now on.
func (l *Lab) openVNet(ctx context.Context, o Options) (*vnet.Network, error) {
	if o.Subnet.IsValid() {
		l.network.Subnet = o.Subnet.String()
	}
	if l.network.Subnet == "" {
		sum := l.sum()
		l.network.Subnet = fmt.Sprintf("10.%d.%d.0/24", 64+sum[0]%128, sum[1])
	}
	subnet, err := netip.ParsePrefix(l.network.Subnet)
	if err != nil {
		return nil, fmt.Errorf("the lab's network: %w", err)
	}
	if err := l.network.save(); err != nil {
		return nil, err
	}
	net, err := vnet.Open(ctx, l.name(), subnet)
	if err != nil {
		return nil, err
	}
	l.network.guest = net.Address
	return net, nil
}

// name tells this lab's processes, cards and cgroups from those of others. It is that of its folder, so
// that the next start finds what a killed one left.
func (l *Lab) name() string { return "phx" + hex.EncodeToString(l.sum()) }

func (l *Lab) sum() []byte {
	h := fnv.New32a()
	h.Write([]byte(l.dir)) //nolint:errcheck // a hash takes all
	return h.Sum(nil)
}
