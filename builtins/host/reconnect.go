package host

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
)

var reconnect = builtin.Method(builtin.Spec{
	Name: "reconnect", Effect: builtin.Reads,
	Summary: "Logs in once more, beside the connection that is there, which stays: whoever changes how one logs in finds out whether one still can, while it can be taken back. A dry run does nothing.",
	Errors:  []string{"No login is possible: why not."},
	Example: "answer = attempt(host.reconnect)\nif not answer.ok:\n    print(answer.error)",
}, func(c *builtin.Call, h *Host, _ noArgs) (starlark.Value, error) {
	if c.Task.Run.Planning() {
		return nil, nil
	}
	return nil, c.Task.Wait(h.address("reconnect", "login"), "logging in once more", func(ctx context.Context) error {
		conn, err := h.dial(ctx)
		if err != nil {
			return fmt.Errorf("connecting to %s: %w", h.name, err)
		}
		r, err := conn.Run(ctx, remote.Command{Script: ":", ReadOnly: true})
		if err == nil && r.Code != 0 {
			err = &remote.ExitError{What: "the first command", Result: r}
		}
		return errors.Join(err, conn.Close())
	})
})
