// Package builtins puts together what Starlark can call in a run.
package builtins

import (
	"context"
	"errors"
	"io/fs"

	"go.starlark.net/starlark"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/builtins/core"
	"phoenix-run/builtins/host"
	"phoenix-run/builtins/portainer"
	"phoenix-run/builtins/proxmox"
	secretmod "phoenix-run/builtins/secret"
	"phoenix-run/builtins/test"
	"phoenix-run/config"
	"phoenix-run/features"
	"phoenix-run/playbooks"
	"phoenix-run/remote/ssh"
	"phoenix-run/runner/builtin"
)

// Options say what the builtins of a run work on.
type Options struct {
	Config   *config.Config                      // nil where only names and texts are wanted
	Limit    string                              // pattern of --limit
	Planning bool                                // connections refuse to change anything
	State    string                              // folder for what runs leave, to be faster the next time; "": none
	Verbose  bool                                // lines of running tasks and commands are told
	Confirm  func(question, want string) error   // asks before something is destroyed; nil refuses
	Ask      func(question string) (bool, error) // asks what may be answered with no; nil is no
	// AskHostKey decides about a machine whose host key nobody has vouched for; nil refuses it.
	AskHostKey func(ctx context.Context, q ssh.Question) (bool, error)
}

// Session is what the builtins of one run share: its connections.
type Session struct {
	options   Options
	proxmox   *proxmox.Session
	portainer *portainer.Session
}

// New makes the builtins of one run. Nothing is connected before it is needed.
func New(o Options) *Session {
	if o.Config == nil {
		o.Config = &config.Config{}
	}
	s := &Session{options: o}
	s.proxmox = proxmox.NewSession(proxmox.Options{Config: o.Config, Planning: o.Planning, Verbose: o.Verbose, State: o.State,
		Confirm: o.Confirm, Ask: o.Ask, AskHostKey: o.AskHostKey})
	s.portainer = portainer.NewSession(portainer.Options{Config: o.Config, Planning: o.Planning})
	return s
}

// Close ends all connections.
func (s *Session) Close() error { return errors.Join(s.proxmox.Close(), s.portainer.Close()) }

// Predeclared gives the names that modules see.
func (s *Session) Predeclared() starlark.StringDict {
	names := starlark.StringDict{}
	for _, m := range s.modules() {
		if m.Name != "" {
			names[m.Name] = m.Value()
			continue
		}
		for _, f := range m.Funcs {
			names[f.Name] = f.Value("", nil)
		}
	}
	return names
}

func (s *Session) modules() []builtin.Module {
	return []builtin.Module{
		core.Functions, core.Features,
		{Funcs: []*builtin.Builtin{host.Local(s.options.Planning)}, Doc: "This machine itself."},
		configmod.Module(s.options.Config, s.options.Limit),
		secretmod.Module(s.options.Config.Dir),
		s.proxmox.Module(), s.portainer.Module(),
	}
}

func types() []*builtin.Type {
	return []*builtin.Type{proxmox.VMType, host.Type, portainer.ServerType, builtin.ResultType, test.TType, test.MachineType}
}

// documented are the modules of the reference: those of every run, and that of tests.
func documented() []builtin.Module { return append(New(Options{}).modules(), test.Assert) }

// Documented gives everything that the reference describes.
func Documented() ([]builtin.Module, []*builtin.Type) { return documented(), types() }

// Modules gives the playbooks and features that come with the binary.
func Modules() fs.FS { return embedded{"playbooks": playbooks.FS, "features": features.FS} }
