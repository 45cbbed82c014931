package pve

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNIC(t *testing.T) {
	for _, tt := range []struct {
		in                 string
		model, mac, bridge string
		bridged            string // after the bridge was changed to vmbr9
	}{
		{"virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1", "virtio", "BC:24:11:00:00:01", "vmbr0", "virtio=BC:24:11:00:00:01,bridge=vmbr9,firewall=1"},
		{"virtio,bridge=vmbr0", "virtio", "", "vmbr0", "virtio,bridge=vmbr9"},
		{"model=e1000,macaddr=BC:24:11:00:00:01,bridge=vmbr0,tag=7", "e1000", "BC:24:11:00:00:01", "vmbr0", "e1000=BC:24:11:00:00:01,bridge=vmbr9,tag=7"},
		{"", "", "", "", ",bridge=vmbr9"},
	} {
		n := ParseNIC(tt.in)
		if n.Model != tt.model || n.MAC != tt.mac || n.Bridge != tt.bridge {
			t.Errorf("%q: got %+v", tt.in, n)
		}
		n.Bridge = "vmbr9"
		if got := n.String(); got != tt.bridged {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.bridged)
		}
	}
}

func TestDiskAndBootDisk(t *testing.T) {
	c := Config{"boot": "order=scsi0;net0", "scsi0": "local-zfs:vm-1001-disk-0,discard=on,size=2252M", "net0": "virtio=…",
		"ide2": "local-zfs:vm-1001-cloudinit,media=cdrom"}
	if got := c.BootDisk(); got != "scsi0" {
		t.Errorf("boot disk %q", got)
	}
	if got := c.CloudInitDrive(); got != "ide2" {
		t.Errorf("cloud-init drive %q", got)
	}
	d := ParseDisk(c["scsi0"])
	if d.Storage != "local-zfs" || d.Bytes != 2252<<20 || d.CDROM {
		t.Errorf("got %+v", d)
	}
	if got := (Config{"boot": "order=ide2;virtio0", "ide2": "none,media=cdrom", "virtio0": "a:b,size=1G"}).BootDisk(); got != "virtio0" {
		t.Errorf("a CD drive was taken for the boot disk: %q", got)
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"32G": 32 << 30, "2252M": 2252 << 20, "1.5T": 3 << 39, "512": 512, "4K": 4096} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%s: got %d, %v", in, got, err)
		}
	}
	if _, err := ParseSize(""); err == nil {
		t.Error("no size was taken for one")
	}
}

func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.StringMatching(`ssh-(rsa|ed25519) [A-Za-z0-9+/]{8,40}={0,2}( [a-z@.+ %]{1,12}[a-z])?`)).Draw(t, "keys")
		if got := DecodeKeys(EncodeKeys(keys)); !slices.Equal(got, keys) && len(keys) > 0 {
			t.Fatalf("got %q, want %q", got, keys)
		}
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		if got := bytesOf(latin1(data)); !slices.Equal(got, data) {
			t.Fatalf("got %x, want %x", got, data)
		}
		tags := SplitTags(rapid.StringMatching(`[a-zA-Z0-9;, _-]{0,30}`).Draw(t, "tags"))
		if got := SplitTags(JoinTags(tags)); !slices.Equal(got, tags) {
			t.Fatalf("got %q, want %q", got, tags)
		}
	})
}
