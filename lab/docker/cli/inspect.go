package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"phoenix-run/lab/docker/api"
)

func inspect(ctx context.Context, c *Command, args []string) error {
	return inspectAs("")(ctx, c, args)
}

// inspectAs inspects things of one kind; "" looks for a container, an image, a network, a volume.
func inspectAs(kind string) runner {
	return func(ctx context.Context, c *Command, args []string) error {
		f, names, err := parse("f|format= type= s|size v|verbose", args, true)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return tooFew(strings.TrimSpace(kind+" inspect"), "NAME|ID [NAME|ID...]")
		}
		kind := kind
		if kind == "" {
			kind = f.value("type")
		}
		found := []map[string]any{}
		var failed error
		for _, name := range names {
			v, err := c.inspectOne(ctx, kind, name)
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			found = append(found, v)
		}
		switch format := f.value("format"); format {
		case "", "json":
			for _, v := range found {
				delete(v, "ID")
			}
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if format == "" {
				enc.SetIndent("", "    ")
			}
			if err := enc.Encode(found); err != nil {
				return err
			}
			if err := c.printf("%s", b.String()); err != nil {
				return err
			}
		default:
			for _, v := range found {
				if err := c.object(format, v); err != nil {
					return err
				}
			}
		}
		if failed != nil {
			return &exitError{1, plain(failed)}
		}
		return nil
	}
}

func (c *Command) inspectOne(ctx context.Context, kind, name string) (map[string]any, error) {
	ask := map[string]func() (any, error){
		"container": func() (any, error) { return c.Client.Container(ctx, name) },
		"image":     func() (any, error) { return c.Client.Image(ctx, name) },
		"network":   func() (any, error) { return c.Client.Network(ctx, name) },
		"volume":    func() (any, error) { return c.Client.Volume(ctx, name) },
	}
	if kind != "" {
		f := ask[kind]
		if f == nil {
			return nil, usage("%q is not a valid value for --type", kind)
		}
		v, err := f()
		if err != nil {
			return nil, err
		}
		return generic(v)
	}
	for _, kind := range []string{"container", "image", "network", "volume"} {
		v, err := ask[kind]()
		if err == nil {
			return generic(v)
		}
		if !api.NotFound(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("Error: No such object: %s", name) //nolint:staticcheck // docker's text
}

func version(ctx context.Context, c *Command, args []string) error {
	f, _, err := parse("f|format=", args, true)
	if err != nil {
		return err
	}
	server, err := c.Client.Version(ctx)
	client := map[string]any{"Version": c.Version, "ApiVersion": "1.51", "APIVersion": "1.51", "DefaultAPIVersion": "1.51", "Os": "linux", "Arch": "amd64", "GitCommit": "bea959c"}
	v := map[string]any{"Client": client, "Server": nil}
	if err == nil {
		s, genErr := generic(server)
		if genErr != nil {
			return genErr
		}
		s["APIVersion"] = server.APIVersion
		v["Server"] = s
	}
	if format := f.value("format"); format != "" {
		if err != nil && strings.Contains(format, ".Server") {
			return err
		}
		return c.object(format, v)
	}
	if e := c.printf("Client:\n Version:           %s\n API version:       1.51\n OS/Arch:           linux/amd64\n", c.Version); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	return c.printf("\nServer:\n Engine:\n  Version:          %s\n  API version:      %s (minimum version %s)\n  OS/Arch:          %s/%s\n", server.Version, server.APIVersion, server.MinAPIVersion, server.Os, server.Arch)
}

func info(ctx context.Context, c *Command, args []string) error {
	f, _, err := parse("f|format=", args, true)
	if err != nil {
		return err
	}
	v, err := c.Client.Info(ctx)
	if err != nil {
		return err
	}
	if format := f.value("format"); format != "" {
		m, err := generic(v)
		if err != nil {
			return err
		}
		return c.object(format, m)
	}
	return c.printf("Client:\n Version:    %s\n\nServer:\n Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d\n Images: %d\n Server Version: %s\n Storage Driver: %s\n Logging Driver: %s\n Cgroup Driver: %s\n Operating System: %s\n OSType: %s\n Architecture: %s\n CPUs: %d\n Name: %s\n ID: %s\n Docker Root Dir: %s\n",
		c.Version, v.Containers, v.ContainersRunning, v.ContainersPaused, v.ContainersStopped, v.Images, v.ServerVersion, v.Driver, v.LoggingDriver, v.CgroupDriver, v.OperatingSystem, v.OSType, v.Architecture, v.NCPU, v.Name, v.ID, v.DockerRootDir)
}
