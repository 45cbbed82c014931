package proxmox

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fact is one thing that Proxmox does on the wire: a request, and the status line and body it gets.
type fact struct {
	name   string
	before func(l *testLab)
	method string
	path   string // VM stands for /nodes/pve/qemu
	params any
	line   string // as on the wire; "" is "200 OK"
	body   string // regular expression that the body has to match; "" takes anything
	task   string // exit status of the task that it starts
}

func (f fact) run(l *testLab) {
	l.Helper()
	if f.before != nil {
		f.before(l)
	}
	a := l.do(f.method, strings.Replace(f.path, "VM", "/nodes/pve/qemu", 1), f.params)
	want := f.line
	if want == "" {
		want = "200 OK"
	}
	if a.line != want {
		l.Errorf("status line %q, want %q (body %s)", a.line, want, a.body)
		return
	}
	if !json.Valid([]byte(a.body)) && a.body != "" {
		l.Errorf("body is no JSON: %s", a.body)
	}
	if f.body != "" && !regexp.MustCompile(f.body).MatchString(a.body) {
		l.Errorf("body %s, want %s", a.body, f.body)
	}
	if a.closed == strings.HasPrefix(a.line, "2") {
		l.Errorf("%s: connection closed: %v", a.line, a.closed)
	}
	if f.task != "" {
		id, ok := a.data(l.T).(string)
		if !ok {
			l.Errorf("no UPID: %s", a.body)
			return
		}
		if exit := l.exit(id); exit != f.task {
			l.Errorf("exit status %q, want %q", exit, f.task)
		}
	}
}

// runFacts runs facts in order against one lab.
func runFacts(t *testing.T, change func(*Options), prepare func(l *testLab), facts []fact) {
	t.Parallel()
	l := startLab(t, change)
	if prepare != nil {
		prepare(l)
	}
	for _, f := range facts {
		outer := l.T
		outer.Run(f.name, func(t *testing.T) {
			l.T = t
			defer func() { l.T = outer }()
			f.run(l)
		})
	}
}

func withTarget(target string) url.Values { return url.Values{"target": {target}} }

func TestFactsOfHTTP(t *testing.T) {
	big := strings.Repeat("x", 513<<10)
	runFacts(t, nil, nil, []fact{
		{name: "plain die is 500 with text in reason and body", method: "GET", path: "VM/117/config",
			line: "500 Configuration file 'nodes/pve/qemu-server/117.conf' does not exist",
			body: `^{"data":null,"message":"Configuration file 'nodes/pve/qemu-server/117.conf' does not exist\\n"}$`},
		{name: "unknown method", method: "POST", path: "/nodes/pve/nonsense", params: obj{},
			line: "501 Method 'POST /nodes/pve/nonsense' not implemented"},
		{name: "known path, wrong method", method: "DELETE", path: "/version", line: "501 Method 'DELETE /version' not implemented"},
		{name: "unknown parameter", method: "GET", path: "/version?foo=1", line: "400 Parameter verification failed.",
			body: `"errors":{"foo":"property is not defined in schema and the schema does not allow additional properties"}`},
		{name: "errors come with data null", method: "GET", path: "/version?foo=1", line: "400 Parameter verification failed.", body: `"data":null`},
		{name: "missing parameter", method: "POST", path: "VM/9000/clone", params: obj{}, line: "400 Parameter verification failed.",
			body: `"newid":"property is missing and it is not optional"`},
		{name: "ill-typed integer", method: "POST", path: "VM/9000/clone", params: obj{"newid": "abc"}, line: "400 Parameter verification failed.",
			body: `"newid":"type check \('integer'\) failed - got 'abc'"`},
		{name: "ill-typed boolean", method: "POST", path: "VM/9000/clone", params: obj{"newid": 101, "full": "yes"}, line: "400 Parameter verification failed.",
			body: `"full":"type check \('boolean'\) failed - got 'yes'"`},
		{name: "array for a string", method: "POST", path: "VM/9000/clone", params: obj{"newid": 101, "name": []string{"a", "b"}},
			line: "400 Parameter verification failed.", body: `"name":"type check \('string'\) failed - got ARRAY"`},
		{name: "several faults at once", method: "POST", path: "VM/9000/clone", params: obj{"newid": 5, "nonsense": 1},
			line: "400 Parameter verification failed.", body: `"newid":.*"nonsense":`},
		{name: "not in the enumeration", method: "GET", path: "/cluster/resources?type=vms", line: "400 Parameter verification failed.",
			body: `value 'vms' does not have a value in the enumeration 'vm, storage, node, sdn'`},
		{name: "id below Proxmox's range", method: "POST", path: "VM/9000/clone", params: obj{"newid": 99}, line: "400 Parameter verification failed.",
			body: `"newid":"invalid format - value does not look like a valid VM ID\\n"`},
		{name: "name that is no DNS name", method: "POST", path: "VM/9000/clone", params: obj{"newid": 101, "name": "a_b"},
			line: "400 Parameter verification failed.", body: `"name":"invalid format - value does not look like a valid DNS name\\n"`},
		{name: "id of the path is checked too", method: "GET", path: "VM/abc/config", line: "400 Parameter verification failed.", body: `"vmid":`},
		{name: "body on GET", method: "GET", path: "/version", params: obj{"a": 1}, line: "501 Unexpected content for method 'GET'"},
		{name: "body on DELETE", method: "DELETE", path: "VM/9000", params: obj{"purge": 1}, line: "501 Unexpected content for method 'DELETE'"},
		{name: "body over 512 KiB", method: "PUT", path: "VM/9000/config", params: obj{"description": big}, line: "501 for data too large"},
		{name: "unknown node", method: "GET", path: "/nodes/elsewhere/status",
			line: "500 hostname lookup 'elsewhere' failed - failed to get address info for: elsewhere: Name or service not known"},
		{name: "node that is off", method: "GET", path: "/nodes/dead/qemu", line: "595 No route to host"},
		{name: "any node by its name, from one address", method: "GET", path: "/nodes/pve2/version", body: `"release":"9.1"`},
		{name: "localhost is the node that answers", method: "GET", path: "/nodes/localhost/qemu/9000/config", body: `"template":1`},
		{name: "form bodies", method: "PUT", path: "VM/9000/config", params: url.Values{"tags": {"b a"}}, body: `^{"data":null}$`},
		{name: "and what they did", method: "GET", path: "VM/9000/config", body: `"tags":"a;b"`},
		{name: "JSON bodies with numbers and booleans", method: "PUT", path: "VM/9000/config", params: obj{"onboot": true, "cores": 3}, body: `^{"data":null}$`},
		{name: "booleans are shown as 0 and 1", method: "GET", path: "VM/9000/config", body: `"cores":3.*"onboot":1`},
		{name: "no permission is needed to list nodes", method: "GET", path: "/nodes", body: `"node":"dead".*"status":"offline"`},
	})
}

