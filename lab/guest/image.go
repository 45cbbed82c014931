package guest

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"phoenix-run/lab/guest/tools"
	"phoenix-run/lab/guest/vfs"
)

// baseImage is the cloud image that new machines hold.
func baseImage(c *catalog) (*vfs.FS, error) {
	tree := vfs.New()
	v := &vfs.View{FS: tree, Umask: 0}
	var errs []error
	do := func(err error) { errs = append(errs, err) }
	for _, dir := range strings.Fields(baseFolders) {
		do(v.MkdirAll(dir, 0o755))
	}
	for link, target := range baseLinks {
		do(v.Symlink(target, link))
	}
	for dir, mode := range map[string]uint32{"/root": 0o700, "/tmp": 0o1777, "/var/tmp": 0o1777, "/dev/shm": 0o1777, "/etc/sudoers.d": 0o750} {
		do(v.Chmod(dir, mode))
	}
	for _, f := range baseFiles {
		do(v.MkdirAll(path.Dir(f.path), 0o755))
		do(v.WriteFile(f.path, []byte(f.content), f.mode))
	}
	for dev, number := range map[string]int{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		do(v.Mknod("/dev/"+dev, vfs.Char|0o666, 1<<8|number))
	}
	do(v.Mknod("/dev/tty", vfs.Char|0o666, 5<<8))
	for dev, number := range map[string]int{"sda": 0, "sda1": 1, "sda14": 14, "sda15": 15, "sr0": 11 << 8} {
		do(v.Mknod("/dev/"+dev, vfs.Block|0o660, 8<<8|number))
	}
	for file := range tools.All() {
		do(v.WriteFile(programPath(file), []byte(programFile(path.Base(file))), 0o755))
	}
	for _, zone := range zones {
		file := "/usr/share/zoneinfo/" + zone
		do(v.MkdirAll(path.Dir(file), 0o755))
		do(v.WriteFile(file, []byte("TZif2"+zone), 0o644))
	}
	for _, a := range archive {
		if a.base {
			do(c.unpack(v, c.packages[a.name], true))
		}
	}
	do(v.Symlink("/usr/lib/systemd/system/ssh.service", "/etc/systemd/system/sshd.service"))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return tree, nil
}

// programPath is where a program of package tools stands.
func programPath(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/usr/bin/" + name
}

// unpack puts a package's files into a tree, makes its groups and enables its units.
func (c *catalog) unpack(v *vfs.View, p *Package, base bool) error {
	var errs []error
	do := func(err error) { errs = append(errs, err) }
	for file, program := range p.Programs {
		name := path.Base(file)
		if program != nil {
			name = p.Name + ":" + file
		}
		do(v.MkdirAll(path.Dir(file), 0o755))
		do(v.WriteFile(file, []byte(programFile(name)), 0o755))
		do(v.Chmod(file, 0o755))
	}
	for file, content := range p.Files {
		do(v.MkdirAll(path.Dir(file), 0o755))
		do(v.WriteFile(file, []byte(content), 0o644))
	}
	for _, name := range p.Groups {
		do(addGroup(v, name))
	}
	for _, u := range p.Units {
		do(v.WriteFile("/usr/lib/systemd/system/"+u.Name, []byte(unitText(p, u)), 0o644))
		if link := "/etc/systemd/system/" + wantedBy(u.Name) + ".wants/" + u.Name; !u.Off && !exists(v, link) {
			do(v.MkdirAll(path.Dir(link), 0o755))
			do(v.Symlink("/usr/lib/systemd/system/"+u.Name, link))
		}
	}
	do(v.MkdirAll("/usr/share/doc/"+p.Name, 0o755))
	do(setStatus(v, p, statusInstalled))
	if base && len(errs) > 0 {
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
	}
	return errors.Join(errs...)
}

func exists(v *vfs.View, file string) bool {
	_, err := v.Lstat(file)
	return err == nil
}

func wantedBy(unit string) string {
	switch path.Ext(unit) {
	case ".socket":
		return "sockets.target"
	case ".timer":
		return "timers.target"
	}
	return "multi-user.target"
}

// oneshots are units that do their work and end.
var oneshots = []string{"cloud-init-local.service", "cloud-init.service", "cloud-config.service", "cloud-final.service", "ufw.service", "nftables.service"}

func unitText(p *Package, u Unit) string {
	kind := "notify"
	extra := ""
	if slices.Contains(oneshots, u.Name) {
		kind, extra = "oneshot", "RemainAfterExit=yes\n"
	}
	section := ""
	if path.Ext(u.Name) == ".service" {
		section = "[Service]\nType=" + kind + "\n" + extra + "\n"
	}
	requires := ""
	if u.Name == "docker.service" {
		requires = "After=containerd.service\nWants=containerd.service\n"
	}
	return fmt.Sprintf("[Unit]\nDescription=%s\n%s\n%s[Install]\nWantedBy=%s\n", p.Name, requires, section, wantedBy(u.Name))
}

// addGroup makes a system group that is not there yet.
func addGroup(v *vfs.View, name string) error {
	text, err := v.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(line, ":")
		if f[0] == name {
			return nil
		}
		if len(f) > 2 {
			used[f[2]] = true
		}
	}
	gid := 999
	for used[fmt.Sprint(gid)] {
		gid--
	}
	return errors.Join(
		v.WriteFile("/etc/group", fmt.Appendf(text, "%s:x:%d:\n", name, gid), 0o644),
		appendLine(v, "/etc/gshadow", name+":!::", 0o640))
}

func appendLine(v *vfs.View, file, line string, mode uint32) error {
	text, err := v.ReadFile(file)
	if err != nil && exists(v, file) {
		return err
	}
	return v.WriteFile(file, append(text, line+"\n"...), mode)
}
