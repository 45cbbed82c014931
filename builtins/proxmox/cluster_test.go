package proxmox_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"phoenix-run/lab/guest"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
)

// cluster is a world with three nodes, of which each has local-zfs of its own, and all share ceph.
func cluster(t *testing.T, change func(*lab.Seed)) *world {
	t.Helper()
	return newWorld(t, func(o *lab.Options, _ *guest.Options) {
		for _, name := range []string{"pve2", "pve3"} {
			o.Seed.Cluster.Nodes = append(o.Seed.Cluster.Nodes, &lab.Node{Name: name, IP: "192.0.2.2", CPUs: 8, Memory: 64 << 30, Bridges: []string{"vmbr0"}})
		}
		o.Seed.Cluster.Name = "homelab"
		o.Seed.Cluster.Storages = append(o.Seed.Cluster.Storages, &lab.Storage{ID: "ceph", Type: "rbd", Content: []string{"images"}, Shared: true, Bytes: 1 << 40})
		if change != nil {
			change(o.Seed)
		}
	})
}

func onCeph(s *lab.Seed) { s.Templates[0].Storage = "ceph" }

func (w *world) nodeOf(id int) string {
	w.t.Helper()
	vms, err := w.other.VMs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, vm := range vms {
		if vm.ID == id {
			return vm.Node
		}
	}
	w.t.Fatalf("there is no VM %d", id)
	return ""
}

func TestTemplateOnAnotherNode(t *testing.T) {
	w := cluster(t, onCeph)
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web", "node": "pve2", "boot_disk_storage": "ceph"}}
	w.settles("create", "1001")
	if node := w.nodeOf(1001); node != "pve2" {
		t.Errorf("made on %s", node)
	}
}

func TestTemplateOnAnotherNodesOwnStorage(t *testing.T) {
	w := cluster(t, nil)
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web", "node": "pve2"}}
	_, err := w.run(t.Context(), runner.Apply, "create", "1001")
	if err == nil || !strings.Contains(err.Error(), "storage local-zfs is not shared, so Proxmox can't clone it to node pve2: build the template on pve2 as well") {
		t.Errorf("got %v", err)
	}
}

func TestTemplateOfTheSameNodeComesFirst(t *testing.T) {
	w := cluster(t, func(s *lab.Seed) {
		second := s.Templates[0]
		second.VMID, second.Node = 9001, "pve2"
		s.Templates = append(s.Templates, second)
	})
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web", "node": "pve2"}}
	w.settles("create", "1001")
	settings, err := w.other.Settings(t.Context(), "pve2", 1001)
	if err != nil {
		t.Fatal(err)
	}
	if !settings.LinkedTo(9001) {
		t.Errorf("not a linked clone of the node's own template: %s", settings.Live["scsi0"])
	}
}

// TestNodeOffline: its machines fail with what to do, the others go on.
func TestNodeOffline(t *testing.T) {
	w := cluster(t, onCeph)
	w.defaults["boot_disk_storage"] = "ceph"
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web", "node": "pve2"}, {"vm_id": 1002, "vm_name": "db", "node": "pve"}}
	w.settles("letsgo")
	if err := w.server.Cluster(func(c *lab.Cluster) { c.Nodes[1].Offline = true }); err != nil {
		t.Fatal(err)
	}
	w.vms[1]["description"] = "changed meanwhile"
	w.vms[0]["description"] = "changed meanwhile"
	s, err := w.run(t.Context(), runner.Apply, "letsgo")
	if err == nil || !strings.Contains(err.Error(), "node pve2, which VM 1001 is on, is offline: bring it back, or leave the VM out with --limit '!web'") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(s.changes(), "\n"); !strings.Contains(got, "update db/vm:1002") {
		t.Errorf("the other machine was not worked on: %s", got)
	}
	if got := w.must(runner.Apply, "status").said(event.Log); !strings.Contains(got, "unknown") {
		t.Errorf("status says\n%s", got)
	}
}

// migrate moves a machine as someone else would, and waits until it is there.
func (w *world) migrate(id int, from, to string) {
	w.t.Helper()
	form := url.Values{"target": {to}, "online": {"1"}}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost,
		fmt.Sprintf("%s/api2/json/nodes/%s/qemu/%d/migrate", strings.TrimSuffix(w.server.URL(), "/api2/json"), from, id), strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "PVEAPIToken=phoenix@pve!run="+testToken)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("migrating VM %d: %s", id, resp.Status)
	}
	for deadline := time.Now().Add(time.Minute); w.nodeOf(id) != to; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("VM %d does not come to %s", id, to)
		}
	}
}

// TestMigratedMachine: someone has moved it, so it is changed where it is, and not made again.
func TestMigratedMachine(t *testing.T) {
	w := cluster(t, onCeph)
	w.defaults["boot_disk_storage"] = "ceph"
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web", "node": "pve"}}
	w.settles("create", "1001")
	w.migrate(1001, "pve", "pve3")
	w.vms[0]["description"] = "changed meanwhile"
	if got := w.settles("create", "1001"); len(got) != 1 || !strings.HasPrefix(got[0], "update web/vm:1001") {
		t.Errorf("got %q", got)
	}
	if node := w.nodeOf(1001); node != "pve3" {
		t.Errorf("on %s", node)
	}
	w.must(runner.Apply, "stop", "1001")
	w.must(runner.Apply, "start", "1001")
}

// TestHighAvailability: the manager's task only asks for a state; what counts is that it is reached.
func TestHighAvailability(t *testing.T) {
	w := cluster(t, onCeph)
	w.defaults["boot_disk_storage"] = "ceph"
	w.vms = []map[string]any{{"vm_id": 1001, "vm_name": "web"}}
	w.settles("create", "1001")
	if err := w.server.Cluster(func(c *lab.Cluster) { c.HA = map[int]string{1001: "started"} }); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][2]string{{"stop", "stopped"}, {"start", "running"}} {
		w.must(runner.Apply, step[0], "1001")
		status, err := w.other.Status(t.Context(), "pve", 1001)
		if err != nil {
			t.Fatal(err)
		}
		if status.Status != step[1] || !status.HA {
			t.Errorf("after %s: %+v", step[0], status)
		}
	}
}
