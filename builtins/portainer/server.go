package portainer

import (
	"context"
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
	serverWait, serverAdministrator, serverEnvironment, serverStack, serverExpect, serverObsolete)

// client connects to the server.
func (v *Server) client(c *builtin.Call) (*portainer.Client, error) {
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
	Name: "wait", Effect: builtin.Reads,
	Summary: "Waits until the server's API answers. A server that has locked itself, since it got no administrator within five minutes, is restarted once.",
	Example: "api.wait(timeout = \"5m\")",
	Errors:  []string{"It does not answer in time.", "Its certificate is not the one on the machine."},
}, func(c *builtin.Call, v *Server, a waitArgs) (starlark.Value, error) {
	if planned, err := v.planned(c); planned || err != nil {
		return starlark.None, err
	}
	addr := op.Address{Host: v.vm.Config().Name, Kind: "portainer", ID: "api"}
	return starlark.None, c.Task.Wait(addr, "waiting for Portainer", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, a.Timeout, fmt.Errorf("not within %s", a.Timeout))
		defer cancel()
		client, err := v.client(c)
		if err != nil {
			return err
		}
		_, err = client.Wait(ctx)
		return err
	})
})

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
	return v.Read(ctx, key("administrator", "first"), func(ctx context.Context) (op.Attrs, error) {
		client, err := o.v.client(o.c)
		if err != nil {
			return nil, err
		}
		there, err := client.AdminExists(ctx)
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
	v.Put(key("administrator", "first"), change)
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
