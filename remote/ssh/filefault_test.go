package ssh_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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

// fault is something that goes wrong while a file is written over an old one.
type fault struct {
	name string
	// start makes the trouble and gives the way to the machine. during is called, if it is not nil,
	// once about a third of the content has been sent.
	start func(t *testing.T) (o ssh.Options, during func())
	is    func(error) bool // nil: it ends in success
	say   string           // part of the error's text
}

// TestFileFaults is the table of all that can happen to a file on its way: it ends in success or in a
// clear error, and the file is the old one or the new one, with nothing left beside it.
func TestFileFaults(t *testing.T) {
	t.Parallel()
	lost := isA[*remote.ConnError]
	plain := func(f sshtest.Faults, change func(t *testing.T, o *ssh.Options)) func(*testing.T) (ssh.Options, func()) {
		return func(t *testing.T) (ssh.Options, func()) {
			o := faulty(sshtest.StartFaulty(t, f))
			if change != nil {
				change(t, &o)
			}
			return o, nil
		}
	}
	proxied := func(d delay.Options) func(*testing.T) (ssh.Options, func()) {
		return plain(sshtest.Faults{}, func(t *testing.T, o *ssh.Options) { behind(t, o, d) })
	}
	sudo := func(mode, password string) func(*testing.T) (ssh.Options, func()) {
		return func(t *testing.T) (ssh.Options, func()) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte(fakeSudo), 0o755); err != nil {
				t.Fatal(err)
			}
			o := faulty(sshtest.StartFaulty(t, sshtest.Faults{Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "SUDO_MODE=" + mode}}))
			o.Become, o.SudoPassword = ssh.BecomeSudo, secret.New(password)
			return o, nil
		}
	}
	for _, tt := range []fault{
		{name: "none", start: plain(sshtest.Faults{}, nil)},
		{name: "slow", start: plain(sshtest.Faults{SlowBy: 200 * time.Millisecond}, nil)},
		{name: "a long way", start: proxied(delay.Options{RTT: 30 * time.Millisecond})},
		{name: "the first channels are refused", start: plain(sshtest.Faults{RefuseChannels: func(n int64) bool { return n <= 4 }}, nil)},
		{name: "every second channel is refused", start: plain(sshtest.Faults{RefuseChannels: func(n int64) bool { return n%2 == 1 }}, nil)},
		{name: "all channels are refused", start: plain(sshtest.Faults{RefuseChannels: func(int64) bool { return true }}, nil),
			is: func(err error) bool { return errors.Is(err, session.ErrNoRoom) }, say: "takes no more sessions"},
		{name: "one session at a time", start: plain(sshtest.Faults{MaxSessions: 1}, nil)},
		{name: "no SFTP", start: plain(sshtest.Faults{NoSFTP: true}, nil)},
		{name: "the login shell hangs", start: plain(sshtest.Faults{HangOnExec: true}, nil), is: lost, say: "no shell within"},
		{name: "the login shell exits", start: plain(sshtest.Faults{ExitOnExec: 1}, nil), is: lost, say: "no shells today"},
		{name: "dropped before the login", start: proxied(delay.Options{DropAfterUp: 100}), is: lost, say: "closed the connection before the login"},
		{name: "the key is refused", start: plain(sshtest.Faults{RefuseKeys: true}, nil), is: isA[*ssh.AuthError], say: "authorized_keys"},
		{name: "the host key has changed", start: plain(sshtest.Faults{}, func(t *testing.T, o *ssh.Options) {
			o.HostKeys, o.KnownHostsFile = nil, filepath.Join(t.TempDir(), "known_hosts")
			line := fmt.Sprintf("[127.0.0.1]:%d %s\n", o.Port, sshtest.WriteKey(t, filepath.Join(t.TempDir(), "other")))
			if err := os.WriteFile(o.KnownHostsFile, []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
		}), is: isA[*ssh.ChangedHostKeyError], say: "line 1 has SHA256:"},
		{name: "the host key is unknown", start: plain(sshtest.Faults{}, func(t *testing.T, o *ssh.Options) {
			o.HostKeys, o.KnownHostsFile = nil, filepath.Join(t.TempDir(), "known_hosts")
		}), is: isA[*ssh.UnknownHostKeyError], say: "ssh-keyscan"},
		{name: "sudo with a password", start: sudo("asks", "open sesame")},
		{name: "sudo: the password is wrong", start: sudo("asks", "guess"), is: isA[*ssh.SudoError], say: string(ssh.SudoWrongPassword)},
		{name: "sudo: refused", start: sudo("refused", ""), is: isA[*ssh.SudoError], say: "not in the sudoers file"},
		{name: "the connection is cut", start: func(t *testing.T) (ssh.Options, func()) {
			o := faulty(sshtest.StartFaulty(t, sshtest.Faults{}))
			return o, behind(t, &o, delay.Options{}).Cut
		}},
		{name: "the machine falls silent", start: func(t *testing.T) (ssh.Options, func()) {
			s := sshtest.StartFaulty(t, sshtest.Faults{})
			o := faulty(s)
			// Behind the login, and before a small file's end.
			behind(t, &o, delay.Options{HangAfterUp: 8_000, Drops: 1})
			o.Keepalive = 100 * time.Millisecond
			return o, nil
		}},
		{name: "sshd's session is killed", start: func(t *testing.T) (ssh.Options, func()) {
			s := sshtest.Start(t, sshtest.Config{})
			return options(s), func() {
				if s.KillSessions(t) == 0 {
					t.Error("there was no session to kill")
				}
			}
		}},
		{name: "sshd is killed and comes back", start: func(t *testing.T) (ssh.Options, func()) {
			s := sshtest.Start(t, sshtest.Config{})
			return options(s), func() { s.Kill(t); s.Restart(t) }
		}},
		{name: "sshd is killed for good", start: func(t *testing.T) (ssh.Options, func()) {
			s := sshtest.Start(t, sshtest.Config{})
			return options(s), func() { s.Kill(t) }
		}, is: func(err error) bool { // as the end is noticed: by a shell that was at work, or when it is called again
			return lost(err) && (strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "the connection to the shell was lost"))
		}},
	} {
		for _, size := range []int{20_000, 9_000_000} {
			t.Run(fmt.Sprintf("%s, %d bytes", tt.name, size), func(t *testing.T) {
				t.Parallel()
				tt.run(t, size)
			})
		}
	}
}

