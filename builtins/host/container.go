package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type containerArgs struct {
	Name    string         `star:"name" doc:"the container's name"`
	Image   string         `star:"image" doc:"the image, with its version: \"portainer/agent:2.45.0\""`
	Ports   []string       `star:"ports" default:"[]" doc:"published ports: \"HOST:CONTAINER\", \"ADDRESS:HOST:CONTAINER\", with /udp where it is not TCP"`
	Volumes []string       `star:"volumes" default:"[]" doc:"\"/path:/target\", \"name:/target\", with :ro for read-only"`
	Env     map[string]any `star:"env" default:"{}" doc:"environment; secrets go to Docker over standard input, never into an argument list"`
	Restart string         `star:"restart" default:"\"unless-stopped\"" doc:"no, always, unless-stopped or on-failure"`
	Command []string       `star:"command" default:"[]" doc:"arguments for the image's entry point; the image's own, if empty"`
	State   string         `star:"state" default:"\"running\"" doc:"running or absent"`
}

var container = builtin.Method(builtin.Spec{
	Name: "container", Effect: builtin.Operation, Returns: "result",
	Summary: "A Docker container, for what has to run before Portainer does. It is made anew where image, ports, volumes, environment, restart policy or command differ; named volumes are kept.",
	Errors:  []string{"Docker can't pull the image, or publish a port: its own message."},
	Example: "host.container(\"registry\", image = \"registry:2\", ports = [\"5000:5000\"], volumes = [\"registry:/var/lib/registry\"])",
}, func(c *builtin.Call, h *Host, a containerArgs) (starlark.Value, error) {
	for name, v := range a.Env {
		if s, ok := v.(string); ok && strings.ContainsAny(s, "\n\x00") {
			return nil, fmt.Errorf("container: env: %s holds a newline, which docker run can't take", name)
		}
	}
	for i, p := range a.Ports {
		a.Ports[i] = strings.TrimSuffix(p, "/tcp")
	}
	return c.Do(&containerOp{h: h, task: c.Task, a: a})
})

type containerOp struct {
	h    *Host
	task *runner.Task
	a    containerArgs
}

func (o *containerOp) Address() op.Address { return o.h.address("container", o.a.Name) }

// ContainerKey is the key of a container in the run's view.
func (h *Host) ContainerKey(name string) op.Key { return h.key("container", name) }

func (o *containerOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	var mended *op.Cause // the planned step after which Docker most likely answers again
	state, err := v.Read(ctx, o.h.ContainerKey(o.a.Name), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, "command -v docker >/dev/null 2>&1 || exit 0\ndocker inspect --type container -- "+quote(o.a.Name))
		if err != nil {
			return nil, err
		}
		out := strings.TrimSpace(string(r.Stdout))
		if r.Code != 0 && strings.Contains(strings.ToLower(string(r.Stderr)), "no such container") || r.Code == 0 && out == "" {
			return nil, nil
		}
		if r.Code != 0 && v.Planning() && strings.Contains(string(r.Stderr), "Cannot connect to the Docker daemon") {
			if mended = v.Touched(o.h.name); mended != nil {
				return op.Normal(o.want()).(map[string]any), nil // Docker keeps its containers
			}
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "asking Docker about container " + o.a.Name, Result: r}
		}
		return o.parse([]byte(out))
	})
	if err == nil && state.Maybe == nil {
		state.Maybe = mended
	}
	return state, err
}

// want is the container as it is to be.
func (o *containerOp) want() op.Attrs {
	want := op.Attrs{"image": o.a.Image, "ports": slices.Sorted(slices.Values(o.a.Ports)),
		"volumes": slices.Sorted(slices.Values(o.a.Volumes)), "env": o.a.Env, "restart": o.a.Restart, "running": true}
	if len(o.a.Command) > 0 {
		want["command"] = o.a.Command
	}
	return want
}

