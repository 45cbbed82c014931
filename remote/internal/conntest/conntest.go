// Package conntest is what every remote.Conn must do, as one test suite for all transports.
package conntest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"phoenix-run/remote"
)

// Options tells what is different about a transport.
type Options struct {
	// Live says that output lines come while the script runs.
	Live bool
	// Parallel says that scripts run at the same time.
	Parallel bool
	// Big is the size of the large file, 16 MiB by default.
	Big int
}

// Run runs the suite on connections that open makes, which work on the file system of the test itself.
func Run(t *testing.T, o Options, open func(t *testing.T, readOnly bool) remote.Conn) {
	if o.Big == 0 {
		o.Big = 16 << 20
	}
	t.Run("scripts", func(t *testing.T) { scripts(t, open(t, false)) })
	t.Run("isolation", func(t *testing.T) { isolation(t, open(t, false)) })
	t.Run("stdin", func(t *testing.T) { stdin(t, open(t, false)) })
	t.Run("output lines", func(t *testing.T) { lines(t, open(t, false), o.Live) })
	t.Run("cancel", func(t *testing.T) { cancel(t, open(t, false)) })
	t.Run("timeout", func(t *testing.T) { timeout(t, open(t, false)) })
	t.Run("parallel", func(t *testing.T) { parallel(t, open(t, false), o.Parallel) })
	t.Run("upload", func(t *testing.T) { upload(t, open(t, false)) })
	t.Run("upload refused", func(t *testing.T) { refused(t, open(t, false)) })
	t.Run("strange names", func(t *testing.T) { names(t, open(t, false)) })
	t.Run("big file", func(t *testing.T) { big(t, open(t, false), o.Big) })
	t.Run("plan", func(t *testing.T) { plan(t, open(t, true)) })
	t.Run("closed", func(t *testing.T) { closed(t, open(t, false)) })
}

// Sh runs a script that must not fail, and gives its stdout.
func Sh(t *testing.T, c remote.Conn, script string) string {
	t.Helper()
	r, err := c.Run(t.Context(), remote.Command{Script: script, ReadOnly: true})
	if err != nil || r.Code != 0 {
		t.Fatalf("%s: %v, exit %d, stderr %q", script, err, r.Code, r.Stderr)
	}
	return string(r.Stdout)
}

