package local_test

import (
	"testing"

	"go.uber.org/goleak"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/conntest"
	"phoenix-run/remote/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConn(t *testing.T) {
	conntest.Run(t, conntest.Options{Live: true, Parallel: true}, func(t *testing.T, readOnly bool) remote.Conn {
		c := local.New(readOnly)
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	})
}
