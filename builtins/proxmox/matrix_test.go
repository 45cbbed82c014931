package proxmox_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"phoenix-run/config"
	"phoenix-run/lab/guest"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
)

// row is one key of a machine's configuration, in its whole life.
type row struct {
	key          string
	made, change any               // the value at first, and then; nil: the key is left out
	attr         string            // as changes name it; "": as the key
	raw          string            // Proxmox's key; "": none
	first, then  string            // what Proxmox has there for each value, or a part of it
	hand         map[string]string // what someone else sets
	gone         []string          // and deletes
	restarts     bool              // the change takes effect at a restart
	args         []string          // of create
}

const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh a+b@example"
	keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJi b c"
)

// matrix has every key that says how a machine is.
var matrix = []row{
	{key: "vm_name", made: "web", change: "web2", attr: "name", raw: "name", first: "web", then: "web2", hand: map[string]string{"name": "other"}},
	{key: "description", made: "First.\nSecond: é <b>&</b>", change: "Third", raw: "description", first: "First.\nSecond: é <b>&</b>\n", then: "Third\n", hand: map[string]string{"description": "by hand"}},
	{key: "description", made: "Some", change: "", raw: "description", first: "Some\n", then: "", hand: map[string]string{"description": "by hand"}},
	{key: "tags", made: []string{"web", "prod"}, change: []string{"prod"}, raw: "tags", first: "prod;web", then: "prod", hand: map[string]string{"tags": "x,prod"}},
	{key: "tags", made: []string{"a"}, change: []string{}, raw: "tags", first: "a", then: "", hand: map[string]string{"tags": "b"}},
	{key: "os_type", made: "l26", change: "other", raw: "ostype", first: "l26", then: "other", hand: map[string]string{"ostype": "l24"}, restarts: true},
	{key: "cpu_sockets", made: 1, change: 2, raw: "sockets", first: "1", then: "2", hand: map[string]string{"sockets": "4"}, restarts: true},
	{key: "cpu_cores", made: 2, change: 4, raw: "cores", first: "2", then: "4", gone: []string{"cores"}, restarts: true},
	{key: "memory_mb", made: 2048, change: 1024, raw: "memory", first: "2048", then: "1024", hand: map[string]string{"memory": "4096"}, restarts: true},
	{key: "boot_disk_size_gb", made: 10, change: 12, raw: "scsi0", first: "size=10G", then: "size=12G"},
	{key: "boot_disk_storage", made: "local-zfs", change: "local-lvm", raw: "scsi0", first: "local-zfs:", then: "local-lvm:", args: []string{"--move-disk"}},
	{key: "network_bridge", made: "vmbr0", change: "vmbr1", raw: "net0", first: "bridge=vmbr0", then: "bridge=vmbr1", hand: map[string]string{"net0": "virtio=BC:24:11:00:00:0A,bridge=vmbr0,firewall=1"}},
	{key: "network_model", made: "virtio", change: "e1000", raw: "net0", first: "virtio=", then: "e1000=", hand: map[string]string{"net0": "rtl8139=BC:24:11:00:00:0A,bridge=vmbr0"}},
	{key: "start_on_boot", made: true, change: false, raw: "onboot", first: "1", then: "0", hand: map[string]string{"onboot": "1"}},
	{key: "start_on_boot", made: false, change: true, raw: "onboot", first: "", then: "1", gone: []string{"onboot"}},
	{key: "startup_order", made: 3, change: 5, raw: "startup", first: "order=3", then: "order=5", hand: map[string]string{"startup": "order=9,up=30"}},
	{key: "startup_order", made: 3, change: nil, raw: "startup", first: "order=3", then: "", hand: map[string]string{"startup": "order=9"}},
	{key: "protected", made: false, change: true, raw: "protection", first: "", then: "1", hand: map[string]string{"protection": "0"}},
	{key: "ssh_user", made: "phoenix", change: "admin", raw: "ciuser", first: "phoenix", then: "admin", hand: map[string]string{"ciuser": "eve"}, restarts: true},
	{key: "ssh_public_keys", made: []string{keyA}, change: []string{keyA, keyB}, raw: "sshkeys", first: pve.EncodeKeys([]string{keyA}), then: pve.EncodeKeys([]string{keyA, keyB}), gone: []string{"sshkeys"}, restarts: true},
	{key: "ip_config", made: "dhcp", change: map[string]any{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}, raw: "ipconfig0", first: "ip=dhcp", then: "ip=10.0.0.5/24,gw=10.0.0.1", hand: map[string]string{"ipconfig0": "ip=10.0.0.9/24"}, restarts: true},
	{key: "nameserver", made: "192.0.2.1", change: "192.0.2.2 192.0.2.3", raw: "nameserver", first: "192.0.2.1", then: "192.0.2.2 192.0.2.3", hand: map[string]string{"nameserver": "192.0.2.9"}, restarts: true},
	{key: "nameserver", made: "192.0.2.1", change: nil, raw: "nameserver", first: "192.0.2.1", then: "", hand: map[string]string{"nameserver": "192.0.2.9"}, restarts: true},
}

