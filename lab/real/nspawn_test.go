//go:build real

package real

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// twoMachines are worked on over SSH and over the agent.
var twoMachines = map[string]string{
	"phoenix_vm_configs.json": `{
  "vm_defaults": {"features": ["base_setup", {"name": "docker", "options": {"daemon": {"debug": true}}}], "boot_disk_size_gb": 6, "memory_mb": 1024},
  "virtual_machines": [{"vm_id": 1001, "vm_name": "over-ssh"}, {"vm_id": 1002, "vm_name": "over-agent", "transport": "agent"}]
}`,
	"phoenix_stacks_config.json":     `{"docker_stacks": {}}`,
	"phoenix_hypervisor_config.json": `{"proxmox_api": {"url": "https://192.0.2.10:8006", "token": {"env": "UNUSED"}}, "ssh": {}}`,
}

// fromScratch makes an image of nothing but the machine's static busybox, and runs it.
const fromScratch = `
mkdir -p /tmp/image && cd /tmp/image && cp /bin/busybox .
printf 'FROM scratch\nCOPY busybox /busybox\nENTRYPOINT ["/busybox"]\n' >Dockerfile
docker build -q -t scratch . >/dev/null
docker run --rm scratch echo "it runs"
`

func TestNspawnMachines(t *testing.T) {
	before := leftovers(t) // of labs that are not this test's
	p := newProject(t, twoMachines, "--backend", "nspawn")
	p.serve()
	if out := p.must("--dry-run", "create", "1001"); !strings.Contains(out, "vm 1001") {
		t.Errorf("the dry run does not plan the machine:\n%s", out)
	}
	for id, name := range map[string]string{"1001": "over-ssh", "1002": "over-agent"} {
		p.must("create", id)
		facts := map[string]string{
			"hostname":                     name,
			"cloud-init status":            "status: done",
			"systemctl is-active docker":   "active",
			"systemctl is-enabled docker":  "enabled",
			"docker info -f '{{.Driver}}'": "overlay2",
			"jq -r '.[\"log-opts\"][\"max-size\"]' /etc/docker/daemon.json":               "10m",
			"docker info -f '{{.Debug}}'":                                                 "true",
			"ip -4 -o address show eth0 | grep -c " + p.address(id) + "/24":               "1",
			"n=$(df --output=size -BG / | tail -1 | tr -dc 0-9); test $n -ge 5; echo big": "big",
			fromScratch: "it runs",
		}
		for script, want := range facts {
			if got := p.mustIn(id, script); got != want {
				t.Errorf("on %s, %s:\n%s\nwant %s", id, script, got, want)
			}
		}
		p.unchanged("create", id)
		p.unchanged("--dry-run", "create", id)
	}

	boot := p.mustIn("1001", "cat /proc/1/stat | cut -d' ' -f22")
	p.must("reboot", "1001")
	if now := p.mustIn("1001", "cat /proc/1/stat | cut -d' ' -f22"); now == boot {
		t.Error("the machine has not rebooted")
	}
	p.mustIn("1001", "echo before >/root/state")
	p.must("snapshot", "1001", "good")
	p.mustIn("1001", "echo after >/root/state")
	p.must("rollback", "1001", "good", "--confirm", "over-ssh")
	p.must("start", "1001")
	p.eventually("the machine is back", func() bool { _, err := p.in("1001", "true"); return err == nil })
	if got := p.mustIn("1001", "cat /root/state"); got != "before" {
		t.Errorf("after the rollback the file holds %q", got)
	}

	p.stop(syscall.SIGKILL)
	p.serve()
	p.eventually("the machines run again", func() bool { _, err := p.in("1002", "true"); return err == nil })
	p.unchanged("create", "1002")
	p.stop(syscall.SIGINT)
	left := slices.DeleteFunc(leftovers(t), func(what string) bool { return slices.Contains(before, what) })
	if len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "\n"))
	}
}
