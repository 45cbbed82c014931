package portainer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/proxmox"
	"phoenix-run/config"
	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

type obsoleteArgs struct {
	Remove       bool `star:"remove" default:"False" doc:"remove them, instead of only telling"`
	Environments bool `star:"environments" default:"True" doc:"look at environments too; not where some machines were left out, since one of them may have been renamed"`
}

var serverObsolete = builtin.Method(builtin.Spec{
	Name: "obsolete", Effect: builtin.Operation, Returns: "list of string",
	Example: "print(api.obsolete())",
	Summary: "Stacks and environments that phoenix-run made and the configuration no longer names. With remove they are taken away; volumes stay. What was made by hand is left alone.",
}, func(c *builtin.Call, v *Server, a obsoleteArgs) (starlark.Value, error) {
	if planned, err := v.planned(c); planned || err != nil {
		return value.FromGo([]any{}), err
	}
	all, err := v.inventory(c.Context(), c)
	if err != nil {
		return nil, err
	}
	stacks, err := v.stacks(c.Context(), c)
	if err != nil {
		return nil, err
	}
	names := []any{}
	found := func(o op.Operation, environment, what string) error {
		names = append(names, environment+": "+what)
		if !a.Remove {
			c.Task.Warn(environment, what+" is not in the configuration; --prune removes it")
			return nil
		}
		_, err := c.Task.Do(o)
		return err
	}
	for _, e := range all.environments {
		vm, declared := v.s.options.Config.VM(e.Name)
		if !declared {
			if a.Environments && all.own(e) && !v.s.isRenamed(e.ID) {
				err = errors.Join(err, found(&forgetOp{v: v, c: c, environment: e}, e.Name, "environment "+e.Name))
			}
			continue
		}
		for _, s := range stacks {
			wanted := slices.ContainsFunc(vm.DockerStacks, func(use config.StackUse) bool { return portainer.NormalizeName(use.Name) == s.Name })
			if s.Environment == e.ID && own(s) && !wanted {
				err = errors.Join(err, found(&removeOp{v: v, c: c, environment: e.Name, stack: s}, e.Name, "stack "+s.Name))
			}
		}
	}
	return value.FromGo(names), err
})

type removeStackArgs struct {
	Name  string         `star:"name" doc:"the stack's name"`
	VM    starlark.Value `star:"vm" doc:"the machine that it runs on"`
	Adopt bool           `star:"adopt" default:"False" doc:"also one that was made by hand"`
}

var serverRemoveStack = builtin.Method(builtin.Spec{
	Name: "remove_stack", Effect: builtin.Operation, Returns: "result",
	Summary: "Takes a stack down, and removes its files from the machine; its volumes stay. One that is not there is no error.",
	Errors:  []string{"It was made by hand: adopt = True removes it all the same."},
	Example: "api.remove_stack(\"qdrant_service\", vm)",
}, func(c *builtin.Call, v *Server, a removeStackArgs) (starlark.Value, error) {
	vm, ok := a.VM.(*proxmox.VM)
	if !ok {
		return nil, fmt.Errorf("remove_stack: vm: got %s, want a machine", a.VM.Type())
	}
	v.s.remember(vm)
	o := &removeOp{v: v, c: c, environment: vm.Config().Name, stack: portainer.Stack{Name: portainer.NormalizeName(a.Name)}}
	if planned, err := v.planned(c); planned || err != nil {
		return starlark.None, err
	}
	e, _, ok, err := v.environment(c.Context(), c, o.environment)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s is no environment of Portainer, so it has no stacks there", o.environment)
	}
	stacks, err := v.stacks(c.Context(), c)
	if err != nil {
		return nil, err
	}
	for _, s := range stacks {
		if s.Environment != e.ID || s.Name != o.stack.Name {
			continue
		}
		if !own(s) && !a.Adopt {
			return nil, fmt.Errorf("the stack %s on %s was made by hand, not by phoenix-run; --adopt removes it all the same", s.Name, e.Name)
		}
		o.stack = s
	}
	return c.Do(o)
})

// removeOp takes a stack down.
type removeOp struct {
	v           *Server
	c           *builtin.Call
	environment string
	stack       portainer.Stack // ID 0: it is not there
}

