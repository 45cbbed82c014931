package guest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (c *unitCommand) say(text string) {
	if !c.quiet {
		c.p.Printf("%s\n", text)
	}
}

func (c *unitCommand) isActive(_ context.Context, names []string) int {
	status := 3
	for _, name := range names {
		s := c.r.units.state(name).active
		c.say(s)
		if s == "active" {
			status = 0
		}
	}
	return status
}

func (c *unitCommand) isFailed(_ context.Context, names []string) int {
	status := 1
	for _, name := range names {
		s := c.r.units.state(name).active
		c.say(s)
		if s == "failed" {
			status = 0
		}
	}
	return status
}

func (c *unitCommand) isEnabled(_ context.Context, names []string) int {
	status := 1
	for _, name := range names {
		s := c.r.units.fileState(name)
		if s == "" {
			fmt.Fprintf(c.p.Stderr, "Failed to get unit file state for %s: No such file or directory\n", name) //nolint:errcheck // nobody left to tell
			continue
		}
		c.say(s)
		if slices.Contains([]string{"enabled", "static", "alias", "indirect", "generated"}, s) {
			status = 0
		}
	}
	return status
}

func (c *unitCommand) status(_ context.Context, names []string) int {
	status := 0
	for _, name := range names {
		file, masked, found := c.r.units.file(name)
		if !found {
			fmt.Fprintf(c.p.Stderr, "Unit %s could not be found.\n", name) //nolint:errcheck // nobody left to tell
			status = 4
			continue
		}
		s := c.r.units.state(name)
		loaded := "loaded (" + file + "; " + c.r.units.fileState(name) + "; vendor preset: enabled)"
		if masked {
			loaded = "masked (Reason: Unit " + name + " is masked.)"
		}
		c.p.Printf("● %s\n     Loaded: %s\n     Active: %s (%s)", name, loaded, s.active, s.sub)
		if !s.since.IsZero() {
			c.p.Printf(" since %s", s.since.UTC().Format("Mon 2006-01-02 15:04:05 MST"))
		}
		c.p.Printf("\n")
		if s.pid > 0 {
			c.p.Printf("   Main PID: %d\n", s.pid)
		}
		if s.active != "active" {
			status = 3
		}
	}
	return status
}

func (c *unitCommand) show(_ context.Context, names []string) int {
	for i, name := range names {
		if i > 0 {
			c.p.Printf("\n")
		}
		file, masked, found := c.r.units.file(name)
		s := c.r.units.state(name)
		load := "loaded"
		switch {
		case masked:
			load = "masked"
		case !found:
			load, file = "not-found", ""
		}
		stamp := ""
		if !s.since.IsZero() {
			stamp = s.since.UTC().Format("Mon 2006-01-02 15:04:05 MST")
		}
		values := []string{"Id=" + name, "Names=" + name, "LoadState=" + load, "ActiveState=" + s.active, "SubState=" + s.sub,
			"FragmentPath=" + file, "UnitFileState=" + c.r.units.fileState(name), "UnitFilePreset=enabled", "Result=" + s.result,
			fmt.Sprintf("MainPID=%d", s.pid), "NeedDaemonReload=no", "ActiveEnterTimestamp=" + stamp, "Type=simple", "NRestarts=0"}
		c.print(values)
	}
	return 0
}

func (c *unitCommand) print(values []string) {
	for _, v := range values {
		key, value, _ := strings.Cut(v, "=")
		if len(c.props) > 0 && !slices.Contains(c.props, key) {
			continue
		}
		if c.value {
			v = value
		}
		c.p.Printf("%s\n", v)
	}
}

func (c *unitCommand) manager() int {
	c.r.g.mu.Lock()
	booted := c.r.g.meta.Booted
	c.r.g.mu.Unlock()
	c.print([]string{"Version=249.11-0ubuntu3.12", "SystemState=running", "UserspaceTimestamp=" + booted.UTC().Format(time.RFC1123)})
	return 0
}

func (c *unitCommand) cat(_ context.Context, names []string) int {
	for _, name := range names {
		file, _, found := c.r.units.file(name)
		if !found {
			fmt.Fprintf(c.p.Stderr, "No files found for %s.\n", name) //nolint:errcheck // nobody left to tell
			return 1
		}
		text, err := c.p.FS.ReadFile(file)
		if err != nil {
			return c.failed("cat", name, err)
		}
		c.p.Printf("# %s\n%s", file, text)
	}
	return 0
}
