package docker_test

import (
	"slices"
	"testing"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/guest"
)

func TestPackages(t *testing.T) {
	list := docker.Packages(docker.Options{})
	by := map[string]guest.Package{}
	for _, p := range list {
		if _, twice := by[p.Name]; twice {
			t.Errorf("%s twice", p.Name)
		}
		by[p.Name] = p
	}
	for _, p := range list {
		for _, need := range p.Depends {
			if _, found := by[need]; !found {
				t.Errorf("%s depends on %s, which is not there", p.Name, need)
			}
		}
	}
	for _, engine := range []string{"docker.io", "docker-ce"} {
		p := by[engine]
		i := slices.IndexFunc(p.Units, func(u guest.Unit) bool { return u.Name == "docker.service" })
		if i < 0 || p.Units[i].Start == nil || p.Units[i].Stop == nil || !slices.Contains(p.Groups, "docker") {
			t.Errorf("%s: %+v", engine, p)
		}
	}
	for _, name := range []string{"docker.io", "docker-ce-cli"} {
		if by[name].Programs["/usr/bin/docker"] == nil {
			t.Errorf("%s has no docker command", name)
		}
	}
	for _, name := range []string{"docker-compose-v2", "docker-compose-plugin"} {
		if by[name].Programs["/usr/libexec/docker/cli-plugins/docker-compose"] == nil {
			t.Errorf("%s has no compose plugin", name)
		}
	}
}
