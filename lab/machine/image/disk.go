package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/machine/need"
)

const lockPoll = 200 * time.Millisecond

// diskSize is how large the disk is; machines grow it.
const diskSize = 2 << 30

// partition is where the root file system starts.
const partition = 1 << 20

const cmdline = "root=/dev/sda1 rw console=ttyS0 quiet net.ifnames=0 systemd.show_status=0"

// makeDisk puts the tree on a disk with a partition table, without mounting anything.
func makeDisk(ctx context.Context, dir string, im Image, progress func(string)) error {
	if err := need.Programs("sfdisk", "mke2fs", "qemu-img"); err != nil {
		return err
	}
	progress("making a disk of it")
	raw := filepath.Join(dir, "disk.raw")
	defer os.Remove(raw) //nolint:errcheck // it may not be there
	f, err := os.Create(raw)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	table := filepath.Join(dir, "table")
	defer os.Remove(table) //nolint:errcheck // it may not be there
	if err := os.WriteFile(table, fmt.Appendf(nil, "label: gpt\nstart=%d, type=linux\n", partition/512), 0o600); err != nil {
		return err
	}
	// sfdisk reads its orders from standard input only.
	if _, err := need.Run(ctx, "sh", "-c", `sfdisk -q "$1" <"$2"`, "sh", raw, table); err != nil {
		return err
	}
	// A MiB at the end belongs to the table's copy.
	if _, err := need.Run(ctx, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", im.Root, "-E", fmt.Sprintf("offset=%d", partition),
		raw, fmt.Sprintf("%dk", (diskSize-2*partition)>>10)); err != nil {
		return err
	}
	if err := copyKernel(im); err != nil {
		return err
	}
	if _, err := need.Run(ctx, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, im.Disk+".new"); err != nil {
		return err
	}
	return os.Rename(im.Disk+".new", im.Disk)
}

// modules are what the kernel needs to find its root file system, besides what they depend on.
var modules = []string{"virtio_pci", "virtio_scsi", "sd_mod"}

// initScript is all of the first user space.
const initScript = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for m in %s; do
	/bin/busybox insmod /modules/$m.ko
done
while ! /bin/busybox mount -t ext4 /dev/sda1 /root; do /bin/busybox sleep 0.1; done
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
`

// copyKernel puts the kernel and a small initial file system beside the disk: nothing of the disk's own
// is needed to start it, and it starts sooner.
func copyKernel(im Image) error {
	kernels, err := filepath.Glob(filepath.Join(im.Root, "boot/vmlinuz-*"))
	if err != nil || len(kernels) == 0 {
		return errors.Join(err, errors.New("the image has no kernel"))
	}
	kernel := kernels[len(kernels)-1]
	text, err := os.ReadFile(kernel)
	if err == nil {
		err = os.WriteFile(im.Kernel, text, 0o644)
	}
	if err != nil {
		return err
	}
	version := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	var archive cpio
	archive.folder("bin")
	archive.folder("modules")
	busybox, err := os.ReadFile(filepath.Join(im.Root, "bin/busybox"))
	if err != nil {
		return err
	}
	archive.file("bin/busybox", 0o755, busybox)
	library := filepath.Join(im.Root, "usr/lib/modules", version)
	order, err := loadOrder(filepath.Join(library, "modules.dep"))
	if err != nil {
		return err
	}
	var names []string
	for _, path := range order {
		text, err := os.ReadFile(filepath.Join(library, path))
		if err != nil {
			return err
		}
		archive.file("modules/"+filepath.Base(path), 0o644, text)
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".ko"))
	}
	archive.file("init", 0o755, fmt.Appendf(nil, initScript, strings.Join(names, " ")))
	return os.WriteFile(im.Initrd, archive.bytes(), 0o644)
}

// loadOrder gives the files of the modules, each after those that it depends on. What is not in the list
// is part of the kernel.
func loadOrder(list string) ([]string, error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	var order []string
	for _, m := range modules {
		for line := range strings.Lines(string(text)) {
			path, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
			if filepath.Base(path) != m+".ko" {
				continue
			}
			all := append([]string{path}, strings.Fields(needs)...)
			slices.Reverse(all) // the list has the deepest last
			for _, p := range all {
				if !slices.Contains(order, p) {
					order = append(order, p)
				}
			}
		}
	}
	return order, nil
}

// cpio is an archive as the kernel takes it for its first file system ("newc").
type cpio struct {
	out  bytes.Buffer
	next int
}

func (c *cpio) folder(name string)                         { c.entry(name, 0o040755, nil) }
func (c *cpio) file(name string, mode int, content []byte) { c.entry(name, 0o100000|mode, content) }

func (c *cpio) entry(name string, mode int, content []byte) {
	c.next++
	fmt.Fprintf(&c.out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c.next, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	c.out.WriteString(name + "\x00")
	c.pad()
	c.out.Write(content)
	c.pad()
}

func (c *cpio) pad() {
	for c.out.Len()%4 != 0 {
		c.out.WriteByte(0)
	}
}

func (c *cpio) bytes() []byte {
	c.entry("TRAILER!!!", 0, nil)
	return c.out.Bytes()
}
