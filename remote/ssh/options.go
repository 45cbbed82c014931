// Package ssh is a machine reached over SSH, as a remote.Conn: one connection, up to four persistent
// shells in it, and SFTP for large files.
//
// What it needs of the machine: a login shell that can run `exec /bin/sh -c '...'`, and what packages
// session and place say of the scripts. sudo only if asked for; the SFTP subsystem if it is there.
package ssh

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"phoenix-run/secret"
)

// Options say which machine to reach, and how. The zero value of each means what OpenSSH would do,
// or the safe choice where OpenSSH would ask.
type Options struct {
	Host string // name, address, or a Host of the ConfigFile
	Port int    // 0: the ConfigFile's, else 22
	User string // "": the ConfigFile's, else the user that runs phoenix-run

	// Keys. If one is named here, no other is offered, whatever the agent or the ConfigFile hold:
	// a server counts each key that does not fit as a failed login.
	KeyFile     string
	KeyData     secret.Value // the private key itself, PEM
	Passphrase  secret.Value // of KeyFile or KeyData
	Certificate string       // file; "": KeyFile-cert.pub if there is one
	// Agent offers keys of the agent at SSH_AUTH_SOCK; together with KeyFile that key alone, found by
	// KeyFile.pub, so that its private half need not be readable here.
	Agent bool

	// HostKeys are the machine's public keys, as lines of authorized_keys ("ssh-ed25519 AAAA…"), known
	// from a trusted source. If there are any, nothing else is accepted, and known_hosts isn't asked.
	HostKeys []string
	// Vouch gives the machine's public keys from a trusted source, if HostKeys can't be known
	// beforehand: it is asked only about a key that known_hosts does not have. No keys: known_hosts
	// and HostKeyPolicy decide.
	Vouch func(ctx context.Context) []string
	// KnownHostsFile is looked into, and written to if HostKeyPolicy allows; "": the ConfigFile's,
	// else ~/.ssh/known_hosts. /etc/ssh/ssh_known_hosts is looked into as well.
	KnownHostsFile string
	HostKeyPolicy  HostKeyPolicy
	// Ask is asked about an unknown key under AskHostKey. It may take its time.
	Ask func(ctx context.Context, q Question) (accept bool, err error)

	// Dial opens the connection itself, in place of TCP to Host; nil: TCP, through a bastion if there is one.
	Dial func(ctx context.Context) (net.Conn, error)

	Jump  *ssh.Client // bastion that the connection goes through; stays the caller's to close
	Jumps *Jumps      // shares the bastions that ConfigFile's ProxyJump names; nil: one for this connection alone

	ConfigFile string // "": ~/.ssh/config if it is there; "none": none

	Become       Become
	SudoPassword secret.Value

	ReadOnly bool // plan mode: what writes is refused with remote.ErrPlanWrite

	ConnectTimeout time.Duration // for the TCP connection, and again for the handshake; 0: the ConfigFile's, else 15 s
	Keepalive      time.Duration // how often a silent machine is asked whether it lives; 0: 15 s. Three misses end the connection
}

// HostKeyPolicy is what to do about a machine whose key is not known. A key that is not the known one
// is refused under all of them.
type HostKeyPolicy string

const (
	RefuseHostKey    HostKeyPolicy = "refuse" // the default
	AskHostKey       HostKeyPolicy = "ask"
	AcceptNewHostKey HostKeyPolicy = "accept-new"
)

// Become is how scripts come to run as root when the user is another.
type Become string

const (
	BecomeNone Become = "none" // they don't: scripts run as the user
	BecomeSudo Become = "sudo" // by sudo, once per shell; SudoPassword over its stdin if it asks
)

const (
	defaultTimeout   = 15 * time.Second
	defaultKeepalive = 15 * time.Second
	keepaliveMisses  = 3
)

// resolve fills in what Options leave open, from the configuration file and the defaults.
func (o Options) resolve() (Options, *hostConfig, error) {
	if o.Host == "" {
		return o, nil, fmt.Errorf("ssh: no host given")
	}
	home, err := os.UserHomeDir()
	if err != nil && o.ConfigFile == "" {
		o.ConfigFile = "none"
	}
	file, err := readConfig(o.ConfigFile, home, o.Host)
	if err != nil {
		return o, nil, err
	}
	o.User = cmp.Or(o.User, file.user)
	if o.User == "" {
		me, err := user.Current()
		if err != nil {
			return o, nil, fmt.Errorf("ssh %s: no user given, and the current one can't be found: %w", o.Host, err)
		}
		o.User = me.Username
	}
	o.Port = cmp.Or(o.Port, file.port, 22)
	o.Host = cmp.Or(file.hostName, o.Host)
	o.KnownHostsFile = cmp.Or(o.KnownHostsFile, file.knownHosts)
	if o.KnownHostsFile == "" && home != "" {
		o.KnownHostsFile = filepath.Join(home, ".ssh", "known_hosts")
	}
	o.KnownHostsFile = tilde(o.KnownHostsFile, home)
	o.KeyFile = tilde(o.KeyFile, home)
	o.Certificate = tilde(o.Certificate, home)
	o.HostKeyPolicy = cmp.Or(o.HostKeyPolicy, file.policy, RefuseHostKey)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, file.timeout, defaultTimeout)
	o.Keepalive = cmp.Or(o.Keepalive, defaultKeepalive)
	o.Become = cmp.Or(o.Become, BecomeNone)
	switch o.HostKeyPolicy {
	case RefuseHostKey, AskHostKey, AcceptNewHostKey:
	default:
		return o, nil, fmt.Errorf("ssh %s: host key policy %q is none of refuse, ask, accept-new", o.Host, o.HostKeyPolicy)
	}
	switch o.Become {
	case BecomeNone, BecomeSudo:
	default:
		return o, nil, fmt.Errorf("ssh %s: become %q is none of none, sudo", o.Host, o.Become)
	}
	return o, file, nil
}

// sudo tells whether shells have to be started through it.
func (o *Options) sudo() bool { return o.Become == BecomeSudo && o.User != "root" }

func tilde(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}
