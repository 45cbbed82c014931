package nspawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"phoenix-run/lab/machine/need"
)

func (m *Machine) disk() string { return filepath.Join(m.dir, "disk.img") }

// smallest is the least a disk has: the file system's own needs, and a system's.
const smallest = 256 << 20

// makeDisk makes an empty disk. What the image has comes from the image.
func (m *Machine) makeDisk(ctx context.Context, bytes int64) error {
	f, err := os.Create(m.disk())
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(max(bytes, smallest)), f.Close()); err != nil {
		return err
	}
	_, err = need.Run(ctx, "mke2fs", "-q", "-t", "ext4", "-m", "0", m.disk())
	return err
}

// copyDisk copies the disk, holes included; that of a running machine as if its plug had been pulled.
func (m *Machine) copyDisk(ctx context.Context, to string) error {
	m.mu.Lock()
	pid := m.pid
	m.mu.Unlock()
	argv := []string{"cp", "--sparse=always", "--reflink=auto", m.disk(), to}
	if pid != 0 {
		// While it is frozen nothing is written, and all that was is in the file.
		script := `fsfreeze --freeze "$1" && { cp --sparse=always --reflink=auto "$2" "$3"; code=$?; fsfreeze --unfreeze "$1"; exit $code; }`
		argv = m.outside(pid, "sh", "-c", script, "sh", filepath.Join(m.dir, "disk"), m.disk(), to)
	}
	_, err := need.Run(ctx, argv...)
	return err
}

// outside is a command in the mount namespace that a running machine's disk is mounted in.
func (m *Machine) outside(pid int, argv ...string) []string {
	return append([]string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", pid), "--"}, argv...)
}

// growDisk makes the disk's file larger; its file system follows when the machine starts.
func (m *Machine) growDisk(bytes int64) error {
	info, err := os.Stat(m.disk())
	if err != nil || bytes <= info.Size() {
		return err
	}
	return os.Truncate(m.disk(), bytes)
}

// ResizeDisk makes the disk larger. Its file system follows at the next start: inside, where a machine
// with a kernel of its own would grow it while it runs, there is no disk to be seen.
func (m *Machine) ResizeDisk(_ context.Context, bytes int64) error {
	m.op.Lock()
	defer m.op.Unlock()
	if err := m.growDisk(bytes); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta.Spec.DiskBytes = bytes
	return m.save()
}

func (m *Machine) snapshotFile(name string) string {
	return filepath.Join(m.dir, "snapshots", name+".img")
}

// Snapshot implements machine.Machine. Memory is not kept.
func (m *Machine) Snapshot(ctx context.Context, name string) error {
	if filepath.Base(name) != name || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q is no name for a snapshot", name)
	}
	m.op.Lock()
	defer m.op.Unlock()
	to := m.snapshotFile(name)
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("snapshot name '%s' already used", name)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := m.copyDisk(ctx, to+".new"); err != nil {
		return errors.Join(err, os.RemoveAll(to+".new"))
	}
	return os.Rename(to+".new", to)
}

// Rollback implements machine.Machine. A running machine is switched off first.
func (m *Machine) Rollback(ctx context.Context, name string) error {
	m.op.Lock()
	defer m.op.Unlock()
	from := m.snapshotFile(name)
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("snapshot '%s' does not exist: %w", name, err)
	}
	if err := m.stop(); err != nil {
		return err
	}
	if _, err := need.Run(ctx, "cp", "--sparse=always", "--reflink=auto", from, m.disk()+".new"); err != nil {
		return err
	}
	return os.Rename(m.disk()+".new", m.disk())
}

// DeleteSnapshot implements machine.Machine.
func (m *Machine) DeleteSnapshot(_ context.Context, name string) error {
	m.op.Lock()
	defer m.op.Unlock()
	err := os.Remove(m.snapshotFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("snapshot '%s' does not exist: %w", name, err)
	}
	return err
}
