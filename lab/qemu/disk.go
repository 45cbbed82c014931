package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"phoenix-run/lab/machine"
	"phoenix-run/lab/machine/need"
)

func (m *Machine) disk() string { return filepath.Join(m.dir, "disk.qcow2") }

// makeDisk makes an empty disk, or one over or from an image.
func (m *Machine) makeDisk(ctx context.Context, spec machine.Spec) error {
	switch {
	case spec.Image == "":
		_, err := need.Run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", m.disk(), strconv.FormatInt(max(spec.DiskBytes, 1<<20), 10))
		return err
	case spec.Image == m.backend.opts.Image.Disk:
		if _, err := need.Run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", spec.Image, m.disk()); err != nil {
			return err
		}
	default:
		if _, err := need.Run(ctx, "qemu-img", "convert", "-O", "qcow2", spec.Image, m.disk()); err != nil {
			return err
		}
	}
	return m.growDisk(ctx, spec.DiskBytes)
}

// growDisk makes the disk of a machine that is off larger, if it is smaller.
func (m *Machine) growDisk(ctx context.Context, bytes int64) error {
	out, err := need.Run(ctx, "qemu-img", "info", "--output=json", m.disk())
	if err != nil {
		return err
	}
	var info struct {
		Bytes int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(out), &info); err != nil || info.Bytes >= bytes {
		return err
	}
	_, err = need.Run(ctx, "qemu-img", "resize", "-q", m.disk(), strconv.FormatInt(bytes, 10))
	return err
}

// ResizeDisk makes the disk larger; a running machine sees it at once.
func (m *Machine) ResizeDisk(ctx context.Context, bytes int64) error {
	m.op.Lock()
	defer m.op.Unlock()
	var err error
	if m.Power() == machine.Stopped {
		err = m.growDisk(ctx, bytes)
	} else {
		err = m.monitor(ctx, "block_resize", map[string]any{"device": "disk", "size": bytes})
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta.Spec.DiskBytes = bytes
	return m.save()
}

// snapshots are the disk's own; memory is not kept.
func (m *Machine) snapshots(ctx context.Context) (string, error) {
	return need.Run(ctx, "qemu-img", "snapshot", "-U", "-l", m.disk())
}

func (m *Machine) has(ctx context.Context, name string) (bool, error) {
	list, err := m.snapshots(ctx)
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == name {
			return true, err
		}
	}
	return false, err
}

// Snapshot implements machine.Machine.
func (m *Machine) Snapshot(ctx context.Context, name string) error {
	m.op.Lock()
	defer m.op.Unlock()
	if there, err := m.has(ctx, name); err != nil || there {
		return errors.Join(err, fmt.Errorf("snapshot name '%s' already used", name))
	}
	if m.Power() != machine.Stopped {
		return m.monitor(ctx, "blockdev-snapshot-internal-sync", map[string]any{"device": "disk", "name": name})
	}
	_, err := need.Run(ctx, "qemu-img", "snapshot", "-q", "-c", name, m.disk())
	return err
}

// Rollback implements machine.Machine. A running machine is switched off first.
func (m *Machine) Rollback(ctx context.Context, name string) error {
	m.op.Lock()
	defer m.op.Unlock()
	if there, err := m.has(ctx, name); err != nil || !there {
		return errors.Join(err, fmt.Errorf("snapshot '%s' does not exist", name))
	}
	m.stop()
	_, err := need.Run(ctx, "qemu-img", "snapshot", "-q", "-a", name, m.disk())
	return err
}

// DeleteSnapshot implements machine.Machine.
func (m *Machine) DeleteSnapshot(ctx context.Context, name string) error {
	m.op.Lock()
	defer m.op.Unlock()
	if there, err := m.has(ctx, name); err != nil || !there {
		return errors.Join(err, fmt.Errorf("snapshot '%s' does not exist", name))
	}
	if m.Power() != machine.Stopped {
		return m.monitor(ctx, "blockdev-snapshot-delete-internal-sync", map[string]any{"device": "disk", "name": name})
	}
	_, err := need.Run(ctx, "qemu-img", "snapshot", "-q", "-d", name, m.disk())
	return err
}
