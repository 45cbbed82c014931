package pveschema

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Releases are the files that describe the releases that are checked against.
var Releases = []string{"pve-apidoc.json", "pve-apidoc-8.4.json"}

// ErrNotThere says that Proxmox's descriptions are not beside the project: they are no part of it.
var ErrNotThere = errors.New("no description of Proxmox's API is there, so requests are not checked against it")

// Find loads a release's description from ../shared/pve-api beside the project that the working
// folder is in.
func Find(release string) (*Schema, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil, errors.New("not within the project")
		}
		dir = parent
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "pve-api", release)
	s, err := Load(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%s: %w", path, ErrNotThere)
	}
	return s, err
}

// Open is Find for tests: without the description the test is skipped, but never where CI is set.
func Open(t testing.TB, release string) *Schema {
	t.Helper()
	s, err := Find(release)
	switch {
	case errors.Is(err, ErrNotThere) && os.Getenv("CI") == "":
		t.Skipf("SKIPPED: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	return s
}
