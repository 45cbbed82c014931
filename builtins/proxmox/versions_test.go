package proxmox_test

import (
	"slices"
	"strings"
	"testing"

	"phoenix-run/lab/guest"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/runner"
)

// TestVersions takes machines through the main stations of their life on each generation of Proxmox; the
// requests are checked against the description of that release.
func TestVersions(t *testing.T) {
	for _, version := range []lab.Version{lab.V8, lab.V9} {
		t.Run(string(version), func(t *testing.T) {
			w := newWorld(t, func(o *lab.Options, _ *guest.Options) { o.Version = version })
			for _, name := range []string{"a", "b", "c"} {
				w.vms = append(w.vms, map[string]any{"vm_id": 1001 + len(w.vms), "vm_name": name, "restart": "if_needed", "ssh_user": "phoenix",
					"ssh_public_keys": []string{keyA}, "boot_disk_size_gb": 8})
			}
			if got := w.settles("letsgo"); len(got) != 6 {
				t.Errorf("made: %v", got)
			}
			w.vms[0]["cpu_cores"], w.vms[1]["boot_disk_size_gb"], w.vms[2]["description"] = 4, 9, "third"
			changed := w.settles("letsgo")
			if len(changed) != 4 || !slices.ContainsFunc(changed, func(c string) bool { return strings.Contains(c, "a/restart:1001") }) {
				t.Errorf("changed: %v", changed)
			}
			w.must(runner.Apply, "stop", "1002")
			w.must(runner.Apply, "snapshot", "1003", "before")
			w.must(runner.Apply, "status", "--drift")
			if got := w.settles("letsgo"); len(got) != 1 {
				t.Errorf("started again: %v", got)
			}
		})
	}
}
