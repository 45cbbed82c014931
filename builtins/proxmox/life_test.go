package proxmox_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"phoenix-run/lab/guest"
	lab "phoenix-run/lab/proxmox"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
)

// documentedRole gives the privileges that docs/proxmox.md gives the role for a generation of Proxmox.
func documentedRole(t *testing.T, version lab.Version) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/proxmox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "Proxmox VE "+string(version))
	m := regexp.MustCompile(`pveum role add PhoenixRun --privs "([^"]+)"`).FindStringSubmatch(part)
	if m == nil {
		t.Fatalf("docs/proxmox.md makes no role for Proxmox VE %s", version)
	}
	return strings.Fields(m[1])
}

// emptyImage is a qcow2 image of 2 GiB with nothing in it.
func emptyImage() []byte {
	image := make([]byte, 104)
	copy(image, "QFI\xfb")
	binary.BigEndian.PutUint32(image[4:], 3)
	binary.BigEndian.PutUint32(image[20:], 16)
	binary.BigEndian.PutUint64(image[24:], 2<<30)
	binary.BigEndian.PutUint32(image[96:], 4)
	binary.BigEndian.PutUint32(image[100:], 104)
	return image
}

// TestWholeLife plays all that can be done with a machine, in both generations of Proxmox, with the role
// of docs/proxmox.md and nothing more.
func TestWholeLife(t *testing.T) {
	for _, version := range []lab.Version{lab.V9, lab.V8} {
		t.Run("Proxmox VE "+string(version), func(t *testing.T) {
			w := newWorld(t, func(o *lab.Options, _ *guest.Options) {
				o.Version = version
				o.Seed.Cluster.Roles = map[string][]string{"PhoenixRun": documentedRole(t, version)}
				o.Seed.Cluster.ACL = []lab.ACL{{Path: "/", Subject: "phoenix@pve", Role: "PhoenixRun"}}
				o.Fetch = func(context.Context, string, bool) (io.ReadCloser, error) {
					return io.NopCloser(bytes.NewReader(emptyImage())), nil
				}
			})
			w.vms = []map[string]any{
				{"vm_id": 1001, "vm_name": "web", "protected": true, "restart": "if_needed"},
				{"vm_id": 1002, "vm_name": "imaged", "template_name": "none", "cloud_image": map[string]any{"url": "https://images.example/debian.img"}},
			}
			w.settles("create", "1001")

			w.settles("create", "1002")
			made := w.settings(1002)
			for key, want := range map[string]string{"serial0": "socket", "agent": "enabled=1", "boot": "order=scsi0"} {
				if made.Live[key] != want {
					t.Errorf("made from an image, %s is %q, want %q", key, made.Live[key], want)
				}
			}
			if made.CloudInitDrive() == "" {
				t.Error("made from an image, it has no cloud-init drive")
			}

			w.vms[0]["memory_mb"], w.vms[0]["boot_disk_size_gb"] = 8192, 60
			w.settles("create", "1001")
			w.byHand(1001, map[string]string{"cores": "7"})
			if said := w.must(runner.Apply, "status", "--drift").said(event.Log); !strings.Contains(said, "web: cpu_cores is 7, declared 2") {
				t.Errorf("status --drift says\n%s", said)
			}
			w.settles("create", "1001")

			w.must(runner.Apply, "snapshot", "1001", "before")
			if again := w.must(runner.Apply, "snapshot", "1001", "before").changes(); len(again) > 0 {
				t.Errorf("a snapshot is taken twice: %v", again)
			}
			w.must(runner.Apply, "rollback", "1001", "before", "--confirm", "web")
			w.must(runner.Apply, "start", "1001")
			w.must(runner.Apply, "reboot", "1001")
			w.must(runner.Apply, "stop", "1001")

			if _, err := w.run(t.Context(), runner.Apply, "destroy", "1001", "--confirm", "web"); err == nil || !strings.Contains(err.Error(), "is protected") {
				t.Errorf("destroying a protected machine: %v", err)
			}
			if _, err := w.run(t.Context(), runner.Apply, "destroy", "1002", "--confirm", "web"); err == nil {
				t.Error("destroyed with another machine's name")
			}
			w.vms[0]["protected"] = false
			w.must(runner.Apply, "create", "1001")
			w.must(runner.Apply, "destroy", "1001", "--confirm", "web")
			if ids := w.server.VMs(); slices.Contains(ids, 1001) || !slices.Contains(ids, 1002) {
				t.Errorf("left: %v", ids)
			}
		})
	}
}
