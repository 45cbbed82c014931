package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSourcesAreTheDistributionsOwn(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/os-release"), "ID=debian\nVERSION_CODENAME=bookworm\n")
	list := write(t, filepath.Join(root, "etc/apt/sources.list"), "deb http://mirror.test/debian bookworm main\n")
	deb822 := write(t, filepath.Join(root, "etc/apt/sources.list.d/debian.sources"), "Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\nComponents: main\n")
	write(t, filepath.Join(root, "etc/apt/sources.list.d/docker.list"), "deb https://other.test/linux bookworm stable\n")
	write(t, filepath.Join(root, "etc/apt/sources.list.d/off.list"), "# deb http://mirror.test/debian bookworm main\n")
	write(t, filepath.Join(root, "etc/apt/sources.list.d/old.list.disabled"), "deb http://mirror.test/debian bookworm main\n")
	files, suite, err := aptSources(root)
	if err != nil || suite != "bookworm" || !slices.Equal(files, []string{list, deb822}) {
		t.Errorf("suite %s, files %q, error %v", suite, files, err)
	}
}

func TestOtherDistributionsAreRefused(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/os-release"), "ID=fedora\nPRETTY_NAME=\"Fedora 42\"\n")
	if _, _, err := aptSources(root); err == nil || !strings.Contains(err.Error(), "is Fedora 42") {
		t.Errorf("error %v", err)
	}
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	list := write(t, filepath.Join(t.TempDir(), "modules.dep"), `kernel/virtio_pci.ko: kernel/legacy.ko kernel/virtio.ko kernel/virtio_ring.ko
kernel/virtio_scsi.ko: kernel/scsi_mod.ko kernel/scsi_common.ko kernel/virtio.ko kernel/virtio_ring.ko
kernel/other.ko:
`)
	order, err := loadOrder(list)
	want := "virtio_ring virtio legacy virtio_pci scsi_common scsi_mod virtio_scsi"
	var names []string
	for _, p := range order {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".ko"))
	}
	if got := strings.Join(names, " "); err != nil || got != want {
		t.Errorf("order %s, want %s, error %v", got, want, err)
	}
}

func TestArchiveIsAligned(t *testing.T) {
	var c cpio
	c.folder("bin")
	c.file("init", 0o755, []byte("abc"))
	b := c.bytes()
	if len(b)%4 != 0 || !strings.HasPrefix(string(b), "070701") {
		t.Fatalf("%d bytes, beginning %q", len(b), b[:6])
	}
	at := strings.Index(string(b), "init\x00")
	head := string(b[at-110 : at])
	if !strings.HasPrefix(head, "070701") || head[14:22] != "000081ed" || head[54:62] != "00000003" || (at-110)%4 != 0 {
		t.Errorf("header of init: %q at %d", head, at-110)
	}
	if data := (at + 5 + 3) / 4 * 4; string(b[data:data+3]) != "abc" {
		t.Errorf("content %q", b[data:data+3])
	}
}
