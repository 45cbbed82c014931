package portainer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/proxmox"
	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

type environmentArgs struct {
	VM        starlark.Value `star:"vm" doc:"the machine whose Docker Engine it is"`
	Restarted starlark.Value `star:"restarted" default:"False" doc:"whether its agent was just started anew: then it is waited for"`
}

// ownTag marks the environments that phoenix-run made: only those are ever removed.
const ownTag = "phoenix-run"

var serverEnvironment = builtin.Method(builtin.Spec{
	Name: "environment", Effect: builtin.Operation,
	Summary: "A machine's Docker Engine, registered under the machine's name and with its tags, and the tag phoenix-run: through the socket on the server's own machine, through the agent on others. A changed address is brought up to date, and so is the name of a machine that was renamed. An agent that is paired with another server is restarted once.",
	Example: "environment = api.environment(vm)",
	Returns: "struct with name and changed, for stack",
	Errors:  []string{"The agent does not answer, or its AGENT_SECRET is another one."},
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
	v.s.remember(vm)
	o := &environmentOp{v: v, c: c, name: vm.Config().Name, tags: append(slices.Clone(vm.Config().Tags), ownTag), kind: portainer.DockerAgent}
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
	if restarted, ok := a.Restarted.(starlark.Bool); ok && bool(restarted) && out.Change.Action == op.None && !c.Task.Run.Planning() {
		if err := o.awaitAgent(); err != nil {
			return nil, err
		}
	}
	return builtin.Result(out, map[string]any{"name": o.name}), nil
})

// agentPatience is how long an agent that was just started may take until it answers.
const agentPatience = time.Minute

// awaitAgent waits until Docker answers through the agent.
func (o *environmentOp) awaitAgent() error {
	return o.c.Task.Wait(o.Address(), "waiting for the agent", func(ctx context.Context) error {
		client, err := o.v.client(o.c)
		if err != nil {
			return err
		}
		e, _, _, err := o.v.environment(ctx, o.c, o.name)
		if err != nil {
			return err
		}
		return o.patiently(ctx, func() error { return client.Ping(ctx, e.ID) })
	})
}

// patiently tries again while an agent does not answer, for it may just have been started. One that
// refuses the server is restarted, once: without AGENT_SECRET it belongs to whoever asked it first.
func (o *environmentOp) patiently(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(agentPatience)
	paired := false
	for wait := 100 * time.Millisecond; ; wait = min(wait*2, 2*time.Second) {
		err := try()
		switch {
		case err == nil || ctx.Err() != nil || time.Now().After(deadline):
			return err
		case portainer.IsPaired(err) && !paired && o.kind == portainer.DockerAgent && o.v.s.machine(o.c, o.name) != nil:
			paired = true
			o.c.Task.Warn(o.name, "the agent refuses this server; restarting it once, for it may be paired with another one")
			if restartErr := o.v.s.machine(o.c, o.name).RestartContainer(ctx, agentContainer); restartErr != nil {
				return errors.Join(err, restartErr)
			}
		case !portainer.IsUnreachable(err):
			return err
		}
		o.c.Task.Progress(o.name, "waiting for the agent: "+err.Error())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// agentContainer is the name that feature portainer_agent gives the agent's container.
const agentContainer = "portainer_agent"

// environmentOp registers a machine's Docker Engine.
type environmentOp struct {
	v    *Server
	c    *builtin.Call
	name string
	url  any // string or op.Unknown
	kind portainer.Kind
	tags []string
}

// IsLandmark has the recap name the environment.
func (o *environmentOp) IsLandmark() {}

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
	if i < 0 { // as long as a rename is only planned, it goes by the old name
		id := v.s.renamedTo(name)
		i = slices.IndexFunc(all.environments, func(e portainer.Environment) bool { return e.ID == id })
	}
	if i < 0 {
		return portainer.Environment{}, all, false, nil
	}
	return all.environments[i], all, true, nil
}

// own reports whether phoenix-run made an environment.
func (i inventory) own(e portainer.Environment) bool {
	return slices.Contains(e.TagIDs, i.tags[ownTag])
}

// registered finds the machine's environment: by its name, or else one of phoenix-run's at the same
// address, under the name of a machine that the configuration no longer has: it was renamed.
func (o *environmentOp) registered(ctx context.Context) (portainer.Environment, inventory, bool, error) {
	e, all, ok, err := o.v.environment(ctx, o.c, o.name)
	if err != nil || ok {
		return e, all, ok, err
	}
	for _, e := range all.environments {
		if _, declared := o.v.s.options.Config.VM(e.Name); e.URL == o.url && all.own(e) && !declared {
			o.v.s.rename(e.ID, o.name)
			return e, all, true, nil
		}
	}
	return portainer.Environment{}, all, false, nil
}

func (o *environmentOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, key("environment", o.name), func(ctx context.Context) (op.Attrs, error) {
		e, all, ok, err := o.registered(ctx)
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
		return op.Attrs{"name": e.Name, "url": e.URL, "tags": tags}, nil
	})
}

func (o *environmentOp) Diff(current op.State) (op.Change, error) {
	tags := slices.Clone(o.tags)
	slices.Sort(tags)
	return op.Compare(current, op.Attrs{"name": o.name, "url": o.url, "tags": slices.Compact(tags)}), nil
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
	return o.patiently(ctx, func() error {
		// Asked anew each time: a try that failed may have left something behind.
		known, _, ok, err := o.registered(ctx)
		switch {
		case err != nil:
			return err
		case ok:
			err = client.UpdateEnvironment(ctx, known.ID, e)
		default:
			_, err = client.CreateEnvironment(ctx, e)
		}
		if err != nil {
			o.Predict(o.c.Task.Run.View, change)
		}
		return err
	})
}
