// Package vnet is a network for real machines in a namespace of its own: a bridge with the machines, a
// leg to this machine so that it reaches them, and a way out that needs no change of this machine's own
// routes or firewall. It takes root on Linux.
package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"phoenix-run/lab/machine/need"
)

// Numbers within the subnet.
const (
	gateway = 1   // the machines' way out
	leg     = 254 // this machine
)

// DNS is the name server that every network has: it asks whoever this machine asks.
const DNS = "10.0.2.3"

// Network is an open network.
type Network struct {
	subnet netip.Prefix // a /24
	name   string       // of the namespace, and the stem of all others; at most 11 characters
	uplink *exec.Cmd
	done   chan struct{} // closed when uplink has ended
	exit   *os.File      // uplink ends when this is closed
}

// Open makes the network called name. What an earlier one of that name left, processes included, is
// removed first.
func Open(ctx context.Context, name string, subnet netip.Prefix) (_ *Network, err error) {
	if len(name) > 11 {
		return nil, fmt.Errorf("lab/machine/vnet: the name %q is too long", name)
	}
	if subnet.Bits() != 24 || !subnet.Addr().Is4() {
		return nil, fmt.Errorf("the lab's network %s is no IPv4 network of 256 addresses, such as 10.55.0.0/24", subnet)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a network for real machines takes root")
	}
	if err := need.Programs("ip", "iptables", "slirp4netns", "nsenter"); err != nil {
		return nil, err
	}
	n := &Network{subnet: subnet.Masked(), name: name}
	if err := n.sweep(ctx); err != nil {
		return nil, fmt.Errorf("what an earlier lab left can't be removed: %w", err)
	}
	if err := n.free(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	host := name + "-h"
	steps := [][]string{
		{"ip", "netns", "add", name},
		n.inside("ip", "link", "set", "lo", "up"),
		n.inside("ip", "link", "add", "br0", "type", "bridge"),
		n.inside("ip", "address", "add", n.Address(gateway)+"/24", "dev", "br0"),
		n.inside("ip", "link", "set", "br0", "up"),
		{"ip", "link", "add", host, "type", "veth", "peer", "name", "host", "netns", name},
		{"ip", "address", "add", n.Address(leg) + "/24", "dev", host},
		{"ip", "link", "set", host, "up"},
		n.inside("ip", "link", "set", "host", "master", "br0", "up"),
		n.inside("sysctl", "-qw", "net.ipv4.ip_forward=1"),
		n.inside("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", n.subnet.String(), "-o", "tap0", "-j", "MASQUERADE"),
	}
	for _, argv := range steps {
		if _, err := need.Run(ctx, argv...); err != nil {
			return nil, fmt.Errorf("the lab's network: %w", err)
		}
	}
	return n, n.openUplink(ctx)
}

// inside is a command in the network's namespace.
func (n *Network) inside(argv ...string) []string {
	return append([]string{"nsenter", "--net=" + n.Namespace(), "--"}, argv...)
}

// Namespace is the path of the namespace that the bridge is in.
func (n *Network) Namespace() string { return "/run/netns/" + n.name }

// Address is an address of the subnet.
func (n *Network) Address(host int) string {
	a := n.subnet.Addr().As4()
	a[3] = byte(host)
	return netip.AddrFrom4(a).String()
}

// Gateway is the machines' default gateway.
func (n *Network) Gateway() string { return n.Address(gateway) }

// free checks that this machine does not use the subnet otherwise.
func (n *Network) free() error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(n.subnet) {
			return fmt.Errorf("the lab's network %s overlaps with this machine's address %s: name another (--subnet)", n.subnet, p)
		}
	}
	return nil
}

