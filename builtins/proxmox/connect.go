package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/host"
	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/remote"
	"phoenix-run/remote/agent"
	"phoenix-run/remote/ssh"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

// host gives the machine as a host, the same one each time, so that it is connected once.
func (s *Session) host(task *runner.Task, v *VM) *host.Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.hosts[v.vm.Name]
	if !ok {
		h = host.New(v.vm.Name, func(ctx context.Context) (remote.Conn, error) { return s.dial(ctx, task, v.vm) })
		h.ReadAhead(s.options.State)
		s.hosts[v.vm.Name] = h
	}
	return h
}

// dial connects as the configuration says. Over SSH, a host key that known_hosts does not have is
// looked up through the guest agent, so that the very first contact is verified.
func (s *Session) dial(ctx context.Context, task *runner.Task, vm config.VM) (remote.Conn, error) {
	client, node, err := s.locate(ctx, task, vm)
	if err != nil {
		return nil, err
	}
	guest := client.Agent(node, vm.ID)
	if vm.Transport == "agent" {
		name := fmt.Sprintf("guest agent of VM %d (%s) on %s", vm.ID, vm.Name, node)
		return agent.New(agentAdapter{guest, s.options.Planning}, name, s.options.Planning), nil
	}
	address, err := s.address(ctx, task, vm)
	if err != nil {
		return nil, err
	}
	settings := s.options.Config.Hypervisor.SSH
	o := ssh.Options{
		Host: address, Port: settings.Port, User: s.sshUser(vm), Agent: settings.Agent,
		HostKeyPolicy: ssh.HostKeyPolicy(settings.HostKey), ReadOnly: s.options.Planning,
		Vouch: func(ctx context.Context) []string { return hostKeys(ctx, guest) }, Ask: s.options.AskHostKey, Jumps: &s.jumps,
	}
	if o.Passphrase, err = s.reveal(ctx, task, settings.Passphrase); err != nil {
		return nil, fmt.Errorf("ssh: passphrase: %w", err)
	}
	if o.SudoPassword, err = s.reveal(ctx, task, settings.SudoPassword); err != nil {
		return nil, fmt.Errorf("ssh: sudo_password: %w", err)
	}
	if settings.PrivateKeyFile != "" {
		o.KeyFile = s.options.Config.Path(settings.PrivateKeyFile)
	}
	if settings.KnownHostsFile != "" {
		o.KnownHostsFile = s.options.Config.Path(settings.KnownHostsFile)
	}
	if o.User != "root" {
		o.Become = ssh.BecomeSudo
	}
	return ssh.Dial(ctx, o)
}

// hostKeys reads the machine's public host keys through the agent. Where that does not work, SSH's own
// known_hosts decides.
func hostKeys(ctx context.Context, guest *pve.Agent) []string {
	r, err := guest.Exec(ctx, []string{"/bin/sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"}, nil, true)
	if err != nil {
		return nil
	}
	var keys []string
	for line := range strings.Lines(string(r.Stdout)) {
		if line = strings.TrimSpace(line); line != "" {
			keys = append(keys, line)
		}
	}
	return keys
}

// agentAdapter gives package remote what it needs of the guest agent.
type agentAdapter struct {
	guest    *pve.Agent
	readOnly bool
}

func (a agentAdapter) Exec(ctx context.Context, argv []string, stdin []byte) (remote.Result, error) {
	r, err := a.guest.Exec(ctx, argv, stdin, a.readOnly)
	return remote.Result{Stdout: r.Stdout, Stderr: r.Stderr, Code: r.Code, Truncated: r.Truncated}, err
}

func (a agentAdapter) WriteFile(ctx context.Context, path string, content []byte) error {
	return a.guest.WriteFile(ctx, path, content)
}

func (a agentAdapter) ReadFile(ctx context.Context, path string) ([]byte, bool, error) {
	return a.guest.ReadFile(ctx, path)
}

// address gives the machine's IP address: the configured one, or what the guest tells.
func (s *Session) address(ctx context.Context, task *runner.Task, vm config.VM) (string, error) {
	if prefix, err := netip.ParsePrefix(vm.IPConfig.Address); err == nil {
		return prefix.Addr().String(), nil
	}
	s.mu.Lock()
	interfaces := s.cards[vm.ID] // as told when its agent was waited for
	s.mu.Unlock()
	if pickAddress(interfaces) == "" {
		client, node, err := s.locate(ctx, task, vm)
		if err != nil {
			return "", err
		}
		if interfaces, err = client.Agent(node, vm.ID).Interfaces(ctx); err != nil {
			return "", err
		}
	}
	if ip := pickAddress(interfaces); ip != "" {
		return ip, nil
	}
	return "", errors.New("the guest agent tells no address: has the machine got one by DHCP?")
}

// pickAddress prefers IPv4, and never takes the loopback interface, containers' bridges or link-local addresses.
func pickAddress(interfaces []pve.Interface) string {
	var v6 string
	for _, i := range interfaces {
		if i.Name == "lo" || strings.HasPrefix(i.Name, "docker") || strings.HasPrefix(i.Name, "br-") || strings.HasPrefix(i.Name, "veth") {
			continue
		}
		for _, a := range i.Addresses {
			ip, err := netip.ParseAddr(a.IP)
			switch {
			case err != nil || ip.IsLinkLocalUnicast():
			case ip.Is4():
				return a.IP
			case v6 == "":
				v6 = a.IP
			}
		}
	}
	return v6
}

// addressValue is the address for playbooks; it is not known for a machine that is only planned.
func (v *VM) addressValue(c *builtin.Call) (starlark.Value, error) {
	if _, missing := v.missing(c.Task); missing && v.vm.IPConfig.Address == "" {
		return value.NewUnknown(v.address("vm"), "address"), nil
	}
	ip, err := v.s.address(c.Context(), c.Task, v.vm)
	if err != nil {
		return nil, err
	}
	return starlark.String(ip), nil
}

// Address gives the machine's IP address to other modules; ok is false if it is not known yet.
func (v *VM) Address(c *builtin.Call) (ip string, ok bool, err error) {
	a, err := v.addressValue(c)
	if err != nil {
		return "", false, err
	}
	ip, ok = starlark.AsString(a)
	return ip, ok, nil
}

// Host gives the machine as a host to other modules.
func (v *VM) Host(c *builtin.Call) *host.Host { return v.s.host(c.Task, v) }
