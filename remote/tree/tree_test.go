package tree_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/conntest"
	"phoenix-run/remote/local"
	"phoenix-run/remote/tree"
)

// counting counts what a tree costs.
type counting struct {
	remote.Conn
	runs, uploads int
}

func (c *counting) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	c.runs++
	return c.Conn.Run(ctx, cmd)
}

func (c *counting) Upload(ctx context.Context, u remote.Upload) error {
	c.uploads++
	return c.Conn.Upload(ctx, u)
}

func here(t testing.TB, readOnly bool) *counting {
	c := local.New(readOnly)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &counting{Conn: c}
}

// fill makes files (content), folders (a name that ends in /) and links (-> target).
func fill(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, at)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = os.WriteFile(at, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// show lists a tree in words.
func show(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%q %v", rel, info.Mode())
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text = fmt.Sprintf("%q -> %s", rel, target)
		case d.Type().IsRegular():
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(content[:min(len(content), 40)])
		}
		all = append(all, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPush(t *testing.T) {
	for _, tt := range []struct {
		name         string
		source, have map[string]string
		spec         tree.Spec
		want         []string // changes
		left         []string // what is there besides the source
	}{
		{
			name:   "a new tree",
			source: map[string]string{"a": "1", "d/b": "2", "d/e/c": "3", "empty/": "", "l": "-> d/b"},
			want:   []string{"create .", "create a", "create d", "create d/b", "create d/e", "create d/e/c", "create empty", "create l"},
		},
		{
			name:   "only what differs",
			source: map[string]string{"same": "1", "d/changed": "new", "d/same": "2", "l": "-> x"},
			have:   map[string]string{"same": "1", "d/changed": "old", "d/same": "2", "l": "-> y", "extra": "e"},
			want:   []string{"update d/changed", "update l"},
			left:   []string{"extra"},
		},
		{
			name:   "other types are there",
			source: map[string]string{"file": "1", "folder/x": "2", "link": "-> z"},
			have:   map[string]string{"file/old/x": "", "folder": "a file", "link/": ""},
			want:   []string{"replace file", "replace folder", "create folder/x", "replace link"},
		},
		{
			name:   "delete",
			source: map[string]string{"keep": "1", "d/keep": "2"},
			have:   map[string]string{"keep": "1", "d/keep": "2", "d/gone": "3", "gone/deep/x": "4", "gone/y": "5", "gone link": "-> keep"},
			spec:   tree.Spec{Delete: true},
			want:   []string{"delete d/gone", "delete gone", "delete gone link"},
		},
		{
			name:   "delete, but not what is excluded",
			source: map[string]string{"a": "1", "b.tmp": "not sent", "cache/x": "not sent"},
			have:   map[string]string{"a": "1", "d/c.tmp": "stays", "d/gone": "2", "cache/y": "stays", "z": "3"},
			spec:   tree.Spec{Delete: true, Exclude: []string{"*.tmp", "cache"}},
			want:   []string{"delete d/gone", "delete z"},
			left:   []string{"d/c.tmp", "cache/y"},
		},
		{
			name:   "modes",
			source: map[string]string{"f": "1", "d/x": "2"},
			have:   map[string]string{"f": "1", "d/x": "2"},
			spec:   tree.Spec{FileMode: 0o600, DirMode: 0o750},
			want:   []string{"attributes .", "attributes d", "attributes d/x", "attributes f"},
		},
		{
			name: "strange names",
			source: map[string]string{"with space": "1", "it's": "2", "new\nline": "3", "non\xffUTF8": "4", "-rf": "5", "$HOME": "6",
				"back\\slash": "7", "d \n'/-x": "8", "*": "9", "#": "10", "l": "-> a 'b\n\xfe"},
			want: []string{"create #", "create $HOME", "create *", "create -rf", "create .", "create back\\slash", "create d \n'",
				"create d \n'/-x", "create it's", "create l", "create new\nline", "create non\xffUTF8", "create with space"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source, target := t.TempDir(), filepath.Join(t.TempDir(), "it's the target")
			if err := os.Chmod(source, 0o755); err != nil {
				t.Fatal(err)
			}
			fill(t, source, tt.source)
			if tt.have != nil {
				fill(t, target, tt.have)
			}
			c := here(t, false)
			spec := tt.spec
			spec.Source, spec.Target = tree.Dir(source), target
			changes, err := tree.Push(t.Context(), c, spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, words(changes)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if c.runs != 2 || c.uploads != 0 {
				t.Errorf("took %d scripts and %d uploads", c.runs, c.uploads)
			}
			if spec.FileMode == 0 && len(spec.Exclude) == 0 {
				got := slices.DeleteFunc(show(t, target), func(line string) bool {
					return slices.ContainsFunc(tt.left, func(l string) bool { return strings.HasPrefix(line, fmt.Sprintf("%q ", l)) })
				})
				if diff := cmp.Diff(show(t, source), got); diff != "" {
					t.Errorf("the trees differ (-source +target):\n%s", diff)
				}
			}
			for _, l := range tt.left {
				if _, err := os.Lstat(filepath.Join(target, l)); err != nil {
					t.Error(err)
				}
			}
			conntest.NoLeftovers(t, target)
			// The second time there is nothing to do, in one round trip.
			c.runs = 0
			changes, err = tree.Push(t.Context(), c, spec)
			if err != nil || len(changes) > 0 || c.runs != 1 {
				t.Errorf("again: %q, %v, %d scripts", words(changes), err, c.runs)
			}
		})
	}
}

func words(changes []tree.Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, string(c.Action)+" "+c.Path)
	}
	return all
}

func TestOwnerAndSetID(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	source, target := t.TempDir(), filepath.Join(t.TempDir(), "t")
	fill(t, source, map[string]string{"d/f": "1", "suid": "2", "l": "-> d/f"})
	if err := os.Chmod(filepath.Join(source, "suid"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	c := here(t, false)
	spec := tree.Spec{Source: tree.Dir(source), Target: target, Owner: "nobody", Group: "nogroup"}
	for i := range 3 {
		changes, err := tree.Push(t.Context(), c, spec)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[int]int{0: 5, 1: 0, 2: 5}[i]; len(changes) != want {
			t.Errorf("push %d: %q", i, words(changes))
		}
		for _, name := range []string{".", "d", "d/f", "suid", "l"} {
			info, err := os.Lstat(filepath.Join(target, name))
			if err != nil {
				t.Fatal(err)
			}
			want := uint32(65534)
			if i == 2 {
				want = 0
			}
			if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
				t.Errorf("push %d: %s belongs to %d", i, name, got)
			}
			if name == "suid" && info.Mode()&fs.ModeSetuid == 0 {
				t.Errorf("push %d: the set-id bit is lost", i)
			}
		}
		if i == 1 {
			spec.Owner, spec.Group = "root", "root"
		}
	}
}

func TestLargeFilesAndBatches(t *testing.T) {
	source, target := t.TempDir(), filepath.Join(t.TempDir(), "t")
	fill(t, source, map[string]string{"large/file": string(conntest.Bytes(9 << 20))})
	for i := range 5 {
		fill(t, source, map[string]string{fmt.Sprintf("d%d/file", i): string(conntest.Bytes(3<<20 + i))})
	}
	c := here(t, false)
	var sent int64
	_, err := tree.Push(t.Context(), c, tree.Spec{Source: tree.Dir(source), Target: target, Progress: func(n int64) { sent = n }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(show(t, source)[1:], show(t, target)[1:]); diff != "" {
		t.Error(diff)
	}
	if want := int64(9<<20 + 15<<20 + 10); sent != want {
		t.Errorf("progress ended at %d of %d", sent, want)
	}
	if c.runs != 4 || c.uploads != 1 {
		t.Errorf("took %d scripts and %d uploads", c.runs, c.uploads)
	}
}

func TestTargetIsSomethingElse(t *testing.T) {
	source, parent := t.TempDir(), t.TempDir()
	fill(t, source, map[string]string{"f": "1"})
	for name, make := range map[string]func(string) error{
		"a file":        func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) },
		"a link":        func(p string) error { return os.Symlink(source, p) },
		"a broken link": func(p string) error { return os.Symlink("/nowhere", p) },
	} {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(parent, name)
			if err := make(target); err != nil {
				t.Fatal(err)
			}
			changes, err := tree.Push(t.Context(), here(t, false), tree.Spec{Source: tree.Dir(source), Target: target})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"replace .", "create f"}, words(changes)); diff != "" {
				t.Error(diff)
			}
			if info, err := os.Lstat(target); err != nil || !info.IsDir() {
				t.Errorf("it is %v, %v", info, err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	source := t.TempDir()
	fill(t, source, map[string]string{"f": "1"})
	c := here(t, false)
	for name, spec := range map[string]tree.Spec{
		"relative target":   {Source: tree.Dir(source), Target: "t"},
		"the whole machine": {Source: tree.Dir(source), Target: "/"},
		"no parent":         {Source: tree.Dir(source), Target: "/nowhere/at/all"},
		"no source":         {Source: tree.Dir("/nowhere"), Target: "/tmp/x"},
		"bad pattern":       {Source: tree.Dir(source), Target: "/tmp/x", Exclude: []string{"["}},
		"no such owner":     {Source: tree.Dir(source), Target: filepath.Join(t.TempDir(), "t"), Owner: "no-such-user"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tree.Push(t.Context(), c, spec); err == nil {
				t.Error("was taken")
			}
		})
	}
	t.Run("plan", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "t")
		_, err := tree.Push(t.Context(), here(t, true), tree.Spec{Source: tree.Dir(source), Target: target})
		if !errors.Is(err, remote.ErrPlanWrite) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(target); err == nil {
			t.Error("a plan made the folder")
		}
	})
}