func scripts(t *testing.T, c remote.Conn) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, tt := range []struct {
		name, script, stdin string
		out, err            string
		code                int
	}{
		{name: "hello", script: "echo hello", out: "hello\n"},
		{name: "nothing", script: ""},
		{name: "only a comment", script: "# nothing"},
		{name: "exit code", script: "exit 7", code: 7},
		{name: "last command's code", script: "false", code: 1},
		{name: "both streams", script: "echo out; echo err >&2; exit 3", out: "out\n", err: "err\n", code: 3},
		{name: "no newline at the end", script: "printf abc; printf def >&2", out: "abc", err: "def"},
		{name: "quotes and dollars", script: `printf '%s' "it's \"$((1+1))\" \$HOME"`, out: `it's "2" $HOME`},
		{name: "here-document", script: "cat <<'E'\n$a `b` \\\nE\necho done", out: "$a `b` \\\ndone\n"},
		{name: "here-document at the end", script: "cat <<E\nlast\nE", out: "last\n"},
		{name: "syntax error", script: "echo before\nif", err: "?", out: "?", code: 2},
		{name: "command not found", script: "/no/such/command", err: "?", code: 127},
		{name: "set -e", script: "set -e\nfalse\necho not here", code: 1},
		{name: "killed by a signal", script: "sh -c 'kill -9 $$'", code: 137, err: "?"},
		{name: "reads stdin", script: "cat", stdin: "some\ntext", out: "some\ntext"},
		{name: "no stdin is empty stdin", script: "cat; echo end", out: "end\n"},
		{name: "ignores stdin", script: "echo ok", stdin: strings.Repeat("x", 200_000), out: "ok\n"},
		{name: "reads a line of stdin", script: "read -r a; echo \"$a\"", stdin: "one\ntwo\nthree", out: "one\n"},
		{name: "closes stdin", script: "exec <&-; echo ok", stdin: strings.Repeat("y", 100_000), out: "ok\n"},
		{name: "all bytes", script: "cat", stdin: string(all), out: string(all)},
		{name: "all bytes on stderr", script: "cat >&2", stdin: string(all), err: string(all)},
		{name: "long script", script: "printf '%s' '" + strings.Repeat("long \n", 3000) + "'", out: strings.Repeat("long \n", 3000)},
		{name: "very long script", script: ": '" + strings.Repeat("q", 300_000) + "'\necho ok", out: "ok\n"},
		{name: "non-UTF-8", script: "printf '%s' 'a\xff\xfe\xc3b'", out: "a\xff\xfe\xc3b"},
		{name: "hash at the end", script: "echo 'a#b' #c#d", out: "a#b\n"},
		{name: "bar at the end", script: "echo x \\", out: "x\n"},
		{name: "output like a frame", script: `printf '\000ABCDEFGHIJKLMNOPQRSTUVWXYZ>0\n'`, out: "\x00ABCDEFGHIJKLMNOPQRSTUVWXYZ>0\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := c.Run(t.Context(), remote.Command{Script: tt.script, Stdin: []byte(tt.stdin)})
			if err != nil {
				t.Fatal(err)
			}
			same := func(got []byte, want string) bool { return want == "?" || string(got) == want }
			if r.Code != tt.code || !same(r.Stdout, tt.out) || !same(r.Stderr, tt.err) || r.Truncated {
				t.Errorf("got exit %d, stdout %.200q, stderr %.200q; want %d, %.200q, %.200q",
					r.Code, r.Stdout, r.Stderr, tt.code, tt.out, tt.err)
			}
		})
	}
	t.Run("NUL", func(t *testing.T) {
		if _, err := c.Run(t.Context(), remote.Command{Script: "echo \x00"}); err == nil {
			t.Error("a script with a NUL was taken")
		}
	})
}

// isolation: nothing that one script does to its shell reaches the next.
func isolation(t *testing.T, c remote.Conn) {
	for range 5 {
		r, err := c.Run(t.Context(), remote.Command{Script: `
cd /tmp; umask 000; set -f; trap 'printf trapped' EXIT; LEAK=1; export LEAK; f() { echo leak; }
alias echo=false; exec 3>/dev/null; PATH=/nowhere`})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(r.Stdout); got != "trapped" {
			t.Fatalf("the EXIT trap wrote %q", got)
		}
		got := Sh(t, c, `pwd; umask; echo "[$LEAK]"; f 2>/dev/null; echo $?; case $- in *f*) echo noglob;; esac; command -v cat >/dev/null && echo path`)
		if want := "/\n0022\n[]\n127\npath\n"; got != want && got != strings.Replace(want, "0022", "022", 1) {
			t.Fatalf("the next script sees %q, want %q", got, want)
		}
	}
	if got := Sh(t, c, `set | grep -c "^_phx[ns]=" || true`); got != "0\n" {
		t.Errorf("a script can see its own frame")
	}
}

func stdin(t *testing.T, c remote.Conn) {
	for _, size := range []int{1, 4095, 4096, 65535, 65536, 65537, 1 << 20} {
		in := Bytes(size)
		r, err := c.Run(t.Context(), remote.Command{Script: "cat", Stdin: in})
		if err != nil || !bytes.Equal(r.Stdout, in) {
			t.Fatalf("%d bytes: %d came back, %v, %q", size, len(r.Stdout), err, r.Stderr)
		}
		if got := Sh(t, c, "echo next"); got != "next\n" {
			t.Fatalf("after %d bytes: %q", size, got)
		}
	}
}

// patience is what a loaded machine may take for something that takes a moment.
const patience = 60 * time.Second

