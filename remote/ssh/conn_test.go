package ssh_test

import (
	"testing"

	"go.uber.org/goleak"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/conntest"
	"phoenix-run/remote/internal/sshtest"
	"phoenix-run/remote/ssh"
)

func TestMain(m *testing.M) {
	// The library waits for ever for a channel that was asked for just as the connection ended.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("golang.org/x/crypto/ssh.(*mux).openChannel"))
}

// options reach a test's server: nothing of the operator's own ~/.ssh is looked at.
func options(s *sshtest.Sshd) ssh.Options {
	return ssh.Options{Host: "127.0.0.1", Port: s.Port, KeyFile: s.KeyFile, HostKeys: []string{s.HostKey}, ConfigFile: "none"}
}

func dial(t testing.TB, o ssh.Options) remote.Conn {
	t.Helper()
	c, err := ssh.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return c
}

func TestConn(t *testing.T) {
	s := sshtest.Start(t, sshtest.Config{})
	conntest.Run(t, conntest.Options{Live: true, Parallel: true}, func(t *testing.T, readOnly bool) remote.Conn {
		o := options(s)
		o.ReadOnly = readOnly
		return dial(t, o)
	})
}