func TestFactsOfRawHTTP(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil)
	a, err := l.raw("PUT", "/nodes/pve/qemu/9000/config", map[string]string{
		"Authorization": l.auth["Authorization"], "Transfer-Encoding": "chunked", "Content-Type": "application/json",
	}, []byte("2\r\n{}\r\n0\r\n\r\n"))
	if err != nil || a.line != "501 chunked transfer encoding not supported" {
		t.Errorf("chunked: %q, %v", a.line, err)
	}
	a, err = l.raw("GET", "/nodes/pve/qemu/9000/config", nil, nil)
	if err != nil || a.line != "401 No ticket" || a.body != "" {
		t.Errorf("no credentials: %q %q, %v", a.line, a.body, err)
	}
	for token, want := range map[string]string{
		"phoenix@pve!run=wrong":          "401 invalid token value!",
		"phoenix@pve!gone=" + testSecret: "401 no such token 'gone' for user 'phoenix@pve'",
		"gone@pve!run=" + testSecret:     "401 no such user ('gone@pve')",
	} {
		a, err := l.raw("GET", "/version", map[string]string{"Authorization": "PVEAPIToken=" + token}, nil)
		if err != nil || a.line != want {
			t.Errorf("%s: %q, %v, want %q", token, a.line, err, want)
		}
	}
}

func TestFactsOfIds(t *testing.T) {
	runFacts(t, nil, func(l *testLab) { l.vm(100) }, []fact{
		{name: "nextid is a string in 9", method: "GET", path: "/cluster/nextid", body: `^{"data":"101"}$`},
		{name: "nextid of a free id", method: "GET", path: "/cluster/nextid?vmid=500", body: `^{"data":"500"}$`},
		{name: "nextid of a taken id", method: "GET", path: "/cluster/nextid?vmid=100", line: "400 Parameter verification failed.",
			body: `"errors":{"vmid":"VM 100 already exists"}`},
		{name: "create with a taken id", method: "POST", path: "VM", params: obj{"vmid": 100},
			line: "500 unable to create VM 100 - VM 100 already exists on node 'pve'"},
		{name: "clone to a taken id", method: "POST", path: "VM/9000/clone", params: obj{"newid": 100},
			line: "500 unable to create VM 100: config file already exists"},
		{name: "machine of another node", method: "GET", path: "/nodes/pve2/qemu/100/config",
			line: "500 Configuration file 'nodes/pve2/qemu-server/100.conf' does not exist"},
	})
}

