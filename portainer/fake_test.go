package portainer

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"phoenix-run/portainer/compose"
	"phoenix-run/secret"
)

// profile is what differs between versions.
type profile struct {
	version     string
	async       bool // answers a deployment at once, with Status 3
	takesDown   bool // takes the project down when an update fails
	setupToken  bool
	omitsEmpty  bool
	stripsGit   bool
	plainErrors bool // the docker proxy's 502 has no body
}

var profiles = []profile{
	{version: "2.21.4", takesDown: true, plainErrors: true},
	{version: "2.27.1", takesDown: true, plainErrors: true},
	{version: "2.33.5", takesDown: true, plainErrors: true},
	{version: "2.39.0", takesDown: true},
	{version: "2.45.0", async: true, setupToken: true, omitsEmpty: true, stripsGit: true},
}

const (
	testPassword = "correct horse battery"
	testToken    = "setup-token-of-the-test"
)

// fake is a server that behaves as facts about Portainer say.
type fake struct {
	*httptest.Server
	p profile

	mu           sync.Mutex
	locked       bool
	admin        string
	banned       bool
	session      int // restarts: sessions of before are void
	signIns      int
	environments []Environment
	groups       []int
	tags         []string
	stacks       []*fakeStack
	containers   map[string][]fakeContainer // by environment/project
	nextID       int
	clock        int64
	log          []string // METHOD path
	headers      []http.Header
	paired       bool
	pulling      int // looks until an async deployment is done
	commit       string
	gitFile      string
	// fault may answer in the server's stead, before or after the work: it returns what to do.
	fault func(r *http.Request) (before, after http.HandlerFunc)
}

type fakeStack struct {
	stackRow
	file    string
	looks   int
	pending func()
}

type fakeContainer struct {
	service, state, status string
	image                  string
	folder                 string
	env                    string
	id                     string
}

func newFake(t *testing.T, p profile) *fake {
	t.Helper()
	f := &fake{p: p, containers: map[string][]fakeContainer{}, nextID: 1, clock: 1000, groups: []int{1}, commit: "c1"}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) options() Options {
	return Options{
		URL: f.URL, Password: secret.New(testPassword), SetupToken: secret.New(testToken),
		Fingerprint: fingerprint(f.Certificate().Raw),
		Poll:        time.Millisecond, Grace: 30 * time.Millisecond, HealthTimeout: 500 * time.Millisecond,
	}
}

