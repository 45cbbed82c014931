package guest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"phoenix-run/lab/guest/vfs"
)

// root is the tree as root sees it.
func (g *Guest) root() *vfs.View {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &vfs.View{FS: g.fs, Cred: vfs.Root, Umask: 0o022}
}

// ReadFile reads a file of the guest. A missing one is an error that errors.Is fs.ErrNotExist.
func (g *Guest) ReadFile(path string) ([]byte, error) { return g.root().ReadFile(path) }

// WriteFile writes a file as root, with the folders above it, and sets its mode.
func (g *Guest) WriteFile(name string, content []byte, mode fs.FileMode) error {
	v := g.root()
	if err := v.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := v.WriteFile(name, content, vfs.UnixPerm(mode)); err != nil {
		return err
	}
	if err := v.Chmod(name, vfs.UnixPerm(mode)); err != nil {
		return err
	}
	return g.Flush()
}

// MkdirAll makes a folder as root, with those above it.
func (g *Guest) MkdirAll(path string, mode fs.FileMode) error {
	if err := g.root().MkdirAll(path, vfs.UnixPerm(mode)); err != nil {
		return err
	}
	return g.Flush()
}

// Remove removes a file or an empty folder.
func (g *Guest) Remove(path string) error {
	v := g.root()
	st, err := v.Lstat(path)
	if err != nil {
		return err
	}
	if st.IsDir() {
		err = v.Rmdir(path)
	} else {
		err = v.Unlink(path)
	}
	if err != nil {
		return err
	}
	return g.Flush()
}

// Stat follows symbolic links.
func (g *Guest) Stat(path string) (fs.FileInfo, error) {
	st, err := g.root().Stat(path)
	if err != nil {
		return nil, err
	}
	return st, nil
}

// LoadState decodes what SaveState kept under key; a key that was never saved leaves into alone.
func (g *Guest) LoadState(key string, into any) error {
	g.mu.Lock()
	text, found := g.state[key]
	g.mu.Unlock()
	if !found {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("state %q of machine %d: %w", key, g.id, err)
	}
	return nil
}

// SaveState keeps v under key with the machine, through reboots, snapshots and clones; nil forgets the key.
func (g *Guest) SaveState(key string, v any) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone || g.frozen {
		return nil // what still runs of a machine that is no more has nowhere to keep it
	}
	if v == nil {
		delete(g.state, key)
	} else {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		g.state[key] = text
	}
	return g.state.save(g.stateFile())
}

// Fingerprint is a digest of the whole state: files, what SaveState keeps, and which units are active.
func (g *Guest) Fingerprint() string {
	h := sha256.New()
	g.mu.Lock()
	tree, state, run := g.fs, g.state.clone(), g.run
	g.mu.Unlock()
	fmt.Fprintln(h, tree.Digest()) //nolint:errcheck // a hash takes all
	for _, key := range slices.Sorted(maps.Keys(state)) {
		fmt.Fprintf(h, "%q %s\n", key, state[key]) //nolint:errcheck // a hash takes all
	}
	if run != nil {
		for _, name := range run.units.active() {
			fmt.Fprintln(h, name) //nolint:errcheck // a hash takes all
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Flush keeps what changed in the tree.
func (g *Guest) Flush() error {
	g.mu.Lock()
	tree, gone := g.fs, g.gone
	g.mu.Unlock()
	if gone {
		return nil
	}
	return tree.Flush()
}