func TestFactsOfClones(t *testing.T) {
	runFacts(t, nil, func(l *testLab) {
		l.vm(100)
		l.task("POST", "/nodes/pve/qemu", obj{"vmid": 300, "scsi0": "ceph:8", "name": "onceph"})
		l.task("POST", "/nodes/pve/qemu", obj{"vmid": 301, "scsi0": "thick:8", "name": "onlvm"})
		l.task("POST", "/nodes/pve/qemu/301/template", nil)
	}, []fact{
		{name: "storage of a linked clone", method: "POST", path: "VM/9000/clone", params: obj{"newid": 101, "storage": "local-lvm"},
			line: "500 parameter 'storage' not allowed for linked clones"},
		{name: "format of a linked clone", method: "POST", path: "VM/9000/clone", params: obj{"newid": 101, "format": "raw"},
			line: "500 parameter 'format' not allowed for linked clones"},
		{name: "linked clone of what is no template", method: "POST", path: "VM/100/clone", params: obj{"newid": 101, "full": 0},
			line: "500 Linked clone feature is not supported for 'local-zfs:base-9000-disk-0/vm-100-disk-0' (scsi0)"},
		{name: "linked clone on thick LVM", method: "POST", path: "VM/301/clone", params: obj{"newid": 101},
			line: "500 Linked clone feature is not supported for 'thick:base-301-disk-0' (scsi0)"},
		{name: "full clone to another storage", method: "POST", path: "VM/9000/clone",
			params: obj{"newid": 102, "full": 1, "storage": "local-lvm"}, task: "OK"},
		{name: "its disks are there, cloud-init included", method: "GET", path: "VM/102/config",
			body: `"ide2":"local-lvm:vm-102-cloudinit,media=cdrom.*"scsi0":"local-lvm:vm-102-disk-0,size=2252M"`},
		{name: "its name, if none was given", method: "GET", path: "VM/102/config", body: `"name":"Copy-of-VM-ubuntu-22.04-cloud-template-v3"`},
		{name: "to a node that local storage doesn't reach", method: "POST", path: "VM/9000/clone", params: obj{"newid": 103, "target": "pve2"},
			line: "500 can't clone VM to node 'pve2' (VM uses local storage)"},
		{name: "shared to another node", method: "POST", path: "VM/300/clone", params: obj{"newid": 103, "target": "pve2"}, task: "OK"},
		{name: "it is there", method: "GET", path: "/nodes/pve2/qemu/103/config", body: `ceph:vm-103-disk-0`},
		{name: "shared to non-shared storage elsewhere", method: "POST", path: "VM/300/clone",
			params: obj{"newid": 104, "target": "pve2", "storage": "local-zfs"}, line: "500 can't clone to non-shared storage 'local-zfs'"},
		{name: "unknown storage", method: "POST", path: "VM/9000/clone", params: obj{"newid": 104, "full": 1, "storage": "nowhere"},
			line: "500 storage 'nowhere' does not exist"},
		{name: "storage for files only", method: "POST", path: "VM/9000/clone", params: obj{"newid": 104, "full": 1, "storage": "local"},
			line: "500 storage 'local' does not support content-type 'images'"},
		{name: "base of linked clones can't go", method: "DELETE", path: "VM/9000",
			line: "500 base volume 'local-zfs:base-9000-disk-0' is still in use by linked cloned"},
		{name: "failed clone is rolled back", before: func(l *testLab) { l.backend.fail = errFakeClone }, method: "POST", path: "VM/9000/clone",
			params: obj{"newid": 105}, task: "clone failed: no space left on device"},
		{name: "nothing is left of it", before: func(l *testLab) { l.backend.fail = nil }, method: "GET", path: "VM/105/config",
			line: "500 Configuration file 'nodes/pve/qemu-server/105.conf' does not exist"},
	})
}

