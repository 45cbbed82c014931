// Package sshtest is the other side of SSH for tests: OpenSSH's own sshd on a loopback port, and an
// in-process server that follows a script of faults.
package sshtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Sshd is a running OpenSSH server that lets the current user in with KeyFile.
type Sshd struct {
	Dir     string
	Port    int
	KeyFile string
	HostKey string // its public key, as a line of authorized_keys
	cmd     *exec.Cmd
	log     *syncBuffer
}

// Config says what is different about a server.
type Config struct {
	Lines []string // more lines for sshd_config, before the usual ones
	// Prepare is a shell script that runs before sshd does, in a mount namespace of its own.
	Prepare string
}

// Start starts a server that ends with the test. Where there is no sshd the test is skipped, but
// fails if CI=true.
func Start(t testing.TB, c Config) *Sshd {
	t.Helper()
	path := binary(t)
	dir, err := os.MkdirTemp("", "phx-sshd-") // t.TempDir's names are too long for a few of sshd's limits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s := &Sshd{Dir: dir, KeyFile: filepath.Join(dir, "id"), log: &syncBuffer{}}
	hostKey := filepath.Join(dir, "host_key")
	s.HostKey = WriteKey(t, hostKey)
	user := WriteKey(t, s.KeyFile)
	s.Port = freePort(t)
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	config := write("sshd_config", strings.Join(append(c.Lines,
		"ListenAddress 127.0.0.1", fmt.Sprintf("Port %d", s.Port), "HostKey "+hostKey,
		"AuthorizedKeysFile "+write("authorized_keys", user+"\n"),
		"StrictModes no", "UsePAM no", "PidFile none", "PermitRootLogin prohibit-password",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "Subsystem sftp internal-sftp", "LogLevel VERBOSE",
	), "\n")+"\n")
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.cmd = exec.Command(path, "-D", "-e", "-f", config)
	if c.Prepare != "" {
		s.cmd = exec.Command("unshare", "-m", "sh", "-ec", c.Prepare+"\nexec \"$@\"", "sh", path, "-D", "-e", "-f", config)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	s.wait(t)
	return s
}

// Log is what the server wrote so far.
func (s *Sshd) Log() string { return s.log.String() }

// KillSessions kills the processes that serve connections, as an administrator or a lack of memory
// would; the server goes on taking new ones.
func (s *Sshd) KillSessions(t testing.TB) (killed int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state parent …; a name may hold anything.
		rest := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(s.cmd.Process.Pid) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	return killed
}

// Kill ends the server with all its connections; Restart starts it again at the same port.
func (s *Sshd) Kill(t testing.TB) {
	t.Helper()
	s.KillSessions(t)
	s.stop()
}

// Restart starts a server that was killed.
func (s *Sshd) Restart(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.cmd.Args[0], s.cmd.Args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
}

func (s *Sshd) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *Sshd) wait(t testing.TB) {
	t.Helper()
	for range 250 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("sshd does not answer:\n%s", s.Log())
}

func binary(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	const why = "no sshd here: install openssh-server to test against the real one"
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// WriteKey makes a key pair in file and file.pub and returns the public line.
func WriteKey(t testing.TB, file string) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".pub", []byte(line+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return line
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
