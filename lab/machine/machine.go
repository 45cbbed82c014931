// Package machine is what the lab's Proxmox API needs of whatever stands behind it: simulated
// guests, QEMU virtual machines or nspawn containers all implement Backend and Machine. The API code
// keeps configurations, locks, tasks and ids; a backend only makes machines and runs them.
package machine

import (
	"context"
	"errors"
)

// ErrUnsupported is returned by a backend for what it can't do; the API gives it Proxmox's kind of error.
var ErrUnsupported = errors.New("not supported by this lab backend")

// ErrAgent is an error of the guest agent itself (class and description as qemu-ga gives them).
type ErrAgent struct{ Class, Desc string }

func (e *ErrAgent) Error() string { return e.Desc }

// Backend makes machines.
type Backend interface {
	// Create makes a machine with an empty or imported boot disk. It is not started.
	Create(ctx context.Context, id int, spec Spec) (Machine, error)
	// Clone makes a machine with the disk of source, which is stopped.
	Clone(ctx context.Context, id int, source Machine, spec Spec) (Machine, error)
	// Open finds a machine again that an earlier run of the lab made.
	Open(ctx context.Context, id int) (Machine, error)
	Close() error
}

// Spec is the part of a VM's configuration that a machine has to act on, already merged and parsed.
type Spec struct {
	Name      string
	Sockets   int
	Cores     int
	MemoryMiB int
	DiskBytes int64
	Image     string // file to import as boot disk; "" for an empty one
	Agent     bool   // the virtio-serial device of the guest agent is there
	MAC       []string
	CloudInit CloudInit
}

// CloudInit is what the NoCloud or ConfigDrive seed of a machine is made from.
type CloudInit struct {
	InstanceID string // changes whenever its content does: sha1 over user and network data
	User       string
	Password   string   // crypted
	SSHKeys    []string // authorized_keys lines
	IPConfig   []string // Proxmox's ipconfigN strings, by N: "ip=dhcp", "ip=10.0.0.5/24,gw=10.0.0.1"
	Nameserver string
	Search     string
	Upgrade    bool              // packages are brought up to date at the first boot; Proxmox's default
	Custom     map[string]string // cicustom files by part: user, network, meta, vendor
}

// Power is a machine's power state.
type Power string

const (
	Running Power = "running"
	Stopped Power = "stopped"
	Paused  Power = "paused"
)

// Machine is one guest. Its methods may be called from several goroutines.
type Machine interface {
	Power() Power
	// Start boots with spec: what was configured while it was off takes effect here.
	Start(ctx context.Context, spec Spec) error
	// Shutdown asks the guest to power off and waits for it until ctx ends.
	Shutdown(ctx context.Context) error
	Stop(ctx context.Context) error   // pulls the plug
	Reboot(ctx context.Context) error // through the guest
	Reset(ctx context.Context) error
	// Configure applies what can be changed while running; it returns what must wait for a restart
	// by Spec field name.
	Configure(ctx context.Context, spec Spec) (pending []string, err error)
	ResizeDisk(ctx context.Context, bytes int64) error
	Snapshot(ctx context.Context, name string) error
	Rollback(ctx context.Context, name string) error
	DeleteSnapshot(ctx context.Context, name string) error
	Destroy(ctx context.Context) error
	// Agent is the guest agent, or nil while it does not answer.
	Agent() Agent
	UptimeSeconds() int64
}

// Agent is qemu-ga as its own protocol has it.
type Agent interface {
	Ping(ctx context.Context) error
	Exec(ctx context.Context, argv []string, input []byte) (pid int, err error)
	// ExecStatus forgets the pid once it has reported the end, as qemu-ga does.
	ExecStatus(ctx context.Context, pid int) (ExecStatus, error)
	ReadFile(ctx context.Context, path string, offset int64, count int) (content []byte, eof bool, err error)
	WriteFile(ctx context.Context, path string, content []byte) error
	Interfaces(ctx context.Context) ([]Interface, error)
	OSInfo(ctx context.Context) (map[string]string, error)
	HostName(ctx context.Context) (string, error)
}

// ExecStatus is the reply of guest-exec-status.
type ExecStatus struct {
	Exited                           bool
	Code                             int
	Signal                           int // 0: none
	Stdout, Stderr                   []byte
	StdoutTruncated, StderrTruncated bool
}

// Interface is one network interface, as guest-network-get-interfaces has it.
type Interface struct {
	Name, MAC string
	Addresses []Address
}

// Address is one address of an interface.
type Address struct {
	IP     string
	Type   string // "ipv4" or "ipv6"
	Prefix int
}

// Pauser is a Machine that can be halted where it is and carried on, as QEMU's stop and cont do.
type Pauser interface {
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
}
