package guest_test

import (
	"strings"
	"testing"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/guest"
	"phoenix-run/lab/machine"
)

// TestDocker installs the lab's Docker as a feature does, and finds its container again after a reboot
// and in a new run of the lab.
func TestDocker(t *testing.T) {
	l := newLab(t)
	if err := l.backend.Close(); err != nil {
		t.Fatal(err)
	}
	l.open(guest.Options{Packages: docker.Packages(docker.Options{})})
	g := l.boot(120)
	c := l.dial(g, "root")
	if _, errs, code := l.sh(c, "docker ps"); code != 127 || !strings.Contains(errs, "docker: command not found") {
		t.Errorf("before it is installed: %d %q", code, errs)
	}
	if out, errs, code := l.sh(c, "apt-get install -y docker.io && systemctl is-active docker && getent group docker && docker run -d --name web --restart always -p 18080:80 nginx"); code != 0 {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	up := func(g *guest.Guest) {
		t.Helper()
		if out, errs, code := l.sh(l.dial(g, "root"), "docker ps --format '{{.Names}}'"); out != "web\n" || code != 0 {
			t.Errorf("%d: %q %q", code, out, errs)
		}
	}
	up(g)
	if err := g.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.ready(g)
	up(g)
	if err := l.backend.Close(); err != nil {
		t.Fatal(err)
	}
	l.open(guest.Options{Packages: docker.Packages(docker.Options{})})
	m, err := l.backend.Open(t.Context(), 120)
	if err != nil {
		t.Fatal(err)
	}
	if m.Power() != machine.Running {
		t.Fatalf("power %s", m.Power())
	}
	up(m.(*guest.Guest))
}
