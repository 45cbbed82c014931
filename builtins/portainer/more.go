package portainer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/proxmox"
	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

type expectArgs struct {
	VM    starlark.Value `star:"vm" doc:"the machine"`
	Check map[string]any `star:"check" doc:"port, and optionally path and status, as the configuration's expect has them"`
}

var serverExpect = builtin.Method(builtin.Spec{
	Name: "expect", Effect: builtin.Reads,
	Summary: "Waits until a published port of a machine answers: a connection, or the HTTP status of a path. A dry run does not ask.",
	Example: "api.expect(proxmox.find(1001), {\"port\": 9443})",
	Errors:  []string{"It does not answer within a minute: what came instead."},
}, func(c *builtin.Call, _ *Server, a expectArgs) (starlark.Value, error) {
	vm, ok := a.VM.(*proxmox.VM)
	if !ok {
		return nil, fmt.Errorf("expect: vm: got %s, want a machine", a.VM.Type())
	}
	if c.Task.Run.Planning() {
		return starlark.None, nil
	}
	ip, _, err := vm.Address(c)
	if err != nil {
		return nil, err
	}
	port, _ := a.Check["port"].(int64)
	path, _ := a.Check["path"].(string)
	status, _ := a.Check["status"].(int64)
	address := net.JoinHostPort(ip, strconv.FormatInt(port, 10))
	addr := op.Address{Host: vm.Config().Name, Kind: "expect", ID: fmt.Sprintf("%d%s", port, path)}
	return starlark.None, c.Task.Wait(addr, "waiting for "+address+path, func(ctx context.Context) error {
		deadline := time.Now().Add(time.Minute)
		for {
			err := answers(ctx, address, path, int(status))
			if err == nil || time.Now().After(deadline) {
				return err
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
})

func answers(ctx context.Context, address, path string, status int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if path == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if status == 0 {
		status = http.StatusOK
	}
	if resp.StatusCode != status {
		return fmt.Errorf("http://%s%s answers %s, not %d", address, path, resp.Status, status)
	}
	return nil
}

type obsoleteArgs struct {
	Remove bool `star:"remove" default:"False" doc:"remove them, instead of only telling"`
}

var serverObsolete = builtin.Method(builtin.Spec{
	Name: "obsolete", Effect: builtin.Operation, Returns: "list of string",
	Summary: "Stacks that run in the configuration's environments although it does not name them. With remove they are taken down; their volumes stay.",
	Example: "print(api.obsolete())",
}, func(c *builtin.Call, v *Server, a obsoleteArgs) (starlark.Value, error) {
	if planned, err := v.planned(c); planned || err != nil {
		return value.FromGo([]any{}), err
	}
	client, err := v.client(c)
	if err != nil {
		return nil, err
	}
	all, err := v.inventory(c.Context(), c)
	if err != nil {
		return nil, err
	}
	stacks, err := op.Remember(c.Context(), c.Task.Run.View, key("stack", ""), func(ctx context.Context) ([]portainer.Stack, error) {
		return client.Stacks(ctx)
	})
	if err != nil {
		return nil, err
	}
	names := []any{}
	for _, s := range stacks {
		env, declared := v.declared(all.environments, s)
		if env == "" || declared {
			continue
		}
		names = append(names, env+"/"+s.Name)
		if !a.Remove {
			c.Task.Warn(env, fmt.Sprintf("stack %s is not in the configuration; --prune removes it", s.Name))
			continue
		}
		if _, err := c.Task.Do(&removeOp{v: v, c: c, environment: env, stack: s}); err != nil {
			return nil, err
		}
	}
	return value.FromGo(names), nil
})

// declared gives the name of a stack's environment, if it is one of the configuration's machines, and
// whether the configuration has the stack there.
func (v *Server) declared(environments []portainer.Environment, s portainer.Stack) (string, bool) {
	i := slices.IndexFunc(environments, func(e portainer.Environment) bool { return e.ID == s.Environment })
	if i < 0 {
		return "", false
	}
	vm, ok := v.s.options.Config.VM(environments[i].Name)
	if !ok {
		return "", false
	}
	for _, use := range vm.DockerStacks {
		if portainer.NormalizeName(use.Name) == s.Name {
			return vm.Name, true
		}
	}
	return vm.Name, false
}

// removeOp takes a stack down.
type removeOp struct {
	v           *Server
	c           *builtin.Call
	environment string
	stack       portainer.Stack
}

func (o *removeOp) Address() op.Address {
	return op.Address{Host: o.environment, Kind: "stack", ID: o.stack.Name}
}

func (o *removeOp) key() op.Key { return key("stack", o.environment+" "+o.stack.Name) }

func (o *removeOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		client, err := o.v.client(o.c)
		if err != nil {
			return nil, err
		}
		list, err := client.Stacks(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if s.ID == o.stack.ID {
				return op.Attrs{"name": s.Name, "variables": len(s.Env), "environment": strings.TrimSpace(o.environment)}, nil
			}
		}
		return nil, nil
	})
}

func (o *removeOp) Diff(current op.State) (op.Change, error) { return op.Removal(current), nil }

func (o *removeOp) Predict(v *op.View, change op.Change) { v.Put(o.key(), change) }

func (o *removeOp) Apply(ctx context.Context, _ op.Change) error {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	return client.DeleteStack(ctx, o.stack)
}
