package proxmox

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checkName checks a file name against its content type, as uploads and downloads do.
func (c *call) checkName(kind, name string) error {
	exts := map[string][]string{
		"iso": {".iso", ".img"}, "vztmpl": {".tar.gz", ".tar.xz", ".tar.zst"}, "import": c.server.flavor.importExts,
	}[kind]
	if strings.Contains(name, "/") || !slices.ContainsFunc(exts, func(e string) bool { return strings.HasSuffix(name, e) }) {
		return badParam("filename", "invalid filename or wrong extension")
	}
	return nil
}

// fileStorage is a storage that can hold files of the content type.
func (c *call) fileStorage(kind string) (*Storage, error) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	st, err := c.server.cluster.storage(c.params.get("storage"), c.node)
	if err != nil {
		return nil, err
	}
	if !st.files() {
		return nil, die("can't upload to storage type '%s', not a file based storage!", st.Type)
	}
	if !st.holds(kind) {
		return nil, fmt.Errorf("storage '%s' is not configured for content-type '%s'", st.ID, kind)
	}
	return st, nil
}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "md5":
		return md5.New()
	case "sha1":
		return sha1.New()
	case "sha224":
		return sha256.New224()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return sha256.New()
}

func (c *call) checkSumParams() error {
	sum, algorithm := c.params.has("checksum"), c.params.has("checksum-algorithm")
	if sum && !algorithm {
		return badParam("checksum", "missing parameter 'checksum-algorithm' - needed if 'checksum' is set")
	}
	if algorithm && !sum {
		return badParam("checksum-algorithm", "missing parameter 'checksum' - needed if 'checksum-algorithm' is set")
	}
	return nil
}

// put writes a file of a storage, checked, and whole or not at all.
func (c *call) put(path string, body io.Reader, t *task) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	sum := newHash(c.params.get("checksum-algorithm"))
	_, err = io.Copy(io.MultiWriter(tmp, sum), body)
	err = errors.Join(err, tmp.Close())
	if want := c.params.get("checksum"); err == nil && want != "" {
		got := hex.EncodeToString(sum.Sum(nil))
		t.logf("calculating checksum...")
		if !strings.EqualFold(got, want) {
			err = fmt.Errorf("checksum mismatch: got '%s' != expect '%s'", got, want)
		} else {
			t.logf("OK, got correct checksum '%s'", got)
		}
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	c.changed.Store(true)
	return nil
}

// deleteVolume removes a file, or a disk image that no machine uses.
func deleteVolume(c *call) (any, error) {
	s := c.server
	id := volumeID(c)
	if err := c.need("/storage/"+storageOf(id), "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	path, isFile := s.file(id, c.node)
	s.mu.Unlock()
	return upid(c.fork("imgdel", id, 0, func(ctx context.Context, t *task) error {
		if isFile {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("volume '%s' does not exist", id)
			}
			c.changed.Store(true)
			return nil
		}
		s.mu.Lock()
		owner := 0
		for vmid, g := range s.guests {
			if g.Volumes[id] != nil {
				owner = vmid
			}
		}
		s.mu.Unlock()
		if owner == 0 {
			return fmt.Errorf("volume '%s' does not exist", id)
		}
		return c.edit(owner, func(g *guest) error {
			if g.uses(id) {
				return die("Cannot remove image, a guest with VMID '%d' exists!", owner)
			}
			delete(g.Volumes, id)
			return nil
		})
	}))
}
