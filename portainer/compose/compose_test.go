package compose

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaults(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"tab": {"services:\n\tweb:\n", "f.yml:2:2: found character that cannot start any token"},
		"unknown key": {"services:\n  web:\n    image: a\n    imagee: b\n    port: []\n",
			"f.yml:4:5: services.web: unknown key \"imagee\"; did you mean image?\nf.yml:5:5: services.web: unknown key \"port\"; did you mean ports?"},
		"unknown key of the file": {"service:\n  web: {image: a}\n", "f.yml:1:1: unknown key \"service\"; did you mean services?"},
		"wrong type":              {"services:\n  web:\n    image: a\n    environment: 5\n", "f.yml:4:18: services.web.environment must be a list or a mapping, not a number"},
		"service is text":         {"services:\n  web: nginx\n", "f.yml:2:8: services.web must be a mapping, not text"},
		"number as key":           {"services:\n  80: {image: a}\n", "f.yml:1:1: services: all keys must be text: put numbers into quotes"},
		"key twice":               {"services:\n  web: {image: a}\n  web: {image: b}\n", "f.yml:3:3: mapping key \"web\" already defined at line 2"},
		"empty":                   {"", "f.yml:1:1: the file is empty"},
		"undefined volume":        {"services:\n  web:\n    image: a\n    volumes: [\"data:/data\"]\n", "f.yml:2:3: service \"web\" refers to undefined volume data: invalid compose project"},
		"undefined dependency":    {"services:\n  web: {image: a, depends_on: [db]}\n", "f.yml:2:3: service \"web\" depends on undefined service \"db\": invalid compose project"},
		"include":                 {"include: [other.yml]\nservices:\n  web: {image: a}\n", "f.yml:1:1: include: the server gets this file alone; write what is included into it, or deploy from a Git repository"},
		"build":                   {"services:\n  web:\n    build: .\n", "f.yml:3:12: build: the server gets this file alone and has no folder to build from; give an image"},
		"env_file":                {"services:\n  web:\n    image: a\n    env_file: [stack.env, x.env]\n", "f.yml:4:5: env_file: the server gets this file alone and has no x.env; name its variables in the stack, which are in stack.env"},
		"two missing variables": {"services:\n  web:\n    image: a:${T:?tag}\n    hostname: ${H:?host}\n",
			"f.yml:3:12: error while interpolating services.web.image: required variable T is missing a value: tag\nf.yml:4:15: error while interpolating services.web.hostname: required variable H is missing a value: host"},
		"merged": {"x-a: &a\n  privileged: {}\nservices:\n  web:\n    <<: *a\n    image: b\n", "f.yml:2:3: services.web.privileged must be a boolean or text, not a mapping"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := Check(test.text, "f.yml", "app", nil)
			if err == nil {
				t.Fatal("no fault is found")
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got %T: %v", err, err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFaultsHideValues(t *testing.T) {
	err := Check("services:\n  web:\n    image: a\n    ports: [\"${PORT}:80\"]\n", "f.yml", "app", map[string]string{"PORT": "topsecret"})
	if err == nil || strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), "${PORT}") {
		t.Errorf("got %v", err)
	}
	err = Check("services:\n  web:\n    image: \"a:${TAG:?say which}\"\n", "f.yml", "app", nil)
	if err == nil || !strings.Contains(err.Error(), "TAG") || !strings.Contains(err.Error(), "say which") {
		t.Errorf("got %v", err)
	}
}

const full = `version: "3.8"
# the front
x-common: &common
  restart: unless-stopped
services:
  web:
    <<: *common
    image: "nginx:${TAG:-1.27}"
    env_file: stack.env
    ports: ["8080:80", "9000", {published: "53", target: 53, protocol: udp}]
    environment: {A: "${A}", B: "$B $$C ${D:?} ${E-}"}
    depends_on:
      migrate: {condition: service_completed_successfully}
  migrate: {image: tool}
  job: {image: tool, restart: "no"}
  debug: {image: tool, profiles: [dev]}
  many: {image: tool, deploy: {replicas: 3}}
`

func TestLoad(t *testing.T) {
	f, err := Load(full, "f.yml", "app", map[string]string{"A": "1", "B": "2", "D": "4"})
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Services: []Service{
			{Name: "web", Image: "nginx:${TAG:-1.27}", Replicas: 1, Ports: []string{"8080:80", "53:53/udp"}},
			{Name: "migrate", Image: "tool", Replicas: 1, Once: true},
			{Name: "job", Image: "tool", Replicas: 1, Once: true},
			{Name: "debug", Image: "tool"},
			{Name: "many", Image: "tool", Replicas: 3},
		},
		Variables: []Variable{{"A", 11, false, false}, {"B", 11, false, false}, {"D", 11, true, false}, {"E", 11, false, true}, {"TAG", 8, false, true}},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	var missing []string
	for _, v := range Missing(f.Variables, map[string]string{"A": ""}) {
		missing = append(missing, v.Name)
	}
	if got := strings.Join(missing, " "); got != "B D" {
		t.Errorf("missing: %s", got)
	}
}

