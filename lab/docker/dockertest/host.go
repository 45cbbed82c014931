// Package dockertest holds a machine in memory for tests of what runs on a lab's Docker Engine.
package dockertest

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
	"testing/fstest"
)

// Host is a docker.Host in memory. Its methods may be called from several goroutines.
type Host struct {
	name, address string

	mu      sync.Mutex
	files   fstest.MapFS
	state   map[string][]byte
	journal []string
	touched int
	boot    string
}

// NewHost returns a host whose published ports listen on address.
func NewHost(name, address string) *Host {
	return &Host{name: name, address: address, files: fstest.MapFS{}, state: map[string][]byte{}, boot: "boot-1"}
}

// Name implements docker.Host.
func (h *Host) Name() string { return h.name }

// Address implements docker.Host.
func (h *Host) Address() string { return h.address }

func key(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// ReadFile implements docker.Host.
func (h *Host) ReadFile(p string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files.ReadFile(key(p))
}

// WriteFile implements docker.Host.
func (h *Host) WriteFile(p string, content []byte, mode fs.FileMode) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[key(p)] = &fstest.MapFile{Data: content, Mode: mode}
	return nil
}

// MkdirAll implements docker.Host.
func (h *Host) MkdirAll(p string, mode fs.FileMode) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[key(p)] = &fstest.MapFile{Mode: fs.ModeDir | mode}
	return nil
}

// Stat implements docker.Host.
func (h *Host) Stat(p string) (fs.FileInfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files.Stat(key(p))
}

// LoadState implements docker.Host.
func (h *Host) LoadState(key string, into any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, found := h.state[key]; found {
		return json.Unmarshal(b, into)
	}
	return nil
}

// SaveState implements docker.Host; nil forgets the key.
func (h *Host) SaveState(key string, v any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v == nil {
		delete(h.state, key)
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h.state[key] = b
	return nil
}

// Touch implements docker.Host.
func (h *Host) Touch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.touched++
}

// Touched counts the calls of Touch.
func (h *Host) Touched() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.touched
}

// Journal implements docker.Host.
func (h *Host) Journal(unit, line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.journal = append(h.journal, unit+": "+line)
}

// BootID implements docker.Host.
func (h *Host) BootID() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.boot
}

// Reboot changes the boot id.
func (h *Host) Reboot() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.boot += "+"
}

// Files returns a copy of all files' contents by path.
func (h *Host) Files() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for p, f := range maps.All(h.files) {
		out["/"+p] = string(f.Data)
	}
	return out
}
