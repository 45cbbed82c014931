package agent_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/conntest"
)

func TestCallsPerOperation(t *testing.T) {
	c, f := open(t, false)
	file := filepath.Join(t.TempDir(), "file")
	upload := func(size int) func() error {
		return func() error {
			return c.Upload(t.Context(), remote.Upload{Path: file, Content: bytes.NewReader(conntest.Bytes(size)), Size: int64(size), Mode: 0o600})
		}
	}
	run := func(script string, stdin int) func() error {
		return func() error {
			_, err := c.Run(t.Context(), remote.Command{Script: script, Stdin: conntest.Bytes(stdin)})
			return err
		}
	}
	for _, tt := range []struct {
		name string
		do   func() error
		want int32
	}{
		{"a script", run("echo hello", 0), 1},
		{"a script with stdin", run("cat", 60_000), 1},
		{"more stdin than an exec takes", run("wc -c", 100_000), 1 + 3 + 1}, // folder, parts, exec
		{"a small upload", upload(50_000), 1},
		{"an upload in parts", upload(450_000), 1 + 10 + 1 + 1}, // folder, parts, exec, removal
		{"a download", func() error { return c.Download(t.Context(), file, &bytes.Buffer{}) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := f.calls.Load()
			if err := tt.do(); err != nil {
				t.Fatal(err)
			}
			if got := f.calls.Load() - before; got != tt.want {
				t.Errorf("took %d calls, want %d", got, tt.want)
			}
		})
	}
}

// A stream larger than what the agent reports comes back whole.
func TestMoreOutputThanTheAgentReports(t *testing.T) {
	c, _ := open(t, false)
	const size = 33 << 20
	r, err := c.Run(t.Context(), remote.Command{Script: "head -c 34603008 /dev/zero; echo err >&2"})
	if err != nil || len(r.Stdout) != size || r.Truncated || string(r.Stderr) != "err\n" {
		t.Errorf("%d bytes, truncated %v, %q, %v", len(r.Stdout), r.Truncated, r.Stderr, err)
	}
	noFolders(t)
}

// A program left in the background holds no call up.
func TestBackgroundProgram(t *testing.T) {
	c, _ := open(t, false)
	r, err := c.Run(t.Context(), remote.Command{Script: "sleep 600 & echo $!"})
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	// It is there still, and goes with the test.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the call lasted as long as the program: %v", err)
	}
	noFolders(t)
}

// What the agent's shell has to work with is the same as elsewhere.
func TestEnvironment(t *testing.T) {
	c, _ := open(t, false)
	got := conntest.Sh(t, c, `echo "$HOME $LC_ALL"; case $PATH in */usr/sbin:*) echo sbin;; esac`)
	if diff := cmp.Diff("/root C\nsbin\n", got); diff != "" {
		t.Error(diff)
	}
}

// breaking fails a call of the agent after some.
type breaking struct {
	*fake
	writes int
}

var errGone = errors.New("500 QEMU guest agent is not running")

func (b *breaking) WriteFile(ctx ctx, path string, content []byte) error {
	if b.writes--; b.writes < 0 {
		return errGone
	}
	return b.fake.WriteFile(ctx, path, content)
}

func TestAgentFailsDuringAnUpload(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "file")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, f := open(t, false)
	c := newConn(t, &breaking{fake: f, writes: 2})
	err := c.Upload(t.Context(), remote.Upload{Path: target, Content: strings.NewReader(strings.Repeat("x", 200_000)), Size: 200_000})
	var conn *remote.ConnError
	if !errors.As(err, &conn) || !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "old" {
		t.Errorf("the target holds %q, %v", got, err)
	}
	conntest.NoLeftovers(t, dir)
}

// corrupting changes a byte on its way.
type corrupting struct{ *fake }

func (b *corrupting) WriteFile(ctx ctx, path string, content []byte) error {
	content = bytes.Clone(content)
	content[0] ^= 1
	return b.fake.WriteFile(ctx, path, content)
}

func TestContentIsCheckedByItsHash(t *testing.T) {
	dir := t.TempDir()
	_, f := open(t, false)
	c := newConn(t, &corrupting{f})
	err := c.Upload(t.Context(), remote.Upload{Path: filepath.Join(dir, "file"), Content: strings.NewReader(strings.Repeat("x", 200_000)), Size: -1})
	var file *remote.FileError
	if !errors.As(err, &file) || file.Step != remote.StepComplete {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func noFolders(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"/run", "/tmp"} {
		if left, err := filepath.Glob(dir + "/phx-[A-Z2-7]*"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
