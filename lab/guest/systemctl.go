package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// systemctl asks and tells the machine's units.
func systemctl(ctx context.Context, p *proc.Proc) int {
	var verb string
	var names, props []string
	now, quiet, valueOnly := false, false, false
	for i := 1; i < len(p.Args); i++ {
		arg := p.Args[i]
		switch {
		case arg == "--":
			rest := p.Args[i+1:]
			if verb == "" && len(rest) > 0 {
				verb, rest = rest[0], rest[1:]
			}
			names = append(names, rest...)
			i = len(p.Args)
		case arg == "--now":
			now = true
		case arg == "-q", arg == "--quiet":
			quiet = true
		case arg == "--value":
			valueOnly = true
		case arg == "-p" || arg == "--property":
			if i++; i < len(p.Args) {
				props = append(props, strings.Split(p.Args[i], ",")...)
			}
		case strings.HasPrefix(arg, "--property="):
			props = append(props, strings.Split(arg[11:], ",")...)
		case strings.HasPrefix(arg, "-p"):
			props = append(props, strings.Split(arg[2:], ",")...)
		case slices.Contains([]string{"--no-pager", "--system", "--no-block", "--force", "-f", "--no-legend", "--plain", "--full", "-l", "--all", "-a", "--no-ask-password", "--no-reload", "--failed", "--no-wall", "-i", "--wait"}, arg):
		case strings.HasPrefix(arg, "--type="), strings.HasPrefix(arg, "--state="), strings.HasPrefix(arg, "--lines="), strings.HasPrefix(arg, "--message="):
		case strings.HasPrefix(arg, "-"):
			p.Errorf("unrecognized option '%s'", arg)
			return 1
		case verb == "":
			verb = arg
		default:
			names = append(names, arg)
		}
	}
	c := &unitCommand{p: p, r: guestOf(p), props: props, quiet: quiet, value: valueOnly, now: now}
	for i, name := range names {
		names[i] = unitName(name)
	}
	switch verb {
	case "", "list-units":
		return c.list()
	case "list-unit-files":
		return c.files(names)
	case "daemon-reload", "daemon-reexec", "reset-failed", "preset", "preset-all":
		return 0
	case "is-system-running":
		p.Printf("running\n")
		return 0
	case "get-default":
		p.Printf("graphical.target\n")
		return 0
	case "reboot", "poweroff", "halt":
		return mayTouch(power(verb))(ctx, p)
	case "show":
		if len(names) == 0 {
			return c.manager()
		}
	}
	if verbs[verb] == nil {
		fmt.Fprintf(p.Stderr, "Unknown command verb %s.\n", verb) //nolint:errcheck // nobody left to tell
		return 1
	}
	if len(names) == 0 {
		fmt.Fprintf(p.Stderr, "Too few arguments.\n") //nolint:errcheck // nobody left to tell
		return 1
	}
	run := func(ctx context.Context, _ *proc.Proc) int { return verbs[verb](c, ctx, names) }
	if !slices.Contains(changing, verb) {
		return run(ctx, p)
	}
	if p.FS.Cred.UID != 0 {
		fmt.Fprintf(p.Stderr, "Failed to %s %s: Interactive authentication required.\n", verb, names[0]) //nolint:errcheck // nobody left to tell
		return 1
	}
	return c.r.touching(run)(ctx, p)
}

// changing are the verbs that only root may use.
var changing = []string{"start", "stop", "restart", "try-restart", "reload", "reload-or-restart", "enable", "disable", "mask", "unmask", "kill"}

type unitCommand struct {
	p                 *proc.Proc
	r                 *running
	props             []string
	quiet, value, now bool
}

var verbs = map[string]func(c *unitCommand, ctx context.Context, names []string) int{
	"start": (*unitCommand).start, "stop": (*unitCommand).stop, "restart": (*unitCommand).restart, "try-restart": (*unitCommand).tryRestart,
	"reload": (*unitCommand).reload, "reload-or-restart": (*unitCommand).restart, "enable": (*unitCommand).enable, "disable": (*unitCommand).disable,
	"mask": (*unitCommand).mask, "unmask": (*unitCommand).unmask, "is-active": (*unitCommand).isActive, "is-enabled": (*unitCommand).isEnabled,
	"is-failed": (*unitCommand).isFailed, "status": (*unitCommand).status, "show": (*unitCommand).show, "cat": (*unitCommand).cat,
}

// failed says an error as systemctl does, and gives its exit status.
func (c *unitCommand) failed(verb, name string, err error) int {
	text := err.Error()
	var job *errFailed
	status := 1
	switch {
	case errors.As(err, &job):
	case strings.HasSuffix(text, "not found."):
		text, status = fmt.Sprintf("Failed to %s %s: %s", verb, name, text), 5
	case strings.HasPrefix(text, "Failed to"), strings.HasPrefix(text, "A dependency"):
		if strings.HasSuffix(text, "not loaded.") {
			status = 5
		}
	default:
		text = fmt.Sprintf("Failed to %s %s: %s", verb, name, text)
	}
	fmt.Fprintln(c.p.Stderr, text) //nolint:errcheck // nobody left to tell
	return status
}

