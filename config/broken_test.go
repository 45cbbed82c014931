package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBroken loads broken variants of the guide's section 4 configuration. A folder of
// testdata/broken holds the files that differ from examples/guide (and in remove.txt the names of
// those that are not there), and in want.txt the faults that Load must report: one, or as many as
// the folder's name says.
func TestBroken(t *testing.T) {
	dirs, err := os.ReadDir("testdata/broken")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 31 {
		t.Errorf("only %d variants", len(dirs))
	}
	for _, d := range dirs {
		t.Run(d.Name(), func(t *testing.T) {
			variant := filepath.Join("testdata/broken", d.Name())
			dir := brokenGuide(t, variant)
			c, _, err := Load(dir, Options{Features: []string{"base_setup", "docker", "portainer_agent", "portainer_server"}, NeedProxmox: true, NeedPortainer: true})
			if c != nil {
				t.Error("Load returns a configuration")
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error %v", err)
			}
			want := 1
			if d.Name() == "five_faults" {
				want = 5
			}
			if len(faults) != want {
				t.Errorf("%d faults, want %d", len(faults), want)
			}
			for _, f := range faults {
				if f.Line == 0 && !strings.HasSuffix(d.Name(), "_absent") {
					t.Errorf("no position: %v", f)
				}
			}
			got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
			if strings.Contains(got, "hunter22") {
				t.Errorf("a fault shows a secret:\n%s", got)
			}
			golden(t, filepath.Join(variant, "want.txt"), []byte(got))
		})
	}
}

// brokenGuide returns a copy of the guide's example with the variant's files in it.
func brokenGuide(t *testing.T, variant string) string {
	t.Helper()
	dir := copyGuide(t)
	entries, err := os.ReadDir(variant)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(variant, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		switch e.Name() {
		case "want.txt":
		case "remove.txt":
			for name := range strings.FieldsSeq(string(data)) {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		default:
			write(t, dir, e.Name(), string(data))
		}
	}
	return dir
}
