package seed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"phoenix-run/lab/machine"
)

func TestFilesAreProxmoxs(t *testing.T) {
	spec := machine.Spec{Name: "web", MAC: []string{"BC:24:11:00:00:01"}, CloudInit: machine.CloudInit{
		InstanceID: "id1", User: "ada", Password: "$5$x", SSHKeys: []string{"ssh-ed25519 AAAA ada"}, Upgrade: true,
		IPConfig: []string{"ip=10.0.0.5/22,gw=10.0.0.1"}, Nameserver: "10.0.0.2 10.0.0.3", Search: "example.net",
	}}
	files, err := Files(spec)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"meta-data": "instance-id: id1\n",
		"user-data": `#cloud-config
hostname: web
manage_etc_hosts: true
fqdn: web.example.net
user: ada
password: $5$x
ssh_authorized_keys:
  - ssh-ed25519 AAAA ada
chpasswd:
  expire: False
users:
  - default
package_upgrade: true
`,
		"network-config": `version: 1
config:
    - type: physical
      name: eth0
      mac_address: 'bc:24:11:00:00:01'
      subnets:
      - type: static
        address: '10.0.0.5'
        netmask: '255.255.252.0'
        gateway: '10.0.0.1'
    - type: nameserver
      address:
      - '10.0.0.2'
      - '10.0.0.3'
      search:
      - 'example.net'
`,
	}
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%s:\n%s\nwant:\n%s", name, files[name], text)
		}
	}
}

func TestRootMayLogIn(t *testing.T) {
	text := UserData(machine.Spec{Name: "web", CloudInit: machine.CloudInit{User: "root"}})
	if !strings.Contains(text, "disable_root: False\n") || strings.Contains(text, "users:") {
		t.Errorf("user data of root:\n%s", text)
	}
}

func TestCustomFilesReplaceProxmoxs(t *testing.T) {
	files, err := Files(machine.Spec{CloudInit: machine.CloudInit{Custom: map[string]string{"user": "#cloud-config\n", "vendor": "#cloud-config\nruncmd: []\n"}}})
	if err != nil {
		t.Fatal(err)
	}
	if files["user-data"] != "#cloud-config\n" || files["vendor-data"] != "#cloud-config\nruncmd: []\n" {
		t.Errorf("files %q", files)
	}
}

func TestReserve(t *testing.T) {
	for _, c := range []struct{ have, want string }{
		{"", "ip=10.0.0.9/24,gw=10.0.0.1"},
		{"ip=dhcp", "ip=10.0.0.9/24,gw=10.0.0.1"},
		{"ip=10.1.0.2/24", "ip=10.1.0.2/24"},
		{"ip6=auto", "ip6=auto"},
	} {
		ci := machine.CloudInit{Nameserver: "10.9.9.9"}
		if c.have != "" {
			ci.IPConfig = []string{c.have}
		}
		Reserve(&ci, "10.0.0.9/24", "10.0.0.1", "10.0.0.3")
		if ci.IPConfig[0] != c.want || ci.Nameserver != "10.9.9.9" {
			t.Errorf("%q became %q with name server %s", c.have, ci.IPConfig[0], ci.Nameserver)
		}
	}
}

func TestISO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed.iso")
	if err := WriteISO(path, map[string]string{"user-data": "#cloud-config\n", "meta-data": "instance-id: 1\n"}); err != nil {
		t.Fatal(err)
	}
	image, err := file.OpenFromPath(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	fs, err := iso9660.Read(image, 0, 0, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimRight(fs.Label(), "\x00 ") != "cidata" {
		t.Errorf("label %q", fs.Label())
	}
	f, err := fs.OpenFile("/user-data", os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 64)
	n, _ := f.Read(text)
	if string(text[:n]) != "#cloud-config\n" {
		t.Errorf("content %q", text[:n])
	}
}
