package proxmox

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// login gives the lab's requests a ticket instead of a token.
func (l *testLab) login(user, password string) (ticket, csrf string) {
	l.Helper()
	l.auth = nil
	got := l.ok("POST", "/access/ticket", url.Values{"username": {user}, "password": {password}}).(obj)
	ticket, csrf = got["ticket"].(string), got["CSRFPreventionToken"].(string)
	l.auth = map[string]string{"Cookie": "PVEAuthCookie=" + ticket, "CSRFPreventionToken": csrf}
	return ticket, csrf
}

func TestTickets(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil)
	l.auth = nil
	if a := l.do("POST", "/access/ticket", obj{"username": "root@pam", "password": "wrong"}); a.line != "401 authentication failure" {
		t.Error(a.line)
	}
	ticket, csrf := l.login("root@pam", "geheim")
	l.ok("PUT", "/nodes/pve/qemu/9000/config", obj{"tags": "x"})
	if got := l.ok("GET", "/cluster/status", nil); len(got.([]any)) != 4 {
		t.Errorf("cluster status %v", got)
	}
	// A ticket is renewed by giving it as the password.
	renewed, _ := l.login("root@pam", ticket)
	if renewed == ticket {
		t.Error("renewing gave the same ticket")
	}
	l.auth = map[string]string{"Cookie": "PVEAuthCookie=" + ticket}
	if a := l.do("PUT", "/nodes/pve/qemu/9000/config", obj{"tags": "y"}); a.line != "401 Permission denied - invalid csrf token" {
		t.Error(a.line)
	}
	l.ok("GET", "/version", nil)
	l.auth["Cookie"] = "PVEAuthCookie=" + strings.Replace(ticket, "root", "toor", 1)
	if a := l.do("GET", "/version", nil); a.line != "401 permission denied - invalid PVE ticket" {
		t.Error(a.line)
	}
	// Two hours are its life.
	old, _ := l.s.newTicket("root@pam", time.Now().Add(-ticketLife-time.Second))
	l.auth = map[string]string{"Cookie": "PVEAuthCookie=" + old, "CSRFPreventionToken": csrf}
	if a := l.do("GET", "/version", nil); a.line != "401 permission denied - invalid PVE ticket" {
		t.Error(a.line)
	}
	// Root with a ticket may do what no token may.
	l.login("root@pam", "geheim")
	l.ok("PUT", "/nodes/pve/qemu/9000/config", obj{"args": "-device foo"})
}

func TestRefusalsTakeTheirTime(t *testing.T) {
	t.Parallel()
	l := startLab(t, func(o *Options) { o.AuthDelay = 80 * time.Millisecond })
	l.auth = nil
	start := time.Now()
	if a := l.do("GET", "/version", nil); a.line != "401 No ticket" {
		t.Error(a.line)
	}
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("a refusal took %v", took)
	}
}

