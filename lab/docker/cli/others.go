package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/docker/api"
)

func remove(ctx context.Context, c *Command, args []string) error {
	f, names, err := parse("f|force v|volumes l|link", args, true)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return tooFew("rm", "CONTAINER [CONTAINER...]")
	}
	return c.forEach(names, func(name string) error {
		err := c.Client.Remove(ctx, name, f.on("force"), f.on("volumes"))
		if f.on("force") && api.NotFound(err) {
			return nil
		}
		return err
	})
}

func rename(ctx context.Context, c *Command, args []string) error {
	if len(args) != 2 {
		return &exitError{1, "docker: 'docker rename' requires 2 arguments\n\nUsage:  docker rename CONTAINER NEW_NAME"}
	}
	return c.Client.Rename(ctx, args[0], args[1])
}

func pull(ctx context.Context, c *Command, args []string) error {
	f, names, err := parse("q|quiet platform= a|all-tags disable-content-trust", args, true)
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return &exitError{1, "docker: 'docker pull' requires 1 argument\n\nUsage:  docker pull [OPTIONS] NAME[:TAG|@DIGEST]"}
	}
	ref, err := api.ParseReference(names[0])
	if err != nil {
		return err
	}
	if !strings.ContainsAny(names[0][strings.LastIndexByte(names[0], '/')+1:], ":@") && !f.on("quiet") {
		if err := c.printf("Using default tag: latest\n"); err != nil {
			return err
		}
	}
	err = c.Client.Pull(ctx, names[0], func(p api.Progress) {
		if !f.on("quiet") {
			fmt.Fprintln(c.Stdout, progressLine(p)) //nolint:errcheck // progress is best effort
		}
	})
	if err != nil {
		return err
	}
	return c.printf("%s/%s%s\n", ref.Domain, ref.Path, strings.TrimPrefix(ref.String(), ref.Familiar()))
}

func rmi(ctx context.Context, c *Command, args []string) error {
	f, names, err := parse("f|force no-prune", args, true)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return tooFew("rmi", "IMAGE [IMAGE...]")
	}
	for _, name := range names {
		removed, err := c.Client.RemoveImage(ctx, name, f.on("force"))
		if err != nil {
			return err
		}
		for _, r := range removed {
			for verb, what := range r {
				if err := c.printf("%s: %s\n", verb, what); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func logs(ctx context.Context, c *Command, args []string) error {
	f, names, err := parse("f|follow n|tail= since= until= t|timestamps details", args, true)
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return &exitError{1, "docker: 'docker logs' requires 1 argument\n\nUsage:  docker logs [OPTIONS] CONTAINER"}
	}
	tail := -1
	if v := f.value("tail"); v != "" && v != "all" {
		if tail, err = strconv.Atoi(v); err != nil {
			return usage("invalid argument %q for \"-n, --tail\" flag", v)
		}
	}
	stdout, stderr, err := c.Client.Logs(ctx, names[0], tail)
	if err != nil {
		return err
	}
	if _, err := c.Stdout.Write(stdout); err != nil {
		return err
	}
	_, err = c.Stderr.Write(stderr)
	return err
}

func execute(ctx context.Context, c *Command, args []string) error {
	f, rest, err := parse("i|interactive t|tty d|detach u|user= e|env= w|workdir= privileged env-file=", args, false)
	if err != nil {
		return err
	}
	if len(rest) < 2 {
		return &exitError{1, "docker: 'docker exec' requires at least 2 arguments\n\nUsage:  docker exec [OPTIONS] CONTAINER COMMAND [ARG...]"}
	}
	stdout, stderr, code, err := c.Client.Exec(ctx, rest[0], api.ExecCreate{Cmd: rest[1:], Env: f["env"], User: f.value("user"), WorkingDir: f.value("workdir")})
	if err != nil {
		return err
	}
	if _, err := c.Stdout.Write(stdout); err != nil {
		return err
	}
	if _, err := c.Stderr.Write(stderr); err != nil {
		return err
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

func wait(ctx context.Context, c *Command, args []string) error {
	for _, name := range args {
		code, err := c.Client.Wait(ctx, name)
		if err != nil {
			return err
		}
		if err := c.printf("%d\n", code); err != nil {
			return err
		}
	}
	return nil
}

func port(ctx context.Context, c *Command, args []string) error {
	if len(args) == 0 {
		return tooFew("port", "CONTAINER [PRIVATE_PORT[/PROTO]]")
	}
	v, err := c.Client.Container(ctx, args[0])
	if err != nil {
		return err
	}
	var specs []string
	for spec := range v.NetworkSettings.Ports {
		specs = append(specs, spec)
	}
	slices.Sort(specs)
	for _, spec := range specs {
		for _, b := range v.NetworkSettings.Ports[spec] {
			if len(args) > 1 && args[1] != spec && args[1]+"/tcp" != spec {
				continue
			}
			line := b.HostIP + ":" + b.HostPort
			if len(args) == 1 {
				line = spec + " -> " + line
			}
			if err := c.printf("%s\n", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// login takes any credentials: the lab's registries are open. It needs the daemon, as docker does.
func login(ctx context.Context, c *Command, args []string) error {
	f, _, err := parse("u|username= p|password= password-stdin", args, true)
	if err != nil {
		return err
	}
	if f.on("password-stdin") {
		if _, err := c.read("-"); err != nil {
			return err
		}
	}
	if err := c.Client.Ping(ctx); err != nil {
		return err
	}
	return c.printf("Login Succeeded\n")
}

func volumeCreate(ctx context.Context, c *Command, args []string) error {
	f, rest, err := parse("d|driver= label= o|opt= name=", args, true)
	if err != nil {
		return err
	}
	name := f.value("name")
	if len(rest) > 0 {
		name = rest[0]
	}
	v, err := c.Client.CreateVolume(ctx, api.VolumeCreate{Name: name, Driver: f.value("driver"), Labels: pairs(f["label"]), DriverOpts: pairs(f["opt"])})
	if err != nil {
		return err
	}
	return c.printf("%s\n", v.Name)
}

func pairs(list []string) map[string]string {
	m := map[string]string{}
	for _, s := range list {
		k, v, _ := strings.Cut(s, "=")
		m[k] = v
	}
	return m
}

func volumeRemove(ctx context.Context, c *Command, args []string) error {
	f, names, err := parse("f|force", args, true)
	if err != nil {
		return err
	}
	return c.forEach(names, func(name string) error {
		err := c.Client.RemoveVolume(ctx, name)
		if f.on("force") && api.NotFound(err) {
			return nil
		}
		return err
	})
}

func networkCreate(ctx context.Context, c *Command, args []string) error {
	f, rest, err := parse("d|driver= label= o|opt= internal attachable subnet= gateway= ipv6", args, true)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return &exitError{1, "docker: 'docker network create' requires 1 argument\n\nUsage:  docker network create [OPTIONS] NETWORK"}
	}
	id, err := c.Client.CreateNetwork(ctx, api.NetworkCreate{Name: rest[0], Driver: f.value("driver"), Internal: f.on("internal"), Attachable: f.on("attachable"), Labels: pairs(f["label"]), Options: pairs(f["opt"])})
	if err != nil {
		return err
	}
	return c.printf("%s\n", id)
}

func networkRemove(ctx context.Context, c *Command, args []string) error {
	_, names, err := parse("f|force", args, true)
	if err != nil {
		return err
	}
	return c.forEach(names, func(name string) error { return c.Client.RemoveNetwork(ctx, name) })
}