func lines(t *testing.T, c remote.Conn, live bool) {
	seen := filepath.Join(t.TempDir(), "seen")
	wait := ""
	if live { // the script goes on only when its first line has been passed on
		wait = await(seen)
	}
	var mu sync.Mutex
	var got []string
	r, err := c.Run(t.Context(), remote.Command{
		Script: "echo one; printf 'a\\rb\\rtwo\\r\\n'; " + wait + "echo three >&2; printf four",
		Output: func(line string) {
			mu.Lock()
			defer mu.Unlock()
			if got == nil {
				if err := os.WriteFile(seen, nil, 0o600); err != nil {
					t.Error(err)
				}
			}
			got = append(got, line)
		},
	})
	if err != nil || r.Code != 0 {
		t.Fatal(r, err)
	}
	// The streams are two: only each one's own order is sure.
	var stdout []string
	for _, l := range got {
		if l != "three" {
			stdout = append(stdout, l)
		}
	}
	if len(got) != 4 || strings.Join(stdout, " ") != "one two four" {
		t.Errorf("lines %q", got)
	}
}

// await is a script that waits for a file, and fails if it does not come.
func await(file string) string {
	return fmt.Sprintf("i=0; until [ -e %s ]; do sleep 0.02; i=$((i+1)); [ $i -lt 1500 ] || exit 9; done; ", file)
}

// appear waits for a file that a script makes.
func appear(t *testing.T, file string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			return
		}
	}
	t.Errorf("%s did not appear", file)
}

func cancel(t *testing.T, c remote.Conn) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("the operator pressed Ctrl-C")
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		appear(t, pidFile)
		stop(why)
	})
	_, err := c.Run(ctx, remote.Command{Script: "sh -c 'echo $$ >" + pidFile + "; exec sleep 600' & wait; sleep 600"})
	if conn := (*remote.ConnError)(nil); !errors.As(err, &conn) || !errors.Is(err, why) || !conn.Started {
		t.Errorf("got %v", err)
	}
	gone(t, pidFile)
	if got := Sh(t, c, "echo alive"); got != "alive\n" {
		t.Errorf("after a cancel: %q", got)
	}
}

// gone waits for the process whose number is in the file to be no more.
func gone(t *testing.T, pidFile string) {
	t.Helper()
	var pid int
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Errorf("process %d of the cancelled script lives on", pid)
}

