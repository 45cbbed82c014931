package layertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"phoenix-run/lab"
	"phoenix-run/lab/docker"
	"phoenix-run/lab/portainer"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
)

// versions are the long-term releases that the layer is to work with.
var versions = []string{"2.21.4", "2.27.1", "2.33.5", "2.39.0", "2.45.0"}

// eachVersion runs a test in a world of each version, of which nothing is deployed yet.
func eachVersion(t *testing.T, test func(t *testing.T, w *world)) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{Docker: docker.Options{Missing: []string{"nginx:missing"}}})
			w.version(v)
			test(t, w)
		})
	}
}

// The life of an environment: brought up, left alone, changed in one place, changed wrongly and taken
// back, in the same way on every version.
func TestEveryVersion(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		planned := w.plan("sync", "portainer")
		if planned.err != nil {
			t.Fatal(planned.err)
		}
		if len(planned.requests) > 0 {
			t.Errorf("the dry run asked a server that is not there: %v", planned.requests)
		}
		done := w.must("sync", "portainer")
		if !slices.Equal(planned.changed(), done.changed()) {
			t.Errorf("planned %v\ndone    %v", planned.changed(), done.changed())
		}
		w.again()
		w.runs("1002", "shop-web-1", "nginx:1")
		if env := w.environ("1002", "shop-web-1"); env["GREETING"] != `it's $5 #1 "now"` || env["PASSWORD"] != "hunter2-$ecret" {
			t.Errorf("variables: %q", env)
		}
		w.mounts("shop-web-1", "/etc/shop.conf", "colour = red\n")
		w.changedFile(t)
		w.changedVariable(t)
		w.failedUpdate(t)
		w.removed(t)
	})
}

// again: nothing is changed, and little is asked.
func (w *world) again() {
	w.t.Helper()
	const machines, stacks = 3, 3
	r := w.quiet("sync", "portainer")
	if n, most := len(r.requests), 5+3*machines+2*stacks; n > most {
		w.t.Errorf("%d requests for nothing, at most %d are meant", n, most)
	}
	if n := r.count("POST", "/auth"); n != 1 {
		w.t.Errorf("%d sign-ins", n)
	}
	if r := w.plan("sync", "portainer"); r.err != nil || len(r.changed()) > 0 {
		w.t.Errorf("a plan right after: %v %v", r.changed(), r.err)
	}
}

// changedFile: a file with another content recreates just the service that mounts it.
func (w *world) changedFile(t *testing.T) {
	t.Helper()
	web, cache := w.container("1002", "shop-web-1").ID, w.container("1002", "shop-cache-1").ID
	w.set("shop.conf", "colour = blue\n")
	r := w.must("sync", "stack", "shop", "to", "apps")
	if !slices.Contains(r.changed(), "update apps/stack:shop") {
		t.Errorf("changed %v", r.changed())
	}
	w.mounts("shop-web-1", "/etc/shop.conf", "colour = blue\n")
	if w.container("1002", "shop-web-1").ID == web || w.container("1002", "shop-cache-1").ID != cache {
		t.Error("not just the service that mounts the file was made anew")
	}
	if n := strings.Count(w.guest("1002", "find /var/lib/phoenix-run/stacks -type f"), "\n"); n != 1 {
		t.Errorf("%d files are kept on the machine", n)
	}
	w.quiet("sync", "stack", "shop", "to", "apps")
}

// changedVariable: the plan names it, and no value of a secret.
func (w *world) changedVariable(t *testing.T) {
	t.Helper()
	w.set("password", "another $ecret")
	w.change("phoenix_stacks_config.json", `it's $5`, `it's $6`)
	r := w.plan("sync", "portainer")
	var change *event.Change
	for _, e := range r.events {
		if e.Address == "apps/stack:shop" {
			change = e.Change
		}
	}
	if change == nil || change.After["variable DB_PASSWORD"] != "(secret changed)" || change.Before["variable GREETING"] == change.After["variable GREETING"] || change.After["compose"] != change.Before["compose"] {
		t.Fatalf("planned: %+v %v", change, r.err)
	}
	if strings.Contains(fmt.Sprint(r.events), "$ecret") {
		t.Error("the plan holds the secret")
	}
	w.must("sync", "portainer")
	if env := w.environ("1002", "shop-web-1"); env["GREETING"] != `it's $6 #1 "now"` || env["PASSWORD"] != "another $ecret" {
		t.Errorf("variables: %q", env)
	}
}

