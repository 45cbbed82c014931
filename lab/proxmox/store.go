package proxmox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// store keeps entities as files of a folder: cluster.json, and vm/ID.json for each machine. A file is
// replaced by a rename, so that a killed process leaves the old or the new one whole. It is not synced
// to disk: a lab that was lost with its machine's power is made anew.
type store struct {
	dir   string
	saved map[string][]byte // what each file holds
}

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "vm"), 0o700); err != nil {
		return nil, err
	}
	return &store{dir: dir, saved: map[string][]byte{}}, nil
}

// save writes the entity if it differs from what the file holds, and reports whether it did.
func (s *store) save(name string, entity any) (changed bool, err error) {
	text, err := json.MarshalIndent(entity, "", " ")
	if err != nil {
		return false, err
	}
	if bytes.Equal(s.saved[name], text) {
		return false, nil
	}
	if err := replaceFile(filepath.Join(s.dir, name), text); err != nil {
		return false, fmt.Errorf("saving the lab's state: %w", err)
	}
	s.saved[name] = text
	return true, nil
}

func (s *store) remove(name string) error {
	delete(s.saved, name)
	err := os.Remove(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// load reads an entity; found is false where there is none.
func (s *store) load(name string, entity any) (found bool, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, entity); err != nil {
		return false, fmt.Errorf("the lab's state file %s is damaged: %w", filepath.Join(s.dir, name), err)
	}
	s.saved[name] = text
	return true, nil
}

// guests reads all machines, and clears away what a killed save left behind.
func (s *store) guests() (map[int]*guest, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "vm"))
	if err != nil {
		return nil, err
	}
	all := map[int]*guest{}
	for _, e := range entries {
		name := filepath.Join("vm", e.Name())
		base, isJSON := strings.CutSuffix(e.Name(), ".json")
		id, err := strconv.Atoi(base)
		if !isJSON || err != nil {
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
				return nil, err
			}
			continue
		}
		g := &guest{}
		if _, err := s.load(name, g); err != nil {
			return nil, err
		}
		all[id] = g
	}
	return all, nil
}

func guestFile(id int) string { return filepath.Join("vm", strconv.Itoa(id)+".json") }

// replaceFile writes text to path through a temporary file beside it.
func replaceFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