// elsewhere are the keys of a machine's configuration that are no setting of the machine in Proxmox, or
// matter only when it is made; the tests named have them.
var elsewhere = map[string]string{
	"vm_id":         "every test: it is what finds the machine",
	"template_name": "TestMadeFrom", "cloud_image": "TestMadeFrom", "node": "TestCluster",
	"features": "features", "docker_stacks": "portainer", "transport": "cmd/phoenix-run: transports.txtar",
	"depends_on": "cmd/phoenix-run: letsgo.txtar", "restart": "TestRestartIfNeeded",
}

// TestMatrixHasEveryKey makes a new key of the configuration a new row.
func TestMatrixHasEveryKey(t *testing.T) {
	vm := reflect.TypeFor[config.VM]()
	for i := range vm.NumField() {
		key := vm.Field(i).Tag.Get("json")
		in := slices.ContainsFunc(matrix, func(r row) bool { return r.key == key })
		if _, other := elsewhere[key]; in == other {
			t.Errorf("the key %s is in the matrix: %v, tested elsewhere: %v", key, in, other)
		}
	}
}

// TestMatrix takes every key through its life: made with it, nothing to do with it, changed, drifted by
// hand, left out.
func TestMatrix(t *testing.T) {
	for _, version := range []lab.Version{lab.V9, lab.V8} {
		t.Run("Proxmox VE "+string(version), func(t *testing.T) { playMatrix(t, version) })
	}
}

func playMatrix(t *testing.T, version lab.Version) {
	w := newWorld(t, func(o *lab.Options, _ *guest.Options) { o.Version = version })
	if err := w.server.Cluster(addBridge); err != nil {
		t.Fatal(err)
	}
	for i, r := range matrix {
		id := 1001 + i
		spec := map[string]any{"vm_id": id, "vm_name": fmt.Sprintf("vm%d", i), "boot_disk_size_gb": 10, "memory_mb": 2048,
			"ssh_user": "phoenix", "restart": "if_needed"}
		w.vms = []map[string]any{spec}
		t.Run(fmt.Sprintf("%s %d", r.key, i), func(t *testing.T) {
			outer := w.t
			w.t = t
			defer func() { w.t, w.vms = outer, nil }()
			w.live(r, id, spec)
		})
	}
}

func (w *world) live(r row, id int, spec map[string]any) {
	t := w.t
	t.Helper()
	words := append([]string{"create", fmt.Sprint(id)}, r.args...)
	attr := r.attr
	if attr == "" {
		attr = r.key
	}
	only := func(when string, changes []string) {
		t.Helper()
		for _, c := range changes {
			if !strings.Contains(c, "restart:") && (!strings.HasPrefix(c, "update ") || strings.Count(c, ":") < 2 || !strings.Contains(c, "map["+attr+":")) {
				t.Errorf("%s, another thing was changed: %s", when, c)
			}
		}
		if len(changes) == 0 {
			t.Errorf("%s, nothing was changed", when)
		}
	}
	is := func(when, want string) {
		t.Helper()
		s := w.settings(id)
		if got := s.Live[r.raw]; got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%s, %s is %q, not %q", when, r.raw, got, want)
		}
		if len(s.Pending) > 0 {
			t.Errorf("%s, these are pending: %v", when, s.Pending)
		}
	}

	spec[r.key] = r.made
	w.settles(words...)
	is("made", r.first)
	mac := pve.ParseNIC(w.settings(id).Live["net0"]).MAC

	if spec[r.key] = r.change; r.change == nil {
		delete(spec, r.key)
	}
	changes := w.settles(words...)
	only("changed", changes)
	is("changed", r.then)
	if got := pve.ParseNIC(w.settings(id).Live["net0"]).MAC; got != mac {
		t.Errorf("the MAC address was %s and is %s", mac, got)
	}
	if restarted := strings.Contains(strings.Join(changes, "\n"), "restart:"); restarted != r.restarts {
		t.Errorf("restarted: %v, expected %v", restarted, r.restarts)
	}

	if len(r.hand)+len(r.gone) > 0 {
		w.byHand(id, r.hand, r.gone...)
		drift := w.must(runner.Apply, "status", "--drift").said(event.Log)
		if !strings.Contains(drift, attr+" is ") {
			t.Errorf("status does not name the drift of %s:\n%s", attr, drift)
		}
		only("drifted", w.settles(words...))
		is("drifted and mended", r.then)
	}

}