// openUplink starts the way out, in user space, and waits until it is ready.
func (n *Network) openUplink(ctx context.Context) error {
	readyOut, readyIn, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyOut.Close() //nolint:errcheck // it was only read
	exitOut, exitIn, err := os.Pipe()
	if err != nil {
		return errors.Join(err, readyIn.Close())
	}
	cmd := exec.Command("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd=3", "--exit-fd=4", "--netns-type=path", n.Namespace(), "tap0")
	var said strings.Builder
	cmd.Stderr = &said
	cmd.ExtraFiles = []*os.File{readyIn, exitOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the lab
	err = cmd.Start()
	err = errors.Join(err, readyIn.Close(), exitOut.Close())
	n.exit = exitIn
	if err != nil {
		return fmt.Errorf("the lab's way out: %w", err)
	}
	n.uplink, n.done = cmd, make(chan struct{})
	go func() {
		defer close(n.done)
		cmd.Wait() //nolint:errcheck // it ends when it is told to
	}()
	deadline := time.Now().Add(time.Minute)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := readyOut.SetReadDeadline(deadline); err != nil {
		return err
	}
	if _, err := readyOut.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("the lab's way out did not open: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// MachineNamespace makes a namespace with one card, eth0, on the network. It gives the namespace's path.
func (n *Network) MachineNamespace(ctx context.Context, id int, mac string) (string, error) {
	name := n.machine(id)
	if err := n.Remove(ctx, id); err != nil {
		return "", err
	}
	if _, err := need.Run(ctx, "ip", "netns", "add", name); err != nil {
		return "", err
	}
	link := []string{"ip", "link", "add", "eth0", "netns", name}
	if mac != "" {
		link = append(link, "address", mac)
	}
	for _, argv := range [][]string{
		n.inside(append(link, "type", "veth", "peer", "name", n.card(id))...),
		n.inside("ip", "link", "set", n.card(id), "master", "br0", "up"),
	} {
		if _, err := need.Run(ctx, argv...); err != nil {
			return "", errors.Join(err, n.Remove(ctx, id))
		}
	}
	return "/run/netns/" + name, nil
}

// Tap makes a card for a virtual machine in the network's namespace, and gives its name there.
func (n *Network) Tap(ctx context.Context, id int) (string, error) {
	tap := n.card(id)
	if out, err := need.Run(ctx, n.inside("ip", "-o", "link", "show")...); err != nil {
		return "", err
	} else if strings.Contains(out, " "+tap+":") {
		return tap, nil
	}
	for _, argv := range [][]string{
		n.inside("ip", "tuntap", "add", tap, "mode", "tap"),
		n.inside("ip", "link", "set", tap, "master", "br0", "up"),
	} {
		if _, err := need.Run(ctx, argv...); err != nil {
			return "", err
		}
	}
	return tap, nil
}

func (n *Network) machine(id int) string { return n.name + "-" + strconv.Itoa(id) }
func (n *Network) card(id int) string    { return "m" + strconv.Itoa(id) }

// Remove takes a machine's namespace away, and kills what still runs in it.
func (n *Network) Remove(ctx context.Context, id int) error {
	if err := removeNamespace(ctx, n.machine(id)); err != nil {
		return err
	}
	// The kernel takes its time with a namespace's cards; deleted from this end they go at once.
	script := `ip link show "$1" >/dev/null 2>&1 || exit 0; ip link delete "$1" || ! ip link show "$1" >/dev/null 2>&1`
	_, err := need.Run(ctx, n.inside("sh", "-c", script, "sh", n.card(id))...)
	return err
}

// Close ends the network and everything in it.
func (n *Network) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if n.exit != nil {
		err = n.exit.Close()
	}
	if n.uplink != nil {
		select {
		case <-n.done:
		case <-time.After(5 * time.Second):
			err = errors.Join(err, n.uplink.Process.Kill())
			<-n.done
		}
	}
	return errors.Join(err, n.sweep(ctx))
}

// sweep removes every namespace of this network, and kills what runs in them. Their cards go with them.
func (n *Network) sweep(ctx context.Context) error {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() == n.name || strings.HasPrefix(e.Name(), n.name+"-") {
			errs = append(errs, removeNamespace(ctx, e.Name()))
		}
	}
	return errors.Join(errs...)
}

func removeNamespace(ctx context.Context, name string) error {
	if _, err := os.Stat("/run/netns/" + name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for {
		out, err := need.Run(ctx, "ip", "netns", "pids", name)
		if err != nil {
			return err
		}
		pids := strings.Fields(out)
		if len(pids) == 0 {
			break
		}
		for _, p := range pids {
			if pid, err := strconv.Atoi(p); err == nil && pid != os.Getpid() {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return err
				}
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("processes %s in the network namespace %s don't end: %w", strings.Join(pids, " "), name, context.Cause(ctx))
		}
	}
	_, err := need.Run(ctx, "ip", "netns", "delete", name)
	return err
}
