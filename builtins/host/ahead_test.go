package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"phoenix-run/remote"
	"phoenix-run/remote/local"
	"phoenix-run/runner/op"
)

// counted counts the scripts that run on this machine.
type counted struct {
	remote.Conn
	runs int
}

func (c *counted) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	c.runs++
	return c.Conn.Run(ctx, cmd)
}

func machine(t *testing.T, state string) (*Host, *counted) {
	t.Helper()
	c := &counted{Conn: local.New(false)}
	h := New("here", func(context.Context) (remote.Conn, error) { return c, nil })
	h.ReadAhead(state)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, c
}

// TestReadAhead: what is read ahead is what would have been read, in one round trip for many.
func TestReadAhead(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	for i, text := range []string{"", "one\n", "no newline", "\x00\xff binary\n\n", "it's\n'quoted'", strings.Repeat("x", aheadContent+1)} {
		name := fmt.Sprintf("f %d\n'", i)
		write(name, text)
		paths = append(paths, filepath.Join(dir, name))
	}
	if err := os.Symlink("to\nwhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	paths = append(paths, filepath.Join(dir, "link"), dir, filepath.Join(dir, "absent"), paths[1], paths[1], "/dev/null")
	read := func(h *Host, v *op.View) []op.State {
		t.Helper()
		var all []op.State
		for _, p := range paths {
			s, err := h.node(t.Context(), v, p)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		return all
	}
	first, c := machine(t, state)
	want := fmt.Sprint(read(first, op.NewView(false)))
	if c.runs != len(paths) {
		t.Errorf("the first run took %d round trips for %d reads", c.runs, len(paths))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(state, "reads", "here")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the order is kept as %v, %v", info, err)
	}
	second, c := machine(t, state)
	v := op.NewView(false)
	if got := fmt.Sprint(read(second, v)); got != want {
		t.Errorf("read ahead:\n%s\nwant\n%s", got, want)
	}
	if c.runs != 3 { // all of it, the large file, and what followed that
		t.Errorf("the second run took %d round trips", c.runs)
	}

	// A step that changes anything makes all that was read ahead worthless.
	third, _ := machine(t, state)
	v = op.NewView(false)
	if _, err := third.node(t.Context(), v, paths[0]); err != nil {
		t.Fatal(err)
	}
	write("f 1\n'", "changed")
	v.Put(op.Key{Host: "another", Space: "vm", ID: "1"}, op.Change{Action: op.Update, After: op.Attrs{}})
	if s, err := third.node(t.Context(), v, paths[1]); err != nil || s.Attrs["content"] != "changed" {
		t.Errorf("after a change: %v, %v", s.Attrs, err)
	}

	// Each answer is given once: who looks again, looks.
	write("f 2\n'", "later")
	if s, err := third.node(t.Context(), v, paths[2]); err != nil || s.Attrs["content"] != "no newline" {
		t.Errorf("the first look: %v, %v", s.Attrs, err)
	}
	if s, err := third.node(t.Context(), v, paths[2]); err != nil || s.Attrs["content"] != "later" {
		t.Errorf("the second look: %v, %v", s.Attrs, err)
	}
}

// A path that can't be read fails where it is asked for, and nowhere else.
func TestReadAheadErrors(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	order := filepath.Join(state, "reads", "here")
	if err := os.MkdirAll(filepath.Dir(order), 0o700); err != nil {
		t.Fatal(err)
	}
	gone := dir + "/" + strings.Repeat("n", 300) // no name of a file: stat of it fails
	if err := os.WriteFile(order, []byte(dir+"\x00"+gone+"\x00$(touch x)\x00/\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, _ := machine(t, state)
	v := op.NewView(false)
	for _, p := range []string{dir, "/"} {
		if s, err := h.node(t.Context(), v, p); err != nil || s.Attrs["type"] != "directory" {
			t.Errorf("%s: %v, %v", p, s.Attrs, err)
		}
	}
	want, wantErr := New("here", func(context.Context) (remote.Conn, error) { return local.New(false), nil }).node(t.Context(), v, gone)
	got, gotErr := h.node(t.Context(), v, gone)
	if fmt.Sprint(got, gotErr) != fmt.Sprint(want, wantErr) {
		t.Errorf("got %v, %v, want %v, %v", got, gotErr, want, wantErr)
	}
}

// Without a folder of its own, or with one that is not there, a run leaves nothing.
func TestReadAheadLeavesNothing(t *testing.T) {
	state := filepath.Join(t.TempDir(), "none")
	h, _ := machine(t, state)
	if _, err := h.node(t.Context(), op.NewView(true), "/"); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the folder was made")
	}
}