func TestFactsOfConfig(t *testing.T) {
	key := "ssh-ed25519 AAAA+b/c= me@home"
	runFacts(t, nil, func(l *testLab) { l.vm(100); l.running(101) }, []fact{
		{name: "nothing to do", method: "PUT", path: "VM/100/config", params: obj{}, line: "500 no options specified"},
		{name: "description gets a newline", method: "PUT", path: "VM/100/config", params: obj{"description": "one\ntwo"}},
		{name: "in every line", method: "GET", path: "VM/100/config", body: `"description":"one\\ntwo\\n"`},
		{name: "tags", method: "PUT", path: "VM/100/config", params: obj{"tags": "Web,dev web;;"}},
		{name: "are sorted, lower case, once each", method: "GET", path: "VM/100/config", body: `"tags":"dev;web"`},
		{name: "tags are checked", method: "PUT", path: "VM/100/config", params: obj{"tags": "a,b!"}, line: "400 Parameter verification failed.",
			body: `"tags":"invalid format - invalid characters in tag\\n"`},
		{name: "sshkeys as they are", method: "PUT", path: "VM/100/config", params: obj{"sshkeys": key}, line: "400 Parameter verification failed.",
			body: `"sshkeys":"invalid format - invalid urlencoded string\\n"`},
		{name: "sshkeys encoded", method: "PUT", path: "VM/100/config", params: obj{"sshkeys": encodeKeys(key)}},
		{name: "stay encoded", method: "GET", path: "VM/100/config", body: `"sshkeys":"ssh-ed25519%20AAAA%2Bb%2Fc%3D%20me%40home"`},
		{name: "cipassword", method: "PUT", path: "VM/100/config", params: obj{"cipassword": "geheim"}},
		{name: "is not shown", method: "GET", path: "VM/100/config", body: `"cipassword":"\*{10}"`},
		{name: "delete and set at once", method: "PUT", path: "VM/100/config", params: obj{"cores": 2, "delete": "cores"},
			line: "400 Parameter verification failed.", body: `"delete":"you can't use '-cores' and -delete cores' at the same time"`},
		{name: "delete what is no option", method: "PUT", path: "VM/100/config", params: obj{"delete": "colour"},
			line: "400 Parameter verification failed.", body: `"delete":"unknown option 'colour'"`},
		{name: "delete what isn't set", method: "PUT", path: "VM/100/config", params: obj{"delete": "nameserver"}, body: `^{"data":null}$`},
		{name: "the same as a task only warns", method: "POST", path: "VM/100/config", params: obj{"delete": "nameserver"}, task: "WARNINGS: 1"},
		{name: "POST is a task", method: "POST", path: "VM/100/config", params: obj{"cores": 8}, task: "OK"},
		{name: "POST within background_delay", method: "POST", path: "VM/100/config", params: obj{"cores": 4, "background_delay": 5}, body: `^{"data":null}$`},
		{name: "wrong digest", method: "PUT", path: "VM/100/config", params: obj{"cores": 2, "digest": strings.Repeat("0", 40)},
			line: "500 checksum mismatch (file change by other user?)"},
		{name: "too long a digest", method: "PUT", path: "VM/100/config", params: obj{"cores": 2, "digest": strings.Repeat("0", 41)},
			line: "400 Parameter verification failed.", body: `"digest":"value may only be 40 characters long"`},
		{name: "boot order with a missing device", method: "PUT", path: "VM/100/config", params: obj{"boot": "order=scsi0;scsi7"},
			line: "500 invalid bootorder: device 'scsi7' does not exist'"},
		{name: "second cloud-init drive", method: "PUT", path: "VM/100/config", params: obj{"ide3": "local-zfs:cloudinit"},
			line: "500 ide3 - cloud-init drive is already attached at ide2"},
		{name: "network card without a model", method: "PUT", path: "VM/100/config", params: obj{"net0": "bridge=vmbr0"},
			line: "400 Parameter verification failed.", body: `"net0":"invalid format - format error\\nnet0.model: property is missing and it is not optional\\n"`},
		{name: "ipconfig that is none", method: "PUT", path: "VM/100/config", params: obj{"ipconfig0": "ip=10.0.0.5"},
			line: "400 Parameter verification failed.", body: `format error\\nipconfig0.ip: invalid format - value does not look like a valid ipv4 network configuration\\n`},
		{name: "network card beyond the last", method: "PUT", path: "VM/100/config", params: obj{"net32": "virtio"},
			line: "400 Parameter verification failed.", body: `"net32":"property is not defined in schema`},
		{name: "args are root's", method: "PUT", path: "VM/100/config", params: obj{"args": "-x"}, line: "500 only root can set 'args' config"},
		{name: "skiplock is root's", method: "PUT", path: "VM/100/config", params: obj{"cores": 1, "skiplock": 1}, line: "400 Parameter verification failed.",
			body: `"skiplock":"Only root may use this option."`},
		{name: "import of a path is root's", method: "PUT", path: "VM/100/config", params: obj{"scsi1": "local-lvm:0,import-from=/tmp/x.qcow2"},
			line: "500 Only root can pass arbitrary filesystem paths."},
		{name: "import of an iso", method: "PUT", path: "VM/100/config", params: obj{"scsi1": "local-lvm:0,import-from=local:iso/x.img"},
			line: "400 Parameter verification failed.", body: `local:iso/x.img has wrong type 'iso' - needs to be 'images' or 'import'`},
		{name: "cicustom from elsewhere", method: "PUT", path: "VM/100/config", params: obj{"cicustom": "user=local:iso/u.yml"},
			line: "500 local:iso/u.yml is not in the snippets directory"},
		{name: "detaching keeps the image", method: "PUT", path: "VM/100/config", params: obj{"delete": "scsi0"}},
		{name: "as unused0", method: "GET", path: "VM/100/config", body: `"unused0":"local-zfs:base-9000-disk-0/vm-100-disk-0"`},
		{name: "deleting unused0 destroys it", method: "PUT", path: "VM/100/config", params: obj{"delete": "unused0"}},
		{name: "it is gone", method: "GET", path: "/nodes/pve/storage/local-zfs/content?vmid=100", body: `^{"data":\[[^\]]*cloudinit[^\]]*\]}$`},

		{name: "running: memory has to wait", method: "PUT", path: "VM/101/config", params: obj{"memory": 4096, "name": "new"}, body: `^{"data":null}$`},
		{name: "pending shows both values", method: "GET", path: "VM/101/pending", body: `{"key":"memory","pending":"4096","value":"2048"}`},
		{name: "names are fast", method: "GET", path: "VM/101/pending", body: `{"key":"name","value":"new"}`},
		{name: "config shows the coming value", method: "GET", path: "VM/101/config", body: `"memory":"4096"`},
		{name: "current the live one", method: "GET", path: "VM/101/config?current=1", body: `"memory":"2048"`},
		{name: "revert", method: "PUT", path: "VM/101/config", params: obj{"revert": "memory"}},
		{name: "reverted", method: "GET", path: "VM/101/pending", body: `{"key":"memory","value":"2048"}`},
		{name: "pending delete", method: "PUT", path: "VM/101/config", params: obj{"delete": "scsihw"}},
		{name: "shows as such", method: "GET", path: "VM/101/pending", body: `{"delete":1,"key":"scsihw","value":"virtio-scsi-pci"}`},
		{name: "API reboot applies it", method: "POST", path: "VM/101/status/reboot", task: "OK"},
		{name: "applied", method: "GET", path: "VM/101/config?current=1", body: `"scsi0":"[^"]*","serial0"`},
		{name: "cloud-init keys are at once in the configuration", method: "PUT", path: "VM/101/config", params: obj{"ciuser": "ops"}},
		{name: "and not yet in the image", method: "GET", path: "VM/101/cloudinit", body: `{"key":"ciuser","new":"ops"}`},
		{name: "until it is made anew", method: "PUT", path: "VM/101/cloudinit", body: `^{"data":null}$`},
		{name: "then they are", method: "GET", path: "VM/101/cloudinit", body: `{"key":"ciuser","new":"ops","old":"ops"}`},
		{name: "dump", method: "GET", path: "VM/101/cloudinit/dump?type=user", body: `#cloud-config\\nhostname: new\\n.*user: ops`},
	})
}

