package portainer

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Fifty agents and two hundred stacks: what the lists cost, and that agents are one connection each.
func TestFiftyEnvironments(t *testing.T) {
	const machines, stacks = 50, 4
	server := newMachine(t, "vm0", Options{})
	server.docker(runServer + "portainer/portainer-ce:2.45.0 --no-setup-token")
	if a := server.api("POST", "/users/admin/init", initBody); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	auth := server.signIn()
	for i := range machines {
		m := newMachine(t, fmt.Sprintf("vm%d", i+1), Options{})
		m.docker(runAgent + "portainer/agent:2.45.0")
		a := server.register(auth, m)
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.text)
		}
		for n := range stacks {
			body := fmt.Sprintf(`{"Name":"s%d","StackFileContent":"services: {web: {image: nginx}}"}`, n)
			if a := server.api("POST", fmt.Sprintf("/stacks/create/standalone/string?endpointId=%d", a.id(t)), body, auth); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.text)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for strings.Contains(server.api("GET", "/stacks", "", auth).text, `"Status":3,"SwarmId"`) {
		select {
		case <-ctx.Done():
			t.Fatal("stacks are deploying for ever")
		case <-time.After(20 * time.Millisecond):
		}
	}
	start := time.Now()
	if a := server.api("GET", "/endpoints?excludeSnapshots=true", "", auth); a.header.Get("X-Total-Count") != fmt.Sprint(machines) {
		t.Errorf("%d %v", a.status, a.header)
	}
	text := server.api("GET", "/stacks", "", auth).text
	if n := strings.Count(text, `"Status":1,"SwarmId"`); n != machines*stacks {
		t.Errorf("%d stacks run", n)
	}
	for i := range machines {
		if a := server.api("GET", fmt.Sprintf("/endpoints/%d/docker/containers/json", i+1), "", auth); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.text)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("reading took %v", took)
	}
}
