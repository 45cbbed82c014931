package portainer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/builtins/proxmox"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type expectArgs struct {
	VM    starlark.Value `star:"vm" doc:"the machine"`
	Check map[string]any `star:"check" doc:"port, and optionally path and status, as the configuration's expect has them"`
}

var serverExpect = builtin.Method(builtin.Spec{
	Name: "expect", Effect: builtin.Reads,
	Example: "api.expect(proxmox.find(1001), {\"port\": 9443})",
	Summary: "Waits until a published port of a machine answers: a connection, or the HTTP status of a path. A dry run does not ask.",
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
