package qemu

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// probeTime is how long the smallest machine has to show itself.
const probeTime = 20 * time.Second

// bootSector writes one letter to the serial port, and halts.
func bootSector() []byte {
	s := make([]byte, 512)
	copy(s, []byte{0xba, 0xf8, 0x03, 0xb0, 'K', 0xee, 0xfa, 0xf4, 0xeb, 0xfd})
	s[510], s[511] = 0x55, 0xaa
	return s
}

// kvmWorks boots a machine of one sector: a device that is there may still not run anything.
func kvmWorks(ctx context.Context, dir string) bool {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return false
	}
	work, err := os.MkdirTemp(dir, "kvm-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(work) //nolint:errcheck // the folder is the lab's own
	disk, serial := filepath.Join(work, "disk"), filepath.Join(work, "serial")
	if os.WriteFile(disk, bootSector(), 0o600) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "16", "-nodefaults", "-display", "none",
		"-drive", "file="+disk+",format=raw,if=ide", "-serial", "file:"+serial)
	if cmd.Start() != nil {
		return false
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() //nolint:errcheck // it is killed, or could not run: only the letter counts
	}()
	defer func() { cancel(); <-ended }()
	for {
		if text, err := os.ReadFile(serial); err == nil && strings.Contains(string(text), "K") {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}
