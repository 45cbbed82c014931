package proxmox

import (
	"regexp"
	"testing"
	"time"
)

func TestLifeOfAMachine(t *testing.T) {
	l := startLab(t, nil)
	upid := l.ok("POST", "/nodes/pve/qemu/9000/clone", obj{"newid": 1001, "name": "portainer"}).(string)
	if !regexp.MustCompile(`^UPID:pve:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:qmclone:9000:phoenix@pve!run:$`).MatchString(upid) {
		t.Errorf("upid %s", upid)
	}
	if exit := l.exit(upid); exit != "OK" {
		t.Fatal(exit)
	}
	vm := "/nodes/pve/qemu/1001"
	if got := l.config(1001)["scsi0"]; got != "local-zfs:base-9000-disk-0/vm-1001-disk-0,size=2252M" {
		t.Errorf("scsi0 %v", got)
	}
	if got := l.ok("PUT", vm+"/config", obj{"cores": 4, "memory": 4096, "onboot": 1, "ciuser": "ops", "ipconfig0": "ip=dhcp"}); got != nil {
		t.Errorf("PUT config: %v", got)
	}
	if exit := l.task("PUT", vm+"/resize", obj{"disk": "scsi0", "size": "50G"}); exit != "OK" {
		t.Error(exit)
	}
	if exit := l.task("POST", vm+"/status/start", nil); exit != "OK" {
		t.Error(exit)
	}
	spec := l.backend.get(1001).lastSpec()
	if spec.Cores != 4 || spec.MemoryMiB != 4096 || spec.DiskBytes != 50<<30 || spec.Name != "portainer" ||
		spec.CloudInit.User != "ops" || spec.CloudInit.InstanceID == "" || len(spec.MAC) != 1 {
		t.Errorf("spec %+v", spec)
	}
	if got := l.ok("GET", vm+"/status/current", nil).(obj)["status"]; got != "running" {
		t.Errorf("status %v", got)
	}
	pid := l.ok("POST", vm+"/agent/exec", obj{"command": []string{"echo", "grüß"}}).(obj)["pid"]
	if pid != float64(1) {
		t.Errorf("pid %v", pid)
	}
	if exit := l.task("POST", vm+"/status/shutdown", obj{"timeout": 5}); exit != "OK" {
		t.Error(exit)
	}
	if exit := l.task("DELETE", vm+"?purge=1", nil); exit != "OK" {
		t.Error(exit)
	}
	if got := l.do("GET", vm+"/config", nil).line; got != "500 Configuration file 'nodes/pve/qemu-server/1001.conf' does not exist" {
		t.Error(got)
	}
}

func pause() { time.Sleep(2 * time.Millisecond) }
