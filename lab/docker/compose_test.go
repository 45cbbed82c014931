package docker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/docker/api"
)

const composeFile = `services:
  web:
    image: nginx:${TAG:-1}
    ports: ["8090:80"]
    depends_on: [db]
    environment:
      - GREETING=${GREETING}
      - FROM_ENV
    volumes:
      - data:/data
      - ./conf:/conf:ro
  db:
    image: redis:7
volumes:
  data:
`

func (b *box) ids() map[string]string {
	b.t.Helper()
	m := map[string]string{}
	for line := range strings.Lines(b.must("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}")) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		m[name] = id
	}
	return m
}

func TestComposeUpChangesOnlyWhatDiffers(t *testing.T) {
	b := newBox(t, docker.Options{})
	b.write("/srv/app/compose.yaml", composeFile)
	b.write("/srv/app/.env", "GREETING='hello $USER'\n")
	b.env = map[string]string{"FROM_ENV": "yes"}
	b.must("compose", "up", "-d")
	first := b.ids()
	if first["app-web-1"] == "" || first["app-db-1"] == "" {
		t.Fatalf("containers %v", first)
	}
	env := b.must("exec", "app-web-1", "env")
	if !strings.Contains(env, "GREETING=hello $USER") || !strings.Contains(env, "FROM_ENV=yes") {
		t.Errorf("environment:\n%s", env)
	}
	if got := b.must("volume", "ls", "-q"); got != "app_data" {
		t.Errorf("volumes %q", got)
	}
	if got := b.must("inspect", "-f", `{{index .Config.Labels "com.docker.compose.project"}} {{range .Mounts}}{{.Source}};{{end}}`, "app-web-1"); got != "app /var/lib/docker/volumes/app_data/_data;/srv/app/conf;" {
		t.Errorf("inspect: %q", got)
	}
	if body, err := b.get(8090); err != nil || body != "app-web-1\n" {
		t.Errorf("%q %v", body, err)
	}
	before := b.host.Touched()
	b.must("compose", "up", "-d")
	if again := b.ids(); fmt.Sprint(again) != fmt.Sprint(first) || b.host.Touched() != before {
		t.Errorf("a second up changed something: %v, then %v", first, again)
	}
	b.write("/srv/app/.env", "GREETING=other\n")
	b.must("compose", "up", "-d")
	now := b.ids()
	if now["app-db-1"] != first["app-db-1"] || now["app-web-1"] == first["app-web-1"] {
		t.Errorf("only web is to be made again: %v, then %v", first, now)
	}
	b.must("compose", "up", "-d", "--force-recreate")
	if b.ids()["app-db-1"] == first["app-db-1"] {
		t.Error("--force-recreate kept a container")
	}
	var row struct{ Service, State string }
	lines := strings.Split(b.must("compose", "ps", "--format", "json"), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &row); err != nil || len(lines) != 2 || row.Service != "db" || row.State != "running" {
		t.Errorf("ps: %v %+v", err, row)
	}
	b.must("compose", "down")
	if left := b.ids(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if got := b.must("volume", "ls", "-q"); got != "app_data" {
		t.Errorf("down without -v took the volume: %q", got)
	}
	b.must("compose", "down", "-v")
	if got := b.must("volume", "ls", "-q"); got != "" {
		t.Errorf("down -v left %q", got)
	}
}

func TestComposeConfig(t *testing.T) {
	b := newBox(t, docker.Options{})
	b.write("/srv/x/docker-compose.yml", composeFile)
	out := b.must("compose", "-f", "/srv/x/docker-compose.yml", "-p", "named", "config")
	if !strings.HasPrefix(out, "name: named\n") || !strings.Contains(out, "image: nginx:1\n") || !strings.Contains(out, "source: /srv/x/conf\n") {
		t.Errorf("config:\n%s", out)
	}
	b.stdin = "services: {web: {image: x, portz: []}}"
	b.fails(1, "services.web.portz", "compose", "-p", "named", "-f", "-", "config")
	b.fails(1, "no configuration file provided: not found", "compose", "up", "-d")
	b.fails(1, "open /srv/none.yml: no such file or directory", "compose", "-f", "/srv/none.yml", "up", "-d")
	b.write("/srv/x/bad.yml", "services:\n  web:\n    image: x\n    env_file: gone.env\n")
	b.fails(1, "env file /srv/x/gone.env not found", "compose", "-f", "/srv/x/bad.yml", "up", "-d")
}

func TestComposeFailureKeepsWhatWasDone(t *testing.T) {
	b := newBox(t, docker.Options{Missing: []string{"nginx:9.9"}})
	b.write("/srv/app/compose.yaml", "services: {web: {image: 'nginx:9.9'}, db: {image: redis}}")
	b.fails(1, "manifest for nginx:9.9 not found: manifest unknown", "compose", "up", "-d")
	b.write("/srv/app/compose.yaml", "services: {web: {image: nginx, ports: ['8091:80']}, db: {image: redis, ports: ['8091:1']}}")
	b.fails(1, "Bind for 0.0.0.0:8091 failed: port is already allocated", "compose", "up", "-d")
	if got := b.must("compose", "ps", "-a", "--format", "{{.Service}}={{.State}}"); got != "db=running\nweb=created" {
		t.Errorf("%q", got)
	}
}

func TestComposeOrphans(t *testing.T) {
	b := newBox(t, docker.Options{})
	b.write("/srv/app/compose.yaml", "services: {one: {image: a}, two: {image: b}}")
	b.must("compose", "up", "-d")
	b.write("/srv/app/compose.yaml", "services: {one: {image: a}}")
	_, errs, _ := b.docker("compose", "up", "-d")
	if !strings.Contains(errs, "Found orphan containers ([app-two-1])") {
		t.Error(errs)
	}
	b.must("compose", "up", "-d", "--remove-orphans")
	if left := b.ids(); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestComposeWaitsForHealth(t *testing.T) {
	b := newBox(t, docker.Options{Faults: docker.Faults{Unhealthy: func(_ string, c api.Container) bool { return strings.HasPrefix(c.Config.Image, "sick") }}})
	file := "services:\n  web:\n    image: nginx\n    depends_on: {db: {condition: service_healthy}}\n  db:\n    image: %s\n    healthcheck: {test: [CMD, 'true'], interval: 1s}\n"
	b.write("/srv/app/compose.yaml", fmt.Sprintf(file, "redis"))
	b.must("compose", "up", "-d")
	b.write("/srv/app/compose.yaml", fmt.Sprintf(file, "sick"))
	b.fails(1, "dependency failed to start: container app-db-1 is unhealthy", "compose", "up", "-d")
}

func TestReferences(t *testing.T) {
	for in, want := range map[string]string{
		"nginx": "nginx:latest", "docker.io/library/nginx:1": "nginx:1", "ghcr.io/a/b:c": "ghcr.io/a/b:c", "localhost:5000/x": "localhost:5000/x:latest",
		"a/b": "a/b:latest", "Nginx": "", "a//b": "", "x:": "", "x:y:z": "", "": "", "nginx@sha256:" + strings.Repeat("ab", 32): "nginx@sha256:" + strings.Repeat("ab", 32),
	} {
		ref, err := api.ParseReference(in)
		switch {
		case err != nil && want != "":
			t.Errorf("%q: %v", in, err)
		case err == nil && ref.String() != want:
			t.Errorf("%q is %q, want %q", in, ref, want)
		}
	}
}

func TestListFormats(t *testing.T) {
	b := newBox(t, docker.Options{})
	b.must("run", "-d", "--name", "web", "-l", "a=b", "nginx")
	out := b.must("ps")
	if lines := strings.Split(out, "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "CONTAINER ID   IMAGE") || !strings.Contains(lines[1], "web") {
		t.Errorf("table:\n%s", out)
	}
	var row map[string]any
	if err := json.Unmarshal([]byte(b.must("ps", "--format", "json")), &row); err != nil || row["Names"] != "web" {
		t.Errorf("json: %v %v", err, row)
	}
	if got := b.must("ps", "--filter", "label=a=b", "--format", `{{.Label "a"}}`); got != "b" {
		t.Errorf("label: %q", got)
	}
	if got := b.must("ps", "-q", "--filter", "label=a=c"); got != "" {
		t.Errorf("filter: %q", got)
	}
	if got := b.must("images", "--format", "{{.Repository}}:{{.Tag}}"); got != "nginx:latest" {
		t.Errorf("images: %q", got)
	}
	if got := b.must("version", "--format", "{{.Server.Version}}"); got != "28.5.2" {
		t.Errorf("version: %q", got)
	}
	if got := b.must("info", "--format", "{{.ServerVersion}} {{.Driver}}"); got != "28.5.2 overlay2" {
		t.Errorf("info: %q", got)
	}
	if got := b.must("network", "ls", "--format", "{{.Name}}"); got != "bridge\nhost\nnone" {
		t.Errorf("networks: %q", got)
	}
}
