package proxmox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func noFetch(context.Context, string, bool) (io.ReadCloser, error) {
	return nil, errors.New("no network")
}

func TestStateSurvivesARestart(t *testing.T) {
	l := startLab(t, nil)
	l.running(100)
	l.ok("PUT", "/nodes/pve/qemu/100/config", obj{"memory": 8192, "tags": "a", "description": "x\ny"})
	l.task("POST", "/nodes/pve/qemu/100/snapshot", obj{"snapname": "s1"})
	l.ok("POST", "/cluster/ha/resources", obj{"sid": "vm:100"})
	look := func() []string {
		var out []string
		for _, path := range []string{
			"/nodes/pve/qemu/100/config", "/nodes/pve/qemu/100/pending", "/nodes/pve/qemu/9000/config", "/nodes/pve/qemu/100/snapshot",
			"/cluster/ha/resources", "/nodes/pve/tasks", "/nodes/pve/storage/local-zfs/content", "/nodes/pve/qemu/100/status/current",
		} {
			out = append(out, path+" "+l.do("GET", path, nil).body)
		}
		return append(out, l.s.Fingerprint())
	}
	before := look()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
	l.backend.get(100).set("stopped") // as after the host's own restart
	l.open(nil)
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error(diff)
	}
	l.vm(101) // ids of tasks go on
}

// copyDir takes a picture of a running lab's folder, as a kill would leave it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		// Files come and go while the lab runs; the next picture will be whole.
		return ""
	}
	return to
}

// TestKilledAtAnyMoment opens pictures of the folder, taken while clones run.
func TestKilledAtAnyMoment(t *testing.T) {
	l := startLab(t, func(o *Options) { o.Speed.Clone = 30 * time.Millisecond })
	var pictures []string
	var clones []string
	for id := 100; id < 106; id++ {
		clones = append(clones, l.ok("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": id}).(string))
	}
	for range 12 {
		time.Sleep(5 * time.Millisecond)
		if p := copyDir(t, l.dir); p != "" {
			pictures = append(pictures, p)
		}
	}
	if len(pictures) == 0 {
		t.Fatal("no picture could be taken")
	}
	for _, upid := range clones {
		l.exit(upid)
	}
	interrupted := 0
	for _, dir := range pictures {
		backend := newFake()
		for _, id := range l.s.VMs() {
			backend.add(id, l.backend.get(id).lastSpec())
		}
		k := &testLab{T: t, backend: backend, dir: dir, auth: l.auth}
		k.open(nil)
		for _, id := range k.s.VMs() {
			if lock := k.config(id)["lock"]; lock != nil {
				t.Errorf("VM %d is still locked (%v)", id, lock)
			}
		}
		for _, row := range k.ok("GET", "/nodes/pve/tasks?limit=0", nil).([]any) {
			switch row.(obj)["status"] {
			case "interrupted by signal":
				interrupted++
			case "OK":
			default:
				t.Errorf("task %v", row)
			}
		}
		if exit := k.task("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 500}); exit != "OK" {
			t.Errorf("clone afterwards: %s", exit)
		}
		if err := k.s.Close(); err != nil {
			t.Error(err)
		}
	}
	if interrupted == 0 {
		t.Error("no picture shows an interrupted clone: the test proves nothing")
	}
}

func TestJournalWithACutLine(t *testing.T) {
	l := startLab(t, nil)
	l.vm(100)
	path := filepath.Join(l.dir, "tasks.jsonl")
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, `{"upid":"UPID:pve:00`...), 0o600); err != nil {
		t.Fatal(err)
	}
	l.open(nil)
	l.vm(101)
	if rows := l.ok("GET", "/nodes/pve/tasks?limit=0", nil).([]any); len(rows) != 2 {
		t.Errorf("%d tasks", len(rows))
	}
}

func TestDamagedStateIsNamed(t *testing.T) {
	l := startLab(t, nil)
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "vm", "9000.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Options{Dir: l.dir, Backend: l.backend})
	if err == nil || !strings.Contains(err.Error(), filepath.Join("vm", "9000.json")) {
		t.Errorf("error %v", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	l := startLab(t, nil)
	err := filepath.WalkDir(l.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == l.dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCloudImage goes the way without root: download with a checksum, import, template, clone.
func TestCloudImage(t *testing.T) {
	image := qcow2Header(3 << 30)
	sum := sha256.Sum256(image)
	l := startLab(t, func(o *Options) {
		o.Fetch = func(_ context.Context, url string, _ bool) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(image)), nil
		}
	})
	get := obj{"content": "import", "filename": "noble.qcow2", "url": "https://example.org/noble.img", "checksum-algorithm": "sha256"}
	get["checksum"] = strings.Repeat("0", 64)
	if exit := l.task("POST", "/nodes/pve/storage/local/download-url", get); !strings.HasPrefix(exit, "checksum mismatch: got") {
		t.Error(exit)
	}
	if a := l.do("GET", "/nodes/pve/storage/local/content?content=import", nil); strings.Contains(a.body, "noble") {
		t.Errorf("a file with a wrong checksum stays: %s", a.body)
	}
	get["checksum"] = hex.EncodeToString(sum[:])
	if exit := l.task("POST", "/nodes/pve/storage/local/download-url", get); exit != "OK" {
		t.Fatal(exit)
	}
	if a := l.do("POST", "/nodes/pve/storage/local/download-url", get); !strings.HasPrefix(a.line, "500 refusing to override existing file") {
		t.Error(a.line)
	}
	exit := l.task("POST", "/nodes/pve/qemu", obj{
		"vmid": 200, "name": "tmpl", "scsihw": "virtio-scsi-pci", "scsi0": "local-lvm:0,import-from=local:import/noble.qcow2",
		"ide2": "local-lvm:cloudinit", "serial0": "socket", "vga": "serial0", "agent": "1", "boot": "order=scsi0", "net0": "virtio,bridge=vmbr0",
	})
	if exit != "OK" {
		t.Fatal(exit)
	}
	if got := l.config(200)["scsi0"]; got != "local-lvm:vm-200-disk-0,size=3G" {
		t.Errorf("scsi0 %v", got)
	}
	if spec := l.backend.get(200).lastSpec(); filepath.Base(spec.Image) != "noble.qcow2" || spec.DiskBytes != 3<<30 {
		t.Errorf("spec %+v", spec)
	}
	if exit := l.task("POST", "/nodes/pve/qemu/200/template", nil); exit != "OK" {
		t.Fatal(exit)
	}
	if exit := l.task("POST", "/nodes/pve/qemu/200/clone", obj{"newid": 201}); exit != "OK" {
		t.Fatal(exit)
	}
	if got := l.config(201)["scsi0"]; got != "local-lvm:vm-201-disk-0,size=3G" {
		t.Errorf("clone's scsi0 %v", got)
	}
	if a := l.do("DELETE", "/nodes/pve/storage/local/content/local:import/noble.qcow2", nil); a.line != "200 OK" {
		t.Error(a.line)
	}
}

func TestCryptKnowsTheSchemesOwnVector(t *testing.T) {
	// The first is from the specification of the SHA-256 scheme; the second is OpenSSL's.
	for _, tc := range [][3]string{
		{"Hello world!", "saltstring", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"a much longer password than thirty-two characters are", "abcdefgh", "mRRyfISdtScXgb9YTsOc/CmIh3P.xb86sSRaJpKYJX0"},
	} {
		if got := sha256Crypt(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%s: %s, want %s", tc[0], got, tc[2])
		}
	}
}
