package host

import (
	"context"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/remote/local"
	"phoenix-run/runner/builtin"
)

// Local makes the builtin localhost: the machine that phoenix-run runs on, as a host. It works as the
// user who runs it.
func Local(planning bool) *builtin.Builtin {
	h := New("localhost", func(context.Context) (remote.Conn, error) { return local.New(planning), nil })
	return builtin.Func(builtin.Spec{
		Name: "localhost", Effect: builtin.Pure, Returns: "host",
		Summary: "This machine as a host, with the rights of whoever runs phoenix-run.",
		Example: "localhost().file(\"/tmp/greeting\", content = \"hello\\n\")",
	}, func(*builtin.Call, noArgs) (starlark.Value, error) { return h, nil })
}
