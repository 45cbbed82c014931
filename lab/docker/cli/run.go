package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

const createFlags = `d|detach i|interactive t|tty rm name= p|publish= P|publish-all v|volume= mount= e|env= env-file=
	restart= l|label= network|net= network-alias= health-cmd= health-interval= health-retries= health-timeout=
	health-start-period= health-start-interval= no-healthcheck pull= entrypoint= u|user= w|workdir= h|hostname= privileged
	cap-add= cap-drop= add-host= security-opt= m|memory= cpus= init read-only expose= tmpfs= shm-size= pid= log-driver= log-opt=
	stop-timeout= stop-signal= platform= q|quiet gpus= device= ulimit= dns= cidfile= userns= ipc= cgroupns=`

func run(ctx context.Context, c *Command, args []string) error {
	f, id, err := makeContainer(ctx, c, args)
	if err != nil {
		return runError(err)
	}
	if err := c.Client.Start(ctx, id); err != nil {
		return runError(err)
	}
	if f.on("detach") {
		return c.printf("%s\n", id)
	}
	code, err := c.Client.Wait(ctx, id)
	if err != nil && !api.NotFound(err) {
		return err
	}
	stdout, stderr, err := c.Client.Logs(ctx, id, -1)
	if err == nil {
		if _, err := c.Stdout.Write(stdout); err != nil {
			return err
		}
		if _, err := c.Stderr.Write(stderr); err != nil {
			return err
		}
	}
	if f.on("rm") {
		if err := c.Client.Remove(ctx, id, true, true); err != nil && !api.NotFound(err) {
			return err
		}
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// runError puts docker run's name in front, and its exit code for errors of its own.
func runError(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	return &exitError{125, "docker: " + plain(err) + "\n\nRun 'docker run --help' for more information"}
}

func create(ctx context.Context, c *Command, args []string) error {
	_, id, err := makeContainer(ctx, c, args)
	if err != nil {
		return err
	}
	return c.printf("%s\n", id)
}

func makeContainer(ctx context.Context, c *Command, args []string) (flags, string, error) {
	f, rest, err := parse(createFlags, args, false)
	if err != nil {
		return nil, "", err
	}
	if len(rest) == 0 {
		return nil, "", tooFew("run", "IMAGE [COMMAND] [ARG...]")
	}
	r, err := c.request(f, rest[0], rest[1:])
	if err != nil {
		return nil, "", err
	}
	policy := cmp.Or(f.value("pull"), "missing")
	if policy == "always" {
		if err := c.fetch(ctx, r.Image); err != nil {
			return nil, "", err
		}
	}
	created, err := c.Client.Create(ctx, f.value("name"), r)
	if api.NotFound(err) && strings.Contains(err.Error(), "No such image") && policy == "missing" {
		ref, parseErr := api.ParseReference(r.Image)
		if parseErr != nil {
			return nil, "", parseErr
		}
		fmt.Fprintf(c.Stderr, "Unable to find image '%s' locally\n", ref) //nolint:errcheck // progress is best effort
		if err := c.fetch(ctx, r.Image); err != nil {
			return nil, "", err
		}
		created, err = c.Client.Create(ctx, f.value("name"), r)
	}
	return f, created.ID, err
}

// fetch pulls with progress on standard error.
func (c *Command) fetch(ctx context.Context, image string) error {
	return c.Client.Pull(ctx, image, func(p api.Progress) {
		fmt.Fprintln(c.Stderr, progressLine(p)) //nolint:errcheck // progress is best effort
	})
}

func progressLine(p api.Progress) string {
	if p.ID != "" {
		return p.ID + ": " + p.Status
	}
	return p.Status
}

func (c *Command) request(f flags, image string, command []string) (api.CreateRequest, error) {
	r := api.CreateRequest{
		Config: api.Config{
			Image: image, Cmd: command, User: f.value("user"), Hostname: f.value("hostname"), WorkingDir: f.value("workdir"),
			Tty: f.on("tty"), OpenStdin: f.on("interactive"), Labels: map[string]string{}, ExposedPorts: map[string]struct{}{},
			StopSignal: f.value("stop-signal"),
		},
		HostConfig: &api.HostConfig{
			// Without -d the command removes it itself, once it has read the output.
			AutoRemove: f.on("rm") && f.on("detach"), Privileged: f.on("privileged"), ReadonlyRootfs: f.on("read-only"), CapAdd: f["cap-add"], CapDrop: f["cap-drop"],
			ExtraHosts: f["add-host"], SecurityOpt: f["security-opt"], NetworkMode: f.value("network"), PidMode: f.value("pid"),
			PortBindings: map[string][]api.PortBinding{},
		},
	}
	if e := f.value("entrypoint"); e != "" {
		r.Entrypoint = []string{e}
	}
	for _, name := range f["env-file"] {
		b, err := c.read(name)
		if err != nil {
			return r, err
		}
		env, err := c.envFile(name, string(b))
		if err != nil {
			return r, err
		}
		r.Env = append(r.Env, env...)
	}
	for _, e := range f["env"] {
		if strings.Contains(e, "=") {
			r.Env = append(r.Env, e)
		} else if v, set := c.Env[e]; set {
			r.Env = append(r.Env, e+"="+v)
		}
	}
	for _, l := range f["label"] {
		k, v, _ := strings.Cut(l, "=")
		r.Labels[k] = v
	}
	for _, p := range f["publish"] {
		if err := publish(p, &r); err != nil {
			return r, err
		}
	}
	for _, v := range f["volume"] {
		if !strings.Contains(v, ":") {
			if r.Volumes == nil {
				r.Volumes = map[string]struct{}{}
			}
			r.Volumes[v] = struct{}{}
			continue
		}
		if strings.HasPrefix(v, "./") || strings.HasPrefix(v, "../") {
			source, rest, _ := strings.Cut(v, ":")
			v = c.abs(source) + ":" + rest
		}
		r.HostConfig.Binds = append(r.HostConfig.Binds, v)
	}
	for _, m := range f["mount"] {
		mount, err := parseMount(m)
		if err != nil {
			return r, err
		}
		r.HostConfig.Mounts = append(r.HostConfig.Mounts, mount)
	}
	for _, t := range f["tmpfs"] {
		target, _, _ := strings.Cut(t, ":")
		r.HostConfig.Mounts = append(r.HostConfig.Mounts, api.Mount{Type: "tmpfs", Target: target})
	}
	name, count, _ := strings.Cut(f.value("restart"), ":")
	r.HostConfig.RestartPolicy.Name = name
	if count != "" {
		n, err := strconv.Atoi(count)
		if err != nil {
			return r, usage("invalid argument %q for --restart: maximum retry count must be an integer", f.value("restart"))
		}
		r.HostConfig.RestartPolicy.MaximumRetryCount = n
	}
	if n := f.value("network"); n != "" && len(f["network-alias"]) > 0 {
		r.NetworkingConfig = &api.NetworkingConfig{EndpointsConfig: map[string]*api.EndpointSettings{n: {Aliases: f["network-alias"]}}}
	}
	return r, health(f, &r)
}

func health(f flags, r *api.CreateRequest) error {
	if f.on("no-healthcheck") {
		r.Healthcheck = &api.Healthcheck{Test: []string{"NONE"}}
		return nil
	}
	h := &api.Healthcheck{}
	if cmd := f.value("health-cmd"); cmd != "" {
		h.Test = []string{"CMD-SHELL", cmd}
	}
	for name, to := range map[string]*time.Duration{"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval} {
		if v := f.value("health-" + name); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil {
				return usage("invalid argument %q for \"--health-%s\" flag: %v", v, name, err)
			}
			*to = d
		}
	}
	if v := f.value("health-retries"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return usage("invalid argument %q for \"--health-retries\" flag: %v", v, err)
		}
		h.Retries = n
	}
	if h.Test != nil {
		r.Healthcheck = h
	}
	return nil
}

