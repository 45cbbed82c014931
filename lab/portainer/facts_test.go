package portainer

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

var allVersions = []string{"2.21.4", "2.27.1", "2.33.5", "2.39.0", "2.45.0"}

// fact is one row: what a server of some versions does. run returns what was seen.
type fact struct {
	name  string
	setup string // "": fresh, "admin": signed in, "agent": with an environment
	run   func(w *world) string
	want  map[string]string // by version; "*" for all others
}

func all(want string) map[string]string { return map[string]string{"*": want} }

// split gives the want of versions before and from a version on.
func split(before, from, since string) map[string]string {
	m := map[string]string{}
	at, err := ParseVersion(from)
	if err != nil {
		panic(err)
	}
	for _, v := range allVersions {
		parsed, err := ParseVersion(v)
		if err != nil {
			panic(err)
		}
		m[v] = since
		if parsed.before(at.Major, at.Minor, at.Patch) {
			m[v] = before
		}
	}
	return m
}

func seen(a answer) string { return strings.TrimSpace(fmt.Sprint(a.status, " ", a.text)) }

// told is the status and the message / details of an error.
func told(a answer) string {
	m := a.object()
	if m == nil {
		return seen(a)
	}
	return fmt.Sprintf("%d %v / %v", a.status, m["message"], m["details"])
}

const oneService = "services:\n  web:\n    image: nginx:1\n"
const twoServices = "services:\n  web:\n    image: nginx:1\n  db:\n    image: redis:7\n"
const brokenService = "services:\n  web:\n    image: nginx:missing\n"
const halfBroken = "services:\n  aaa:\n    image: redis:8\n  web:\n    image: nginx:startless\n"

func count(list int) string { return fmt.Sprint(list) }

