package nspawn

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sweepGroups removes the cgroups of this lab's machines, which are off, and their other traces.
func (b *Backend) sweepGroups() error {
	// systemd-nspawn itself leaves a folder for each machine.
	folders, err := filepath.Glob("/run/systemd/nspawn/*/" + b.opts.Name + "-*")
	errs := []error{err}
	for _, dir := range folders {
		errs = append(errs, os.RemoveAll(dir))
	}
	for _, pattern := range []string{"/sys/fs/cgroup/phoenix-run", "/sys/fs/cgroup/*/phoenix-run"} {
		trees, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, tree := range trees {
			machines, err := os.ReadDir(tree)
			errs = append(errs, err)
			for _, m := range machines {
				if m.IsDir() && strings.HasPrefix(m.Name(), b.opts.Name+"-") {
					errs = append(errs, removeGroup(filepath.Join(tree, m.Name())))
				}
			}
			if err := os.Remove(tree); err == nil || b.shared(tree) {
				continue
			} else if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// shared reports whether other labs have machines there.
func (b *Backend) shared(tree string) bool {
	entries, err := os.ReadDir(tree)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.IsDir() {
			return true
		}
	}
	return false
}

// removeGroup removes a cgroup and those below it, innermost first.
func removeGroup(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		if rm := os.Remove(dirs[i]); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}
