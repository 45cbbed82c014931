package tree

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	sum := strings.Repeat("a", 64)
	got, err := parse([]byte("d\x00755\x00root\x00root\x004096\x00\x00.\x00" +
		"f\x004755\x00u\x00g\x003\x00\x00./a\nb\x00" + "l\x00777\x00u\x00g\x001\x00to\x00./l\x00" + "s\x00600\x00u\x00g\x000\x00\x00./s\x00" +
		"sha256\x00" + sum + "  ./a\nb\x00"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Path: ".", Type: Folder, Mode: 0o755, Owner: "root", Group: "root"},
		{Path: "a\nb", Type: File, Mode: 0o4755, Owner: "u", Group: "g", Size: 3, SHA256: sum},
		{Path: "l", Type: Link, Owner: "u", Group: "g", Target: "to"},
		{Path: "s", Type: Other, Mode: 0o600, Owner: "u", Group: "g"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse: a machine may answer anything; the answer is a list or an error, and Diff copes with it.
func FuzzParse(f *testing.F) {
	f.Add([]byte("d\x00755\x00root\x00root\x004096\x00\x00.\x00sha256\x00"))
	f.Add([]byte("f\x00644\x00u\x00g\x001\x00\x00./a\x00sha256\x00" + strings.Repeat("0", 64) + "  ./a\x00"))
	f.Add([]byte("sha256\x00x"))
	f.Add([]byte("f\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		have, err := parse(out)
		if err != nil {
			return
		}
		spec := Spec{Target: "/t", Delete: true, Exclude: []string{"*.x"}}
		for _, c := range spec.Diff(nil, have) {
			if c.Action != Delete || path.Ext(c.Path) == ".x" {
				t.Errorf("%s %q", c.Action, c.Path)
			}
		}
	})
}