// failedUpdate: what ran before runs again, file and variables, and both are told.
func (w *world) failedUpdate(t *testing.T) {
	t.Helper()
	w.change("shop.yml", "nginx:1", "nginx:missing")
	w.set("shop.conf", "colour = black\n")
	w.change("phoenix_stacks_config.json", `it's $6`, `it's $7`)
	r := w.play("sync", "portainer")
	if r.err == nil || !strings.Contains(r.text(), "manifest for nginx:missing not found") || !strings.Contains(r.text(), "what ran before was brought back and runs") {
		t.Fatalf("the failed update: %s", r.text())
	}
	w.runs("1002", "shop-web-1", "nginx:1")
	w.mounts("shop-web-1", "/etc/shop.conf", "colour = blue\n")
	if env := w.environ("1002", "shop-web-1"); env["GREETING"] != `it's $6 #1 "now"` {
		t.Errorf("variables after the repair: %q", env)
	}
	w.change("shop.yml", "nginx:missing", "nginx:2")
	w.must("sync", "portainer")
	w.runs("1002", "shop-web-1", "nginx:2")
	w.mounts("shop-web-1", "/etc/shop.conf", "colour = black\n")
	w.quiet("sync", "portainer")
}

// removed: a stack that is no longer named is told, and goes with --prune; one can be removed by name.
func (w *world) removed(t *testing.T) {
	t.Helper()
	w.change("phoenix_vm_configs.json", `["shop", "plain"]`, `["shop"]`)
	r := w.quiet("sync", "portainer")
	if !strings.Contains(r.text(), "stack plain is not in the configuration; --prune removes it") {
		t.Errorf("not told: %s", r.text())
	}
	r = w.must("sync", "portainer", "--prune")
	if !slices.Equal(r.changed(), []string{"delete apps/stack:plain"}) {
		t.Errorf("pruned: %v", r.changed())
	}
	if w.container("1002", "plain-only-1").ID != "" {
		t.Error("the pruned stack runs")
	}
	w.runs("1003", "plain-only-1", "nginx:1")
	r = w.must("remove", "stack", "shop", "from", "apps")
	if !slices.Equal(r.changed(), []string{"delete apps/stack:shop"}) || w.container("1002", "shop-web-1").ID != "" {
		t.Errorf("removed: %v", r.changed())
	}
	if text := w.guest("1002", "ls /var/lib/phoenix-run/stacks"); strings.Contains(text, "shop") {
		t.Errorf("files of the removed stack: %s", text)
	}
	if r := w.must("remove", "stack", "shop", "from", "apps"); len(r.changed()) > 0 {
		t.Errorf("removed twice: %v", r.changed())
	}
}

// An update is cut off between the failure and the repair, by a kill: the next run repairs it.
func TestRepairThatWasCutOff(t *testing.T) {
	for _, v := range []string{"2.21.4", "2.45.0"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{Docker: docker.Options{Missing: []string{"nginx:missing"}}})
			w.version(v)
			w.must("sync", "portainer")
			w.change("shop.yml", "nginx:1", "nginx:missing")
			w.change("phoenix_stacks_config.json", `it's $5`, `it's $7`)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r := w.run(ctx, runner.Apply, func(e event.Event) {
				if strings.Contains(e.Message, "putting back what ran before") {
					cancel()
				}
			}, "sync", "portainer")
			if r.err == nil || ctx.Err() == nil {
				t.Fatalf("not cut off: %s", r.text())
			}
			r = w.play("sync", "portainer")
			if r.err == nil || !strings.Contains(r.text(), "what ran before was brought back and runs") {
				t.Fatalf("the next run: %s", r.text())
			}
			w.runs("1002", "shop-web-1", "nginx:1")
			if env := w.environ("1002", "shop-web-1"); env["GREETING"] != `it's $5 #1 "now"` || env["PASSWORD"] != "hunter2-$ecret" {
				t.Errorf("variables after the repair: %q", env)
			}
			if text := w.guest("1002", "ls /var/lib/phoenix-run/stacks"); strings.Contains(text, "last-working") {
				t.Errorf("what ran last is still noted: %s", text)
			}
		})
	}
}