func (f fault) run(t *testing.T, size int) {
	o, during := f.start(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "file")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	content := conntest.Bytes(size)
	c, err := ssh.Dial(t.Context(), o)
	if err == nil {
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		upload := remote.Upload{Path: target, Size: int64(size), Mode: 0o600,
			Content: &trap{ReadSeeker: bytes.NewReader(content), at: int64(size / 3), spring: during}}
		err = c.Upload(t.Context(), upload)
		// What began may be known to have been lost, but not how it ended: looking is what decides, as
		// an operation does. Here that is to do it again.
		var cut *remote.ConnError
		if f.is == nil && errors.As(err, &cut) && cut.Started {
			upload.Content = bytes.NewReader(content)
			err = c.Upload(t.Context(), upload)
		}
	}
	switch {
	case f.is == nil && err != nil:
		t.Errorf("got %T: %v", err, err)
	case f.is != nil && (err == nil || !f.is(err) || !strings.Contains(err.Error(), f.say)):
		t.Errorf("got %T: %v", err, err)
	}
	got, readErr := os.ReadFile(target)
	if isNew := bytes.Equal(got, content); readErr != nil || !isNew && string(got) != "old" || isNew != (err == nil) {
		t.Errorf("the file has %d bytes, %v", len(got), readErr)
	}
	if f.name == "sshd is killed for good" {
		return // nobody can clean up there; the next upload has a name of its own
	}
	for range 400 { // what is cut off may take a moment to notice
		if left, err := filepath.Glob(filepath.Join(dir, ".phx-*")); err != nil || len(left) == 0 {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	conntest.NoLeftovers(t, dir)
}

// trap springs once, when so much has been read of it.
type trap struct {
	io.ReadSeeker
	at, read int64
	spring   func()
	once     sync.Once
}

func (r *trap) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	if r.read += int64(n); r.read >= r.at && r.spring != nil {
		r.once.Do(r.spring)
	}
	return n, err
}

// A large file whose transfer is cut goes on where it was cut, and is whole; progress tells so.
func TestResume(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	for _, cuts := range []int{1, 3} {
		t.Run(fmt.Sprint(cuts), func(t *testing.T) {
			o := options(s)
			p := behind(t, &o, delay.Options{})
			c := dial(t, o)
			const size = 40 << 20
			content := conntest.Bytes(size)
			target := filepath.Join(t.TempDir(), "file")
			next, most := int64(size/(cuts+1)), int64(0)
			err := c.Upload(t.Context(), remote.Upload{Path: target, Content: bytes.NewReader(content), Size: size, Mode: 0o600,
				Progress: func(n int64) {
					most = max(most, n)
					if n >= next {
						next += size / int64(cuts+1)
						if next <= size {
							p.Cut()
						}
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, content) || most != size {
				t.Errorf("%d bytes are there, %d were told: %v", len(got), most, err)
			}
			if up, _ := p.Bytes(); up > size+int64(cuts)*(16<<20) {
				t.Errorf("%d bytes were sent for %d", up, size)
			}
			if got := p.Accepted(); got != int64(cuts)+1 {
				t.Errorf("%d connections for %d cuts", got, cuts)
			}
			conntest.NoLeftovers(t, filepath.Dir(target))
		})
	}
}

// A full disk is told as one, and leaves nothing behind, however the content comes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	mount := t.TempDir()
	s := sshtest.Start(t, sshtest.Config{Prepare: "mount -t tmpfs -o size=512k none " + mount})
	for _, tt := range []struct {
		name string
		size int
	}{
		{"with the script", 240_000},
		{"over SFTP", 3_000_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, options(s))
			target := filepath.Join(mount, "file")
			conntest.Sh(t, c, "rm -f "+mount+"/*; printf old >"+target+"; head -c 300000 /dev/zero >"+mount+"/other")
			err := c.Upload(t.Context(), remote.Upload{Path: target, Content: bytes.NewReader(conntest.Bytes(tt.size)), Size: int64(tt.size), Mode: 0o600})
			var refused *remote.FileError
			if !errors.As(err, &refused) || refused.Step != remote.StepContent || !strings.Contains(err.Error(), mount) {
				t.Errorf("got %v", err)
			}
			if tt.size < 300_000 && !strings.Contains(fmt.Sprint(err), "No space left on device") {
				t.Errorf("the reason is missing: %v", err)
			}
			if tt.size > 300_000 && !strings.Contains(fmt.Sprint(err), "100%") && !strings.Contains(fmt.Sprint(err), "Use%") {
				t.Errorf("how full the disk is, is missing: %v", err)
			}
			if got := conntest.Sh(t, c, "cat "+target+"; ls -A "+mount); got != "oldfile\nother\n" {
				t.Errorf("afterwards: %q", got)
			}
		})
	}
}

// isA reports whether err is, or wraps, an error of the type.
func isA[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