// envFile reads docker's own format: NAME=VALUE, the value as it stands; no quotes, no expansion.
func (c *Command) envFile(name, content string) ([]string, error) {
	var env []string
	for i, line := range strings.Split(strings.TrimPrefix(content, "\ufeff"), "\n") {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, found := strings.Cut(line, "=")
		switch {
		case strings.ContainsAny(key, " \t"):
			return nil, usage("docker: invalid env file (%s): variable '%s' contains whitespaces", name, key)
		case key == "":
			return nil, usage("docker: invalid env file (%s): no variable name on line '%s' (line %d)", name, line, i+1)
		case found:
			env = append(env, line)
		default:
			if v, set := c.Env[key]; set {
				env = append(env, key+"="+v)
			}
		}
	}
	return env, nil
}

func parseMount(spec string) (api.Mount, error) {
	fields, err := csv.NewReader(strings.NewReader(spec)).Read()
	if err != nil {
		return api.Mount{}, usage("invalid argument %q for \"--mount\" flag: %v", spec, err)
	}
	m := api.Mount{Type: "volume"}
	for _, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "type":
			m.Type = strings.ToLower(value)
		case "source", "src":
			m.Source = value
		case "target", "dst", "destination":
			m.Target = value
		case "readonly", "ro":
			m.ReadOnly = !hasValue || value == "true" || value == "1"
		case "bind-propagation", "volume-driver", "volume-opt", "volume-label", "volume-nocopy", "tmpfs-size", "tmpfs-mode", "bind-nonrecursive", "bind-recursive", "consistency":
		default:
			return m, usage("invalid argument %q for \"--mount\" flag: unexpected key '%s' in '%s'", spec, key, field)
		}
	}
	if m.Target == "" {
		return m, usage("invalid argument %q for \"--mount\" flag: target is required", spec)
	}
	return m, nil
}
