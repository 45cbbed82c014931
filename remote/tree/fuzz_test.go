package tree_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"phoenix-run/remote/local"
	"phoenix-run/remote/tree"
)

// FuzzPush: a tree with any names and content arrives as it is, over whatever was there, and is found
// unchanged afterwards.
func FuzzPush(f *testing.F) {
	f.Add("a", "b", []byte("content"), uint16(0o644), true)
	f.Add("-rf", "with\nnewline", []byte{0, 1, 2}, uint16(0o4755), false)
	f.Add("$(touch x)'\"", "\xff\xfe", []byte(""), uint16(0), true)
	f.Add(".phx-x", " ", []byte("\n"), uint16(0o777), true)
	c := local.New(false)
	f.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, one, two string, content []byte, mode uint16, link bool) {
		for _, name := range []string{one, two} {
			if name == "" || name == "." || name == ".." || len(name) > 200 || strings.ContainsAny(name, "/\x00") {
				t.Skip("no name of a file")
			}
		}
		if one == two {
			t.Skip("one name")
		}
		source, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.Mkdir(filepath.Join(source, one), 0o755))
		must(os.WriteFile(filepath.Join(source, one, two), content, 0o600))
		must(os.WriteFile(filepath.Join(source, two), content, 0o600))
		if link {
			must(os.Symlink(two, filepath.Join(source, one, "link")))
		}
		// Something else is there already, under the same name.
		must(os.Mkdir(target, 0o755))
		must(os.Mkdir(filepath.Join(target, two), 0o755))
		must(os.WriteFile(filepath.Join(target, "old"), content, 0o644))
		spec := tree.Spec{Source: tree.Dir(source), Target: target, Delete: true, FileMode: os.FileMode(mode)&0o777 | 0o400, DirMode: 0o755}
		_, err := tree.Push(t.Context(), c, spec)
		must(err)
		for _, file := range []string{filepath.Join(one, two), two} {
			got, err := os.ReadFile(filepath.Join(target, file))
			if err != nil || string(got) != string(content) {
				t.Errorf("%q: %q, %v", file, got, err)
			}
		}
		again, err := tree.Push(t.Context(), c, spec)
		if err != nil || len(again) > 0 {
			t.Errorf("the second push changed %d things: %v, %v", len(again), words(again), err)
		}
	})
}
