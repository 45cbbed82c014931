package hosttest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/ssh"
)

// enter makes the machine: an overlay over this one's own tree, of which nothing reaches back, and in it
// an sshd. $1 is a folder for it, $2 the folder with sshd's files, $3 its port.
const enter = `
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount --rbind /dev root/dev
mount -t proc proc root/proc
mount --rbind /sys root/sys
mount -t tmpfs -o mode=0755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mount -t tmpfs -o mode=0700 tmpfs root/root
mkdir root/run/sshd root/run/test
cp "$2"/* root/run/test
rm -rf root/etc/apt/sources.list root/etc/apt/sources.list.d root/etc/apt/apt.conf.d/*proxy* root/var/lib/apt/lists
mkdir root/etc/apt/sources.list.d root/var/lib/apt/lists
printf '#!/bin/sh\nexit 101\n' > root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot root /usr/sbin/sshd -D -e -f /run/test/sshd_config
`

// Start starts a machine that ends with the test. Where it can't be, the test is skipped, but fails if
// CI=true.
func Start(t testing.TB) Machine {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "a tree of its own needs root")
	}
	for _, program := range []string{"/usr/sbin/sshd", "/usr/bin/unshare", "/usr/bin/ssh-keygen", "/usr/bin/dpkg-deb"} {
		if _, err := os.Stat(program); err != nil {
			missing(t, "there is no "+program+" here: run scripts/test-deps")
		}
	}
	dir, err := os.MkdirTemp("", "phx-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	files, root := filepath.Join(dir, "files"), filepath.Join(dir, "tree")
	for _, d := range []string{files, root} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"host_key", "id"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(files, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	hostKey, err := os.ReadFile(filepath.Join(files, "host_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey /run/test/host_key
AuthorizedKeysFile /run/test/id.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
`, port)
	if err := os.WriteFile(filepath.Join(files, "sshd_config"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	log := &buffer{}
	cmd := exec.Command("unshare", "-muip", "--fork", "--kill-child", "sh", "-ec", enter, "sh", root, files)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	options := ssh.Options{Host: "127.0.0.1", Port: port, User: "root", KeyFile: filepath.Join(files, "id"),
		HostKeys: []string{strings.TrimSpace(string(hostKey))}, ConfigFile: "none", ConnectTimeout: time.Minute}
	m := Machine{Dial: func(ctx context.Context, planning bool) (remote.Conn, error) {
		o := options
		o.ReadOnly = planning
		return ssh.Dial(ctx, o)
	}}
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			missing(t, fmt.Sprintf("no tree of its own can be made here: %v\n%s", err, log))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the machine's sshd does not answer:\n%s", log)
		}
	}
	m.State = func(t testing.TB) string { return overlaid(t, cmd.Process.Pid, root) }
	return m
}

// overlaid lists what was written since the machine was started.
func overlaid(t testing.TB, pid int, root string) string {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	// What is only a log of who came in, and what the tools cache for themselves, is no change.
	const script = `cd "$1"; find upper root/run root/tmp \( -path root/run/test -o -path upper/var/log -o -name '*.bin' \) -prune -o -printf '%p %y %s %T@ %m %u:%g %l\n' | sort`
	out, err := exec.Command("nsenter", "-t", strings.Fields(string(children))[0], "-m", "sh", "-c", script, "sh", root).CombinedOutput()
	if err != nil {
		t.Fatalf("listing what was written: %v\n%s", err, out)
	}
	return string(out)
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
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

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
