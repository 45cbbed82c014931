package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"phoenix-run/remote/delay"
)

// distance is the round trip time of the long way.
const distance = 20 * time.Millisecond

// lab is the servers, and the ways to them.
type lab struct {
	dir     string
	key     string
	host    string // key
	known   string // known_hosts
	servers []*server
	reps    int
	binary  string
}

// server is one sshd: near by its own port, far through the proxy.
type server struct {
	port  int
	proxy *delay.Proxy
	cmd   *exec.Cmd
}

// port gives the way to a server.
func (s *server) at(far bool) int {
	if far {
		return s.proxy.Port()
	}
	return s.port
}

// install brings the programs to compare with.
func install(ctx context.Context) error {
	packages := map[string]string{
		"/usr/sbin/sshd": "openssh-server", "/usr/bin/scp": "openssh-client", "/usr/bin/rsync": "rsync",
		"/usr/bin/ansible-playbook":                      "ansible",
		"/usr/lib/python3/dist-packages/ansible_mitogen": "ansible-mitogen",
	}
	var missing []string
	for file, name := range packages {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("these are missing, and only root can install them: %s", strings.Join(missing, " "))
	}
	for _, argv := range [][]string{{"apt-get", "update", "-q"}, append([]string{"apt-get", "install", "-q", "-y", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
		}
	}
	return nil
}

func openLab(ctx context.Context) (_ *lab, err error) {
	l := &lab{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "phx-bench-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(l.dir, 0o711); err != nil {
		return nil, err
	}
	l.key, l.known = filepath.Join(l.dir, "id"), filepath.Join(l.dir, "known_hosts")
	hostKey := filepath.Join(l.dir, "host_key")
	for _, file := range []string{l.key, hostKey} {
		if err := run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file); err != nil {
			return nil, err
		}
	}
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		return nil, err
	}
	l.host = strings.TrimSpace(string(public))
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	return l, l.grow(20)
}

// grow starts servers until there are n.
func (l *lab) grow(n int) error {
	var known bytes.Buffer
	for len(l.servers) < n {
		s, err := l.start()
		if err != nil {
			return err
		}
		l.servers = append(l.servers, s)
	}
	for _, s := range l.servers {
		for _, far := range []bool{false, true} {
			fmt.Fprintf(&known, "[127.0.0.1]:%d %s\n", s.at(far), l.host)
		}
	}
	return os.WriteFile(l.known, known.Bytes(), 0o600)
}

func (l *lab) start() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{port: listener.Addr().(*net.TCPAddr).Port}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	file := filepath.Join(l.dir, fmt.Sprintf("sshd_config.%d", s.port))
	config := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %s/host_key
AuthorizedKeysFile %s.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200
Subsystem sftp internal-sftp
LogLevel FATAL
`, s.port, l.dir, l.key)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", file)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			// Its greeting, so that it does not complain about one who left without a word.
			_, readErr := conn.Read(make([]byte, 256))
			if err := errors.Join(readErr, conn.Close()); err != nil {
				return nil, err
			}
			break
		}
		if try == 500 {
			return nil, fmt.Errorf("sshd does not answer: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.proxy, err = delay.New(fmt.Sprintf("127.0.0.1:%d", s.port), delay.Options{RTT: distance})
	return s, err
}

func (l *lab) close() error {
	var errs []error
	var all sync.WaitGroup
	for _, s := range l.servers {
		all.Go(func() {
			if s.proxy != nil {
				_ = s.proxy.Close() //nolint:errcheck // its connections may have ended already
			}
			_ = s.cmd.Process.Kill() //nolint:errcheck // the same
			_ = s.cmd.Wait()         //nolint:errcheck // it was killed
		})
	}
	all.Wait()
	if l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// folder makes an empty folder for one measurement.
func (l *lab) folder(name string) (string, error) {
	dir := filepath.Join(l.dir, name)
	return dir, errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
}

// ssh is the options that all of OpenSSH's programs get.
func (l *lab) ssh(extra ...string) []string {
	return append([]string{"-F", "none", "-i", l.key, "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + l.known, "-o", "BatchMode=yes"}, extra...)
}

func run(ctx context.Context, argv ...string) error {
	return command(exec.CommandContext(ctx, argv[0], argv[1:]...))
}

// command runs one that has to succeed; what it said is told if not.
func command(cmd *exec.Cmd) error {
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.Bytes())
	}
	return nil
}

// contender is one program in a loop.
type contender struct {
	name  string
	times int // turns in each round; 0: 1. Short ones take more
	setup func() error
	run   func() error
	took  []time.Duration // one for each round: the median of its turns
}

// compete lets the programs take turns, reps rounds long.
func compete(reps int, all []*contender) error {
	for range reps {
		for _, c := range all {
			var took []time.Duration
			for range max(1, c.times) {
				if c.setup != nil {
					if err := c.setup(); err != nil {
						return fmt.Errorf("%s: set up: %w", c.name, err)
					}
				}
				start := time.Now()
				if err := c.run(); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				took = append(took, time.Since(start))
			}
			c.took = append(c.took, median(took))
		}
	}
	return nil
}

// ratio is how many times longer a took than b, round by round.
func ratio(a, b *contender) float64 {
	var all []float64
	for i := range a.took {
		all = append(all, float64(a.took[i])/float64(b.took[i]))
	}
	return median(all)
}
