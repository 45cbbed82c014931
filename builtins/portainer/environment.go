package portainer

import (
	"context"
	"fmt"
	"slices"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/proxmox"
	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

type environmentArgs struct {
	VM starlark.Value `star:"vm" doc:"the machine whose Docker Engine it is"`
}

var serverEnvironment = builtin.Method(builtin.Spec{
	Name: "environment", Effect: builtin.Operation,
	Summary: "A machine's Docker Engine, registered under the machine's name and with its tags: through the socket on the server's own machine, through the agent on others. A changed address is brought up to date.",
	Example: "environment = api.environment(vm)",
	Returns: "struct with name, vm and changed, for stack",
	Errors:  []string{"The agent does not answer, or belongs to another server."},
}, func(c *builtin.Call, v *Server, a environmentArgs) (starlark.Value, error) {
	if err := value.Decided(a.VM); err != nil {
		return nil, err
	}
	vm, ok := a.VM.(*proxmox.VM)
	if !ok {
		return nil, fmt.Errorf("environment: vm: got %s, want a machine", a.VM.Type())
	}
	if _, err := v.planned(c); err != nil {
		return nil, err
	}
	o := &environmentOp{v: v, c: c, name: vm.Config().Name, tags: vm.Config().Tags, kind: portainer.DockerAgent}
	if vm.Config().ID == v.vm.Config().ID {
		o.kind, o.url = portainer.LocalDocker, "unix:///var/run/docker.sock"
	} else {
		address, known, err := vm.Address(c)
		if err != nil {
			return nil, err
		}
		o.url = op.Unknown{From: op.Address{Host: o.name, Kind: "vm", ID: fmt.Sprint(vm.Config().ID)}, Attr: "address"}
		if known {
			o.url = "tcp://" + bracket(address) + ":9001"
		}
	}
	out, err := c.Task.Do(o)
	if err != nil {
		return nil, err
	}
	return builtin.Result(out, map[string]any{"name": o.name}), nil
})

// environmentOp registers a machine's Docker Engine.
type environmentOp struct {
	v    *Server
	c    *builtin.Call
	name string
	url  any // string or op.Unknown
	kind portainer.Kind
	tags []string
}

func (o *environmentOp) Address() op.Address {
	return op.Address{Host: o.name, Kind: "environment", ID: o.name}
}

// listKey is where all environments and tags are remembered until one changes.
var listKey = key("environment", "")

type inventory struct {
	environments []portainer.Environment
	tags         map[string]int
}

func (v *Server) inventory(ctx context.Context, c *builtin.Call) (inventory, error) {
	return op.Remember(ctx, c.Task.Run.View, listKey, func(ctx context.Context) (inventory, error) {
		client, err := v.client(c)
		if err != nil {
			return inventory{}, err
		}
		environments, err := client.Environments(ctx)
		if err != nil {
			return inventory{}, err
		}
		tags, err := client.Tags(ctx)
		return inventory{environments, tags}, err
	})
}

// environment finds a registered environment by its name.
func (v *Server) environment(ctx context.Context, c *builtin.Call, name string) (portainer.Environment, inventory, bool, error) {
	all, err := v.inventory(ctx, c)
	if err != nil {
		return portainer.Environment{}, all, false, err
	}
	i := slices.IndexFunc(all.environments, func(e portainer.Environment) bool { return e.Name == name })
	if i < 0 {
		return portainer.Environment{}, all, false, nil
	}
	return all.environments[i], all, true, nil
}

func (o *environmentOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, key("environment", o.name), func(ctx context.Context) (op.Attrs, error) {
		e, all, ok, err := o.v.environment(ctx, o.c, o.name)
		if err != nil || !ok {
			return nil, err
		}
		var tags []string
		for name, id := range all.tags {
			if slices.Contains(e.TagIDs, id) {
				tags = append(tags, name)
			}
		}
		slices.Sort(tags)
		return op.Attrs{"url": e.URL, "tags": tags}, nil
	})
}

func (o *environmentOp) Diff(current op.State) (op.Change, error) {
	tags := slices.Clone(o.tags)
	slices.Sort(tags)
	return op.Compare(current, op.Attrs{"url": o.url, "tags": slices.Compact(tags)}), nil
}

func (o *environmentOp) Predict(v *op.View, change op.Change) {
	v.Put(key("environment", o.name), change)
}

func (o *environmentOp) Apply(ctx context.Context, change op.Change) error {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	ids, err := client.EnsureTags(ctx, o.tags)
	if err != nil {
		return err
	}
	e := portainer.Environment{Name: o.name, URL: fmt.Sprint(o.url), Kind: o.kind, TagIDs: ids}
	if change.Action == op.Create {
		_, err = client.CreateEnvironment(ctx, e)
		return err
	}
	known, _, ok, err := o.v.environment(ctx, o.c, o.name)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("environment %s has gone since it was read", o.name)
	}
	return client.UpdateEnvironment(ctx, known.ID, e)
}
