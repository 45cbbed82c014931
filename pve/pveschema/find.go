package pveschema

import (
	"os"
	"path/filepath"
	"testing"
)

// Releases are the files that describe the releases that are checked against.
var Releases = []string{"pve-apidoc.json", "pve-apidoc-8.4.json"}

// Open loads a release's description from ../shared/pve-api beside the project. It is not part of the
// project: without it the test is skipped, but never where CI is set.
func Open(t testing.TB, release string) *Schema {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("not within the project")
		}
		dir = parent
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "pve-api", release)
	s, err := Load(path)
	switch {
	case os.IsNotExist(err) && os.Getenv("CI") != "":
		t.Fatalf("Proxmox's API description is not at %s", path)
	case os.IsNotExist(err):
		t.Skipf("SKIPPED: Proxmox's API description is not at %s, so requests are not checked against it", path)
	case err != nil:
		t.Fatal(err)
	}
	return s
}