// An upgrade backs the server up, then brings up the server, then the agents; going back is refused.
func TestUpgrade(t *testing.T) {
	w := newWorld(t, lab.Options{})
	w.version("2.39.0")
	w.must("sync", "portainer")
	web := w.container("1002", "shop-web-1").ID
	w.version("2.45.0")
	planned := w.plan("sync", "portainer")
	r := w.must("sync", "portainer")
	want := []string{"create main/backup:portainer-2.39.0", "replace apps/container:portainer_agent", "replace data/container:portainer_agent", "replace main/container:portainer"}
	if !slices.Equal(r.changed(), want) || !slices.Equal(planned.changed(), want) {
		t.Errorf("changed %v\nplanned %v %v", r.changed(), planned.changed(), planned.err)
	}
	var order []string
	for _, e := range r.events {
		if e.Type == event.Operation && e.Status == event.Changed {
			_, what, _ := strings.Cut(e.Address, "/")
			order = append(order, what)
		}
	}
	if !slices.Equal(order, []string{"backup:portainer-2.39.0", "container:portainer", "container:portainer_agent", "container:portainer_agent"}) {
		t.Errorf("in the order %v", order)
	}
	w.backups(1)
	if w.container("1002", "shop-web-1").ID != web {
		t.Error("the upgrade has made a stack's container anew")
	}
	if n := r.count("POST", "/auth"); n > 2 {
		t.Errorf("%d sign-ins for a server and its successor", n)
	}
	w.again()
	w.version("2.39.0")
	r = w.play("sync", "portainer")
	if r.err == nil || !strings.Contains(r.err.Error(), "an earlier server can't read the data of a later one") || len(r.changed()) > 0 {
		t.Errorf("going back: %v %v", r.changed(), r.err)
	}
}

// A wrong password is told before anything is touched, with one try.
func TestWrongPassword(t *testing.T) {
	w := newWorld(t, lab.Options{})
	w.must("sync", "portainer")
	w.set("admin", "not the right one")
	w.change("plain.yml", "nginx:1", "nginx:2")
	r := w.play("sync", "portainer")
	if r.err == nil || !strings.Contains(r.err.Error(), "check user and password") || len(r.changed()) > 0 || r.count("POST", "/auth") != 1 {
		t.Errorf("changed %v, %d sign-ins: %v", r.changed(), r.count("POST", "/auth"), r.err)
	}
}

// A fault in any compose file is told with its place before anything is touched.
func TestComposeFault(t *testing.T) {
	w := newWorld(t, lab.Options{})
	w.set("plain.yml", "services:\n  only:\n    image: nginx:1\n    port: [80]\n")
	r := w.play("sync", "portainer")
	if r.err == nil || !strings.Contains(r.err.Error(), `plain.yml:4:5: services.only: unknown key "port"; did you mean ports?`) || len(r.changed())+len(r.requests) > 0 {
		t.Errorf("%v %v", r.err, r.events)
	}
}

// Stacks, projects and environments that were made by hand are not touched without being told to.
func TestMadeByHand(t *testing.T) {
	w := newWorld(t, lab.Options{})
	w.guest("1003", "docker run -d --name plain-only-1 --label com.docker.compose.project=plain --label com.docker.compose.service=only --label com.docker.compose.oneoff=False --label com.docker.compose.container-number=1 --label com.docker.compose.config-hash=old --label com.docker.compose.project.working_dir=/srv/plain httpd")
	r := w.play("sync", "portainer")
	if r.err == nil || !strings.Contains(r.text(), "the machine runs a compose project plain that Portainer did not make") {
		t.Fatalf("an external project: %s", r.text())
	}
	w.must("sync", "portainer", "--adopt")
	w.runs("1003", "plain-only-1", "nginx:1")

	c := w.client()
	environments, err := c.Environments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	apps := environments[slices.IndexFunc(environments, func(e portainerEnvironment) bool { return e.Name == "apps" })].ID
	if err := c.CreateStack(t.Context(), portainerStack{Name: "handmade", Environment: apps}, "services: {a: {image: httpd}}"); err != nil {
		t.Fatal(err)
	}
	w.quiet("sync", "portainer")
	if r := w.quiet("sync", "portainer", "--prune"); strings.Contains(r.text(), "handmade") {
		t.Errorf("told of: %s", r.text())
	}
	w.change("phoenix_vm_configs.json", `["shop", "plain"]`, `["shop", "plain", "handmade"]`)
	w.change("phoenix_stacks_config.json", `"plain": {`, `"handmade": { "compose_file_path": "plain.yml" }, "plain": {`)
	r = w.play("sync", "stack", "handmade", "to", "apps")
	if r.err == nil || !strings.Contains(r.err.Error(), "made by hand") || len(r.changed()) > 0 {
		t.Fatalf("a stack made by hand: %v", r.err)
	}
	w.must("sync", "stack", "handmade", "to", "apps", "--adopt")
	w.quiet("sync", "portainer")
}

