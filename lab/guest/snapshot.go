package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"phoenix-run/lab/guest/vfs"
)

// A snapshot is a copy of the tree, the others' state and the disk's size. Memory is not kept: a
// machine that was running goes on from a fresh boot.
type snapshotMeta struct {
	State     stateMap `json:"state"`
	DiskBytes int64    `json:"disk_bytes"`
	RootBytes int64    `json:"root_bytes"`
}

func (g *Guest) snapshotDir(name string) string { return filepath.Join(g.dir, "snapshots", name) }

// Snapshot implements machine.Machine.
func (g *Guest) Snapshot(_ context.Context, name string) error {
	if filepath.Base(name) != name || name == "." || name == ".." {
		return fmt.Errorf("%q is no name for a snapshot", name)
	}
	g.op.Lock()
	defer g.op.Unlock()
	dir := g.snapshotDir(name)
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("snapshot name '%s' already used", name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	g.mu.Lock()
	tree := g.fs.Copy()
	s := snapshotMeta{State: g.state.clone(), DiskBytes: g.meta.DiskBytes, RootBytes: g.meta.RootBytes}
	g.mu.Unlock()
	err := errors.Join(tree.Keep(filepath.Join(dir, "tree.jsonl"), g.backend.blobs()), writeJSON(filepath.Join(dir, "snapshot.json"), s))
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// Rollback implements machine.Machine. A running machine is switched off first.
func (g *Guest) Rollback(_ context.Context, name string) error {
	g.op.Lock()
	defer g.op.Unlock()
	dir := g.snapshotDir(name)
	var s snapshotMeta
	if err := readJSON(filepath.Join(dir, "snapshot.json"), &s); err != nil {
		return fmt.Errorf("snapshot '%s' does not exist: %w", name, err)
	}
	kept, err := vfs.Load(filepath.Join(dir, "tree.jsonl"), g.backend.blobs())
	if err != nil {
		return err
	}
	if err := g.off(false); err != nil {
		return err
	}
	tree := kept.Copy()
	if err := tree.Keep(g.journalFile(), g.backend.blobs()); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fs, g.state = tree, s.State
	if g.state == nil {
		g.state = stateMap{}
	}
	g.meta.DiskBytes, g.meta.RootBytes = s.DiskBytes, s.RootBytes
	return errors.Join(g.state.save(g.stateFile()), g.saveMeta())
}

// DeleteSnapshot implements machine.Machine.
func (g *Guest) DeleteSnapshot(_ context.Context, name string) error {
	g.op.Lock()
	defer g.op.Unlock()
	dir := g.snapshotDir(name)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("snapshot '%s' does not exist: %w", name, err)
	}
	return os.RemoveAll(dir)
}
