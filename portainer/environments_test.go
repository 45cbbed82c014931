package portainer

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestEnvironments(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		ids, err := c.EnsureTags(bg(), []string{"web", "dev"})
		if err != nil {
			t.Fatal(err)
		}
		id, err := c.CreateEnvironment(bg(), Environment{Name: "vm2", URL: "10.0.0.2", Kind: DockerAgent, TagIDs: ids})
		if err != nil {
			t.Fatal(err)
		}
		e, ok, err := c.EnvironmentByName(bg(), "vm2")
		if err != nil || !ok || e.ID != id || e.URL != "tcp://10.0.0.2:9001" || fmt.Sprint(e.TagIDs) != "[1 2]" || !e.Up {
			t.Fatalf("got %+v %v", e, err)
		}
		if _, err := c.CreateEnvironment(bg(), e); !IsConflict(err) {
			t.Fatalf("the same again: %v", err)
		}
		e.TagIDs, e.URL = nil, "tcp://10.0.0.3:9001"
		if err := c.UpdateEnvironment(bg(), id, e); err != nil {
			t.Fatal(err)
		}
		e.URL = "tcp://dead:9001"
		if err := c.UpdateEnvironment(bg(), id, e); err == nil || !strings.Contains(err.Error(), "no Docker Engine answers at tcp://dead:9001") {
			t.Fatalf("a dead address: %v", err)
		}
		for range 2 {
			if err := c.DeleteEnvironment(bg(), id); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestEnvironmentFaults(t *testing.T) {
	e := Environment{Name: "vm2", URL: "tcp://10.0.0.2:9001", Kind: DockerAgent}
	each(t, func(t *testing.T, f *fake, c *Client) {
		f.fault = once("POST", "/endpoints", nil, hangUp)
		id, err := c.CreateEnvironment(bg(), e)
		if err != nil || id == 0 {
			t.Fatalf("answer lost: %v", err)
		}
		half := e
		half.Name, half.GroupID = "half", 99 // refused, and saved all the same
		id, err = c.CreateEnvironment(bg(), half)
		if err != nil || id == 0 {
			t.Fatalf("half saved: %v", err)
		}
		f.fault = once("POST", "/endpoints", status(500, "database is locked"), nil)
		e3 := e
		e3.Name = "vm3"
		if _, err := c.CreateEnvironment(bg(), e3); err == nil || as(err).Status != http.StatusInternalServerError {
			t.Fatalf("not saved: %v", err)
		}
		f.mu.Lock()
		f.paired = true
		f.mu.Unlock()
		if _, err := c.CreateEnvironment(bg(), e3); !IsPaired(err) || !strings.Contains(err.Error(), "AGENT_SECRET") {
			t.Fatalf("paired: %v", err)
		}
	})
}

func TestManyEnvironments(t *testing.T) {
	f := newFake(t, profiles[0]).ready()
	f.environments = nil
	for i := range 2*pageSize + 1 {
		f.environments = append(f.environments, Environment{ID: i + 1, Name: fmt.Sprint("vm", i)})
	}
	list, err := f.open(t).Environments(bg())
	if err != nil || len(list) != 2*pageSize+1 || list[2000].ID != 2001 {
		t.Fatalf("got %d: %v", len(list), err)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "tcp://10.0.0.1:9001", "10.0.0.1:9002": "tcp://10.0.0.1:9002", "https://h:1/": "tcp://h:1",
		"tcp://[fd00::1]:9001": "tcp://[fd00::1]:9001", "[fd00::1]": "tcp://[fd00::1]:9001", "tcp://h": "tcp://h:9001",
	} {
		if got := address(Environment{URL: in, Kind: DockerAgent}); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if got := address(Environment{URL: "unix:///var/run/docker.sock", Kind: LocalDocker}); got != "unix:///var/run/docker.sock" {
		t.Error(got)
	}
}

// A sync that has nothing to do may send 5 requests, 3 for each machine and 2 for each stack.
func TestNothingToDoIsCheap(t *testing.T) {
	f := newFake(t, profiles[4]).ready()
	s := deployed(t, f.open(t))
	c := f.open(t)
	if _, err := c.Wait(bg()); err != nil {
		t.Fatal(err)
	}
	if err := c.InitAdmin(bg()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Environments(bg()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tags(bg()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stacks(bg()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StackFile(bg(), s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Containers(bg(), 1, ""); err != nil {
		t.Fatal(err)
	}
	if n := c.Requests(); n > 5+3+2 {
		t.Errorf("%d requests", n)
	}
}
