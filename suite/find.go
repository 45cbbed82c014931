package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"phoenix-run/runner/load"
)

const ending = "_test.star"

// Find gives the test files below paths, which are files or folders of the project. Without any, they
// are those of the project's features and playbooks, and those that come with the binary.
func Find(src load.Source, paths []string) ([]load.Module, error) {
	var found []load.Module
	defaults := len(paths) == 0
	if defaults {
		paths = []string{"features", "playbooks"}
		for _, folder := range paths {
			embedded, err := below(src.Embedded, folder)
			if err != nil {
				return nil, err
			}
			for _, p := range embedded {
				found = append(found, load.Module{Path: p, Embedded: true})
			}
		}
	}
	for _, given := range paths {
		rel, err := inside(src.Project, given, defaults)
		if err != nil {
			return nil, err
		}
		list, err := below(os.DirFS(src.Project), rel)
		switch {
		case errors.Is(err, fs.ErrNotExist) && defaults:
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("there is nothing at %s", given)
		case err != nil:
			return nil, err
		case len(list) == 0 && !defaults:
			return nil, fmt.Errorf("%s: no tests: they stand in files whose names end in %s", given, ending)
		}
		for _, p := range list {
			// A project's file wins over the one of the binary that has its place.
			found = slices.DeleteFunc(found, func(m load.Module) bool { return m.Path == p })
			found = append(found, load.Module{Path: p})
		}
	}
	return found, nil
}

// inside gives a path of the command line from the project folder.
func inside(project, given string, plain bool) (string, error) {
	if plain {
		return given, nil
	}
	root, err := filepath.Abs(project)
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(given)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", fmt.Errorf("%s is not in the project folder %s; --config-dir names another", given, project)
	}
	return filepath.ToSlash(rel), nil
}

// below lists the test files at or below name, sorted.
func below(fsys fs.FS, name string) ([]string, error) {
	if fsys == nil {
		return nil, nil
	}
	if info, err := fs.Stat(fsys, name); err == nil && !info.IsDir() {
		if !strings.HasSuffix(name, ".star") {
			return nil, nil
		}
		return []string{name}, nil
	}
	var list []string
	err := fs.WalkDir(fsys, name, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != name && strings.HasPrefix(path.Base(p), "."):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(p, ending):
			list = append(list, p)
		}
		return nil
	})
	return list, err
}
