package portainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/proxmox"
	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

// Server is a Portainer server as playbooks see it.
type Server struct {
	s  *Session
	vm *proxmox.VM
}

func (v *Server) String() string        { return "portainer_server(" + v.vm.Config().Name + ")" }
func (v *Server) Type() string          { return "portainer_server" }
func (v *Server) Freeze()               {}
func (v *Server) Truth() starlark.Bool  { return true }
func (v *Server) Hash() (uint32, error) { return v.vm.Hash() }

// Attr gives a method.
func (v *Server) Attr(name string) (starlark.Value, error) { return ServerType.Attr(v, name), nil }

// AttrNames lists the methods.
func (v *Server) AttrNames() []string { return ServerType.AttrNames() }

// ServerType declares the methods of portainer_server objects.
var ServerType = builtin.NewType("portainer_server", "A Portainer server.", nil,
	serverPrepare, serverWait, serverAdministrator, serverEnvironment, serverStack, serverExpect, serverObsolete,
	serverRemoveStack, serverStatus)

// client connects to the server.
func (v *Server) client(c *builtin.Call) (*portainer.Client, error) {
	if known := v.s.connected(); known != nil {
		return known, nil
	}
	address, known, err := v.vm.Address(c)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("the address of %s is known only after apply", v.vm.Config().Name)
	}
	return v.s.connect(c, v.vm.Host(c), address)
}

// container is the name that feature portainer_server gives the server's container.
const container = "portainer"

// planned finds out whether the server is only planned: on a machine or in a container that an earlier
// step makes. Then nothing can be read from it, and the view is told so.
func (v *Server) planned(c *builtin.Call) (bool, error) {
	view := c.Task.Run.View
	if _, missing := view.IsMissing(server); missing {
		return true, nil
	}
	if !c.Task.Run.Planning() {
		return false, nil
	}
	name := v.vm.Config().Name
	cause, missing := view.IsMissing(name)
	if !missing && view.Fresh(v.vm.Host(c).ContainerKey(container)) {
		cause, missing = op.Cause{Address: op.Address{Host: name, Kind: "container", ID: container}, Why: "is a new server"}, true
	}
	if missing {
		view.Missing(server, cause)
	}
	return missing, nil
}

type waitArgs struct {
	Timeout time.Duration `star:"timeout" default:"180" doc:"how long to wait"`
}

var serverWait = builtin.Method(builtin.Spec{
	Name: "wait", Effect: builtin.Operation,
	Summary: "Waits until the server's API answers. A server that has locked itself, since it got no administrator within five minutes, is restarted once.",
	Example: "api.wait(timeout = \"5m\")",
	Errors:  []string{"It does not answer in time.", "Its certificate is not the one on the machine."},
}, func(c *builtin.Call, v *Server, a waitArgs) (starlark.Value, error) {
	if planned, err := v.planned(c); planned || err != nil {
		return starlark.None, err
	}
	locked := false
	err := v.await(c, a.Timeout, &locked)
	if err != nil || !locked {
		return starlark.None, err
	}
	if _, err := c.Task.Do(&restartOp{v: v, c: c}); err != nil || c.Task.Run.Planning() {
		return starlark.None, err
	}
	if err := v.await(c, a.Timeout, &locked); err != nil || !locked {
		return starlark.None, err
	}
	return nil, errors.New("the server has locked itself again right after its restart: is the clock of its machine right?")
})

// await waits for the server, and tells of one that has locked itself.
func (v *Server) await(c *builtin.Call, timeout time.Duration, locked *bool) error {
	addr := op.Address{Host: v.vm.Config().Name, Kind: "portainer", ID: "api"}
	return c.Task.Wait(addr, "waiting for Portainer", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %s", timeout))
		defer cancel()
		client, err := v.client(c)
		if err != nil {
			return err
		}
		_, err = client.Wait(ctx)
		if *locked = portainer.IsInitTimeout(err); *locked {
			return nil
		}
		return err
	})
}

// restartOp restarts a server that has locked itself: nothing else opens it again.
type restartOp struct {
	v    *Server
	c    *builtin.Call
	done bool
}

func (o *restartOp) Address() op.Address {
	return op.Address{Host: o.v.vm.Config().Name, Kind: "restart", ID: container}
}

func (o *restartOp) Read(context.Context, *op.View) (op.State, error) {
	return op.State{Attrs: op.Attrs{"locked": !o.done}}, nil
}

func (o *restartOp) Diff(current op.State) (op.Change, error) {
	change := op.Compare(current, op.Attrs{"locked": false})
	change.Note = "it got no administrator within five minutes, and locked itself"
	return change, nil
}

// Predict: what a server that has locked itself holds, nobody can ask it.
func (o *restartOp) Predict(v *op.View, _ op.Change) {
	v.Missing(server, op.Cause{Address: o.Address(), Why: "opens a server that has locked itself"})
}

func (o *restartOp) Apply(ctx context.Context, _ op.Change) error {
	err := o.v.vm.Host(o.c).RestartContainer(ctx, container)
	o.done = err == nil
	return err
}

var serverAdministrator = builtin.Method(builtin.Spec{
	Name: "administrator", Effect: builtin.Operation, Returns: "result",
	Summary: "The first administrator, with name and password of portainer_api. One that is there is left alone.",
	Example: "api.administrator()",
	Errors:  []string{"The password is too short: Portainer wants at least 12 characters."},
}, func(c *builtin.Call, v *Server, _ none) (starlark.Value, error) {
	if _, err := v.planned(c); err != nil {
		return nil, err
	}
	return c.Do(&administratorOp{v: v, c: c})
})

type administratorOp struct {
	v *Server
	c *builtin.Call
}

func (o *administratorOp) user() string { return o.v.s.options.Config.Hypervisor.PortainerAPI.User }

func (o *administratorOp) Address() op.Address {
	return op.Address{Host: o.v.vm.Config().Name, Kind: "administrator", ID: o.user()}
}

func (o *administratorOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, adminKey, func(ctx context.Context) (op.Attrs, error) {
		there, err := o.v.adminExists(ctx, o.c)
		if err != nil || !there {
			return nil, err
		}
		return op.Attrs{"exists": true}, nil
	})
}

func (o *administratorOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"exists": true}), nil
}

func (o *administratorOp) Predict(v *op.View, change op.Change) {
	v.Put(adminKey, change)
	if _, missing := v.IsMissing(server); !missing { // nobody can sign in before
		v.Missing(server, op.Cause{Address: o.Address(), Why: "is a new server's first administrator"})
	}
}

func (o *administratorOp) Apply(ctx context.Context, _ op.Change) error {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	return client.InitAdmin(ctx)
}
