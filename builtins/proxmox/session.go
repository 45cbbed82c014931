// Package proxmox is what playbooks can ask of Proxmox VE: machines that are to be as configured,
// running, reachable, or gone.
package proxmox

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"phoenix-run/builtins/host"
	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/remote/ssh"
	"phoenix-run/runner"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

// Options say what the machines are made from.
type Options struct {
	Config   *config.Config
	Planning bool
	Verbose  bool
	State    string // folder for what runs leave; "": none
	// Confirm asks before something is destroyed; want is what must be typed.
	Confirm func(question, want string) error
	// Ask puts a question that is answered with yes or no; nil takes it for no.
	Ask func(question string) (bool, error)
	// AskHostKey decides about a machine whose host key nobody has vouched for; nil refuses it.
	AskHostKey func(ctx context.Context, q ssh.Question) (bool, error)
}

// Session holds the connections of one run.
type Session struct {
	options Options

	mu     sync.Mutex
	client *pve.Client
	hosts  map[string]*host.Host
	seeds  map[int][]string // the attributes of cloud-init that were changed on running machines, by id

	cards  map[int][]pve.Interface // what the guest agents told, by id, until the machine boots again
	booted map[int]bool            // the machines that this run has made or started, by id

	asking sync.Mutex // one question at a time

	jumps ssh.Jumps // one connection for each bastion, however many machines are behind it
}

// NewSession makes a session; nothing is connected before it is needed.
func NewSession(o Options) *Session {
	return &Session{options: o, hosts: map[string]*host.Host{}, seeds: map[int][]string{},
		cards: map[int][]pve.Interface{}, booted: map[int]bool{}}
}

// Close ends all connections.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, h := range s.hosts {
		errs = append(errs, h.Close())
	}
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	return errors.Join(errs...)
}

// reveal reads a secret that the configuration refers to; from then on no report shows it.
func (s *Session) reveal(ctx context.Context, task *runner.Task, ref secret.Ref) (secret.Value, error) {
	if ref.IsZero() {
		return secret.Value{}, nil
	}
	v, err := ref.Resolve(ctx, s.options.Config.Dir)
	if err != nil {
		return secret.Value{}, err
	}
	task.Run.Redactor().AddValue(v)
	return v, nil
}

// pve gives the client, signing in with what the configuration says.
func (s *Session) pve(ctx context.Context, task *runner.Task) (*pve.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	api := s.options.Config.Hypervisor.ProxmoxAPI
	if api.IsZero() {
		return nil, fmt.Errorf("%s has no proxmox_api, so there is no Proxmox to work with", config.HypervisorFile)
	}
	o := pve.Options{URL: api.URL, User: api.User, Fingerprint: api.TLSFingerprint, ReadOnly: s.options.Planning}
	if api.CAFile != "" {
		o.CAFile = s.options.Config.Path(api.CAFile)
	}
	for _, field := range []struct {
		ref  secret.Ref
		into *secret.Value
	}{{api.Token, &o.Token}, {api.Password, &o.Password}} {
		v, err := s.reveal(ctx, task, field.ref)
		if err != nil {
			return nil, fmt.Errorf("proxmox_api: %w", err)
		}
		*field.into = v
	}
	client, err := pve.Open(o)
	if err != nil {
		return nil, err
	}
	s.client = client
	return client, nil
}

// cell is the key of a machine in the run's view, and list that of all machines.
func cell(id int) op.Key { return op.Key{Host: "proxmox", Space: "vm", ID: fmt.Sprint(id)} }

var list = op.Key{Host: "proxmox", Space: "vm"}

// find looks a machine up in the cluster's list, which is read once until something changes.
func (s *Session) find(ctx context.Context, task *runner.Task, id int) (vm pve.VM, found bool, err error) {
	vms, err := s.machines(ctx, task)
	if err != nil {
		return pve.VM{}, false, err
	}
	for _, vm := range vms {
		if vm.ID == id {
			return vm, true, nil
		}
	}
	return pve.VM{}, false, nil
}

func (s *Session) machines(ctx context.Context, task *runner.Task) ([]pve.VM, error) {
	return op.Remember(ctx, task.Run.View, list, func(ctx context.Context) ([]pve.VM, error) {
		client, err := s.pve(ctx, task)
		if err != nil {
			return nil, err
		}
		return client.VMs(ctx)
	})
}

// settings reads a machine's configuration, once one that is being cloned is there in full. It is
// read once until something changes it.
func (s *Session) settings(ctx context.Context, task *runner.Task, vm pve.VM) (pve.Settings, error) {
	return op.Remember(ctx, task.Run.View, cell(vm.ID), func(ctx context.Context) (pve.Settings, error) {
		client, err := s.pve(ctx, task)
		if err != nil {
			return pve.Settings{}, err
		}
		return client.Settled(ctx, vm.Node, vm.ID)
	})
}

// node gives the node that a new machine belongs on.
func (s *Session) node(ctx context.Context, task *runner.Task, vm config.VM) (string, error) {
	if vm.Node != "" {
		return vm.Node, nil
	}
	if n := s.options.Config.Hypervisor.ProxmoxAPI.Node; n != "" {
		return n, nil
	}
	client, err := s.pve(ctx, task)
	if err != nil {
		return "", err
	}
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if n.Online {
			return n.Name, nil
		}
	}
	return "", errors.New("no node of the cluster is online")
}

// boots notes that a machine starts anew: its addresses may change, and what waited for that takes effect.
func (s *Session) boots(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seeds, id)
	delete(s.cards, id)
	s.booted[id] = true
}

// progress tells the lines of Proxmox's tasks under -v.
func (s *Session) progress(task *runner.Task, name string) pve.Progress {
	if !s.options.Verbose {
		return nil
	}
	return func(line string) { task.Log(name, line) }
}
