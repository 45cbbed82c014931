package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/machine"
)

// imageBytes is the size of the cloud image's own file system.
const imageBytes = 2252 << 20

// meta is what a machine is besides its disk's content.
type meta struct {
	Spec      machine.Spec `json:"spec"`
	Bootable  bool         `json:"bootable"`
	Running   bool         `json:"running"`
	Up        bool         `json:"up"` // it has come up: a lab that ends before lets it boot anew
	BootID    string       `json:"boot_id,omitempty"`
	Booted    time.Time    `json:"booted,omitzero"`
	DiskBytes int64        `json:"disk_bytes"`
	RootBytes int64        `json:"root_bytes"` // of the root file system, which a boot grows to the disk's size
}

// stateMap is what others keep with a machine, by key.
type stateMap map[string]json.RawMessage

func (s stateMap) clone() stateMap { return maps.Clone(s) }

func (s stateMap) save(file string) error { return writeJSON(file, s) }

func writeJSON(file string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, text, 0o600)
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (g *Guest) journalFile() string { return filepath.Join(g.dir, "tree.jsonl") }
func (g *Guest) stateFile() string   { return filepath.Join(g.dir, "state.json") }
func (g *Guest) metaFile() string    { return filepath.Join(g.dir, "machine.json") }

// saveMeta writes what changed of the machine itself. g.mu is held, or nobody else has g yet.
func (g *Guest) saveMeta() error { return writeJSON(g.metaFile(), g.meta) }

// load reads a machine that was kept.
func (g *Guest) load() error {
	if err := readJSON(g.metaFile(), &g.meta); err != nil {
		return err
	}
	g.state = stateMap{}
	if err := readJSON(g.stateFile(), &g.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tree, err := vfs.Load(g.journalFile(), g.backend.blobs())
	if err != nil {
		return err
	}
	g.fs = tree
	return nil
}
