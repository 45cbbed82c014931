package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
)

type waitArgs struct {
	Port    int           `star:"port" default:"0" doc:"a TCP port that accepts connections on the machine itself"`
	Path    string        `star:"path" default:"\"\"" doc:"a path that is there"`
	Command string        `star:"command" default:"\"\"" doc:"a shell command that succeeds; it must change nothing"`
	Timeout time.Duration `star:"timeout" default:"120" doc:"how long to wait"`
}

var waitFor = builtin.Method(builtin.Spec{
	Name: "wait_for", Effect: builtin.Reads,
	Summary: "Waits for a port, a path or a command. A dry run does not wait for what an earlier step would bring.",
	Errors:  []string{"It does not come in time: the last thing that was seen."},
	Example: "host.wait_for(port = 9443, timeout = \"1m\")",
}, func(c *builtin.Call, h *Host, a waitArgs) (starlark.Value, error) {
	script, what := a.Command, "the command "+shorten(a.Command)
	switch {
	case a.Port > 0:
		what = fmt.Sprintf("port %d", a.Port)
		script = fmt.Sprintf(`grep -qi ":%04X [0-9A-F:]* 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null`, a.Port)
	case a.Path != "":
		what, script = a.Path, "test -e "+quote(a.Path)
	case script == "":
		return nil, fmt.Errorf("wait_for: say what for: port, path or command")
	}
	if c.Task.Run.Planning() {
		return starlark.None, nil
	}
	return starlark.None, c.Task.Wait(h.address("wait_for", what), "waiting for "+what, func(ctx context.Context) error {
		deadline := time.Now().Add(a.Timeout)
		for pause := 20 * time.Millisecond; ; pause = min(pause*2, time.Second) {
			r, err := h.read(ctx, script)
			if err != nil {
				return err
			}
			if r.Code == 0 {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("not within %s (exit status %d) %s", a.Timeout, r.Code, strings.TrimSpace(string(r.Stderr)))
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
})