// encodeKeys is how clients have to send public keys.
func encodeKeys(keys string) string { return strings.ReplaceAll(url.QueryEscape(keys), "+", "%20") }

func TestFactsOfLocks(t *testing.T) {
	hold := func(l *testLab, id int, shared bool) func() {
		unlock, err := l.s.locks.lock(t.Context(), guestLockFile(id), shared, 0)
		if err != nil {
			l.Fatal(err)
		}
		return unlock
	}
	var free []func()
	release := func() {
		for _, f := range free {
			f()
		}
		free = nil
	}
	runFacts(t, nil, func(l *testLab) { l.vm(104) }, []fact{
		{name: "PUT config", before: func(l *testLab) { free = append(free, hold(l, 104, false)) }, method: "PUT", path: "VM/104/config",
			params: obj{"cores": 2}, line: "500 can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout"},
		{name: "POST config fails in the task", method: "POST", path: "VM/104/config", params: obj{"cores": 2},
			task: "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout"},
		{name: "so does start", method: "POST", path: "VM/104/status/start", task: "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout"},
		{name: "so does resize", method: "PUT", path: "VM/104/resize", params: obj{"disk": "scsi0", "size": "+1G"},
			task: "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout"},
		{name: "so does a clone's target", before: func(l *testLab) { free = append(free, hold(l, 105, false)) }, method: "POST", path: "VM/9000/clone",
			params: obj{"newid": 105}, task: "can't lock file '/var/lock/qemu-server/lock-105.conf' - got timeout"},
		{name: "clones share a stopped source", before: func(l *testLab) { release(); free = append(free, hold(l, 9000, true)) },
			method: "POST", path: "VM/9000/clone", params: obj{"newid": 105}, task: "OK"},
		{name: "but a held source stops them", before: func(l *testLab) { release(); free = append(free, hold(l, 9000, false)) },
			method: "POST", path: "VM/9000/clone", params: obj{"newid": 106}, task: "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout"},
		{name: "reading needs no lock", method: "GET", path: "VM/9000/config", body: `"template":1`},
		{name: "config lock of a clone", before: func(l *testLab) {
			release()
			l.backend.slow = 300 * 1000 * 1000
			l.ok("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 107})
			waitFor(l, func() bool {
				return strings.Contains(l.do("GET", "/nodes/pve/qemu/107/config", nil).body, `"lock":"clone"`)
			})
		}, method: "GET", path: "VM/107/status/current", body: `"lock":"clone"`},
		{name: "start of a locked machine", method: "DELETE", path: "VM/107", line: "500 VM is locked (clone)"},
	})
}

func waitFor(l *testLab, ok func() bool) {
	l.Helper()
	for range 1000 {
		if ok() {
			return
		}
		pause()
	}
	l.Fatal("waited in vain")
}

func TestFactsOfPower(t *testing.T) {
	runFacts(t, nil, func(l *testLab) { l.vm(110) }, []fact{
		{name: "start", method: "POST", path: "VM/110/status/start", params: obj{"timeout": 30}, task: "OK"},
		{name: "start of a running machine", method: "POST", path: "VM/110/status/start", task: "VM 110 already running"},
		{name: "start of a template", method: "POST", path: "VM/9000/status/start", task: "you can't start a vm if it's a template"},
		{name: "destroy of a running machine", method: "DELETE", path: "VM/110", line: "500 VM 110 is running - destroy failed"},
		{name: "a guest that doesn't power off", before: func(l *testLab) { l.backend.get(110).hangs = true },
			method: "POST", path: "VM/110/status/shutdown", task: "VM quit/powerdown failed - got timeout"},
		{name: "with forceStop", method: "POST", path: "VM/110/status/shutdown", params: obj{"forceStop": 1}, task: "OK"},
		{name: "it is off", method: "GET", path: "VM/110/status/current", body: `"qmpstatus":"stopped".*"status":"stopped"`},
		{name: "stop of a stopped machine", method: "POST", path: "VM/110/status/stop", task: "OK"},
		{name: "reboot of a stopped machine", method: "POST", path: "VM/110/status/reboot", line: "500 VM 110 not running"},
		{name: "missing bridge", before: func(l *testLab) { l.ok("PUT", "/nodes/pve/qemu/110/config", obj{"net1": "virtio,bridge=vmbr9"}) },
			method: "POST", path: "VM/110/status/start", task: "start failed: QEMU exited with code 1"},
		{name: "protection", before: func(l *testLab) { l.ok("PUT", "/nodes/pve/qemu/110/config", obj{"protection": 1, "delete": "net1"}) },
			method: "DELETE", path: "VM/110", line: "500 can't remove VM 110 - protection mode enabled"},
		{name: "pause", before: func(l *testLab) { l.task("POST", "/nodes/pve/qemu/110/status/start", nil) },
			method: "POST", path: "VM/110/status/suspend", task: "OK"},
		{name: "paused", method: "GET", path: "VM/110/status/current", body: `"qmpstatus":"paused".*"status":"running"`},
		{name: "resume", method: "POST", path: "VM/110/status/resume", task: "OK"},
		{name: "HA: start only requests", before: func(l *testLab) {
			l.backend.get(110).hangs = false
			l.task("POST", "/nodes/pve/qemu/110/status/stop", nil)
			l.ok("POST", "/cluster/ha/resources", obj{"sid": "vm:110", "state": "stopped"})
		}, method: "POST", path: "VM/110/status/start", body: `:hastart:110:`, task: "OK"},
		{name: "HA: it runs later", before: func(l *testLab) {
			waitFor(l, func() bool {
				return strings.Contains(l.do("GET", "/nodes/pve/qemu/110/status/current", nil).body, `"status":"running"`)
			})
		}, method: "GET", path: "VM/110/status/current", body: `"ha":{"managed":1,"state":"started"}`},
	})
}

func TestFactsOfDisks(t *testing.T) {
	runFacts(t, nil, func(l *testLab) { l.vm(100) }, []fact{
		{name: "shrink", method: "PUT", path: "VM/100/resize", params: obj{"disk": "scsi0", "size": "1G"}, task: "shrinking disks is not supported"},
		{name: "missing disk", method: "PUT", path: "VM/100/resize", params: obj{"disk": "scsi9", "size": "1G"}, task: "disk 'scsi9' does not exist"},
		{name: "cdrom", method: "PUT", path: "VM/100/resize", params: obj{"disk": "ide2", "size": "1G"}, task: "you can't resize a cdrom"},
		{name: "same size", method: "PUT", path: "VM/100/resize", params: obj{"disk": "scsi0", "size": "2252M"}, task: "OK"},
		{name: "by an amount", method: "PUT", path: "VM/100/resize", params: obj{"disk": "scsi0", "size": "+772M"}, task: "OK"},
		{name: "sum", method: "GET", path: "VM/100/config", body: `vm-100-disk-0,size=3024M`},
		{name: "bytes without a unit", method: "PUT", path: "VM/100/resize", params: obj{"disk": "scsi0", "size": "4294967296"}, task: "OK"},
		{name: "in GiB", method: "GET", path: "VM/100/config", body: `vm-100-disk-0,size=4G`},
		{name: "no size", method: "PUT", path: "VM/100/resize", params: obj{"disk": "scsi0", "size": "10GB"}, line: "400 Parameter verification failed.",
			body: `"size":"value does not match the regex pattern"`},
		{name: "move", method: "POST", path: "VM/100/move_disk", params: obj{"disk": "scsi0", "storage": "local-lvm"}, task: "OK"},
		{name: "the old image stays", method: "GET", path: "VM/100/config",
			body: `"scsi0":"local-lvm:vm-100-disk-0,size=4G".*"unused0":"local-zfs:base-9000-disk-0/vm-100-disk-0"`},
		{name: "move to where it is", method: "POST", path: "VM/100/move_disk", params: obj{"disk": "scsi0", "storage": "local-lvm"},
			line: "500 you can't move to the same storage with same format"},
		{name: "move and delete", method: "POST", path: "VM/100/move_disk", params: obj{"disk": "scsi0", "storage": "ceph", "delete": 1}, task: "OK"},
		{name: "no second unused", method: "GET", path: "VM/100/config", body: `"scsi0":"ceph:vm-100-disk-0,size=4G","scsihw":"[a-z-]*","serial0":"socket","smbios1":"[^"]*","sockets":1,"unused0":"[^"]*","vga"`},
		{name: "unlink", method: "PUT", path: "VM/100/unlink", params: obj{"idlist": "unused0"}, body: `^{"data":null}$`},
		{name: "new disk in GiB", method: "PUT", path: "VM/100/config", params: obj{"scsi1": "local-lvm:32,discard=on"}},
		{name: "gets a name and a size", method: "GET", path: "VM/100/config", body: `"scsi1":"local-lvm:vm-100-disk-0,discard=on,size=32G"`},
		{name: "snapshot", method: "POST", path: "VM/100/snapshot", params: obj{"snapname": "before"}, task: "OK"},
		{name: "taken twice", method: "POST", path: "VM/100/snapshot", params: obj{"snapname": "before"}, task: "snapshot name 'before' already used"},
		{name: "list", method: "GET", path: "VM/100/snapshot", body: `"name":"before".*"name":"current".*"parent":"before"`},
		{name: "rollback", before: func(l *testLab) { l.ok("PUT", "/nodes/pve/qemu/100/config", obj{"cores": 7}) },
			method: "POST", path: "VM/100/snapshot/before/rollback", task: "OK"},
		{name: "rolled back", method: "GET", path: "VM/100/config", body: `"cores":2`},
		{name: "rollback to what isn't there", method: "POST", path: "VM/100/snapshot/never/rollback", task: "snapshot 'never' does not exist"},
		{name: "template with snapshots", method: "POST", path: "VM/100/template", line: "500 unable to create template, because VM contains snapshots"},
		{name: "delete the snapshot", method: "DELETE", path: "VM/100/snapshot/before", task: "OK"},
		{name: "migrate to the same node", method: "POST", path: "VM/100/migrate", params: withTarget("pve"), line: "400 Parameter verification failed.",
			body: `"target":"target is local node."`},
		{name: "migrate", method: "POST", path: "VM/100/migrate", params: withTarget("pve2"), task: "OK"},
		{name: "it is elsewhere", method: "GET", path: "/cluster/resources?type=vm", body: `"id":"qemu/100"[^}]*"node":"pve2"`},
	})
}

func TestFactsOfTheAgent(t *testing.T) {
	runFacts(t, nil, func(l *testLab) { l.running(100); l.vm(101); l.task("POST", "/nodes/pve/qemu", obj{"vmid": 102}) }, []fact{
		{name: "not configured", method: "POST", path: "VM/102/agent/ping", line: "500 No QEMU guest agent configured"},
		{name: "machine is off", method: "POST", path: "VM/101/agent/ping", line: "500 VM 101 is not running"},
		{name: "ping", method: "POST", path: "VM/100/agent/ping", body: `^{"data":{"result":{}}}$`},
		{name: "ping is no GET", method: "GET", path: "VM/100/agent/ping", line: "501 Method 'GET /nodes/pve/qemu/100/agent/ping' not implemented"},
		{name: "agent is silent", before: func(l *testLab) { l.backend.get(100).silent = true }, method: "POST", path: "VM/100/agent/exec",
			params: obj{"command": []string{"echo"}}, line: "500 QEMU guest agent is not running",
			body: `^{"data":null,"message":"QEMU guest agent is not running\\n"}$`},
		{name: "exec", before: func(l *testLab) { l.backend.get(100).silent = false }, method: "POST", path: "VM/100/agent/exec",
			params: obj{"command": []string{"echo", "grüß"}}, body: `^{"data":{"pid":1}}$`},
		{name: "output is Latin-1 of its bytes", method: "GET", path: "VM/100/agent/exec-status?pid=1",
			body: `^{"data":{"exitcode":0,"exited":1,"out-data":"grÃ¼Ã` + "\u009f" + `"}}$`},
		{name: "the end is told once", method: "GET", path: "VM/100/agent/exec-status?pid=1", line: "500 Agent error: Invalid parameter 'pid'"},
		{name: "command as repeated form key", method: "POST", path: "VM/100/agent/exec", params: url.Values{"command": {"echo", "a", "b"}}, body: `"pid":2`},
		{name: "all of it", method: "GET", path: "VM/100/agent/exec-status?pid=2", body: `"out-data":"ab"`},
		{name: "killed: signal is a number", before: func(l *testLab) {
			l.ok("POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"kill"}})
		}, method: "GET", path: "VM/100/agent/exec-status?pid=3", body: `^{"data":{"exited":1,"signal":9}}$`},
		{name: "truncated: 1, not true", before: func(l *testLab) {
			l.ok("POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"big"}})
		}, method: "GET", path: "VM/100/agent/exec-status?pid=4", body: `^{"data":{"err-data":"x","err-truncated":1,"exitcode":3,"exited":1}}$`},
		{name: "still running", before: func(l *testLab) {
			l.ok("POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"sleep"}})
		}, method: "GET", path: "VM/100/agent/exec-status?pid=5", body: `^{"data":{"exited":0}}$`},
		{name: "missing binary", method: "POST", path: "VM/100/agent/exec", params: obj{"command": []string{"nonsense"}},
			line: "500 Agent error: Failed to execute child process \u201cnonsense\u201d (No such file or directory)"},
		{name: "input: code points are bytes", before: func(l *testLab) {
			l.ok("POST", "/nodes/pve/qemu/100/agent/exec", obj{"command": []string{"cat"}, "input-data": "\u00c3\u00a9"})
		}, method: "GET", path: "VM/100/agent/exec-status?pid=6", body: "\"out-data\":\"\u00c3\u00a9\""},
		{name: "input beyond a byte", method: "POST", path: "VM/100/agent/exec", params: obj{"command": []string{"cat"}, "input-data": "€"},
			line: "500 Wide character in subroutine entry at /usr/share/perl5/PVE/API2/Qemu/Agent.pm line 492."},
		{name: "input over 64 Ki characters", method: "POST", path: "VM/100/agent/exec",
			params: obj{"command": []string{"cat"}, "input-data": strings.Repeat("x", 65537)}, line: "400 Parameter verification failed.",
			body: `"input-data":"value may only be 65536 characters long"`},
		{name: "command timed out", method: "POST", path: "VM/100/agent/exec", params: obj{"command": []string{"stuck"}},
			line: "500 VM 100 qga command 'guest-exec' failed - got timeout"},
		{name: "file-write", method: "POST", path: "VM/100/agent/file-write", params: obj{"file": "/f", "content": "\u00c3\u00a9"}, body: `^{"data":null}$`},
		{name: "file-read", method: "GET", path: "VM/100/agent/file-read?file=/f", body: "^{\"data\":{\"bytes-read\":2,\"content\":\"\u00c3\u00a9\"}}$"},
		{name: "file-write of base64", method: "POST", path: "VM/100/agent/file-write", params: obj{"file": "/f", "content": "AAH/", "encode": 0}},
		{name: "its bytes", method: "GET", path: "VM/100/agent/file-read?file=/f&decode=0", body: `"content":"AAH/"`},
		{name: "part of a file", method: "GET", path: "VM/100/agent/file-read?file=/f&offset=1&count=1&decode=0", body: `"bytes-read":1,"content":"AQ==","truncated":1`},
		{name: "file-write over its limit", method: "POST", path: "VM/100/agent/file-write", params: obj{"file": "/f", "content": strings.Repeat("x", 61441)},
			line: "400 Parameter verification failed.", body: `"content":"value may only be 61440 characters long"`},
		{name: "missing file", method: "GET", path: "VM/100/agent/file-read?file=/none", line: "500 Agent error: failed to open file '/none' (mode: 'r'): No such file or directory"},
		{name: "interfaces", method: "GET", path: "VM/100/agent/network-get-interfaces",
			body: `{"result":\[.*{"hardware-address":"bc:24:11:00:00:01","ip-addresses":\[{"ip-address":"10.0.0.5","ip-address-type":"ipv4","prefix":24}\],"name":"eth0"`},
		{name: "interface without addresses has no such key", method: "GET", path: "VM/100/agent/network-get-interfaces", body: `{"name":"wg0","statistics"`},
		{name: "agent's own error inside a result", method: "GET", path: "VM/100/agent/get-host-name",
			body: `^{"data":{"result":{"error":{"class":"GenericError","desc":"hostname is unset"}}}}$`},
		{name: "osinfo", method: "GET", path: "VM/100/agent/get-osinfo", body: `"result":{"id":"ubuntu","pretty-name":"Ubuntu 22.04.5 LTS"}`},
	})
}

func TestFactsOfTasks(t *testing.T) {
	runFacts(t, nil, nil, []fact{
		{name: "no such task", method: "GET", path: "/nodes/pve/tasks/UPID:pve:0000FFFF:00000001:00000001:qmstart:1:root@pam:/status",
			line: "400 Parameter verification failed.", body: `"errors":{"upid":"no such task"}`},
		{name: "no task's name", method: "GET", path: "/nodes/pve/tasks/nonsense/status", line: "400 Parameter verification failed.",
			body: `"upid":"unable to parse worker upid 'nonsense'"`},
		{name: "list has ends", before: func(l *testLab) { l.vm(100) }, method: "GET", path: "/nodes/pve/tasks?vmid=9000", body: `"endtime":\d+.*"status":"OK","tokenid":"run","type":"qmclone"`},
		{name: "only errors", method: "GET", path: "/nodes/pve/tasks?errors=1", body: `^{"data":\[\]}$`},
	})
	l := startLab(t, nil)
	id := l.ok("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 200, "full": 1}).(string)
	st := l.ok("GET", "/nodes/pve/tasks/"+url.PathEscape(id)+"/status", nil).(obj)
	if st["status"] != "running" || st["exitstatus"] != nil || st["user"] != "phoenix@pve" || st["tokenid"] != "run" || st["endtime"] != nil {
		t.Errorf("running: %v", st)
	}
	l.exit(id)
	if st := l.ok("GET", "/nodes/pve/tasks/"+url.PathEscape(id)+"/status", nil).(obj); st["endtime"] != nil || st["exitstatus"] != "OK" {
		t.Errorf("ended: %v", st)
	}
	all := l.log(id, "?limit=0")
	if last := all[len(all)-1]; !strings.HasSuffix(last, " TASK OK") || !strings.HasPrefix(all[0], "1 ") {
		t.Errorf("log %q", all)
	}
	if part := l.log(id, "?start=1&limit=1"); len(part) != 1 || part[0] != all[1] {
		t.Errorf("log from 1: %q of %q", part, all)
	}
	if past := l.log(id, "?start=99"); len(past) != 0 {
		t.Errorf("log past its end: %q", past)
	}
	running := l.ok("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 201, "full": 1}).(string)
	l.ok("DELETE", "/nodes/pve/tasks/"+url.PathEscape(running), nil)
	if exit := l.exit(running); exit != "clone failed: interrupted by signal" && exit != "interrupted by signal" {
		t.Errorf("stopped: %s", exit)
	}
}

func TestFactsOfStorage(t *testing.T) {
	runFacts(t, nil, nil, []fact{
		{name: "no snippets by upload", method: "POST", path: "/nodes/pve/storage/local/download-url",
			params: obj{"content": "snippets", "filename": "u.yml", "url": "http://x/u.yml"}, line: "400 Parameter verification failed.", body: `"content":"value 'snippets'`},
		{name: "no import of .img", method: "POST", path: "/nodes/pve/storage/local/download-url",
			params: obj{"content": "import", "filename": "x.img", "url": "http://x/x.img"}, line: "400 Parameter verification failed.",
			body: `"filename":"invalid filename or wrong extension"`},
		{name: "no files on ZFS", method: "POST", path: "/nodes/pve/storage/local-zfs/download-url",
			params: obj{"content": "import", "filename": "x.qcow2", "url": "http://x/x.img"},
			line:   "500 can't upload to storage type 'zfspool', not a file based storage!"},
		{name: "checksum needs its algorithm", method: "POST", path: "/nodes/pve/storage/local/download-url",
			params: obj{"content": "import", "filename": "x.qcow2", "url": "http://x/x.img", "checksum": "00"},
			line:   "400 Parameter verification failed.", body: `missing parameter 'checksum-algorithm'`},
		{name: "snippets lie in a folder", before: func(l *testLab) {
			dir := l.s.StoragePath("local", "pve", "snippets")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				l.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "u.yml"), []byte("#cloud-config\n"), 0o600); err != nil {
				l.Fatal(err)
			}
		}, method: "GET", path: "/nodes/pve/storage/local/content?content=snippets", body: `"volid":"local:snippets/u.yml"`},
		{name: "cicustom takes them", before: func(l *testLab) { l.vm(100) }, method: "PUT", path: "VM/100/config", params: obj{"cicustom": "user=local:snippets/u.yml"}},
		{name: "storages of a node", method: "GET", path: "/nodes/pve/storage?content=images", body: `"storage":"local-zfs".*"storage":"local-lvm"`},
		{name: "storage that is not there", method: "GET", path: "/nodes/pve/storage/nowhere/content", line: "500 storage 'nowhere' does not exist"},
	})
}