// parse reads what docker inspect prints; of the environment, only what the call names counts.
func (o *containerOp) parse(out []byte) (op.Attrs, error) {
	var list []struct {
		Config struct {
			Image string
			Env   []string
			Cmd   []string
		}
		HostConfig struct {
			Binds         []string
			RestartPolicy struct{ Name string }
			PortBindings  map[string][]struct{ HostIp, HostPort string }
		}
		State struct{ Running bool }
	}
	if err := json.Unmarshal(out, &list); err != nil || len(list) != 1 {
		return nil, fmt.Errorf("docker inspect gave something unexpected: %w", err)
	}
	c := list[0]
	var ports []string
	for port, bindings := range c.HostConfig.PortBindings {
		port = strings.TrimSuffix(port, "/tcp")
		for _, b := range bindings {
			text := b.HostPort + ":" + port
			if b.HostIp != "" && b.HostIp != "0.0.0.0" {
				text = b.HostIp + ":" + text
			}
			ports = append(ports, text)
		}
	}
	slices.Sort(ports)
	volumes := slices.Clone(c.HostConfig.Binds)
	slices.Sort(volumes)
	env := map[string]any{}
	for _, e := range c.Config.Env {
		name, v, _ := strings.Cut(e, "=")
		if _, named := o.a.Env[name]; named {
			env[name] = v
		}
	}
	a := op.Attrs{"image": c.Config.Image, "ports": slices.Compact(ports), "volumes": volumes, "env": env,
		"restart": c.HostConfig.RestartPolicy.Name, "running": c.State.Running}
	if len(o.a.Command) > 0 {
		a["command"] = c.Config.Cmd
	}
	return op.Normal(a).(map[string]any), nil
}

func (o *containerOp) Diff(current op.State) (op.Change, error) {
	if o.a.State == "absent" {
		return op.Removal(current), nil
	}
	change := op.Compare(current, o.want())
	if change.Action == op.Update && !slices.Equal(change.Changed(), []string{"running"}) {
		change.Action = op.Replace
	}
	return change, nil
}

func (o *containerOp) Predict(v *op.View, change op.Change) {
	v.Put(o.h.ContainerKey(o.a.Name), change)
}

func (o *containerOp) Apply(ctx context.Context, change op.Change) error {
	name := quote(o.a.Name)
	switch {
	case change.Action == op.Delete:
		_, err := o.h.must(ctx, "removing container "+o.a.Name, "docker rm -f -- "+name, nil)
		return err
	case change.Action == op.Update:
		_, err := o.h.must(ctx, "starting container "+o.a.Name, "docker start -- "+name, nil)
		return err
	}
	args := []string{"run", "-d", "--name", o.a.Name, "--restart", o.a.Restart, "--label", "phoenix-run=1"}
	for _, p := range o.a.Ports {
		args = append(args, "-p", p)
	}
	for _, v := range o.a.Volumes {
		args = append(args, "-v", v)
	}
	var env bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(o.a.Env)) {
		v, err := bytesOf(o.a.Env[k])
		if err != nil {
			v = []byte(fmt.Sprint(o.a.Env[k]))
		}
		fmt.Fprintf(&env, "%s=%s\n", k, v)
	}
	if env.Len() > 0 {
		args = append(args, "--env-file", "/dev/stdin")
	}
	args = append(append(args, o.a.Image), o.a.Command...)
	// The image first: the old container runs until the new one can take its place.
	script := fmt.Sprintf("docker image inspect -- %s >/dev/null 2>&1 || docker pull -q %[1]s >/dev/null || exit 1\n", quote(o.a.Image))
	if change.Action == op.Replace {
		script += "docker rm -f -- " + name + " >/dev/null || exit 1\n"
	}
	o.task.Begin(o.h.name, o.Address().String(), "starting "+o.a.Image)
	_, err := o.h.must(ctx, "starting container "+o.a.Name, script+"docker "+quote(args...), env.Bytes())
	return err
}

// ContainerState reads a container for other modules, through the run's view.
func (h *Host) ContainerState(c *builtin.Call, name string) (op.State, error) {
	o := &containerOp{h: h, task: c.Task, a: containerArgs{Name: name}}
	return o.Read(c.Context(), c.Task.Run.View)
}

// RestartContainer restarts a container for other modules.
func (h *Host) RestartContainer(ctx context.Context, name string) error {
	_, err := h.must(ctx, "restarting container "+name, "docker restart -- "+quote(name), nil)
	return err
}
