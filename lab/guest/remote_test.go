package guest_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"phoenix-run/remote"
	remotessh "phoenix-run/remote/ssh"
	"phoenix-run/secret"
)

// TestRealClient runs the product's own SSH transport, with its persistent shells, on a guest.
func TestRealClient(t *testing.T) {
	l := newLab(t)
	g := l.boot(110)
	block, err := ssh.MarshalPrivateKey(l.private, "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := remotessh.Dial(t.Context(), remotessh.Options{Host: g.Address(), Port: l.port, User: "root", ConfigFile: "none",
		KeyData: secret.New(string(pem.EncodeToMemory(block))), HostKeyPolicy: remotessh.AcceptNewHostKey,
		KnownHostsFile: filepath.Join(t.TempDir(), "known_hosts")})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	long := strings.Repeat("long \n", 3000)
	for _, tt := range []struct {
		script, stdin, out string
		code               int
	}{
		{script: "echo hello", out: "hello\n"},
		{script: ""},
		{script: "exit 7", code: 7},
		{script: "echo before\nif", code: 2},
		{script: "set -e\nfalse\necho not here", code: 1},
		{script: "cat", stdin: "some\ntext", out: "some\ntext"},
		{script: "cat; echo end", out: "end\n"},
		{script: "echo ok", stdin: strings.Repeat("x", 200_000), out: "ok\n"},
		{script: "read -r a; echo \"$a\"", stdin: "one\ntwo", out: "one\n"},
		{script: "printf '%s' '" + long + "'", out: long},
		{script: "cat <<E\nlast\nE", out: "last\n"},
		{script: "sh -c 'kill -9 $$'", code: 137},
		{script: "cd /tmp; umask 000; LEAK=1; export LEAK; trap 'printf trapped' EXIT", out: "trapped"},
		{script: "pwd; umask; echo \"[$LEAK]\"", out: "/\n0022\n[]\n"},
		{script: "printf '%s' \"it's \\\"$((1+1))\\\" \\$HOME\"", out: "it's \"2\" $HOME"},
	} {
		r, err := conn.Run(t.Context(), remote.Command{Script: tt.script, Stdin: []byte(tt.stdin), Timeout: 10 * time.Second})
		if err != nil {
			t.Fatalf("%.60q: %v", tt.script, err)
		}
		if tt.code != 2 && string(r.Stdout) != tt.out || r.Code != tt.code {
			t.Errorf("%.60q: got %d, %.80q, %.200q; want %d, %.80q", tt.script, r.Code, r.Stdout, r.Stderr, tt.code, tt.out)
		}
	}
	for _, size := range []int{3, 100_000, 700_000} {
		content := bytes.Repeat([]byte("a\x00b"), size/3)
		err := conn.Upload(t.Context(), remote.Upload{Path: "/etc/app.conf", Content: bytes.NewReader(content), Size: int64(len(content)), Mode: 0o640, Owner: "root", Group: "adm",
			Validate: "test -s %s"})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		var back bytes.Buffer
		if err := conn.Download(t.Context(), "/etc/app.conf", &back); err != nil || !bytes.Equal(back.Bytes(), content) {
			t.Fatalf("%d bytes: %d came back, %v", size, back.Len(), err)
		}
	}
	var refused *remote.FileError
	if err := conn.Upload(t.Context(), remote.Upload{Path: "/etc/app.conf", Content: strings.NewReader("x"), Size: 1, Validate: "false %s"}); !errors.As(err, &refused) {
		t.Errorf("content that is not valid: %v", err)
	}
	if _, err := conn.Run(t.Context(), remote.Command{Script: "sleep 30", Timeout: 200 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "200ms") {
		t.Errorf("a timeout: %v", err)
	}
	changed := map[bool]int{}
	for _, e := range l.entries() {
		changed[e.Changed]++
		if e.Changed && !strings.Contains(fmt.Sprint(e.Path), "app.conf") && !strings.Contains(e.Path, ".phx-") {
			t.Errorf("said to have changed something: %+.300v", e)
		}
	}
	if changed[true] < 3 {
		t.Errorf("uploads are not in the log as changes: %v", changed)
	}
}