func timeout(t *testing.T, c remote.Conn) {
	start := time.Now()
	_, err := c.Run(t.Context(), remote.Command{Script: "sleep 600", Timeout: 200 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "200ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("took %s", took)
	}
}

// parallel runs more scripts than there are shells. Where they run at the same time, each of the
// first few waits for the others.
func parallel(t *testing.T, c remote.Conn, atOnce bool) {
	dir := t.TempDir()
	const together = 4
	run := func(i int, script string) {
		r, err := c.Run(t.Context(), remote.Command{Script: fmt.Sprintf("%s echo %d; echo %[2]d >&2", script, i)})
		want := fmt.Sprintf("%d\n", i)
		if err != nil || string(r.Stdout) != want || string(r.Stderr) != want {
			t.Errorf("%d: %q, %q, %v", i, r.Stdout, r.Stderr, err)
		}
	}
	var wg sync.WaitGroup
	if atOnce {
		for i := range together {
			script := fmt.Sprintf(": >%s/%d; ", dir, i)
			for other := range together {
				script += await(fmt.Sprintf("%s/%d", dir, other))
			}
			wg.Go(func() { run(i, script) })
		}
		wg.Wait()
	}
	for i := range 3 * together {
		wg.Go(func() { run(i, "") })
	}
	wg.Wait()
}

func upload(t *testing.T, c remote.Conn) {
	dir := t.TempDir()
	target := filepath.Join(dir, "file")
	put := func(u remote.Upload) {
		t.Helper()
		if err := c.Upload(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string, mode fs.FileMode) {
		t.Helper()
		got, err := os.ReadFile(target)
		if err != nil || string(got) != want {
			t.Fatalf("content %.80q, %v; want %.80q", got, err, want)
		}
		info, err := os.Stat(target)
		if err != nil || info.Mode() != mode {
			t.Fatalf("mode %v, %v; want %v", info.Mode(), err, mode)
		}
		NoLeftovers(t, dir)
	}
	put(remote.Upload{Path: target, Content: strings.NewReader("one"), Size: 3, Mode: 0o640})
	check("one", 0o640)
	put(remote.Upload{Path: target, Content: strings.NewReader("two"), Size: -1})
	check("two", 0o640) // the mode that was there
	put(remote.Upload{Path: target, Content: strings.NewReader(""), Size: 0, Mode: 0o4755, Owner: fmt.Sprint(os.Getuid()), Group: fmt.Sprint(os.Getgid())})
	check("", 0o755|fs.ModeSetuid)
	put(remote.Upload{Path: target, Content: strings.NewReader("valid"), Size: -1, Mode: 0o600, Validate: "grep -q valid %s", Backup: true})
	check("valid", 0o600)
	if backups, err := filepath.Glob(target + ".~*~"); err != nil || len(backups) != 1 {
		t.Errorf("backups: %v, %v", backups, err)
	}
	var sent int64
	put(remote.Upload{Path: target, Content: strings.NewReader(strings.Repeat("z", 300_000)), Size: 300_000, Mode: 0o600,
		Progress: func(n int64) { sent = n }})
	check(strings.Repeat("z", 300_000), 0o600)
	if sent != 300_000 {
		t.Errorf("progress ended at %d", sent)
	}
	put(remote.Upload{Path: target, Content: io.LimitReader(rand.NewChaCha8([32]byte{}), 700_000), Size: -1, Mode: 0o600})
	if info, err := os.Stat(target); err != nil || info.Size() != 700_000 {
		t.Errorf("content of unknown size: %v, %v", info, err)
	}
	// A link is replaced, not followed.
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	put(remote.Upload{Path: link, Content: strings.NewReader("new"), Size: 3, Mode: 0o600})
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
}

func refused(t *testing.T, c remote.Conn) {
	dir := t.TempDir()
	target := filepath.Join(dir, "file")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	old := func(t *testing.T) {
		t.Helper()
		if got, err := os.ReadFile(target); err != nil || string(got) != "old" {
			t.Errorf("the old content is now %q, %v", got, err)
		}
		NoLeftovers(t, dir)
	}
	for _, tt := range []struct {
		name string
		u    remote.Upload
		step remote.Step
		is   error
		say  string
	}{
		{"not valid", remote.Upload{Path: target, Validate: "echo line 3 is bad >&2; false %s"}, remote.StepValidate, nil, "line 3 is bad"},
		{"no such owner", remote.Upload{Path: target, Owner: "no-such-user"}, remote.StepOwner, nil, "no-such-user"},
		{"no such folder", remote.Upload{Path: filepath.Join(dir, "none", "file")}, remote.StepFolder, fs.ErrNotExist, "no such folder"},
		{"a folder is there", remote.Upload{Path: filepath.Join(dir, "folder")}, remote.StepRename, nil, "folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, content := range []string{"new", strings.Repeat("new", 200_000)} {
				u := tt.u
				u.Content, u.Size, u.Mode = strings.NewReader(content), int64(len(content)), 0o600
				err := c.Upload(t.Context(), u)
				var file *remote.FileError
				if !errors.As(err, &file) {
					// A big file may not even find its folder.
					if conn := (*remote.ConnError)(nil); !errors.As(err, &conn) || tt.step != remote.StepFolder || len(content) < 1000 {
						t.Fatalf("got %v", err)
					}
				} else if file.Step != tt.step || !strings.Contains(err.Error(), tt.say) {
					t.Errorf("got step %q: %v", file.Step, err)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v is not %v", err, tt.is)
				}
				old(t)
			}
		})
	}
	t.Run("relative path", func(t *testing.T) {
		if err := c.Upload(t.Context(), remote.Upload{Path: "file", Content: strings.NewReader("")}); err == nil {
			t.Error("was taken")
		}
	})
	t.Run("content ends early", func(t *testing.T) {
		for _, size := range []int64{100, 1 << 20} {
			if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := c.Upload(t.Context(), remote.Upload{Path: target, Content: strings.NewReader("short"), Size: size})
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v", err)
			}
			settle(t, dir)
			old(t)
		}
	})
}

