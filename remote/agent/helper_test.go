package agent_test

import (
	"context"
	"testing"

	"phoenix-run/remote"
	"phoenix-run/remote/agent"
)

type ctx = context.Context

func newConn(t *testing.T, a remote.Agent) remote.Conn {
	c := agent.New(a, "agent of vm 100 on test", false)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
