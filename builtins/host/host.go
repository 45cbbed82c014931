// Package host is the machine that features work on, and the operations on it: files, packages,
// services, users, commands, containers.
package host

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

// Host is a machine that operations work on, whatever the transport. It is connected when it is first
// needed, once.
type Host struct {
	name string
	dial func(ctx context.Context) (remote.Conn, error)

	mu     sync.Mutex
	conn   remote.Conn
	scopes []*scope // features under way, the innermost last

	ahead ahead // reads paths before they are asked for

	packageManager packageManager // once it was looked for
}

// New makes a host; dial connects to it.
func New(name string, dial func(ctx context.Context) (remote.Conn, error)) *Host {
	return &Host{name: name, dial: dial}
}

// Name is how people call the machine.
func (h *Host) Name() string { return h.name }

// Conn gives the connection, dialling if there is none yet. A failed attempt is not remembered.
func (h *Host) Conn(ctx context.Context) (remote.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		conn, err := h.dial(ctx)
		if err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", h.name, err)
		}
		h.conn = conn
	}
	return h.conn, nil
}

// Close gives the connection back.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		return nil
	}
	err := h.conn.Close()
	h.conn = nil
	return errors.Join(err, h.ahead.save())
}

func (h *Host) String() string        { return "host(" + h.name + ")" }
func (h *Host) Type() string          { return "host" }
func (h *Host) Freeze()               {}
func (h *Host) Truth() starlark.Bool  { return true }
func (h *Host) Hash() (uint32, error) { return starlark.String(h.name).Hash() }

// Attr gives a method or the name.
func (h *Host) Attr(name string) (starlark.Value, error) {
	if name == "name" {
		return starlark.String(h.name), nil
	}
	return Type.Attr(h, name), nil
}

// AttrNames lists methods and fields.
func (h *Host) AttrNames() []string { return Type.AttrNames() }

func (h *Host) address(kind, id string) op.Address {
	return op.Address{Host: h.name, Kind: kind, ID: id}
}

func (h *Host) key(space, id string) op.Key { return op.Key{Host: h.name, Space: space, ID: id} }

// Type declares the methods of host objects.
var Type = builtin.NewType("host", "A machine to work on. Its operations are idempotent: each reads what is there, and changes only what differs.",
	[]builtin.Param{{Name: "name", Type: "string", Doc: "how people call the machine"}},
	file, templateFile, directory, link, absent, line, block, jsonFile, stat, push, fetch, archive, download, git,
	packages, aptRepository, service, systemdUnit, cron,
	user, group, authorizedKey, sudoers, certificateAuthority,
	command, script, container, reboot,
	sysctl, kernelModule, mount, swap, timezone, localeSetting, hostname, hostsEntry,
	waitFor, facts, onChange, reconnect,
)
