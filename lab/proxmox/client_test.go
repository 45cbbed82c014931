package proxmox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"phoenix-run/lab/record"
)

const testSecret = "11111111-2222-3333-4444-555555555555"

// fast is a Speed for tests: everything is quick, and locks are given up soon.
var fast = Speed{
	Clone: 10 * time.Millisecond, Copy: 20 * time.Millisecond, Create: -1, Start: -1, Stop: -1, Config: 5 * time.Millisecond,
	Resize: -1, Destroy: -1, Snapshot: 5 * time.Millisecond, Migrate: 5 * time.Millisecond, Template: -1, HA: 20 * time.Millisecond,
	ConfigLock: 60 * time.Millisecond, CreateLock: 60 * time.Millisecond, CloneLock: 60 * time.Millisecond,
	StorageLock: 60 * time.Millisecond, AgentPing: 50 * time.Millisecond, AgentReply: 50 * time.Millisecond, Shutdown: 50 * time.Millisecond,
}

// lab is a server under test and a client of it.
type testLab struct {
	*testing.T
	s       *Server
	backend *fakeBackend
	dir     string
	auth    map[string]string // headers
}

func testSeed() *Seed {
	seed := DefaultSeed("geheim", testSecret)
	c := &seed.Cluster
	c.Name = "lab"
	c.Nodes = append(c.Nodes,
		&Node{Name: "pve2", IP: "192.0.2.11", CPUs: 8, Memory: 64 << 30, Bridges: []string{"vmbr0"}},
		&Node{Name: "dead", IP: "192.0.2.12", CPUs: 8, Memory: 64 << 30, Offline: true, Bridges: []string{"vmbr0"}})
	c.Storages = append(c.Storages,
		&Storage{ID: "ceph", Type: "rbd", Content: []string{"images"}, Shared: true, Bytes: 1 << 40},
		&Storage{ID: "thick", Type: "lvm", Content: []string{"images"}, Bytes: 1 << 40})
	c.Pools = []string{"prod"}
	c.Users = append(c.Users, &User{ID: "weak@pve", Password: "schwach", Tokens: []*Token{{ID: "t", Secret: testSecret, PrivSep: true}}})
	return seed
}

func startLab(t *testing.T, change func(*Options)) *testLab {
	t.Helper()
	l := &testLab{T: t, backend: newFake(), dir: t.TempDir()}
	l.auth = map[string]string{"Authorization": "PVEAPIToken=phoenix@pve!run=" + testSecret}
	l.open(change)
	t.Cleanup(func() {
		if err := l.s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *testLab) open(change func(*Options)) {
	l.Helper()
	opts := Options{Dir: l.dir, Backend: l.backend, Seed: testSeed(), Speed: fast, Report: func(err error) { l.Error(err) }}
	log, err := record.Open(filepath.Join(l.dir, "requests.jsonl"))
	if err != nil {
		l.Fatal(err)
	}
	opts.Log = log
	if change != nil {
		change(&opts)
	}
	if l.s, err = New(context.Background(), opts); err != nil {
		l.Fatal(err)
	}
}

// answer is what came over the wire.
type answer struct {
	line   string // "HTTP/1.1 500 …" without the version
	closed bool   // the server ends the connection
	body   string
}

func (a answer) data(t *testing.T) any {
	t.Helper()
	var out struct{ Data any }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("%s: body %q: %v", a.line, a.body, err)
	}
	return out.Data
}

// raw sends a request as text over a connection of its own, and reads the status line as it is.
func (l *testLab) raw(method, path string, header map[string]string, body []byte) (answer, error) {
	conn, err := tls.Dial("tcp", l.s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	sum := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw)
	if got := strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"); got != l.s.Fingerprint() {
		l.Errorf("fingerprint %s, the server says %s", got, l.s.Fingerprint())
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return answer{}, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: pve\r\n", method, apiPrefix, path)
	for k, v := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	if body != nil && header["Transfer-Encoding"] == "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	if _, err := conn.Write(b.Bytes()); err != nil {
		return answer{}, err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return answer{}, err
	}
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(line), r)), nil)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{strings.TrimSpace(strings.TrimPrefix(line, "HTTP/1.1 ")), res.Close, string(text)}, nil
}

// do sends a request as the lab's user. params: nil, url.Values (a form), or anything else as JSON.
func (l *testLab) do(method, path string, params any) answer {
	l.Helper()
	a, err := l.try(method, path, params)
	if err != nil {
		l.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (l *testLab) try(method, path string, params any) (answer, error) {
	header := map[string]string{}
	for k, v := range l.auth {
		header[k] = v
	}
	var body []byte
	switch p := params.(type) {
	case nil:
	case url.Values:
		header["Content-Type"], body = "application/x-www-form-urlencoded", []byte(p.Encode())
	case string:
		header["Content-Type"], body = "application/json", []byte(p)
	default:
		text, err := json.Marshal(p)
		if err != nil {
			return answer{}, err
		}
		header["Content-Type"], body = "application/json", text
	}
	return l.raw(method, path, header, body)
}

type obj = map[string]any

// ok is do for requests that have to succeed.
func (l *testLab) ok(method, path string, params any) any {
	l.Helper()
	a := l.do(method, path, params)
	if a.line != "200 OK" {
		l.Fatalf("%s %s %v: %s: %s", method, path, params, a.line, a.body)
	}
	return a.data(l.T)
}

// task is ok for requests that start a task; it returns the task's exit status.
func (l *testLab) task(method, path string, params any) string {
	l.Helper()
	id, isText := l.ok(method, path, params).(string)
	if !isText {
		l.Fatalf("%s %s: no UPID", method, path)
	}
	return l.exit(id)
}

func (l *testLab) exit(upid string) string {
	l.Helper()
	node := strings.Split(upid, ":")[1]
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		st := l.ok("GET", "/nodes/"+node+"/tasks/"+url.PathEscape(upid)+"/status", nil).(obj)
		if st["status"] == "stopped" {
			return st["exitstatus"].(string)
		}
	}
	l.Fatalf("task %s does not end", upid)
	return ""
}

// log is a task's log, line by line.
func (l *testLab) log(upid, query string) []string {
	l.Helper()
	var out []string
	for _, row := range l.ok("GET", "/nodes/pve/tasks/"+url.PathEscape(upid)+"/log"+query, nil).([]any) {
		out = append(out, fmt.Sprintf("%v %v", row.(obj)["n"], row.(obj)["t"]))
	}
	return out
}

func (l *testLab) config(id int) obj {
	l.Helper()
	return l.ok("GET", fmt.Sprintf("/nodes/pve/qemu/%d/config", id), nil).(obj)
}

// vm makes a linked clone of the template, on node pve.
func (l *testLab) vm(id int) string {
	l.Helper()
	if exit := l.task("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": id, "name": fmt.Sprintf("vm%d", id)}); exit != "OK" {
		l.Fatalf("clone: %s", exit)
	}
	return fmt.Sprintf("/nodes/pve/qemu/%d", id)
}

// running is vm, started.
func (l *testLab) running(id int) string {
	l.Helper()
	path := l.vm(id)
	if exit := l.task("POST", path+"/status/start", nil); exit != "OK" {
		l.Fatalf("start: %s", exit)
	}
	return path
}

// requests are the entries of the log so far.
func (l *testLab) requests() []record.Entry {
	l.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "requests.jsonl"))
	if err != nil {
		l.Fatal(err)
	}
	var out []record.Entry
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var e record.Entry
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			l.Fatal(err)
		}
		out = append(out, e)
	}
}
