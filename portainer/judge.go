package portainer

import (
	"fmt"
	"slices"
	"strings"

	"phoenix-run/portainer/compose"
)

// Judge tells what is not well with a project's containers: what may still come by itself, and what is
// wrong. Both are "" where all run, and are healthy where they have a health check. With services, as
// compose.Services gives them, it also tells of those that have too few containers, and takes one that
// does its work and ends for well once it has ended without a fault.
func Judge(containers []Container, services ...compose.Service) (waiting, bad string) {
	var wait, wrong []string
	for _, c := range containers {
		i := slices.IndexFunc(services, func(s compose.Service) bool { return s.Name == c.Service })
		once := i >= 0 && services[i].Once
		switch {
		case len(services) > 0 && i < 0: // left over from before
		case c.State == "exited" && once && strings.HasPrefix(c.Status, "Exited (0)"):
		case c.State == "created":
			wait = append(wait, c.Name+" is not started yet")
		case c.State != "running":
			wrong = append(wrong, fmt.Sprintf("%s is %s%s", c.Name, c.State, exitCode(c.Status)))
		case c.Health == "unhealthy":
			wrong = append(wrong, c.Name+" is unhealthy")
		case c.Health == "starting":
			wait = append(wait, c.Name+" is starting")
		}
	}
	if len(containers) == 0 && len(services) == 0 {
		wrong = append(wrong, "it has no container")
	}
	for _, s := range services {
		have := 0
		for _, c := range containers {
			if c.Service == s.Name {
				have++
			}
		}
		if have < s.Replicas {
			wrong = append(wrong, fmt.Sprintf("the service %s has %d of %d containers", s.Name, have, s.Replicas))
		}
	}
	return strings.Join(wait, ", "), strings.Join(wrong, ", ")
}

// exitCode gives the code that a container's status tells of, as " (1)".
func exitCode(status string) string {
	_, rest, ok := strings.Cut(status, "(")
	code, _, closed := strings.Cut(rest, ")")
	if !ok || !closed || strings.Trim(code, "-0123456789") != "" {
		return ""
	}
	return " (exit code " + code + ")"
}

// leftOver gives the containers of services that a stack no longer has.
func leftOver(containers []Container, services []compose.Service) []Container {
	if len(services) == 0 { // not known
		return nil
	}
	return slices.DeleteFunc(slices.Clone(containers), func(c Container) bool {
		return c.Service == "" || slices.ContainsFunc(services, func(s compose.Service) bool { return s.Name == c.Service })
	})
}
