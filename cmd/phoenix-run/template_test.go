package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"phoenix-run/examples"
)

// qcow2 is an empty disk image of so many bytes, in QEMU's format, version 3.
func qcow2(bytes uint64, padding int) []byte {
	image := make([]byte, 104+padding)
	copy(image, "QFI\xfb")
	binary.BigEndian.PutUint32(image[4:], 3)
	binary.BigEndian.PutUint32(image[20:], 16)
	binary.BigEndian.PutUint64(image[24:], bytes)
	binary.BigEndian.PutUint32(image[96:], 4)
	binary.BigEndian.PutUint32(image[100:], 104)
	return image
}

// TestBuildTemplate builds a template from an image, builds it anew from another, clones machines from
// both, and retires what nobody needs.
func TestBuildTemplate(t *testing.T) {
	images := map[string][]byte{"/a.img": qcow2(2<<30, 1), "/b.img": qcow2(2<<30, 2), "/c.img": qcow2(2<<30, 3)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := w.Write(images[r.URL.Path]); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	sub, err := fs.Sub(examples.FS, "guide")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, sub); err != nil {
		t.Fatal(err)
	}
	self := program(t)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), self, append([]string{"--lab"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("phoenix-run %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	build := func(image string, more ...string) string {
		t.Helper()
		sum := sha256.Sum256(images[image])
		return run(append([]string{"build", "template", "debian", "--image", server.URL + image, "--checksum", "sha256:" + hex.EncodeToString(sum[:])}, more...)...)
	}
	want := func(out string, patterns ...string) {
		t.Helper()
		for _, p := range patterns {
			if !regexp.MustCompile(p).MatchString(out) {
				t.Errorf("no line matches %s in:\n%s", p, out)
			}
		}
	}
	clone := func(id, template string) {
		t.Helper()
		text := `{"virtual_machines": [{"vm_id": ` + id + `, "vm_name": "m` + id + `", "template_name": "` + template + `", "transport": "agent"}]}`
		if err := os.WriteFile(dir+"/phoenix_vm_configs.json", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run("create", id)
	}

	want(build("/a.img", "--dry-run"), `\+ vm 9001 `, `template 9001`, `Plan: 1 to create`)
	want(build("/a.img"), `changed \+ vm 9001 \(from `, `changed . template 9001`, `Done: `)
	want(build("/a.img"), `debian-v1 is made of this image and these packages already`, `Done: 0 changed`)
	clone("1001", "debian-v1")
	want(build("/b.img"), `changed \+ vm 9002 `, `debian-v1 is kept: m1001 is linked to it`)
	clone("1002", "debian-v2")
	want(build("/b.img", "--retire"), `Done: 0 changed`, `debian-v1 is kept: m1001`)
	run("destroy", "1002", "--confirm", "m1002")
	want(build("/c.img"), `debian-v2 is linked to by no machine; --retire destroys it`, `debian-v1 is kept: m1001`)
	want(build("/c.img", "--retire"), `changed - retired template 9002`, `debian-v1 is kept: m1001`, `Done: 1 changed`)
	want(build("/c.img", "--retire"), `Done: 0 changed`)
}