func TestMounts(t *testing.T) {
	const added = `      - type: bind
        source: /srv/app/prod.env
        target: /app/.env
        read_only: true
        bind:
          create_host_path: false
`
	m := Mount{Source: "/srv/app/prod.env", Target: "/app/.env", Digest: "d1"}
	named := m
	named.Service = "web"
	tests := map[string]struct {
		text  string
		mount Mount
		want  string
	}{
		"nothing there": {"# the app\nservices:\n  web:\n    image: a # newest\n", m,
			"# the app\nservices:\n  web:\n    image: a # newest\n    volumes:\n" + added + "    labels:\n      phoenix-run.files: d1\n"},
		"lists": {"services:\n  web:\n    image: a\n    volumes:\n      - data:/data\n    labels:\n      - x=y\n", m,
			"services:\n  web:\n    image: a\n    volumes:\n      - data:/data\n" + added + "    labels:\n      - x=y\n      - phoenix-run.files=d1\n"},
		"shared by an anchor": {"services:\n  web:\n    image: a\n    volumes: &v\n      - data:/data\n  db:\n    image: b\n    volumes: *v\n", named,
			"services:\n  web:\n    image: a\n    volumes:\n      - data:/data\n" + added + "    labels:\n      phoenix-run.files: d1\n  db:\n    image: b\n    volumes:\n      - data:/data\n"},
		"merged": {"x-v: &v\n  volumes:\n    - data:/data\nservices:\n  web:\n    !!merge <<: *v\n    image: a\n", m,
			"x-v: &v\n  volumes:\n    - data:/data\nservices:\n  web:\n    !!merge <<: *v\n    image: a\n    volumes:\n      - data:/data\n" + added + "    labels:\n      phoenix-run.files: d1\n"},
		"alias of a service": {"services:\n  db: &db\n    image: a\n  web: *db\n", named,
			"services:\n  db: &db\n    image: a\n  web:\n    image: a\n    volumes:\n" + added + "    labels:\n      phoenix-run.files: d1\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := WithMounts(test.text, []Mount{test.mount})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMountsMeanNoVariables(t *testing.T) {
	got, err := WithMounts("services: {web: {image: a}}\n", []Mount{{Source: "/srv/$x", Target: "/y", Digest: "d"}})
	if err != nil || !strings.Contains(got, "/srv/$$x") {
		t.Errorf("%v %s", err, got)
	}
	if err := Check(got, "f.yml", "app", nil); err != nil {
		t.Error(err)
	}
}

func TestMountOrderIsNoDifference(t *testing.T) {
	a, b := Mount{"", "/a", "/a", "1"}, Mount{"", "/b", "/b", "2"}
	x, errX := WithMounts("services: {web: {image: a}}", []Mount{a, b})
	y, errY := WithMounts("services: {web: {image: a}}", []Mount{b, a})
	if errX != nil || errY != nil || x != y {
		t.Errorf("%v %v\n%s\n%s", errX, errY, x, y)
	}
}

func TestMountRefused(t *testing.T) {
	two := "services:\n  web: {image: a, volumes: [\"./x:/app/.env:ro\"]}\n  db: {image: b}\n"
	for service, want := range map[string]string{
		"":    "mounting /app/.env: say which service gets it; the compose file has web, db",
		"wbe": "mounting /app/.env: there is no service \"wbe\"; the compose file has web, db",
		"web": "mounting /app/.env: the service web mounts something else there already (line 2)",
	} {
		_, err := WithMounts(two, []Mount{{Service: service, Source: "/x", Target: "/app/.env"}})
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v", service, err)
		}
	}
}

func TestEqualAndDiff(t *testing.T) {
	base := "services:\n  web:\n    image: a:1\n    ports: [\"80:80\", \"443:443\"]\n    environment: [A=1, B=two]\n    depends_on: [db]\n  db: {image: b}\n"
	tests := map[string]struct {
		text string
		diff string
	}{
		"the same":        {base, ""},
		"another writing": {"version: '3'\n# c\nx-y: 1\nservices:\n  db:\n    image: b\n  web:\n    depends_on: {db: {condition: service_started, required: true}}\n    environment: {B: two, A: 1}\n    ports:\n      - 443:443\n      - \"80:80\"\n    image: a:1\n", ""},
		"image":           {strings.Replace(base, "a:1", "a:2", 1), "service web: changed\n  - image: a:1\n  + image: a:2\n"},
		"port":            {strings.Replace(base, "443:443", "444:443", 1), "service web: changed\n  - ports: 443:443\n  + ports: 444:443\n"},
		"variable":        {strings.Replace(base, "A=1", "\"A=${X}\"", 1), "service web: changed\n  - environment.A: 1\n  + environment.A: ${X}\n"},
		"added":           {base + "  c: {image: c}\nvolumes: {data: {}}\n", "service c: added\n  + image: c\nvolume data: added\n"},
		"removed":         {strings.Replace(strings.Replace(base, "  db: {image: b}\n", "", 1), "    depends_on: [db]\n", "", 1), "service db: removed\n  - image: b\nservice web: changed\n  - depends_on.db.condition: service_started\n  - depends_on.db.required: true\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if Equal(base, test.text) != (test.diff == "") {
				t.Error("Equal says otherwise")
			}
			if diff := cmp.Diff(test.diff, Diff(base, test.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if Equal("a: [", base) || Equal(base, "") || Diff("", base) == "" {
		t.Error("what can't be read is equal to something")
	}
	port := "services: {w: {image: a, ports: [\"${P}:80\"]}}"
	if !Equal(port, "# x\n"+port) || Equal(port, strings.Replace(port, "${P}", "${Q}", 1)) {
		t.Error("variables in short notations")
	}
}