func addBridge(c *lab.Cluster) { c.Nodes[0].Bridges = append(c.Nodes[0].Bridges, "vmbr1") }

// TestWhatIsNotConfiguredStays: settings of Proxmox that the configuration has no key for are someone
// else's.
func TestWhatIsNotConfiguredStays(t *testing.T) {
	w := one(t, "if_needed")
	mine := map[string]string{"cpu": "host", "balloon": "1024", "numa": "1", "net1": "virtio=BC:24:11:00:00:0B,bridge=vmbr0,tag=7",
		"net0": w.settings(1001).Live["net0"] + ",firewall=1,rate=10", "agent": "1,fstrim_cloned_disks=1", "cpuunits": "50",
		"startup": "up=30", "searchdomain": "example.net", "cipassword": "planted-password"}
	w.byHand(1001, mine)
	w.must(runner.Apply, "reboot", "1001")
	before := w.settings(1001).Live
	if got := w.settles("create", "1001"); len(got) > 0 {
		t.Errorf("changed: %v", got)
	}
	w.vms[0]["network_model"], w.vms[0]["startup_order"], w.vms[0]["cpu_cores"] = "e1000", 2, 3
	w.settles("create", "1001")
	w.vms[0]["network_model"], w.vms[0]["cpu_cores"] = "virtio", 2
	delete(w.vms[0], "startup_order")
	w.settles("create", "1001")
	after := w.settings(1001).Live
	for key := range mine {
		if a, b := pve.ParseProperties(after[key]), pve.ParseProperties(before[key]); !sameProperties(a, b) {
			t.Errorf("%s was %q and is %q", key, before[key], after[key])
		}
	}
}

func sameProperties(a, b pve.Properties) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p pve.Property) bool { return !slices.Contains(b, p) })
}

func TestASmallerDiskIsAnError(t *testing.T) {
	w := one(t, "never")
	w.vms[0]["boot_disk_size_gb"] = 10
	for _, mode := range []runner.Mode{runner.Plan, runner.Apply} {
		_, err := w.run(t.Context(), mode, "create", "1001")
		if err == nil || !strings.Contains(err.Error(), "the boot disk has 50 GiB and boot_disk_size_gb is 10: a disk can't be made smaller; set boot_disk_size_gb to 50 or more") {
			t.Errorf("%s: got %v", mode, err)
		}
	}
}

// TestADiskIsMovedOnRequest, and otherwise left where it is.
func TestADiskIsMovedOnRequest(t *testing.T) {
	w := one(t, "never")
	w.vms[0]["boot_disk_storage"] = "local-lvm"
	s := w.must(runner.Apply, "create", "1001")
	if got := s.said(event.Warning); !strings.Contains(got, "phoenix-run create 1001 --move-disk") || len(s.changes()) > 0 {
		t.Errorf("warned %q, changed %v", got, s.changes())
	}
	if got := w.settles("create", "1001", "--move-disk"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if s := w.settings(1001); !strings.HasPrefix(s.Live["scsi0"], "local-lvm:") || s.Live["unused0"] != "" {
		t.Errorf("scsi0 is %q, unused0 %q", s.Live["scsi0"], s.Live["unused0"])
	}
}