func (o *removeOp) Address() op.Address {
	return op.Address{Host: o.environment, Kind: "stack", ID: o.stack.Name}
}

func (o *removeOp) key() op.Key { return key("stack", o.environment+" "+o.stack.Name) }

func (o *removeOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		list, err := o.v.stacks(ctx, o.c)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if s.ID == o.stack.ID {
				return op.Attrs{"name": s.Name, "variables": len(s.Env), "environment": o.environment}, nil
			}
		}
		return nil, nil
	})
}

func (o *removeOp) Diff(current op.State) (op.Change, error) { return op.Removal(current), nil }

func (o *removeOp) Predict(v *op.View, change op.Change) {
	v.Put(o.key(), change)
	v.Put(containersKey(o.environment, o.stack.Name), change)
}

func (o *removeOp) Apply(ctx context.Context, _ op.Change) error {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	if err := client.DeleteStack(ctx, o.stack); err != nil {
		return err
	}
	return keeper{machine: o.v.s.machine(o.c, o.environment), stack: declaredName(o.stack)}.remove(ctx)
}

// declaredName gives a stack's name as the configuration wrote it when it was deployed.
func declaredName(s portainer.Stack) string {
	for _, v := range s.Env {
		if v.Name != ownVariable {
			continue
		}
		if text, ok := portainer.DecodeValue(v.Value); ok {
			name, _, _ := strings.Cut(text, "/")
			if portainer.NormalizeName(name) == s.Name {
				return name
			}
		}
	}
	return s.Name
}

// forgetOp takes phoenix-run's stacks in an environment down and then forgets the environment. One that
// does not answer any more, for its machine is gone, is forgotten first: only then the server lets go of
// its stacks.
type forgetOp struct {
	v           *Server
	c           *builtin.Call
	environment portainer.Environment
}

func (o *forgetOp) Address() op.Address {
	return op.Address{Host: o.environment.Name, Kind: "environment", ID: o.environment.Name}
}

func (o *forgetOp) key() op.Key { return key("environment", o.environment.Name) }

// stacks lists those of the environment, and whether one of them was made by hand.
func (o *forgetOp) stacks(ctx context.Context) (mine []portainer.Stack, foreign bool, err error) {
	list, err := o.v.stacks(ctx, o.c)
	for _, s := range list {
		switch {
		case s.Environment != o.environment.ID:
		case own(s):
			mine = append(mine, s)
		default:
			foreign = true
		}
	}
	return mine, foreign, err
}

func (o *forgetOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		e, _, ok, err := o.v.environment(ctx, o.c, o.environment.Name)
		if err != nil || !ok {
			return nil, err
		}
		mine, _, err := o.stacks(ctx)
		if err != nil {
			return nil, err
		}
		names := []string{}
		for _, s := range mine {
			names = append(names, s.Name)
		}
		slices.Sort(names)
		return op.Attrs{"url": e.URL, "stacks": names}, nil
	})
}

func (o *forgetOp) Diff(current op.State) (op.Change, error) {
	change := op.Removal(current)
	if names, _ := current.Attrs["stacks"].([]any); len(names) > 0 {
		change.Note = fmt.Sprintf("with its stacks %v; their volumes stay", names)
	}
	return change, nil
}

func (o *forgetOp) Predict(v *op.View, change op.Change) {
	v.Put(o.key(), change)
	v.Put(key("stack", o.environment.Name+" "), change)
}

func (o *forgetOp) Apply(ctx context.Context, _ op.Change) error {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	mine, foreign, err := o.stacks(ctx)
	if err != nil {
		return err
	}
	if foreign {
		return fmt.Errorf("it has stacks that were made by hand; remove them, or the environment, in Portainer")
	}
	alive := client.Ping(ctx, o.environment.ID) == nil
	if !alive {
		if err := client.DeleteEnvironment(ctx, o.environment.ID); err != nil {
			return err
		}
	}
	for _, s := range mine {
		if err := client.DeleteStack(ctx, s); err != nil {
			return err
		}
	}
	if alive {
		return client.DeleteEnvironment(ctx, o.environment.ID)
	}
	return nil
}
