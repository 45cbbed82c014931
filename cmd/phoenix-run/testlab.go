package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"phoenix-run/builtins/test"
	"phoenix-run/lab/docker"
	"phoenix-run/lab/guest"
	"phoenix-run/lab/machine"
	"phoenix-run/remote"
	"phoenix-run/remote/ssh"
	"phoenix-run/secret"
)

// testLab gives tests the lab's machines: each boots by itself and is reached by SSH, through a pair of
// connected sockets instead of a network.
type testLab struct {
	dir       string
	key       secret.Value
	publicKey string

	mu   sync.Mutex
	next int
}

func newTestLab() (*testLab, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := gossh.MarshalPrivateKey(private, "phoenix-run test")
	if err != nil {
		return nil, err
	}
	key, err := gossh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "phoenix-test-")
	if err != nil {
		return nil, err
	}
	return &testLab{dir: dir, key: secret.New(string(pem.EncodeToMemory(block))),
		publicKey: strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))}, nil
}

func (l *testLab) close() error { return os.RemoveAll(l.dir) }

// Machine boots a machine and waits until it can be logged in to.
func (l *testLab) Machine(ctx context.Context, name string, available []test.Package) (test.Simulated, error) {
	l.mu.Lock()
	l.next++
	id := l.next
	l.mu.Unlock()
	m := &testMachine{lab: l, name: name, accept: make(chan net.Conn), closed: make(chan struct{}), listening: make(chan struct{}, 1)}
	backend, err := guest.NewBackend(guest.Options{
		Dir: fmt.Sprintf("%s/%d", l.dir, id), Packages: append(docker.Packages(docker.Options{PullTime: time.Nanosecond}), packages(available)...),
		Listen: m.listen, Lease: func(int) (string, error) { return "", nil }, // there is no network
		BootTime: time.Nanosecond, CloudInitTime: time.Nanosecond, InstallTime: time.Nanosecond,
	})
	if err != nil {
		return nil, err
	}
	m.backend = backend
	spec := machine.Spec{Name: name, Sockets: 1, Cores: 2, MemoryMiB: 2048, DiskBytes: 10 << 30, Image: "cloud image", Agent: true,
		CloudInit: machine.CloudInit{InstanceID: name, User: "root", SSHKeys: []string{l.publicKey}}}
	made, err := backend.Create(ctx, id, spec)
	if err == nil {
		m.guest = made.(*guest.Guest)
		err = m.guest.Start(ctx, spec)
	}
	if err == nil {
		err = m.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func packages(available []test.Package) []guest.Package {
	var list []guest.Package
	for _, p := range available {
		one := guest.Package{Name: p.Name, Version: p.Version, Depends: p.Depends, Groups: p.Groups, Files: p.Files}
		for _, unit := range p.Units {
			one.Units = append(one.Units, guest.Unit{Name: unit})
		}
		list = append(list, one)
	}
	return list
}

// testMachine is one machine of a testLab. It is the listener of its own sshd.
type testMachine struct {
	lab     *testLab
	name    string
	backend *guest.Backend
	guest   *guest.Guest

	listening chan struct{} // holds a token once sshd has begun to listen
	accept    chan net.Conn
	ending    sync.Once
	closed    chan struct{} // closed with the machine
}

// listen is how the machine's sshd comes to its connections.
func (m *testMachine) listen(context.Context, string) (net.Listener, error) {
	select {
	case m.listening <- struct{}{}:
	default:
	}
	return &pairListener{m: m, closed: make(chan struct{})}, nil
}

// ready waits for cloud-init's end, as create_vm does.
func (m *testMachine) ready(ctx context.Context) error {
	select {
	case <-m.listening:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(5 * time.Minute):
		return fmt.Errorf("the simulated machine %s does not come up", m.name)
	}
	conn, err := m.Dial(ctx, false)
	if err != nil {
		return err
	}
	_, err = conn.Run(ctx, remote.Command{Script: "cloud-init status --wait"})
	return errors.Join(err, conn.Close())
}

// Dial logs in.
func (m *testMachine) Dial(ctx context.Context, readOnly bool) (remote.Conn, error) {
	hostKey, err := m.guest.ReadFile("/etc/ssh/ssh_host_ed25519_key.pub")
	if err != nil {
		return nil, err
	}
	return ssh.Dial(ctx, ssh.Options{Host: m.name, User: "root", KeyData: m.lab.key, HostKeys: []string{strings.TrimSpace(string(hostKey))},
		ConfigFile: "none", ReadOnly: readOnly, ConnectTimeout: 5 * time.Minute, Keepalive: time.Hour, Dial: m.connect})
}

// connect makes a connection to the machine's sshd.
func (m *testMachine) connect(ctx context.Context) (net.Conn, error) {
	ours, theirs, err := connPair()
	if err != nil {
		return nil, err
	}
	select {
	case m.accept <- theirs:
		return ours, nil
	case <-m.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, errors.Join(err, ours.Close(), theirs.Close())
}

// State is a digest of all that is on the machine.
func (m *testMachine) State() string { return m.guest.Fingerprint() }

// Close switches the machine off.
func (m *testMachine) Close() error {
	m.ending.Do(func() { close(m.closed) })
	return m.backend.Close()
}

// connPair makes two connected sockets.
func connPair() (ours, theirs net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("a pair of sockets: %w", err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		var one error
		conns[i], one = net.FileConn(f)
		err = errors.Join(err, one, f.Close())
	}
	return conns[0], conns[1], err
}

// pairListener hands out what connect makes.
type pairListener struct {
	m      *testMachine
	once   sync.Once
	closed chan struct{}
}

// Accept waits for the next connection.
func (l *pairListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.m.accept:
		return c, nil
	case <-l.closed:
	case <-l.m.closed:
	}
	return nil, net.ErrClosed
}

// Close ends Accept.
func (l *pairListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is for the machine's log.
func (l *pairListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }
