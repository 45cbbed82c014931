package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"phoenix-run/lab/docker/cli"
	"phoenix-run/lab/guest"
)

// Fleet holds the engines of all guests of a lab.
type Fleet struct {
	opts Options

	mu      sync.Mutex
	engines map[*guest.Guest]*Engine
}

// NewFleet returns a fleet without engines; a guest gets its own when its docker.service first starts.
func NewFleet(opts Options) *Fleet {
	return &Fleet{opts: opts, engines: map[*guest.Guest]*Engine{}}
}

// Engine returns the engine of a guest.
func (f *Fleet) Engine(g *guest.Guest) *Engine {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.engines[g]
	if e == nil {
		e = New(hostOf(g), f.opts)
		f.engines[g] = e
	}
	return e
}

// Close ends all engines' processes and leaves the saved state as if they ran: the lab ends, and its
// guests go on when it is opened again. A guest's own stop of the unit after this changes nothing.
func (f *Fleet) Close() {
	f.mu.Lock()
	engines := slices.Collect(maps.Values(f.engines))
	f.mu.Unlock()
	for _, e := range engines {
		e.Detach()
	}
}

// Packages are the distribution's packages that bring Docker to a guest.
func Packages(opts Options) []guest.Package { return NewFleet(opts).Packages() }

// Where the distribution's packages put the compose plugin.
const composePlugin = "/usr/libexec/docker/cli-plugins/docker-compose"

// Packages are the packages whose daemon is an engine of this fleet: the distribution's docker.io and
// docker-compose-v2, and those of Docker's own repository.
func (f *Fleet) Packages() []guest.Package {
	containerd := func(name, version string) guest.Package {
		return guest.Package{Name: name, Version: version, Programs: map[string]guest.Program{"/usr/bin/containerd": prints("containerd " + version)},
			Units: []guest.Unit{{Name: "containerd.service"}}}
	}
	daemon := []guest.Unit{{Name: "docker.socket"}, {
		Name:  "docker.service",
		Start: func(ctx context.Context, g *guest.Guest) error { return f.Engine(g).Start(ctx) },
		Stop:  func(_ context.Context, g *guest.Guest) error { return f.Engine(g).Stop() },
	}}
	dockerd := prints("Docker version " + f.opts.version() + ", build bea959c")
	plugin := func(name, version string) guest.Package {
		return guest.Package{Name: name, Version: version, Programs: map[string]guest.Program{composePlugin: f.composePlugin}}
	}
	version := f.opts.version()
	return []guest.Package{
		containerd("containerd", "1.7.24~ds1-1"),
		containerd("containerd.io", "1.7.28-1~debian.12~bookworm"),
		{
			Name: "docker.io", Version: version + "+dfsg1-1", Depends: []string{"containerd"}, Groups: []string{"docker"}, Units: daemon,
			Programs: map[string]guest.Program{"/usr/bin/docker": f.docker, "/usr/sbin/dockerd": dockerd},
		},
		{
			Name: "docker-ce-cli", Version: "5:" + version + "-1~debian.12~bookworm",
			Programs: map[string]guest.Program{"/usr/bin/docker": f.docker},
		},
		{
			Name: "docker-ce", Version: "5:" + version + "-1~debian.12~bookworm", Depends: []string{"docker-ce-cli", "containerd.io"}, Groups: []string{"docker"}, Units: daemon,
			Programs: map[string]guest.Program{"/usr/bin/dockerd": dockerd},
		},
		plugin("docker-compose-v2", "2.40.3+ds1-0ubuntu1"),
		plugin("docker-compose-plugin", "2.40.3-1~debian.12~bookworm"),
		{Name: "docker-compose", Version: "2.40.3-1", Programs: map[string]guest.Program{"/usr/bin/docker-compose": f.composePlugin, composePlugin: f.composePlugin}},
		{Name: "docker-buildx-plugin", Version: "0.29.1-1~debian.12~bookworm"},
	}
}

func prints(line string) guest.Program {
	return func(_ context.Context, p *guest.Process) int {
		if _, err := fmt.Fprintln(p.Stdout, line); err != nil {
			return 1
		}
		return 0
	}
}

// docker is the docker command.
func (f *Fleet) docker(ctx context.Context, p *guest.Process) int {
	return f.command(ctx, p, p.Args[1:])
}

// composePlugin is the plugin called by its own name, as docker-compose.
func (f *Fleet) composePlugin(ctx context.Context, p *guest.Process) int {
	args := p.Args[1:]
	if len(args) == 0 || args[0] != "compose" {
		args = append([]string{"compose"}, args...)
	}
	return f.command(ctx, p, args)
}

func (f *Fleet) command(ctx context.Context, p *guest.Process, args []string) int {
	e := f.Engine(p.Guest)
	host := e.Host()
	_, err := host.Stat(composePlugin)
	return cli.Run(ctx, &cli.Command{
		Args: args, Env: p.Env, Dir: p.Dir, Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
		Client: e.ClientOf(p.User), ReadFile: host.ReadFile, Stat: host.Stat, Compose: err == nil, Version: f.opts.version(),
	})
}