func TestPrivileges(t *testing.T) {
	for _, tc := range []struct {
		name         string
		version      Version
		role         []string
		path         string // of the ACL
		method, call string
		params       any
		want         string
	}{
		{"nothing", V9, nil, "/", "GET", "/nodes/pve/qemu/100/config", nil, "403 Permission check failed (/vms/100, VM.Audit)"},
		{"enough", V9, []string{"VM.Audit"}, "/", "GET", "/nodes/pve/qemu/100/config", nil, "200 OK"},
		{"enough on the machine", V9, []string{"VM.Audit"}, "/vms/100", "GET", "/nodes/pve/qemu/100/config", nil, "200 OK"},
		{"elsewhere", V9, []string{"VM.Audit"}, "/vms/101", "GET", "/nodes/pve/qemu/100/config", nil, "403 Permission check failed (/vms/100, VM.Audit)"},
		{"disk keys", V9, []string{"VM.Config.Options"}, "/", "PUT", "/nodes/pve/qemu/100/config", obj{"delete": "scsi0"}, "403 Permission check failed (/vms/100, VM.Config.Disk)"},
		{"memory keys", V9, []string{"VM.Config.CPU"}, "/", "PUT", "/nodes/pve/qemu/100/config", obj{"memory": 512}, "403 Permission check failed (/vms/100, VM.Config.Memory)"},
		{"startup", V9, []string{"VM.Config.Options"}, "/", "PUT", "/nodes/pve/qemu/100/config", obj{"startup": "order=1"}, "403 Permission check failed (/, Sys.Modify)"},
		{"cloud-init keys by Network", V9, []string{"VM.Config.Network"}, "/", "PUT", "/nodes/pve/qemu/100/config", obj{"ciuser": "a"}, "200 OK"},
		{"clone: source", V9, []string{"VM.Allocate"}, "/", "POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 300}, "403 Permission check failed (/vms/9000, VM.Clone)"},
		{"clone: target", V9, []string{"VM.Clone"}, "/", "POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 300}, "403 Permission check failed (/vms/300, VM.Allocate)"},
		{"clone: storage", V9, []string{"VM.Clone", "VM.Allocate"}, "/", "POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 300}, "403 Permission check failed (/storage/local-zfs, Datastore.AllocateSpace)"},
		{"agent in 9", V9, []string{"VM.Audit"}, "/", "POST", "/nodes/pve/qemu/100/agent/ping", nil, "403 Permission check failed (/vms/100, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)"},
		{"agent in 8", V8, []string{"VM.Audit"}, "/", "POST", "/nodes/pve/qemu/100/agent/ping", nil, "403 Permission check failed (/vms/100, VM.Monitor)"},
		{"exec in 9", V9, []string{"VM.GuestAgent.Audit"}, "/", "POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"echo"}}, "403 Permission check failed (/vms/100, VM.GuestAgent.Unrestricted)"},
		{"exec in 8", V8, []string{"VM.Monitor"}, "/", "POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"echo"}}, "200 OK"},
		{"unrestricted implies audit", V9, []string{"VM.GuestAgent.Unrestricted"}, "/", "POST", "/nodes/pve/qemu/100/agent/ping", nil, "200 OK"},
		{"download", V9, []string{"Datastore.AllocateTemplate"}, "/", "POST", "/nodes/pve/storage/local/download-url", obj{}, "403 Permission check failed (/, Sys.Audit)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, func(o *Options) {
				o.Version = tc.version
				o.Seed.Cluster.Roles = map[string][]string{"Test": tc.role}
				o.Seed.Cluster.ACL = append(o.Seed.Cluster.ACL,
					ACL{Path: tc.path, Subject: "weak@pve", Role: "Test"}, ACL{Path: tc.path, Subject: "weak@pve!t", Role: "Test"})
			})
			l.running(100)
			l.auth = map[string]string{"Authorization": "PVEAPIToken=weak@pve!t=" + testSecret}
			if a := l.do(tc.method, tc.call, tc.params); a.line != tc.want {
				t.Errorf("%s, want %s", a.line, tc.want)
			}
		})
	}
}

func TestTokenHasNoMoreThanItsUser(t *testing.T) {
	t.Parallel()
	l := startLab(t, func(o *Options) {
		o.Seed.Cluster.ACL = append(o.Seed.Cluster.ACL,
			ACL{Path: "/", Subject: "weak@pve!t", Role: "Administrator"}, ACL{Path: "/vms", Subject: "weak@pve", Role: "PVEAuditor"})
	})
	l.auth = map[string]string{"Authorization": "PVEAPIToken=weak@pve!t=" + testSecret}
	l.ok("GET", "/nodes/pve/qemu/9000/config", nil)
	if a := l.do("PUT", "/nodes/pve/qemu/9000/config", obj{"cores": 1}); a.line != "403 Permission check failed (/vms/9000, VM.Config.CPU)" {
		t.Error(a.line)
	}
	// Lists leave out what may not be seen.
	for _, row := range l.ok("GET", "/cluster/resources", nil).([]any) {
		if kind := row.(obj)["type"]; kind == "storage" {
			t.Errorf("sees %v", row)
		}
	}
	perms := l.ok("GET", "/access/permissions", nil).(obj)
	if perms["/"] != nil || perms["/vms"].(obj)["VM.Audit"] != float64(1) {
		t.Errorf("permissions %v", perms)
	}
}

func TestRolesOfEachGeneration(t *testing.T) {
	t.Parallel()
	for version, privs := range map[Version][2]string{V9: {"VM.GuestAgent.Audit", "VM.Monitor"}, V8: {"VM.Monitor", "VM.GuestAgent.Audit"}} {
		l := startLab(t, func(o *Options) { o.Version = version })
		l.ok("POST", "/access/roles", obj{"roleid": "Good", "privs": privs[0]})
		a := l.do("POST", "/access/roles", obj{"roleid": "Bad", "privs": privs[1]})
		if a.line != "400 Parameter verification failed." || !strings.Contains(a.body, "invalid format - invalid privilege '"+privs[1]+"'") {
			t.Errorf("%s: %s %s", version, a.line, a.body)
		}
	}
}

func TestGenerationsDiffer(t *testing.T) {
	for _, tc := range []struct {
		version            Version
		nextid, bodyOf500  string
		limit              int // characters of description that fit the body
		timeout, importing string
	}{
		{V9, `{"data":"101"}`, `{"data":null,"message":"VM 101 is not running\n"}`, 513 << 10, "qga command 'guest-exec'", "200 OK"},
		{V8, `{"data":101}`, `{"data":null,"message":"VM 101 is not running\n"}`, 513 << 10, "qmp command 'guest-exec'", "200 OK"},
		{V83, `{"data":101}`, `{"data":null}`, 65 << 10, "qmp command 'guest-exec'", "400 Parameter verification failed."},
	} {
		t.Run(string(tc.version), func(t *testing.T) {
			t.Parallel()
			l := startLab(t, func(o *Options) { o.Version = tc.version; o.Fetch = noFetch })
			l.running(100)
			if a := l.do("GET", "/cluster/nextid", nil); a.body != tc.nextid {
				t.Errorf("nextid %s", a.body)
			}
			l.vm(101)
			want := strings.ReplaceAll(tc.bodyOf500, "\n", `\n`)
			if a := l.do("POST", "/nodes/pve/qemu/101/agent/ping", nil); a.body != want {
				t.Errorf("body %s, want %s", a.body, want)
			}
			if a := l.do("PUT", "/nodes/pve/qemu/100/config", obj{"description": strings.Repeat("x", tc.limit)}); a.line != "501 for data too large" {
				t.Errorf("big body: %s", a.line)
			}
			a := l.do("POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"stuck"}})
			if a.line != "500 VM 100 "+tc.timeout+" failed - got timeout" {
				t.Errorf("agent timeout: %s", a.line)
			}
			a = l.do("POST", "/nodes/pve/storage/local/download-url", obj{"content": "import", "filename": "x.qcow2", "url": "http://x/y"})
			if a.line != tc.importing {
				t.Errorf("import of qcow2: %s %s", a.line, a.body)
			}
			if a := l.do("GET", "/nodes/pve/qemu/100/agent/file-read?file=/none&offset=1", nil); (a.line == "400 Parameter verification failed.") != (tc.version != V9) {
				t.Errorf("offset: %s", a.line)
			}
		})
	}
}