func (c *unitCommand) start(_ context.Context, names []string) int {
	status := 0
	for _, name := range names {
		// What is started outlives this command.
		if err := c.r.units.start(c.r.ctx, name); err != nil {
			status = c.failed("start", name, err)
		}
	}
	return status
}

func (c *unitCommand) stop(_ context.Context, names []string) int {
	status := 0
	for _, name := range names {
		if err := c.r.units.stop(name); err != nil {
			status = c.failed("stop", name, err)
		}
	}
	return status
}

func (c *unitCommand) restart(ctx context.Context, names []string) int {
	for _, name := range names {
		if _, masked, found := c.r.units.file(name); !found || masked {
			return c.start(ctx, names)
		}
		if err := c.r.units.stop(name); err != nil {
			return c.failed("restart", name, err)
		}
	}
	return c.start(ctx, names)
}

func (c *unitCommand) tryRestart(ctx context.Context, names []string) int {
	return c.restart(ctx, slices.DeleteFunc(names, func(n string) bool { return c.r.units.state(n).active != "active" }))
}

func (c *unitCommand) reload(_ context.Context, names []string) int {
	for _, name := range names {
		if _, _, found := c.r.units.file(name); !found {
			return c.failed("reload", name, saidf("Unit %s not found.", name))
		}
		if c.r.units.state(name).active != "active" {
			fmt.Fprintf(c.p.Stderr, "%s is not active, cannot reload.\n", name) //nolint:errcheck // nobody left to tell
			return 1
		}
		c.r.g.Touch()
	}
	return 0
}

func (c *unitCommand) enable(ctx context.Context, names []string) int {
	for _, name := range names {
		if err := c.r.units.enable(name, true, c.p.Stderr); err != nil {
			return c.failed("enable", name, err)
		}
	}
	if c.now {
		return c.start(ctx, names)
	}
	return 0
}

func (c *unitCommand) disable(ctx context.Context, names []string) int {
	for _, name := range names {
		if err := c.r.units.enable(name, false, c.p.Stderr); err != nil {
			return c.failed("disable", name, err)
		}
	}
	if c.now {
		return c.stop(ctx, names)
	}
	return 0
}

func (c *unitCommand) mask(ctx context.Context, names []string) int {
	for _, name := range names {
		file := "/etc/systemd/system/" + name
		if _, masked, _ := c.r.units.file(name); masked {
			continue
		}
		if err := c.p.FS.Symlink("/dev/null", file); err != nil {
			return c.failed("mask", name, saidf("Failed to mask unit: File %s already exists.", file))
		}
		fmt.Fprintf(c.p.Stderr, "Created symlink %s → /dev/null.\n", file) //nolint:errcheck // as systemctl
	}
	if c.now {
		return c.stop(ctx, names)
	}
	return 0
}

func (c *unitCommand) unmask(_ context.Context, names []string) int {
	for _, name := range names {
		file, masked, _ := c.r.units.file(name)
		if !masked {
			continue
		}
		if err := c.p.FS.Unlink(file); err != nil {
			return c.failed("unmask", name, err)
		}
		fmt.Fprintf(c.p.Stderr, "Removed %s.\n", file) //nolint:errcheck // as systemctl
	}
	return 0
}

func (c *unitCommand) list() int {
	c.p.Printf("  UNIT LOAD ACTIVE SUB DESCRIPTION\n")
	for _, name := range c.r.units.active() {
		s := c.r.units.state(name)
		c.p.Printf("  %s loaded %s %s %s\n", name, s.active, s.sub, name)
	}
	return 0
}

func (c *unitCommand) files(patterns []string) int {
	seen := map[string]bool{}
	var names []string
	for _, dir := range unitDirs {
		list, err := c.p.FS.ReadDir(dir)
		if err != nil {
			continue // a folder that is not there has no units
		}
		for _, f := range list {
			if strings.Contains(f.Name(), ".") && !f.IsDir() && !seen[f.Name()] {
				seen[f.Name()] = true
				names = append(names, f.Name())
			}
		}
	}
	slices.Sort(names)
	n := 0
	for _, name := range names {
		if len(patterns) == 0 || slices.Contains(patterns, name) {
			c.p.Printf("%s %s enabled\n", name, c.r.units.fileState(name))
			n++
		}
	}
	c.p.Printf("\n%d unit files listed.\n", n)
	if n == 0 {
		return 1
	}
	return 0
}
