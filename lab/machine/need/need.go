// Package need finds the programs that real machines are run with.
package need

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// packages is which of Debian's packages has a program.
var packages = map[string]string{
	"ip": "iproute2", "iptables": "iptables", "slirp4netns": "slirp4netns", "systemd-nspawn": "systemd-container",
	"nsenter": "util-linux", "unshare": "util-linux", "mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs",
	"mmdebstrap": "mmdebstrap", "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "sfdisk": "fdisk",
	"busybox": "busybox-static", "cpio": "cpio",
}

// MissingError says which programs are not installed.
type MissingError struct{ Programs []string }

func (e *MissingError) Error() string {
	var from []string
	for _, p := range e.Programs {
		from = append(from, packages[p])
	}
	slices.Sort(from)
	return fmt.Sprintf("%s not found: as root, apt-get install --no-install-recommends %s", strings.Join(e.Programs, ", "), strings.Join(slices.Compact(from), " "))
}

// Programs checks that all of them are there; the error is a *MissingError.
func Programs(names ...string) error {
	var missing []string
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return &MissingError{missing}
	}
	return nil
}

// RunError is a program that failed, with what it said.
type RunError struct {
	Argv   []string
	Output string
	Err    error
}

func (e *RunError) Error() string {
	text := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

func (e *RunError) Unwrap() error { return e.Err }

// Run runs a program to its end and gives its standard output; the error is a *RunError.
func Run(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), &RunError{argv, strings.TrimSpace(said.String()), err}
	}
	return out.String(), nil
}