var facts = []fact{
	// Liveness.
	{"status is public", "", func(w *world) string { return fmt.Sprint(w.send("GET", "/status", nil).status) }, all("200")},
	{"system/status has the version", "", func(w *world) string {
		return fmt.Sprint(w.send("GET", "/system/status", nil).object()["Version"] == w.version)
	}, all("true")},
	{"DemoEnvironment", "", func(w *world) string {
		_, there := w.send("GET", "/system/status", nil).object()["DemoEnvironment"]
		return fmt.Sprint(there)
	}, split("true", "2.22.0", "false")},
	{"unknown route", "", func(w *world) string { return seen(w.send("GET", "/nowhere", nil)) }, all("404 404 page not found")},
	{"wrong method", "", func(w *world) string { return seen(w.send("PATCH", "/status", nil)) }, all("405")},
	{"password length is public", "", func(w *world) string {
		return fmt.Sprint(w.send("GET", "/settings/public", nil).object()["RequiredPasswordLength"])
	}, all("12")},
	{"RequiresSetupToken", "", func(w *world) string {
		return fmt.Sprint(w.send("GET", "/settings/public", nil).object()["RequiresSetupToken"])
	}, split("<nil>", "2.43.0", "true")},

	// The first administrator.
	{"admin check before", "", func(w *world) string { return fmt.Sprint(w.send("GET", "/users/admin/check", nil).object()["message"]) }, all("No administrator account found inside the database")},
	{"admin check after", "admin", func(w *world) string { return seen(w.send("GET", "/users/admin/check", nil)) }, all("204")},
	{"init without setup token", "", func(w *world) string {
		a := w.send("POST", "/users/admin/init", map[string]string{"Username": "admin", "Password": password})
		return fmt.Sprint(a.status, " ", strings.HasPrefix(fmt.Sprint(a.object()["message"]), "Invalid or missing setup token."))
	}, split("200 false", "2.43.0", "403 true")},
	{"init answers with the hash", "", func(w *world) string {
		a := w.send("POST", "/users/admin/init", map[string]string{"Username": "admin", "Password": password}, "X-Setup-Token: token-of-the-test")
		return fmt.Sprint(strings.HasPrefix(fmt.Sprint(a.object()["Password"]), "$2a$"))
	}, all("true")},
	{"second init", "admin", func(w *world) string {
		return told(w.send("POST", "/users/admin/init", map[string]string{"Username": "admin", "Password": password}, "X-Setup-Token: token-of-the-test"))
	}, all("409 Unable to create administrator user / An administrator user already exists")},
	{"second init without token", "admin", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/users/admin/init", map[string]string{"Username": "admin", "Password": password}).status)
	}, split("409", "2.43.0", "403")},
	{"short password", "", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/users/admin/init", map[string]string{"Username": "admin", "Password": "short"}, "X-Setup-Token: token-of-the-test").object()["message"])
	}, all("Password does not meet the requirements")},
	{"user name with a space", "", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/users/admin/init", map[string]string{"Username": "ad min", "Password": password}, "X-Setup-Token: token-of-the-test").object()["details"])
	}, all("Invalid username. Must not contain any whitespace")},
	{"five-minute lock", "", func(w *world) string {
		w.clock.move(6 * time.Minute)
		a := w.send("GET", "/system/status", nil)
		return fmt.Sprintf("%d %s %q %v %d", a.status, a.header.Get("Redirect-Reason"), a.header.Get("Location"), a.object()["message"], w.send("GET", "/status", nil).status)
	}, all(`303 AdminInitTimeout "" Administrator initialization timeout 200`)},
	{"the lock stays until a restart", "", func(w *world) string {
		w.clock.move(6 * time.Minute)
		before := w.send("GET", "/users/admin/check", nil).status
		w.restart()
		return fmt.Sprint(before, " ", w.send("GET", "/users/admin/check", nil).status)
	}, all("303 404")},
	{"no lock with an administrator", "admin", func(w *world) string {
		w.clock.move(6 * time.Minute)
		return fmt.Sprint(w.send("GET", "/system/status", nil).status)
	}, all("200")},

	// Signing in.
	{"wrong password", "admin", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/auth", map[string]string{"Username": "admin", "Password": "nope"}).object()["message"])
	}, all("Invalid credentials")},
	{"no token", "admin", func(w *world) string {
		a := w.send("GET", "/users/me", nil, "Authorization: ")
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("401 A valid authorization token is missing")},
	{"bad token", "admin", func(w *world) string {
		return fmt.Sprint(w.send("GET", "/users/me", nil, "Authorization: Bearer x.y.z").object()["message"])
	}, all("Invalid JWT token")},
	{"bad API key", "admin", func(w *world) string {
		a := w.send("GET", "/users/me", nil, "Authorization: ", "X-API-KEY: ptr_no")
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("401 Invalid JWT token")},
	{"a restart ends the sessions", "admin", func(w *world) string {
		w.restart()
		return fmt.Sprint(w.send("GET", "/users/me", nil).status)
	}, all("401")},
	{"an API key survives a restart", "admin", func(w *world) string {
		a := w.send("POST", "/users/1/tokens", map[string]string{"description": "d", "password": password})
		key := fmt.Sprint(a.object()["rawAPIKey"])
		w.restart()
		return fmt.Sprint(strings.HasPrefix(key, "ptr_"), " ", w.send("GET", "/users/me", nil, "Authorization: ", "X-API-KEY: "+key).status)
	}, all("true 200")},
	{"status of a new token", "admin", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/users/1/tokens", map[string]string{"description": "d", "password": password}).status)
	}, split("201", "2.29.0", "200")},
	{"token without password", "admin", func(w *world) string {
		return told(w.send("POST", "/users/1/tokens", map[string]string{"description": "d"}))
	}, all("400 Invalid request payload / Invalid password: cannot be empty")},
	{"too many sign-ins ban a client", "admin", func(w *world) string {
		for range 12 {
			w.send("POST", "/auth", map[string]string{"Username": "admin", "Password": "no"})
		}
		w.clock.move(time.Minute)
		a := w.send("POST", "/auth", map[string]string{"Username": "admin", "Password": password})
		w.clock.move(time.Hour)
		return fmt.Sprint(a.status, " ", a.object()["message"], " ", w.send("POST", "/auth", map[string]string{"Username": "admin", "Password": password}).status)
	}, all("403 Access denied 200")},
	{"logout with Bearer only", "admin", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/auth/logout", nil).status)
	}, split("0", "2.33.0", "204")},
	{"the cookie without CSRF token", "admin", func(w *world) string {
		return seen(w.send("POST", "/tags", map[string]string{"Name": "t"}, "Cookie: portainer_api_key="+w.jwt))
	}, map[string]string{"*": "403 Forbidden - CSRF token not found in request", "2.45.0": `200 {"ID":1,"Name":"t","Endpoints":{},"EndpointGroups":{}}`}},
	{"a foreign Origin", "admin", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/tags", map[string]string{"Name": "t"}, "Origin: https://elsewhere.example").status)
	}, split("200", "2.41.0", "403")},
	{"form content type", "admin", func(w *world) string {
		return told(w.send("POST", "/tags", `{"Name":"t"}`, "Content-Type: application/x-www-form-urlencoded"))
	}, all("400 Invalid request payload / EOF")},

	// Tags, groups, registries.
	{"a tag twice", "admin", func(w *world) string {
		w.send("POST", "/tags", map[string]string{"Name": "t"})
		a := w.send("POST", "/tags", map[string]string{"Name": "t"})
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("409 This name is already associated to a tag")},
	{"a group twice", "admin", func(w *world) string {
		w.send("POST", "/endpoint_groups", map[string]string{"Name": "g"})
		return fmt.Sprint(w.send("POST", "/endpoint_groups", map[string]string{"Name": "g"}).id(w.t))
	}, all("3")},
	{"a registry twice", "admin", func(w *world) string {
		r := map[string]any{"Name": "r", "Type": 3, "URL": "reg.example", "Authentication": true, "Username": "u", "Password": "p"}
		first := w.send("POST", "/registries", r)
		_, leaked := first.object()["Password"]
		return fmt.Sprint(leaked, " ", w.send("POST", "/registries", r).object()["message"])
	}, all("false Another registry with the same name already exists")},

	// Environments.
	{"environment of an agent", "agent", func(w *world) string {
		m := w.send("GET", fmt.Sprint("/endpoints/", w.agentID), nil).object()
		return fmt.Sprint(m["Type"], m["Status"], " ", m["Agent"].(map[string]any)["Version"] == w.version)
	}, all("2 1 true")},
	{"empty fields of an environment", "agent", func(w *world) string {
		_, there := w.send("GET", fmt.Sprint("/endpoints/", w.agentID), nil).object()["TagIds"]
		return fmt.Sprint(there)
	}, split("true", "2.41.0", "false")},
	{"ContainerEngine", "agent", func(w *world) string {
		return fmt.Sprint(w.send("GET", fmt.Sprint("/endpoints/", w.agentID), nil).object()["ContainerEngine"])
	}, split("<nil>", "2.23.0", "docker")},
	{"name in use", "agent", func(w *world) string {
		a := w.send("POST", "/endpoints", w.agentForm("vm1"))
		return fmt.Sprint(a.status, " ", a.object()["message"], " ", w.send("POST", "/endpoints", w.agentForm("VM1")).status)
	}, all("409 Name is not unique 200")},
	{"agent refuses the connection", "admin", func(w *world) string {
		f := w.agentForm("x")
		f["URL"] = "tcp://127.94.0.9:1"
		return told(w.send("POST", "/endpoints", f))
	}, all(`500 Unable to get environment type / Get "https://127.94.0.9:1/ping": dial tcp 127.94.0.9:1: connect: connection refused`)},
	{"TLS flags missing", "admin", func(w *world) string {
		f := w.agentForm("x")
		delete(f, "TLS")
		a := w.send("POST", "/endpoints", f)
		return fmt.Sprint(a.object()["message"], strings.Contains(a.text, "tls: failed to verify certificate: x509:"))
	}, all("Unable to get environment typetrue")},
	{"TLS only", "admin", func(w *world) string {
		f := w.agentForm("x")
		delete(f, "TLSSkipVerify")
		a := w.send("POST", "/endpoints", f)
		return fmt.Sprint(a.status, strings.HasPrefix(fmt.Sprint(a.object()["message"]), "Invalid CA certificate file"))
	}, all("400 true")},
	{"TLS and skip verify only", "admin", func(w *world) string {
		f := w.agentForm("x")
		delete(f, "TLSSkipClientVerify")
		a := w.send("POST", "/endpoints", f)
		return fmt.Sprint(a.status, strings.HasPrefix(fmt.Sprint(a.object()["message"]), "Invalid certificate file"))
	}, all("400 true")},
	{"URL without scheme", "admin", func(w *world) string {
		f := w.agentForm("x")
		f["URL"] = "10.0.0.1:9001"
		return told(w.send("POST", "/endpoints", f))
	}, all("500 Unable to initiate communications with environment / Unable to parse docker host `10.0.0.1:9001`")},
	{"agent paired with another server", "agent", func(w *world) string {
		w.store.data = nil // the server's data is gone
		w.restart()
		w.jwt = ""
		w.signedIn()
		return told(w.send("POST", "/endpoints", w.agentForm("again")))
	}, all("500 Unable to initiate communications with environment / Agent already paired with another Portainer instance")},
	{"AGENT_SECRET on one side only", "admin", func(w *world) string {
		w.config.Secret = "s3cret"
		w.restart()
		w.login()
		return told(w.send("POST", "/endpoints", w.agentForm("x")))
	}, all("500 Unable to initiate communications with environment / Agent already paired with another Portainer instance")},
	{"bad tags leave the environment saved", "admin", func(w *world) string {
		f := w.agentForm("half")
		f["TagIds"] = "[99]"
		a := w.send("POST", "/endpoints", f)
		list := w.send("GET", "/endpoints?name=half", nil)
		return fmt.Sprint(a.status, " ", list.header.Get("X-Total-Count"), " ", w.send("POST", "/endpoints", f).status)
	}, all("500 1 409")},
	{"a bad group leaves the environment saved", "admin", func(w *world) string {
		f := w.agentForm("half")
		f["GroupID"] = "77"
		a := w.send("POST", "/endpoints", f)
		return fmt.Sprint(a.status, " ", w.send("GET", "/endpoints?name=half", nil).header.Get("X-Total-Count"))
	}, all("500 1")},
	{"PUT does not look at the new URL", "agent", func(w *world) string {
		a := w.send("PUT", fmt.Sprint("/endpoints/", w.agentID), map[string]string{"URL": "tcp://127.94.0.9:1"})
		return fmt.Sprint(a.status, " ", w.send("GET", fmt.Sprintf("/endpoints/%d/docker/_ping", w.agentID), nil).status)
	}, all("200 502")},
	{"docker ping through the proxy", "agent", func(w *world) string {
		return seen(w.send("GET", fmt.Sprintf("/endpoints/%d/docker/_ping", w.agentID), nil))
	}, all("200 OK")},
	{"docker proxy without agent", "agent", func(w *world) string {
		w.agent.Close()
		a := w.send("GET", fmt.Sprintf("/endpoints/%d/docker/info", w.agentID), nil)
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, split("502 <nil>", "2.35.0", "502 Proxy failure")},
	{"snapshot with the agent down", "agent", func(w *world) string {
		w.agent.Close()
		a := w.send("POST", fmt.Sprintf("/endpoints/%d/snapshot", w.agentID), nil)
		return fmt.Sprint(a.status, " ", w.send("GET", fmt.Sprint("/endpoints/", w.agentID), nil).object()["Status"])
	}, all("204 2")},
	{"excludeSnapshots", "agent", func(w *world) string {
		return fmt.Sprint(strings.Contains(w.send("GET", "/endpoints?excludeSnapshots=true", nil).text, "DockerSnapshotRaw"),
			strings.Contains(w.send("GET", "/endpoints", nil).text, "DockerSnapshotRaw"))
	}, all("false true")},
	{"an environment that isn't there", "admin", func(w *world) string {
		return fmt.Sprint(w.send("DELETE", "/endpoints/9", nil).status)
	}, all("404")},

	// Stacks.
	{"names are normalised", "agent", func(w *world) string {
		a, _ := w.stack("My App.1_x-Y!", oneService)
		return fmt.Sprint(a.object()["Name"], " ", len(w.containers("myapp1_x-y")))
	}, all("myapp1_x-y 1")},
	{"the answer of create", "agent", func(w *world) string {
		a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/string?endpointId=%d", w.agentID), map[string]any{"Name": "s", "StackFileContent": oneService})
		status := fmt.Sprint(a.status, " ", a.object()["Status"])
		w.settle(a.id(w.t))
		return status
	}, split("200 1", "2.41.0", "200 3")},
	{"DeploymentStatus", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		list, _ := w.send("GET", fmt.Sprint("/stacks/", id), nil).object()["DeploymentStatus"].([]any)
		return fmt.Sprint(len(list))
	}, split("0", "2.41.0", "2")},
	{"create without endpointId", "agent", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/stacks/create/standalone/string", map[string]any{"Name": "s", "StackFileContent": oneService}).object()["message"])
	}, all("Invalid query parameter: endpointId")},
	{"create in an unknown environment", "agent", func(w *world) string {
		return fmt.Sprint(w.send("POST", "/stacks/create/standalone/string?endpointId=99", map[string]any{"Name": "s", "StackFileContent": oneService}).status)
	}, all("404")},
	{"a stack twice", "agent", func(w *world) string {
		w.stack("app", oneService)
		a, _ := w.stack("APP", oneService)
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("409 A stack with the normalized name 'app' already exists")},
	{"create with the agent down", "agent", func(w *world) string {
		w.agent.Close()
		a, _ := w.stack("s", oneService)
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("500 Unable to check for name collision")},
	{"a failing create", "agent", func(w *world) string {
		a, id := w.stack("s", brokenService)
		status := 0
		if id != 0 {
			status = w.settle(id)
		}
		return fmt.Sprint(a.status, " ", status)
	}, split("500 0", "2.41.0", "200 4")},
	{"leftovers of a failing create", "agent", func(w *world) string {
		w.stack("s", halfBroken)
		return fmt.Sprint(len(w.containers("s")), " ", w.send("GET", "/stacks", nil).text != "[]\n")
	}, split("0 false", "2.41.0", "2 true")},
	{"the text of a failing create", "agent", func(w *world) string {
		a, id := w.stack("s", brokenService)
		text := a.text
		if id != 0 {
			text = w.send("GET", fmt.Sprint("/stacks/", id), nil).text
		}
		return fmt.Sprint(strings.Contains(text, "manifest for nginx:missing not found: manifest unknown"))
	}, all("true")},
	{"a name that compose refuses", "agent", func(w *world) string {
		a, id := w.stack("_x", oneService)
		text := a.text
		if id != 0 {
			text = w.send("GET", fmt.Sprint("/stacks/", id), nil).text
		}
		return fmt.Sprint(strings.Contains(text, "invalid project name"))
	}, all("true")},
	{"a name of nothing makes junk", "agent", func(w *world) string {
		_, id := w.stack("!!!", oneService)
		return fmt.Sprint(len(w.containers(fmt.Sprint(id))))
	}, all("1")},
	{"a failed update and the running services", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		a := w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": brokenService, "Env": []pair{{"N", "new"}}})
		status := w.settle(id)
		return fmt.Sprint(a.status, " ", status, " ", len(w.containers("s")))
	}, map[string]string{"2.39.0": "500 1 1", "2.45.0": "200 4 1", "*": "500 1 0"}},
	{"file and variables after a failed update", "agent", func(w *world) string {
		_, id := w.stack("s", oneService, pair{"N", "old"})
		w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": brokenService, "Env": []pair{{"N", "new"}}})
		w.settle(id)
		file := w.send("GET", fmt.Sprintf("/stacks/%d/file", id), nil).object()["StackFileContent"] == oneService
		return fmt.Sprint(file, " ", w.send("GET", fmt.Sprint("/stacks/", id), nil).object()["Env"])
	}, split("true [map[name:N value:old]]", "2.41.0", "true [map[name:N value:new]]")},
	{"an update without Env wipes it", "agent", func(w *world) string {
		_, id := w.stack("s", oneService, pair{"N", "old"})
		w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": oneService})
		w.settle(id)
		return fmt.Sprint(w.send("GET", fmt.Sprint("/stacks/", id), nil).object()["Env"])
	}, all("[]")},
	{"an update that changes nothing", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		before := w.containers("s")[0].ID
		w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": oneService})
		w.settle(id)
		date := w.send("GET", fmt.Sprint("/stacks/", id), nil).object()["UpdateDate"].(float64)
		return fmt.Sprint(before == w.containers("s")[0].ID, date > 0)
	}, all("true true")},
	{"update without endpointId", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		return fmt.Sprint(w.send("PUT", fmt.Sprintf("/stacks/%d", id), map[string]any{"StackFileContent": oneService}).status)
	}, all("400")},
	{"Prune", "agent", func(w *world) string {
		_, id := w.stack("s", twoServices)
		w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": oneService, "Prune": true})
		w.settle(id)
		return count(len(w.containers("s")))
	}, split("2", "2.40.0", "1")},
	{"COMPOSE_REMOVE_ORPHANS", "agent", func(w *world) string {
		_, id := w.stack("s", twoServices)
		w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": oneService, "Env": []pair{{"COMPOSE_REMOVE_ORPHANS", "true"}}})
		w.settle(id)
		return count(len(w.containers("s")))
	}, split("2", "2.29.0", "1")},
	{"delete", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		without := w.send("DELETE", fmt.Sprintf("/stacks/%d", id), nil).status
		with := w.send("DELETE", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), nil).status
		return fmt.Sprint(without, with, w.send("DELETE", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), nil).status, len(w.containers("s")))
	}, all("404 204 404 0")},
	{"stop and start", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		w.send("POST", fmt.Sprintf("/stacks/%d/stop?endpointId=%d", id, w.agentID), nil)
		stopped := fmt.Sprint(w.settle(id), len(w.containers("s")))
		w.send("POST", fmt.Sprintf("/stacks/%d/start?endpointId=%d", id, w.agentID), nil)
		return fmt.Sprint(stopped, " ", w.settle(id), len(w.containers("s")))
	}, all("2 0 1 1")},
	{"legacy create", "agent", func(w *world) string {
		return fmt.Sprint(w.send("POST", fmt.Sprintf("/stacks?type=2&method=string&endpointId=%d", w.agentID), map[string]any{"Name": "old", "StackFileContent": oneService}).status)
	}, split("200", "2.27.0", "405")},
	{"create from a file", "agent", func(w *world) string {
		a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/file?endpointId=%d", w.agentID), form{"Name": "f", "Env": `[{"name":"A","value":"b"}]`, "@file": oneService})
		return fmt.Sprint(a.status, w.settle(a.id(w.t)), len(w.containers("f")))
	}, all("200 1 1")},
	{"list by environment", "agent", func(w *world) string {
		w.stack("s", oneService)
		return fmt.Sprint(strings.Contains(w.send("GET", `/stacks?filters={"EndpointID":`+fmt.Sprint(w.agentID)+`}`, nil).text, `"Name":"s"`),
			w.send("GET", `/stacks?filters={"EndpointID":99}`, nil).text)
	}, all("true[]")},

	// Git.
	{"a stack from git", "agent", func(w *world) string {
		a, id := w.gitStack("g", "https://git.example/app.git", "refs/heads/main")
		return fmt.Sprint(a.status, w.settle(id), " ", a.object()["GitConfig"].(map[string]any)["URL"])
	}, split("200 1 https://git.example/app.git", "2.41.0", "200 1 https://git.example/app")},
	{"a short reference", "agent", func(w *world) string {
		a, _ := w.gitStack("g", "https://git.example/app.git", "main")
		return fmt.Sprint(a.status, " ", strings.Contains(a.text, "could not find ref"), " ", a.object()["message"] == "Failed to prepare stack")
	}, split("500 true false", "2.41.0", "500 true true")},
	{"wrong git credentials", "agent", func(w *world) string {
		w.git.Commit("https://git.example/app.git", "main", map[string]string{"docker-compose.yml": oneService})
		w.git.Protect("https://git.example/app.git", "u", "p")
		a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/repository?endpointId=%d", w.agentID), map[string]any{"Name": "g", "RepositoryURL": "https://git.example/app.git"})
		return fmt.Sprint(strings.Contains(a.text, "nvalid git credential"), strings.Contains(a.text, "authentication required"))
	}, split("true false", "2.24.0", "false true")},
	{"file URL", "agent", func(w *world) string {
		return fmt.Sprint(w.send("POST", fmt.Sprintf("/stacks/create/standalone/repository?endpointId=%d", w.agentID), map[string]any{"Name": "g", "RepositoryURL": "file:///x"}).status)
	}, all("400")},
	{"redeploy without endpointId", "agent", func(w *world) string {
		_, id := w.gitStack("g", "https://git.example/app.git", "")
		a := w.send("PUT", fmt.Sprintf("/stacks/%d/git/redeploy", id), map[string]any{})
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("404 Unable to find the environment associated to the stack")},
	{"redeploy with {}", "agent", func(w *world) string {
		_, id := w.gitStack("g", "https://git.example/app.git", "refs/heads/main")
		w.send("PUT", fmt.Sprintf("/stacks/%d/git/redeploy?endpointId=%d", id, w.agentID), map[string]any{})
		w.settle(id)
		m := w.send("GET", fmt.Sprint("/stacks/", id), nil).object()
		return fmt.Sprint(m["Env"], " ", m["GitConfig"].(map[string]any)["ReferenceName"])
	}, split("[] ", "2.41.0", "[map[name:A value:b]] refs/heads/main")},
	{"redeploy recreates", "agent", func(w *world) string {
		_, id := w.gitStack("g", "https://git.example/app.git", "")
		before := w.containers("g")[0].ID
		w.send("PUT", fmt.Sprintf("/stacks/%d/git/redeploy?endpointId=%d", id, w.agentID), map[string]any{})
		w.settle(id)
		return fmt.Sprint(before == w.containers("g")[0].ID)
	}, all("false")},
	{"redeploy of another kind of stack", "agent", func(w *world) string {
		_, id := w.stack("s", oneService)
		a := w.send("PUT", fmt.Sprintf("/stacks/%d/git/redeploy?endpointId=%d", id, w.agentID), map[string]any{})
		return fmt.Sprint(a.status, " ", a.object()["message"])
	}, all("400 Stack is not created from git")},
	{"an update takes a stack off git", "agent", func(w *world) string {
		_, id := w.gitStack("g", "https://git.example/app.git", "")
		w.send("PUT", fmt.Sprintf("/stacks/%d?endpointId=%d", id, w.agentID), map[string]any{"StackFileContent": oneService})
		w.settle(id)
		return fmt.Sprint(w.send("GET", fmt.Sprint("/stacks/", id), nil).object()["GitConfig"])
	}, all("<nil>")},
	{"another URL in the settings", "agent", func(w *world) string {
		_, id := w.gitStack("g", "https://git.example/app", "")
		w.send("POST", fmt.Sprintf("/stacks/%d/git?endpointId=%d", id, w.agentID), map[string]any{"RepositoryURL": "https://git.example/other"})
		return fmt.Sprint(w.send("GET", fmt.Sprint("/stacks/", id), nil).object()["GitConfig"].(map[string]any)["URL"])
	}, split("https://git.example/app", "2.40.0", "https://git.example/other")},
	{"the file after a change of settings", "agent", func(w *world) string {
		_, id := w.gitStack("g", "https://git.example/app", "")
		w.send("POST", fmt.Sprintf("/stacks/%d/git?endpointId=%d", id, w.agentID), map[string]any{})
		return fmt.Sprint(w.send("GET", fmt.Sprintf("/stacks/%d/file", id), nil).status)
	}, split("200", "2.43.0", "409")},
	{"a webhook deploys a new commit only", "agent", func(w *world) string {
		hook := "0a1b2c3d-1111-4222-8333-444455556666"
		w.git.Commit("https://git.example/app", "main", map[string]string{"docker-compose.yml": oneService})
		a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/repository?endpointId=%d", w.agentID), map[string]any{"Name": "g", "RepositoryURL": "https://git.example/app", "AutoUpdate": map[string]string{"Webhook": hook}})
		w.settle(a.id(w.t))
		before := w.containers("g")[0].ID
		same := w.send("POST", "/stacks/webhooks/"+hook, nil, "Authorization: ").status
		kept := before == w.containers("g")[0].ID
		w.git.Commit("https://git.example/app", "main", map[string]string{"docker-compose.yml": twoServices})
		w.send("POST", "/stacks/webhooks/"+hook, nil, "Authorization: ")
		w.settle(a.id(w.t))
		return fmt.Sprint(same, kept, len(w.containers("g")), w.send("POST", "/stacks/webhooks/00000000-1111-4222-8333-444455556666", nil).status)
	}, all("204 true 2 404")},

	{"a backup", "agent", func(w *world) string {
		a := w.send("POST", "/backup", map[string]string{"password": ""})
		return fmt.Sprint(a.status, " ", strings.HasPrefix(a.text, "\x1f\x8b"))
	}, all("200 true")},
}

// gitStack makes a stack from a repository with one service.
func (w *world) gitStack(name, url, ref string) (answer, int) {
	w.t.Helper()
	w.git.Commit(url, "main", map[string]string{"docker-compose.yml": oneService})
	a := w.send("POST", fmt.Sprintf("/stacks/create/standalone/repository?endpointId=%d", w.agentID),
		map[string]any{"Name": name, "RepositoryURL": url, "RepositoryReferenceName": ref, "Env": []pair{{"A", "b"}}})
	if a.status != http.StatusOK {
		return a, 0
	}
	id := a.id(w.t)
	w.settle(id)
	return a, id
}

func TestFactsByVersion(t *testing.T) {
	for _, f := range facts {
		for _, version := range allVersions {
			t.Run(f.name+"/"+version, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, version)
				switch f.setup {
				case "admin":
					w.signedIn()
				case "agent":
					w.ready()
				}
				want, ok := f.want[version]
				if !ok {
					want = f.want["*"]
				}
				if got := f.run(w); strings.TrimSpace(got) != strings.TrimSpace(want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}
