package portainer

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type prepareArgs struct {
	Backup bool `star:"backup" default:"True" doc:"whether an upgrade begins with a backup"`
}

var serverPrepare = builtin.Method(builtin.Spec{
	Name: "prepare", Effect: builtin.Operation,
	Example: "api = portainer.server(vm)\napi.prepare()",
	Summary: "What comes before the first change, where a server runs already: it signs in, so that a wrong password is told before anything is touched; refuses to go back to an earlier version, whose server could not read the data; and before an upgrade makes a backup through the API, into .phoenix/backups, encrypted with the administrator's password. Where no server runs, it does nothing.",
	Errors: []string{
		"The configuration names an earlier version than the one that runs.",
		"User or password of portainer_api are wrong.",
		"The backup fails: backup = False goes on without one.",
	},
}, func(c *builtin.Call, v *Server, a prepareArgs) (starlark.Value, error) {
	state, err := v.vm.Host(c).ContainerState(c, container)
	if err != nil || !state.Exists() {
		return starlark.None, err
	}
	if running, _ := state.Attrs["running"].(bool); !running {
		if c.Task.Run.Planning() {
			c.Task.Run.View.Missing(server, op.Cause{
				Address: op.Address{Host: v.vm.Config().Name, Kind: "container", ID: container}, Why: "does not run yet"})
		}
		return starlark.None, nil
	}
	client, err := v.client(c)
	if err != nil {
		return nil, err
	}
	now, err := client.Status(c.Context())
	if err != nil { // it is starting, or has locked itself: wait tells
		return starlark.None, c.Context().Err()
	}
	newer, err := v.compare(now.Version)
	if err != nil {
		return nil, err
	}
	there, err := (&administratorOp{v: v, c: c}).Read(c.Context(), c.Task.Run.View)
	if err != nil || !there.Exists() {
		return starlark.None, err
	}
	if err := client.SignIn(c.Context()); err != nil {
		return nil, err
	}
	if newer == "" || !a.Backup {
		return starlark.None, nil
	}
	return c.Do(&backupOp{v: v, c: c, from: now.Version, to: newer})
})

// compare gives the version that the configuration wants, if it is newer than the one that runs, and
// refuses an earlier one. Images with a name for a tag, such as lts, are left to their registry.
func (v *Server) compare(running string) (newer string, err error) {
	image := v.s.options.Config.Hypervisor.Portainer.ServerImage
	want := image[strings.LastIndex(image, ":")+1:]
	order, err := portainer.CompareVersions(want, running)
	if err != nil || order == 0 {
		return "", nil
	}
	if order > 0 {
		return want, nil
	}
	return "", fmt.Errorf("version %s of Portainer runs on %s, and the configuration names the earlier %s (%s): an earlier server can't read the data of a later one. Set portainer.version to %[1]s or a later one; to go back all the same, restore the backup that was made before the upgrade into a new data volume",
		running, v.vm.Config().Name, want, image)
}

// adminKey is where the view keeps whether there is an administrator.
var adminKey = key("administrator", "first")

// adminExists asks once in a run: an administrator that is there stays.
func (v *Server) adminExists(ctx context.Context, c *builtin.Call) (bool, error) {
	return op.Remember(ctx, c.Task.Run.View, adminKey, func(ctx context.Context) (bool, error) {
		client, err := v.client(c)
		if err != nil {
			return false, err
		}
		return client.AdminExists(ctx)
	})
}
