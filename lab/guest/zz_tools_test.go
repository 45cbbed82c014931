package guest_test

import (
	"encoding/json"
	"os"
	"testing"
	"context"
	"time"
	"phoenix-run/lab/machine"
)

func TestZZTools(t *testing.T) {
	b, err := os.ReadFile(os.Getenv("REF2"))
	if err != nil { t.Skip() }
	var cases []struct{ Script, Out, Err string; Code int }
	if err := json.Unmarshal(b, &cases); err != nil { t.Fatal(err) }
	l := newLab(t)
	g := l.boot(131)
	g.MkdirAll("/tmp/sht", 0o777)
	a := g.Agent()
	for _, c := range cases {
		pid, err := a.Exec(context.Background(), []string{"/usr/bin/env", "-i", "-C", "/tmp/sht", "LC_ALL=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-c", "umask 022; cd /tmp/sht; rm -rf w; mkdir w; cd w; " + c.Script}, nil)
		if err != nil { t.Fatal(err) }
		var s machine.ExecStatus
		for i := 0; i < 1000; i++ {
			s, err = a.ExecStatus(context.Background(), pid)
			if err != nil { t.Fatal(err) }
			if s.Exited { break }
			time.Sleep(2*time.Millisecond)
		}
		if !s.Exited { t.Errorf("HANG %s", c.Script); continue }
		lat := func(b []byte) string { r := make([]rune, len(b)); for i, c := range b { r[i] = rune(c) }; return string(r) }
		code := c.Code; if code < 0 { code = 0 }
		if lat(s.Stdout) != c.Out || lat(s.Stderr) != c.Err || s.Code != code {
			t.Errorf("%s\n  got  %q %q %d\n  want %q %q %d", c.Script, s.Stdout, s.Stderr, s.Code, c.Out, c.Err, c.Code)
		}
	}
}