func names(t *testing.T, c remote.Conn) {
	dir := t.TempDir()
	for _, name := range []string{"with space", "it's", `do"uble`, "new\nline", "non\xffUTF8\xc3", "-rf", "$HOME", "a`id`b", "*", "tab\t", "ünï", "back\\slash", "#", "~"} {
		path := filepath.Join(dir, name)
		content := "content of " + name
		if err := c.Upload(t.Context(), remote.Upload{Path: path, Content: strings.NewReader(content), Size: -1, Mode: 0o600, Backup: true, Validate: "test -s %s"}); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%q holds %q, %v", name, got, err)
		}
		var back bytes.Buffer
		if err := c.Download(t.Context(), path, &back); err != nil || back.String() != content {
			t.Errorf("%q came back as %q, %v", name, back.String(), err)
		}
	}
	NoLeftovers(t, dir)
}

func big(t *testing.T, c remote.Conn, size int) {
	dir := t.TempDir()
	path := filepath.Join(dir, "big")
	in := Bytes(size)
	var progress int64
	err := c.Upload(t.Context(), remote.Upload{Path: path, Content: bytes.NewReader(in), Size: int64(size), Mode: 0o600,
		Progress: func(n int64) {
			if n < progress {
				t.Errorf("progress went from %d to %d", progress, n)
			}
			progress = n
		}})
	if err != nil {
		t.Fatal(err)
	}
	if progress != int64(size) {
		t.Errorf("progress ended at %d of %d", progress, size)
	}
	got, err := os.ReadFile(path)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(in) {
		t.Fatalf("%d bytes arrived, %v", len(got), err)
	}
	NoLeftovers(t, dir)
	var back bytes.Buffer
	if err := c.Download(t.Context(), path, &back); err != nil || sha256.Sum256(back.Bytes()) != sha256.Sum256(in) {
		t.Fatalf("%d bytes came back, %v", back.Len(), err)
	}
	err = c.Download(t.Context(), filepath.Join(dir, "none"), io.Discard)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := c.Download(t.Context(), dir, io.Discard); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
	full := errors.New("disk full here")
	if err := c.Download(t.Context(), path, &failing{after: 100_000, err: full}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
	if got := Sh(t, c, "echo alive"); got != "alive\n" {
		t.Errorf("after a failed download: %q", got)
	}
}

type failing struct {
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func plan(t *testing.T, c remote.Conn) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := c.Run(t.Context(), remote.Command{Script: "touch " + path}); !errors.Is(err, remote.ErrPlanWrite) {
		t.Errorf("a writing script: %v", err)
	}
	if err := c.Upload(t.Context(), remote.Upload{Path: path, Content: strings.NewReader("x"), Size: 1}); !errors.Is(err, remote.ErrPlanWrite) {
		t.Errorf("an upload: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the plan made a file: %v", err)
	}
	if got := Sh(t, c, "echo read"); got != "read\n" {
		t.Errorf("a reading script: %q", got)
	}
	in := Bytes(200_000)
	r, err := c.Run(t.Context(), remote.Command{Script: "cat # " + strings.Repeat("x", 100_000), Stdin: in, ReadOnly: true})
	if err != nil || !bytes.Equal(r.Stdout, in) {
		t.Errorf("a long reading script: %d bytes, %v", len(r.Stdout), err)
	}
	var w bytes.Buffer
	if err := c.Download(t.Context(), "/etc/passwd", &w); err != nil || !strings.Contains(w.String(), "root:") {
		t.Errorf("a download: %v", err)
	}
}

func closed(t *testing.T, c remote.Conn) {
	if got := Sh(t, c, "echo open"); got != "open\n" {
		t.Fatal(got)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Run(t.Context(), remote.Command{Script: "echo"}); err == nil {
		t.Error("a closed connection ran a script")
	}
}

// Bytes makes content that no compression and no text handling can leave as it is by luck.
func Bytes(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{byte(n)}).Read(b); err != nil {
		panic(err)
	}
	return b
}

// NoLeftovers fails if a temporary file of an upload is still in dir.
func NoLeftovers(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(dir, ".phx-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// settle waits a moment for a killed script's trap to have cleaned up.
func settle(t *testing.T, dir string) {
	t.Helper()
	for range 40 {
		left, err := filepath.Glob(filepath.Join(dir, ".phx-*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
