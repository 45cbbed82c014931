package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"phoenix-run/lab/docker/api"
	"phoenix-run/lab/docker/compose"
)

const composeVersion = "2.40.3"

var defaultFiles = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}

// composeCommand is docker compose.
func composeCommand(ctx context.Context, c *Command, args []string) error {
	global, rest, err := parse("f|file= p|project-name= env-file= project-directory= profile= ansi= progress= compatibility parallel= v|version", args, false)
	if err != nil {
		return composeUsage(err)
	}
	if len(rest) == 0 {
		return c.printf("Usage:  docker compose [OPTIONS] COMMAND\n")
	}
	verb, args := rest[0], rest[1:]
	x := &composer{Command: c, global: global}
	verbs := map[string]func(context.Context, []string) error{
		"config": x.config, "up": x.up, "down": x.down, "ps": x.ps, "pull": x.pull, "stop": x.stop, "start": x.start,
		"restart": x.restart, "logs": x.logs, "version": x.version, "ls": x.ls,
	}
	run := verbs[verb]
	if run == nil {
		return &exitError{1, fmt.Sprintf("unknown docker command: %q", "compose "+verb)}
	}
	return composeUsage(run(ctx, args))
}

// composeUsage gives compose's exit code, which is 1 where docker's is 125.
func composeUsage(err error) error {
	var exit *exitError
	if errors.As(err, &exit) && exit.code == 125 {
		return &exitError{1, exit.text}
	}
	return err
}

type composer struct {
	*Command
	global flags
}

// project is the project's name, for commands that need no files.
func (x *composer) project(ctx context.Context) (string, error) {
	if name := x.global.value("project-name"); name != "" && len(x.global["file"]) == 0 {
		return name, nil
	}
	p, err := x.load(ctx)
	if err != nil {
		return "", err
	}
	return p.Name, nil
}

func (x *composer) config(ctx context.Context, args []string) error {
	f, _, err := parse("q|quiet services images volumes hash= format= no-interpolate o|output=", args, true)
	if err != nil {
		return err
	}
	p, err := x.load(ctx)
	if err != nil {
		return err
	}
	var lines []string
	switch {
	case f.on("quiet"):
		return nil
	case f.on("services"):
		lines = p.ServiceNames()
	case f.on("volumes"):
		lines = p.VolumeNames()
	case f.on("images"):
		for _, name := range p.ServiceNames() {
			lines = append(lines, p.Services[name].Image)
		}
	case f.value("format") == "json":
		b, err := p.MarshalJSON()
		if err != nil {
			return err
		}
		return x.printf("%s\n", b)
	default:
		b, err := p.MarshalYAML()
		if err != nil {
			return err
		}
		return x.printf("%s", b)
	}
	for _, line := range lines {
		if err := x.printf("%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func (x *composer) up(ctx context.Context, args []string) error {
	f, services, err := parse("d|detach pull= force-recreate no-recreate remove-orphans wait wait-timeout= quiet-pull build no-build V|renew-anon-volumes t|timeout= no-deps", args, true)
	if err != nil {
		return err
	}
	p, err := x.load(ctx)
	if err != nil {
		return err
	}
	return compose.Up(ctx, x.Client, p, compose.UpOptions{
		Pull: f.value("pull") == "always", ForceRecreate: f.on("force-recreate"), NoRecreate: f.on("no-recreate"),
		RemoveOrphans: f.on("remove-orphans") || x.Env["COMPOSE_REMOVE_ORPHANS"] == "true" || x.Env["COMPOSE_REMOVE_ORPHANS"] == "1",
		Wait:          f.on("wait"), Services: services,
	}, x.Stderr)
}

func (x *composer) down(ctx context.Context, args []string) error {
	f, _, err := parse("v|volumes remove-orphans rmi= t|timeout=", args, true)
	if err != nil {
		return err
	}
	name, err := x.project(ctx)
	if err != nil {
		return err
	}
	return compose.Down(ctx, x.Client, name, compose.DownOptions{Volumes: f.on("volumes")}, x.Stderr)
}

func (x *composer) pull(ctx context.Context, args []string) error {
	f, services, err := parse("q|quiet ignore-pull-failures include-deps policy=", args, true)
	if err != nil {
		return err
	}
	p, err := x.load(ctx)
	if err != nil {
		return err
	}
	for _, name := range p.ServiceNames() {
		if len(services) > 0 && !slices.Contains(services, name) || p.Services[name].Image == "" {
			continue
		}
		err := x.Client.Pull(ctx, p.Services[name].Image, nil)
		if err != nil && !f.on("ignore-pull-failures") {
			return err
		}
		fmt.Fprintf(x.Stderr, " %s Pulled \n", name) //nolint:errcheck // progress is best effort
	}
	return nil
}

func (x *composer) stop(ctx context.Context, _ []string) error {
	name, err := x.project(ctx)
	if err != nil {
		return err
	}
	return compose.Stop(ctx, x.Client, name)
}

func (x *composer) start(ctx context.Context, _ []string) error {
	name, err := x.project(ctx)
	if err != nil {
		return err
	}
	return compose.Start(ctx, x.Client, name)
}

// containers lists the project's, of some services or of all.
func (x *composer) containers(ctx context.Context, all bool, services []string) ([]api.Summary, error) {
	name, err := x.project(ctx)
	if err != nil {
		return nil, err
	}
	found, err := x.Client.Containers(ctx, all, api.Filters{"label": {"com.docker.compose.project=" + name}})
	found = slices.DeleteFunc(found, func(s api.Summary) bool {
		return len(services) > 0 && !slices.Contains(services, s.Labels["com.docker.compose.service"])
	})
	slices.SortFunc(found, func(a, b api.Summary) int { return strings.Compare(a.Names[0], b.Names[0]) })
	return found, err
}

func (x *composer) restart(ctx context.Context, args []string) error {
	_, services, err := parse("t|timeout= no-deps", args, true)
	if err != nil {
		return err
	}
	found, err := x.containers(ctx, true, services)
	if err != nil {
		return err
	}
	for _, s := range found {
		if err := x.Client.Restart(ctx, s.ID); err != nil {
			return err
		}
	}
	return nil
}

func (x *composer) logs(ctx context.Context, args []string) error {
	_, services, err := parse("f|follow n|tail= no-color no-log-prefix t|timestamps since=", args, true)
	if err != nil {
		return err
	}
	found, err := x.containers(ctx, true, services)
	if err != nil {
		return err
	}
	for _, s := range found {
		stdout, stderr, err := x.Client.Logs(ctx, s.ID, -1)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(stdout) + string(stderr)) {
			if err := x.printf("%s  | %s", strings.TrimPrefix(s.Names[0], "/"), line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *composer) version(_ context.Context, args []string) error {
	f, _, err := parse("short f|format=", args, true)
	switch {
	case err != nil:
		return err
	case f.on("short"):
		return x.printf("%s\n", composeVersion)
	case f.value("format") == "json":
		return x.printf("{\"version\":\"v%s\"}\n", composeVersion)
	}
	return x.printf("Docker Compose version v%s\n", composeVersion)
}