func (f *fake) open(t *testing.T, change ...func(*Options)) *Client {
	t.Helper()
	o := f.options()
	for _, one := range change {
		one(&o)
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// ready gives the server an administrator and one environment.
func (f *fake) ready() *fake {
	f.admin = testPassword
	f.nextID++
	f.environments = []Environment{{ID: 1, Name: "vm1", URL: "tcp://10.0.0.1:9001", Kind: DockerAgent, Up: true, GroupID: 1}}
	return f
}

func (f *fake) count(part string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, line := range f.log {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func refuse(w http.ResponseWriter, status int, message, details string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q,"details":%q}`, message, details)
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.log = append(f.log, r.Method+" "+r.URL.Path)
	f.headers = append(f.headers, r.Header.Clone())
	fault := f.fault
	f.mu.Unlock()
	var after http.HandlerFunc
	if fault != nil {
		before, a := fault(r)
		if before != nil {
			before(w, r)
			return
		}
		after = a
	}
	if after != nil {
		f.answer(httptest.NewRecorder(), r)
		after(w, r)
		return
	}
	f.answer(w, r)
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/api")
	if f.locked && path != "/status" && path != "/settings/public" {
		w.Header().Set("Redirect-Reason", "AdminInitTimeout")
		refuse(w, 303, "Administrator initialization timeout", "Administrator initialization timeout")
		return
	}
	switch r.Method + " " + path {
	case "GET /system/status":
		fmt.Fprintf(w, `{"Version":%q,"InstanceID":"i"}`, f.p.version)
		return
	case "GET /users/admin/check":
		if f.admin != "" {
			w.WriteHeader(204)
			return
		}
		refuse(w, 404, "No administrator account found inside the database", "")
		return
	case "POST /users/admin/init":
		f.init(w, r)
		return
	case "POST /auth":
		f.auth(w, r)
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprint("Bearer jwt", f.session) && r.Header.Get("X-API-KEY") != "ptr_good" {
		refuse(w, 401, "Invalid JWT token", "Invalid JWT token")
		return
	}
	switch {
	case path == "/endpoints" || strings.HasPrefix(path, "/endpoints/"):
		f.endpoint(w, r, strings.Split(strings.TrimPrefix(path, "/"), "/")[1:])
	case path == "/tags":
		f.tag(w, r)
	case path == "/stacks" || strings.HasPrefix(path, "/stacks/"):
		f.stack(w, r, strings.Split(strings.TrimPrefix(path, "/"), "/")[1:])
	case path == "/users/me":
		fmt.Fprint(w, `{"Id":1}`)
	case path == "/users/1/tokens":
		fmt.Fprint(w, `{"rawAPIKey":"ptr_good"}`)
	case path == "/backup" && r.Method == "POST":
		fmt.Fprint(w, "tar and gzip")
	default:
		http.Error(w, "404 page not found", 404)
	}
}

func (f *fake) init(w http.ResponseWriter, r *http.Request) {
	if f.p.setupToken && r.Header.Get("X-Setup-Token") != testToken {
		refuse(w, 403, "Invalid or missing setup token. Provide the X-Setup-Token header with the token printed in the server logs at startup.", "")
		return
	}
	var body struct{ Username, Password string }
	decode(r, &body)
	switch {
	case f.admin != "":
		refuse(w, 409, "Unable to create administrator user", "An administrator user already exists")
	case len(body.Password) < 12:
		refuse(w, 400, "Password does not meet the requirements", "")
	default:
		f.admin = body.Password
		fmt.Fprint(w, `{"Id":1,"Password":"$2a$10$hash"}`)
	}
}

func (f *fake) auth(w http.ResponseWriter, r *http.Request) {
	var body struct{ Username, Password string }
	decode(r, &body)
	f.signIns++
	switch {
	case f.banned:
		refuse(w, 403, "Access denied", "")
	case body.Password != f.admin:
		refuse(w, 422, "Invalid credentials", "Unauthorized")
	default:
		http.SetCookie(w, &http.Cookie{Name: "portainer_api_key", Value: "cookie", Path: "/"})
		fmt.Fprintf(w, `{"jwt":"jwt%d"}`, f.session)
	}
}

func decode(r *http.Request, into any) {
	if r.Header.Get("Content-Type") != "application/json" {
		panic("a body that is no JSON: " + r.Header.Get("Content-Type"))
	}
	if err := json.NewDecoder(r.Body).Decode(into); err != nil && err != io.EOF {
		panic(err)
	}
}

func write(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (f *fake) tag(w http.ResponseWriter, r *http.Request) {
	if r.Method == "GET" {
		rows := []map[string]any{}
		for i, name := range f.tags {
			rows = append(rows, map[string]any{"ID": i + 1, "Name": name})
		}
		write(w, rows)
		return
	}
	var body struct{ Name string }
	decode(r, &body)
	if slices.Contains(f.tags, body.Name) {
		refuse(w, 409, "This name is already associated to a tag", "")
		return
	}
	f.tags = append(f.tags, body.Name)
	write(w, map[string]any{"ID": len(f.tags), "Name": body.Name})
}

func (f *fake) endpoint(w http.ResponseWriter, r *http.Request, rest []string) {
	if len(rest) == 0 {
		if r.Method == "GET" {
			f.listEndpoints(w, r)
		} else {
			f.createEndpoint(w, r)
		}
		return
	}
	id, _ := strconv.Atoi(rest[0])
	i := slices.IndexFunc(f.environments, func(e Environment) bool { return e.ID == id })
	if i < 0 {
		refuse(w, 404, "Unable to find an environment with the specified identifier inside the database", "")
		return
	}
	e := &f.environments[i]
	switch {
	case len(rest) > 1 && rest[1] == "docker":
		f.docker(w, r, e, rest[2:])
	case r.Method == "PUT":
		var body struct {
			Name, URL string
			TagIDs    []int
			GroupID   int
		}
		decode(r, &body)
		for _, id := range body.TagIDs {
			if id > len(f.tags) {
				refuse(w, 500, "Unable to find tag", "")
				return
			}
		}
		e.Name, e.URL, e.TagIDs, e.Up = body.Name, body.URL, body.TagIDs, true
	case r.Method == "DELETE":
		f.environments = slices.Delete(f.environments, i, i+1)
		w.WriteHeader(204)
	}
}

func (f *fake) listEndpoints(w http.ResponseWriter, r *http.Request) {
	start, _ := strconv.Atoi(r.URL.Query().Get("start"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if r.URL.Query().Get("excludeSnapshots") != "true" {
		panic("a list with snapshots was asked for")
	}
	page := f.environments[min(max(start-1, 0), len(f.environments)):]
	page = page[:min(limit, len(page))]
	w.Header().Set("X-Total-Count", strconv.Itoa(len(f.environments)))
	rows := []map[string]any{}
	for _, e := range page {
		row := map[string]any{"Id": e.ID, "Name": e.Name, "URL": e.URL, "Type": e.Kind, "Status": 1, "GroupId": e.GroupID}
		if len(e.TagIDs) > 0 || !f.p.omitsEmpty {
			row["TagIds"] = append([]int{}, e.TagIDs...)
		}
		rows = append(rows, row)
	}
	write(w, rows)
}

func (f *fake) createEndpoint(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		panic(err)
	}
	get := r.PostForm.Get
	u, err := url.Parse(get("URL"))
	kind, _ := strconv.Atoi(get("EndpointCreationType"))
	var tags []int
	if err := json.Unmarshal([]byte(get("TagIds")), &tags); err != nil {
		panic(err)
	}
	switch {
	case slices.ContainsFunc(f.environments, func(e Environment) bool { return e.Name == get("Name") }):
		refuse(w, 409, "Name is not unique", "Name is not unique")
		return
	case kind == 2 && (err != nil || u.Scheme != "tcp"):
		refuse(w, 500, "Unable to initiate communications with environment", "Unable to parse docker host `"+get("URL")+"`")
		return
	case kind == 2 && get("TLS")+get("TLSSkipVerify")+get("TLSSkipClientVerify") != "truetruetrue":
		refuse(w, 400, "Invalid CA certificate file. Ensure that the file is uploaded correctly", "")
		return
	case f.paired:
		refuse(w, 500, "Unable to initiate communications with environment", "Agent already paired with another Portainer instance")
		return
	}
	e := Environment{ID: f.nextID, Name: get("Name"), URL: get("URL"), Kind: Kind(kind), GroupID: 1}
	f.nextID++
	group, _ := strconv.Atoi(get("GroupID"))
	bad := !slices.Contains(f.groups, group)
	for _, id := range tags {
		bad = bad || id > len(f.tags)
	}
	if !bad {
		e.TagIDs, e.GroupID = tags, group
	}
	f.environments = append(f.environments, e)
	if bad { // saved all the same
		refuse(w, 500, "An error occurred while trying to update the environment", "object not found inside the database")
		return
	}
	write(w, map[string]any{"Id": e.ID, "Name": e.Name, "Type": kind})
}

func (f *fake) docker(w http.ResponseWriter, r *http.Request, e *Environment, rest []string) {
	if strings.Contains(e.URL, "dead") {
		if f.p.plainErrors {
			w.WriteHeader(502)
		} else {
			refuse(w, 502, "Proxy failure", "")
		}
		return
	}
	switch {
	case rest[0] == "_ping":
		fmt.Fprint(w, "OK")
	case r.Method == "DELETE":
		for project, list := range f.containers {
			f.containers[project] = slices.DeleteFunc(list, func(c fakeContainer) bool { return c.id == rest[1] })
		}
		w.WriteHeader(204)
	default:
		var filters map[string][]string
		if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters); err != nil {
			panic(err)
		}
		_, wanted, _ := strings.Cut(filters["label"][0], "=")
		rows := []map[string]any{}
		for place, list := range f.containers {
			environment, project, _ := strings.Cut(place, "/")
			if environment != strconv.Itoa(e.ID) || wanted != "" && project != wanted {
				continue
			}
			for _, c := range list {
				rows = append(rows, map[string]any{
					"Id": c.id, "Names": []string{"/" + project + "-" + c.service + "-1"}, "State": c.state, "Status": c.status, "Image": c.image,
					"Labels": map[string]string{projectLabel: project, serviceLabel: c.service, folderLabel: c.folder},
				})
			}
		}
		write(w, rows)
	}
}

// compose does what `compose up` does with a file; images say what becomes of them.
func (f *fake) compose(environment int, project, file, env string, id int) error {
	services, err := compose.Services(file)
	if err != nil {
		return err
	}
	place := fmt.Sprintf("%d/%s", environment, project)
	for _, s := range services {
		if strings.HasPrefix(s.Image, "missing") {
			return fmt.Errorf("web Pulling \n web Error \nError response from daemon: manifest for %s not found: manifest unknown", s.Image)
		}
		c := fakeContainer{service: s.Name, state: "running", status: "Up 1 second", image: s.Image, env: env, folder: fmt.Sprintf("/data/compose/%d", id)}
		switch s.Image {
		case "crash":
			c.state, c.status = "exited", "Exited (1) 1 second ago"
		case "once":
			c.state, c.status = "exited", "Exited (0) 1 second ago"
		case "healthy", "unhealthy":
			c.status = "Up 1 second (" + s.Image + ")"
		}
		i := slices.IndexFunc(f.containers[place], func(o fakeContainer) bool { return o.service == s.Name })
		switch {
		case i < 0:
			c.id = fmt.Sprintf("id%d", f.nextID)
			f.nextID++
			f.containers[place] = append(f.containers[place], c)
		case f.containers[place][i].image != c.image || f.containers[place][i].env != env || f.containers[place][i].state != c.state:
			c.id = fmt.Sprintf("id%d", f.nextID)
			f.nextID++
			f.containers[place][i] = c
		}
	}
	return nil
}
