package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/delay"
	"phoenix-run/remote/internal/conntest"
	"phoenix-run/remote/internal/session"
	"phoenix-run/remote/internal/sshtest"
	"phoenix-run/remote/ssh"
	"phoenix-run/secret"
)

func faulty(s *sshtest.Server) ssh.Options {
	return ssh.Options{Host: "127.0.0.1", Port: s.Port, User: "somebody", KeyFile: s.KeyFile, HostKeys: []string{s.HostKey},
		ConfigFile: "none", ConnectTimeout: 2 * time.Second}
}

// behind puts a proxy between.
func behind(t testing.TB, o *ssh.Options, d delay.Options) *delay.Proxy {
	t.Helper()
	p, err := delay.New(fmt.Sprintf("127.0.0.1:%d", o.Port), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Port = p.Port()
	return p
}

// TestFaults is the table of what can go wrong, each ending in success or in an error that says what
// it was.
func TestFaults(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, o ssh.Options) error {
		c, err := ssh.Dial(t.Context(), o)
		if err != nil {
			return err
		}
		defer c.Close()
		r, err := c.Run(t.Context(), remote.Command{Script: "echo ok"})
		if err == nil && (string(r.Stdout) != "ok\n" || r.Code != 0) {
			return fmt.Errorf("wrong result: %+v", r)
		}
		return err
	}
	for _, tt := range []struct {
		name   string
		faults sshtest.Faults
		change func(t *testing.T, o *ssh.Options)
		is     func(error) bool // nil: success
		say    string
	}{
		{name: "none"},
		{name: "a talkative login shell", faults: sshtest.Faults{SayOnExec: "Welcome!\nYou have mail.\n"}},
		{name: "slow", faults: sshtest.Faults{SlowBy: 300 * time.Millisecond}},
		{name: "the first channels are refused", faults: sshtest.Faults{RefuseChannels: func(n int64) bool { return n <= 5 }}},
		{name: "all channels are refused", faults: sshtest.Faults{RefuseChannels: func(int64) bool { return true }},
			is: func(err error) bool { return errors.Is(err, session.ErrNoRoom) }, say: "takes no more sessions"},
		{name: "the key is refused", faults: sshtest.Faults{RefuseKeys: true}, is: isA[*ssh.AuthError], say: "authorized_keys"},
		{name: "the shell exits 255", faults: sshtest.Faults{ExitOnExec: 255}, is: isA[*remote.ConnError], say: "exit status 255; it said: no shells today"},
		{name: "the shell hangs", faults: sshtest.Faults{HangOnExec: true}, is: isA[*remote.ConnError], say: "no shell within 2s"},
		{name: "nobody listens", change: func(_ *testing.T, o *ssh.Options) { o.Port = 1 }, is: isA[*remote.ConnError], say: "refused"},
		{name: "no such host", change: func(_ *testing.T, o *ssh.Options) { o.Host = "no.such.host.invalid" }, is: isA[*remote.ConnError], say: "no.such.host.invalid"},
		{name: "the handshake hangs", change: func(t *testing.T, o *ssh.Options) { behind(t, o, delay.Options{HangAfterUp: 1}) },
			is: func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, say: "handshake was not done within 2s"},
		{name: "dropped in the handshake", change: func(t *testing.T, o *ssh.Options) { behind(t, o, delay.Options{DropAfterUp: 10}) },
			is: isA[*remote.ConnError], say: "closed the connection before the login"},
		{name: "pinned host key differs", change: func(t *testing.T, o *ssh.Options) {
			o.HostKeys = []string{sshtest.WriteKey(t, filepath.Join(t.TempDir(), "k"))}
		}, is: isA[*ssh.ChangedHostKeyError], say: "pinned key is SHA256:"},
		{name: "no key", change: func(_ *testing.T, o *ssh.Options) { o.KeyFile = "/nowhere/id" }, is: func(err error) bool { return errors.Is(err, fs.ErrNotExist) }, say: "/nowhere/id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.StartFaulty(t, tt.faults)
			o := faulty(s)
			if tt.change != nil {
				tt.change(t, &o)
			}
			start := time.Now()
			err := run(t, o)
			if tt.is == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.say) {
				t.Errorf("got %T: %v", err, err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestCutAnywhere cuts the connection after every so many bytes of an upload over an old file: it
// ends in the old content or the new, and nothing else stays in the folder.
func TestCutAnywhere(t *testing.T) {
	s := sshtest.StartFaulty(t, sshtest.Faults{})
	t.Parallel()
	for _, tt := range []struct {
		name string
		size int
		cuts []int64
	}{
		{"over the shell", 100_000, []int64{2500, 3000, 3500, 5000, 20_000, 50_000, 90_000, 104_000, 105_000, 106_000}},
		{"over SFTP", 2_000_000, []int64{3000, 4000, 100_000, 1_000_000, 1_990_000, 2_006_000, 2_007_000, 2_008_000, 2_020_000}},
	} {
		for _, cut := range tt.cuts {
			t.Run(fmt.Sprintf("%s, %d bytes", tt.name, cut), func(t *testing.T) {
				dir := t.TempDir()
				target := filepath.Join(dir, "file")
				if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				o := faulty(s)
				behind(t, &o, delay.Options{DropAfterUp: cut, Drops: 1})
				content := conntest.Bytes(tt.size)
				c, err := ssh.Dial(t.Context(), o)
				if err == nil {
					err = c.Upload(t.Context(), remote.Upload{Path: target, Content: bytes.NewReader(content), Size: int64(tt.size), Mode: 0o600})
					if err != nil {
						conntest.Sh(t, c, "echo connected again")
					}
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				}
				var conn *remote.ConnError
				if err != nil && !errors.As(err, &conn) {
					t.Errorf("got %T: %v", err, err)
				}
				for range 600 { // what is cut off may take a moment to notice
					left, globErr := filepath.Glob(filepath.Join(dir, ".phx-*"))
					if globErr != nil || len(left) == 0 {
						break
					}
					time.Sleep(50 * time.Millisecond)
				}
				conntest.NoLeftovers(t, dir)
				got, readErr := os.ReadFile(target)
				isNew := bytes.Equal(got, content)
				if readErr != nil || !isNew && string(got) != "old" {
					t.Errorf("the file has %d bytes, %v", len(got), readErr)
				}
				if err == nil && !isNew {
					t.Error("success, but the content is old")
				}
			})
		}
	}
}

// A script that changes things is never sent twice; one that only reads is.
func TestCutDuringAScript(t *testing.T) {
	t.Parallel()
	s := sshtest.StartFaulty(t, sshtest.Faults{})
	for _, readOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("read-only %v", readOnly), func(t *testing.T) {
			o := faulty(s)
			p := behind(t, &o, delay.Options{})
			c := dial(t, o)
			conntest.Sh(t, c, "true")
			ran := filepath.Join(t.TempDir(), "ran")
			var cutting sync.WaitGroup
			defer cutting.Wait()
			cutting.Go(func() {
				for range 3000 { // until the script has begun
					if text, err := os.ReadFile(ran); err == nil && len(text) > 0 {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				p.Cut()
			})
			r, err := c.Run(t.Context(), remote.Command{
				Script:   fmt.Sprintf("echo x >>%s; if [ $(wc -l <%[1]s) = 1 ]; then sleep 5; fi; echo done", ran),
				ReadOnly: readOnly,
			})
			var conn *remote.ConnError
			if !readOnly && (!errors.As(err, &conn) || !conn.Started) {
				t.Errorf("got %v", err)
			}
			if readOnly && (err != nil || string(r.Stdout) != "done\n") {
				t.Errorf("got %q, %v", r.Stdout, err)
			}
			want := map[bool]string{false: "x\n", true: "x\nx\n"}[readOnly]
			if got, err := os.ReadFile(ran); err != nil || string(got) != want {
				t.Errorf("it ran %q, %v", got, err)
			}
			if got := conntest.Sh(t, c, "echo again"); got != "again\n" {
				t.Errorf("afterwards: %q", got)
			}
		})
	}
}

// A machine that has gone silent is given up after three missed keepalives.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	s := sshtest.StartFaulty(t, sshtest.Faults{Deaf: true})
	o := faulty(s)
	o.Keepalive = 50 * time.Millisecond
	c := dial(t, o)
	start := time.Now()
	_, err := c.Run(t.Context(), remote.Command{Script: "sleep 60"})
	var conn *remote.ConnError
	if !errors.As(err, &conn) || time.Since(start) > 50*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}

// A server that allows two sessions gets no more than these, and all the work is done.
func TestFewSessions(t *testing.T) {
	t.Parallel()
	s := sshtest.StartFaulty(t, sshtest.Faults{MaxSessions: 2})
	c := dial(t, faulty(s))
	errs := make(chan error)
	for i := range 12 {
		go func() {
			r, err := c.Run(t.Context(), remote.Command{Script: fmt.Sprintf("sleep 0.05; echo %d", i)})
			if err == nil && string(r.Stdout) != fmt.Sprintln(i) {
				err = fmt.Errorf("%d: %q", i, r.Stdout)
			}
			errs <- err
		}()
	}
	for range 12 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// Without SFTP large files go through a shell.
func TestNoSFTP(t *testing.T) {
	t.Parallel()
	s := sshtest.StartFaulty(t, sshtest.Faults{NoSFTP: true})
	c := dial(t, faulty(s))
	path := filepath.Join(t.TempDir(), "file")
	content := conntest.Bytes(3 << 20)
	if err := c.Upload(t.Context(), remote.Upload{Path: path, Content: bytes.NewReader(content), Size: 3 << 20, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// fakeSudo asks, checks and complains as sudo does.
const fakeSudo = `#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in -p) prompt=$2; shift 2;; --) shift; break;; *) shift;; esac
done
case $SUDO_MODE in
  free) exec "$@";;
  refused) echo "somebody is not in the sudoers file." >&2; exit 1;;
esac
for try in 1 2 3; do
  printf %s "$prompt" >&2
  read -r password || { echo >&2; echo "sudo: no password was provided" >&2; exit 1; }
  [ "$password" = "open sesame" ] && exec env BECAME=root "$@"
  echo "Sorry, try again." >&2
done
echo "sudo: 3 incorrect password attempts" >&2; exit 1
`

func TestSudo(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte(fakeSudo), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode, password string
		reason         ssh.SudoReason // "": it works
	}{
		{"free", "", ""},
		{"free", "not needed", ""},
		{"asks", "open sesame", ""},
		{"asks", "wrong", ssh.SudoWrongPassword},
		{"asks", "", ssh.SudoNoPassword},
		{"refused", "open sesame", ssh.SudoRefused},
	} {
		t.Run(tt.mode+" "+tt.password, func(t *testing.T) {
			s := sshtest.StartFaulty(t, sshtest.Faults{Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "SUDO_MODE=" + tt.mode}})
			o := faulty(s)
			o.Become, o.SudoPassword = ssh.BecomeSudo, secret.New(tt.password)
			c := dial(t, o)
			for range 2 { // the second try must not ask again
				r, err := c.Run(t.Context(), remote.Command{Script: "cat", Stdin: []byte("hello")})
				var sudo *ssh.SudoError
				switch {
				case tt.reason == "" && (err != nil || string(r.Stdout) != "hello"):
					t.Errorf("got %q, %v", r.Stdout, err)
				case tt.reason != "" && (!errors.As(err, &sudo) || sudo.Reason != tt.reason):
					t.Errorf("got %v", err)
				}
				if err != nil && tt.password != "" && strings.Contains(err.Error(), tt.password) && tt.password != "wrong" {
					t.Errorf("the password is in %v", err)
				}
			}
			if got := s.Channels.Load(); tt.reason != "" && got != 1 {
				t.Errorf("asked %d times", got)
			}
		})
	}
}
