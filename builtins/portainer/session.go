// Package portainer is what playbooks can ask of Portainer: a server that is set up, environments that
// are registered, stacks that are deployed.
package portainer

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/scrypt"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/builtins/host"
	"phoenix-run/builtins/proxmox"
	"phoenix-run/config"
	"phoenix-run/portainer"
	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

// Options say what is deployed, and how the server is reached.
type Options struct {
	Config   *config.Config
	Planning bool
}

// Session holds the connection of one run.
type Session struct {
	options Options

	mu       sync.Mutex
	client   *portainer.Client
	master   []byte // what all derived secrets come from; nil before the first
	derived  map[string]secret.Value
	machines map[string]*proxmox.VM // whose environments were asked for, by name
	renamed  map[int]string         // names of the machines that environments of another name belong to, by id
}

// NewSession makes a session; nothing is connected before it is needed.
func NewSession(o Options) *Session {
	return &Session{options: o, derived: map[string]secret.Value{}, machines: map[string]*proxmox.VM{}, renamed: map[int]string{}}
}

// Close ends the connection.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil
	}
	return s.client.Close()
}

// connected gives the client, once there is one.
func (s *Session) connected() *portainer.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// remember keeps the machine of an environment, for the files of its stacks.
func (s *Session) remember(vm *proxmox.VM) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[vm.Config().Name] = vm
}

func (s *Session) rename(environment int, machine string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renamed[environment] = machine
}

// renamedTo gives the environment that is to have the name of this machine; 0, which is none, if there is
// no such.
func (s *Session) renamedTo(machine string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, name := range s.renamed {
		if name == machine {
			return id
		}
	}
	return 0
}

func (s *Session) isRenamed(environment int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.renamed[environment]
	return ok
}

// machine gives the machine of an environment as a host; nil if the environment was not asked for.
func (s *Session) machine(c *builtin.Call, name string) *host.Host {
	s.mu.Lock()
	vm := s.machines[name]
	s.mu.Unlock()
	if vm == nil {
		return nil
	}
	return vm.Host(c)
}

func (s *Session) password(ctx context.Context, task *runner.Task) (secret.Value, error) {
	ref := s.options.Config.Hypervisor.PortainerAPI.Password
	if ref.IsZero() {
		return secret.Value{}, fmt.Errorf("%s has no portainer_api.password: the server is set up with it", config.HypervisorFile)
	}
	v, err := configmod.Resolve(ctx, s.options.Config, task, ref)
	if err != nil {
		return v, fmt.Errorf("portainer_api.password: %w", err)
	}
	if n := len([]rune(v.Reveal())); n < shortestPassword {
		return v, fmt.Errorf("portainer_api.password: %s gives %d characters; Portainer takes %d at least", ref, n, shortestPassword)
	}
	return v, nil
}

// shortestPassword is what Portainer asks of its administrators (RequiredPasswordLength of its settings).
const shortestPassword = 12

// derive makes a secret of the administrator's password, so that none has to be kept anywhere, and
// each run finds the same. scrypt makes guessing the password from it as costly as from its own hash;
// it is asked once, and each purpose gets a key of its own from what it gives.
func (s *Session) derive(ctx context.Context, task *runner.Task, purpose string) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.derived[purpose]; ok {
		return v, nil
	}
	password, err := s.password(ctx, task)
	if err != nil {
		return secret.Value{}, err
	}
	if s.master == nil {
		if s.master, err = scrypt.Key([]byte(password.Reveal()), []byte("phoenix-run"), 1<<15, 8, 1, 32); err != nil {
			return secret.Value{}, err
		}
	}
	key, err := hkdf.Expand(sha256.New, s.master, purpose, 24)
	if err != nil {
		return secret.Value{}, err
	}
	v := secret.New(base64.RawURLEncoding.EncodeToString(key))
	task.Run.Redactor().AddValue(v)
	s.derived[purpose] = v
	return v, nil
}

// agentSecret is what server and agents share.
func (s *Session) agentSecret(ctx context.Context, task *runner.Task) (secret.Value, error) {
	if ref := s.options.Config.Hypervisor.Portainer.AgentSecret; !ref.IsZero() {
		return configmod.Resolve(ctx, s.options.Config, task, ref)
	}
	return s.derive(ctx, task, "agent secret")
}

func (s *Session) setupToken(ctx context.Context, task *runner.Task) (secret.Value, error) {
	return s.derive(ctx, task, "setup token")
}

// connect gives the client of the server on the machine. Its certificate is its own; it is read over the
// verified connection to the machine and pinned, unless the configuration says whom to trust.
func (s *Session) connect(c *builtin.Call, h *host.Host, address string) (*portainer.Client, error) {
	password, err := s.password(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	token, err := s.setupToken(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	api := s.options.Config.Hypervisor.PortainerAPI
	o := portainer.Options{URL: api.URL, User: api.User, Password: password, SetupToken: token,
		Fingerprint: api.TLSFingerprint, ReadOnly: s.options.Planning,
		Progress: func(on, text string) { c.Task.Progress(h.Name(), "Portainer "+on+": "+text) }}
	if api.CAFile != "" {
		o.CAFile = s.options.Config.Path(api.CAFile)
	}
	if o.URL == "" {
		o.URL = "https://" + bracket(address) + ":9443"
	}
	if o.Fingerprint == "" && o.CAFile == "" && strings.HasPrefix(o.URL, "https:") {
		if o.Fingerprint, err = ownCertificate(c.Context(), h); err != nil {
			return nil, err
		}
	}
	client, err := portainer.Open(o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil { // another strand was quicker; one client, and so one sign-in, serves all
		return s.client, client.Close()
	}
	s.client = client
	return client, nil
}

func bracket(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

// certificateScript prints the certificate that the server made for itself, from its data volume.
const certificateScript = `d=$(docker volume inspect -f '{{.Mountpoint}}' portainer_data) || exit 1
n=0
while [ ! -s "$d/certs/cert.pem" ]; do
	n=$((n + 1))
	[ "$n" -le 50 ] || { echo "no certificate in $d/certs" >&2; exit 1; }
	sleep 0.2
done
cat "$d/certs/cert.pem"`

// ownCertificate gives the fingerprint of the certificate that the server made for itself.
func ownCertificate(ctx context.Context, h *host.Host) (string, error) {
	conn, err := h.Conn(ctx)
	if err != nil {
		return "", err
	}
	r, err := conn.Run(ctx, remote.Command{Script: certificateScript, ReadOnly: true})
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(r.Stdout)
	if r.Code != 0 || block == nil {
		return "", errors.Join(&remote.ExitError{What: "reading Portainer's certificate on " + h.Name(), Result: r},
			errors.New("set portainer_api.tls_fingerprint or ca_file instead"))
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// server is the host name that the run's view knows Portainer's own things by.
const server = "portainer"

func key(space, id string) op.Key { return op.Key{Host: server, Space: space, ID: id} }