// Machines are renamed, get another address, and go.
func TestMachinesMove(t *testing.T) {
	w := newWorld(t, lab.Options{})
	w.must("sync", "portainer")
	only := w.container("1003", "plain-only-1").ID
	w.change("phoenix_vm_configs.json", `"vm_name": "data"`, `"vm_name": "archive"`)
	w.must("create", "1003")
	r := w.must("sync", "portainer", "--prune")
	if !slices.Equal(r.changed(), []string{"update archive/environment:archive"}) || w.container("1003", "plain-only-1").ID != only {
		t.Errorf("renamed: %v", r.changed())
	}
	c := w.client()
	environments, err := c.Environments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := environments[slices.IndexFunc(environments, func(e portainerEnvironment) bool { return e.Name == "archive" })]
	e.URL = "tcp://127.0.0.9:9001"
	_ = c.UpdateEnvironment(t.Context(), e.ID, e) // it is changed, and nobody answers there
	r = w.must("sync", "portainer")
	if !slices.Equal(r.changed(), []string{"update archive/environment:archive"}) {
		t.Errorf("moved: %v", r.changed())
	}
	w.change("phoenix_vm_configs.json", `{ "vm_id": 1003, "vm_name": "archive", "docker_stacks": ["plain"] }`, `{ "vm_id": 1004, "vm_name": "spare" }`)
	w.set("phoenix_vm_configs.json", strings.Replace(w.text("phoenix_vm_configs.json"), ",\n    { \"vm_id\": 1004, \"vm_name\": \"spare\" }", "", 1))
	r = w.quiet("sync", "portainer")
	if !strings.Contains(r.text(), "environment archive is not in the configuration; --prune removes it") {
		t.Errorf("not told: %s", r.text())
	}
	r = w.must("sync", "portainer", "--prune")
	if !slices.Equal(r.changed(), []string{"delete archive/environment:archive"}) || w.container("1003", "plain-only-1").ID != "" {
		t.Errorf("gone: %v", r.changed())
	}
	w.quiet("sync", "portainer", "--prune")
}

// A server that nobody gave an administrator in time is restarted, once.
func TestServerThatLockedItself(t *testing.T) {
	clock := &clock{}
	w := newWorld(t, lab.Options{Portainer: portainer.Options{Now: clock.now}})
	w.set("playbooks/server.star", `"""Only the server."""
load("@features//portainer_server.star", "portainer_server")
def main():
    vm = proxmox.find(config.vm("main"))
    portainer_server(vm.host(), vm.spec)
    portainer.server(vm).wait()
`)
	w.must("server")
	clock.move(6)
	planned := w.plan("sync", "portainer")
	if planned.err != nil || !slices.Contains(planned.changed(), "update main/restart:portainer") || !slices.Contains(planned.changed(), "create main/administrator:admin") {
		t.Fatalf("planned %v %v", planned.changed(), planned.err)
	}
	r := w.must("sync", "portainer")
	if !slices.Equal(r.changed(), planned.changed()) {
		t.Errorf("planned %v\ndone    %v", planned.changed(), r.changed())
	}
	w.quiet("sync", "portainer")
}

// Agents that are started by hand without the secret belong to another server: the run mends both.
func TestPairedAgent(t *testing.T) {
	w := newWorld(t, lab.Options{})
	w.guest("1003", "docker run -d -p 9001:9001 --name portainer_agent --restart=always -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/docker/volumes:/var/lib/docker/volumes portainer/agent:2.45.0")
	w.must("sync", "portainer")
	w.guest("1003", "docker restart portainer_agent")
	w.quiet("sync", "portainer")
	w.change("phoenix_hypervisor_config.json", `"version": "2.45.0"`, `"version": "2.45.0", "agent_secret": { "file": "agent" }`)
	w.set("agent", "a secret of one's own")
	r := w.must("sync", "portainer")
	if len(r.changed()) != 3 {
		t.Errorf("a new AGENT_SECRET: %v", r.changed())
	}
	w.again()
}

// What a person sees of it all.
func TestStatus(t *testing.T) {
	w := newWorld(t, lab.Options{})
	r := w.must("status")
	if !strings.Contains(r.text(), "Portainer on main:") {
		t.Errorf("without a server: %s", r.text())
	}
	w.must("sync", "portainer")
	w.guest("1002", "docker rm -f shop-cache-1")
	w.set("plain.yml", "services:\n  only:\n    image: nginx:2\n")
	r = w.must("status", "--drift")
	for _, want := range []string{"Portainer 2.45.0 on main", "apps shop: state", "data plain: compose", "the service cache has 0 of 1 containers"} {
		if !strings.Contains(r.text(), want) {
			t.Errorf("no %q in\n%s", want, r.text())
		}
	}
	for _, e := range r.requests {
		if e.Changed {
			t.Errorf("status changed something: %v", e)
		}
	}
}
