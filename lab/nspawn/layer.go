package nspawn

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// layer is what lies over the image in every machine: the agent on a socket instead of a device, without
// the commands that would reach this machine's own kernel, and writable cgroups for Docker.
var layer = map[string]string{
	"etc/systemd/system/qemu-guest-agent.service": `[Unit]
Description=QEMU Guest Agent

[Service]
ExecStartPre=/bin/rm -f /run/lab/agent.sock
ExecStart=/usr/sbin/qemu-ga -m unix-listen -p /run/lab/agent.sock -b guest-fsfreeze-freeze,guest-fsfreeze-freeze-list,guest-fsfreeze-thaw,guest-fstrim,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-set-time,guest-set-vcpus,guest-set-memory-blocks
Restart=always
RestartSec=0

[Install]
WantedBy=multi-user.target
`,
	"etc/systemd/system/lab-cgroups.service": `[Unit]
Description=Writable cgroups
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for d in /sys/fs/cgroup /sys/fs/cgroup/*; do if mountpoint -q "$$d"; then mount -o remount,bind,rw "$$d"; fi; done'
`,
}

// links are the units that are wanted.
var links = map[string]string{
	"etc/systemd/system/multi-user.target.wants/qemu-guest-agent.service": "../qemu-guest-agent.service",
	"etc/systemd/system/sysinit.target.wants/lab-cgroups.service":         "../lab-cgroups.service",
}

// writeLayer makes the layer's folder.
func writeLayer(dir string) error {
	for name, text := range layer {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name, target := range links {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
