package tools

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// kernel reads a file below /proc/sys, without its newline.
func kernel(p *proc.Proc, name string) string {
	b, err := p.FS.As(vfs.Root).ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

// addresses is a System that knows the machine's addresses.
type addresses interface{ Addresses() []string }

func hostname(_ context.Context, p *proc.Proc) int {
	o := parse(p, "f s d i I A b F: fqdn=f long=f short=s domain=d all-ip-addresses=I ip-address=i all-fqdns=A file=F")
	if o == nil {
		return 1
	}
	name := kernel(p, "kernel/hostname")
	switch {
	case len(o.Args) > 0 || o.has("F"):
		to := ""
		if o.has("F") {
			b, err := p.FS.ReadFile(p.Path(o.val("F")))
			if err != nil {
				p.Errorf("%s: %s", o.val("F"), proc.Text(err))
				return 1
			}
			to = strings.TrimSpace(string(b))
		} else {
			to = o.Args[0]
		}
		if p.FS.Cred.UID != 0 {
			p.Errorf("you must be root to change the host name")
			return 1
		}
		if err := p.FS.WriteFile("/proc/sys/kernel/hostname", []byte(to+"\n"), 0o644); err != nil {
			p.Errorf("%s", proc.Text(err))
			return 1
		}
	case o.has("I"), o.has("i"):
		a, ok := p.System.(addresses)
		if !ok {
			p.Errorf("Name or service not known")
			return 1
		}
		p.Printf("%s \n", strings.Join(a.Addresses(), " "))
	case o.has("f"), o.has("A"), o.has("d"):
		full := fqdn(p, name)
		if o.has("d") {
			_, full, _ = strings.Cut(full, ".")
		}
		p.Printf("%s\n", full)
	case o.has("s"):
		short, _, _ := strings.Cut(name, ".")
		p.Printf("%s\n", short)
	default:
		p.Printf("%s\n", name)
	}
	return 0
}

// fqdn is the first name of the host's line in /etc/hosts.
func fqdn(p *proc.Proc, name string) string {
	hosts, err := p.FS.ReadFile("/etc/hosts")
	if err != nil {
		return name
	}
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && slices.Contains(f[1:], name) {
			return f[1]
		}
	}
	return name
}

func uname(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a s n r v m p i o all=a kernel-name=s nodename=n kernel-release=r kernel-version=v machine=m processor=p operating-system=o")
	if o == nil {
		return 1
	}
	var out []string
	for _, part := range []struct{ key, text string }{
		{"s", "Linux"}, {"n", kernel(p, "kernel/hostname")}, {"r", kernel(p, "kernel/osrelease")},
		{"v", kernel(p, "kernel/version")}, {"m", "x86_64"}, {"p", "x86_64"}, {"i", "x86_64"}, {"o", "GNU/Linux"},
	} {
		if o.has("a") || o.has(part.key) || len(o.set) == 0 && part.key == "s" {
			out = append(out, part.text)
		}
	}
	p.Printf("%s\n", strings.Join(out, " "))
	return 0
}

func nproc(_ context.Context, p *proc.Proc) int {
	b, err := p.FS.ReadFile("/proc/cpuinfo")
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	p.Printf("%d\n", max(1, strings.Count("\n"+string(b), "\nprocessor")))
	return 0
}

// meminfo reads /proc/meminfo, in KiB.
func meminfo(p *proc.Proc) map[string]int64 {
	out := map[string]int64{}
	b, err := p.FS.ReadFile("/proc/meminfo")
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		out[key] = int64(number(strings.TrimSpace(value)))
	}
	return out
}

func free(_ context.Context, p *proc.Proc) int {
	o := parse(p, "b k m g h t w bytes=b kibi=k mebi=m gibi=g human=h total=t wide=w si")
	if o == nil {
		return 1
	}
	m := meminfo(p)
	show := func(kib int64) string {
		switch o.last("bkmgh") {
		case "b":
			return strconv.FormatInt(kib<<10, 10)
		case "m":
			return strconv.FormatInt(kib>>10, 10)
		case "g":
			return strconv.FormatInt(kib>>20, 10)
		case "h":
			return human(kib<<10) + "i"
		}
		return strconv.FormatInt(kib, 10)
	}
	cache := m["Buffers"] + m["Cached"]
	p.Printf("%15s %11s %11s %11s %11s %11s\n", "total", "used", "free", "shared", "buff/cache", "available")
	p.Printf("%-8s %11s %11s %11s %11s %11s %11s\n", "Mem:", show(m["MemTotal"]), show(m["MemTotal"]-m["MemFree"]-cache), show(m["MemFree"]), show(m["Shmem"]), show(cache), show(m["MemAvailable"]))
	p.Printf("%-8s %11s %11s %11s\n", "Swap:", show(m["SwapTotal"]), show(m["SwapTotal"]-m["SwapFree"]), show(m["SwapFree"]))
	return 0
}

func uptime(_ context.Context, p *proc.Proc) int {
	o := parse(p, "p s pretty=p since=s")
	if o == nil {
		return 1
	}
	b, err := p.FS.ReadFile("/proc/uptime")
	if err != nil {
		p.Errorf("Cannot open /proc/uptime: %s", proc.Text(err))
		return 1
	}
	first, _, _ := strings.Cut(string(b), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		p.Errorf("bad data in /proc/uptime")
		return 1
	}
	up := time.Duration(seconds * float64(time.Second))
	minutes := int(up.Minutes())
	switch {
	case o.has("s"):
		p.Printf("%s\n", time.Now().Add(-up).Format("2006-01-02 15:04:05"))
	case o.has("p"):
		p.Printf("up %d minutes\n", minutes)
	default:
		p.Printf(" %s up %d min,  0 users,  load average: 0.00, 0.00, 0.00\n", time.Now().Format("15:04:05"), minutes)
	}
	return 0
}

// sysctl reads and writes /proc/sys.
func sysctl(_ context.Context, p *proc.Proc) int {
	o := parse(p, "n e w q p? a N b system values=n names=N ignore=e write=w quiet=q load=p all=a")
	if o == nil {
		return 1
	}
	s := &sysctlRun{p: p, o: o}
	switch {
	case o.has("system"):
		for _, file := range s.systemFiles() {
			p.Printf("* Applying %s ...\n", file)
			s.load(file)
		}
	case o.has("p"):
		files := o.Args
		if v := o.val("p"); v != "" {
			files = append([]string{v}, files...)
		}
		if len(files) == 0 {
			files = []string{"/etc/sysctl.conf"}
		}
		for _, file := range files {
			s.load(file)
		}
	case o.has("a"):
		err := tree(p, "/proc/sys", true, func(name string, st vfs.Info) error {
			if st.IsRegular() {
				s.show(strings.ReplaceAll(strings.TrimPrefix(name, "/proc/sys/"), "/", "."))
			}
			return nil
		})
		if err != nil {
			p.Errorf("%s", proc.Text(err))
			return 1
		}
	default:
		for _, arg := range o.Args {
			if key, value, found := strings.Cut(arg, "="); found {
				s.set(strings.TrimSpace(key), strings.TrimSpace(value))
			} else {
				s.show(arg)
			}
		}
	}
	return s.code
}

type sysctlRun struct {
	p    *proc.Proc
	o    *options
	code int
}

// file is where a key is: its dots are slashes, unless it is written with slashes.
func (s *sysctlRun) file(key string) string {
	if at := strings.IndexAny(key, "./"); at < 0 || key[at] == '.' {
		key = strings.NewReplacer(".", "/", "/", ".").Replace(key)
	}
	return "/proc/sys/" + key
}

func (s *sysctlRun) missing(key string) {
	if s.o.has("e") {
		return
	}
	s.p.Errorf("cannot stat %s: No such file or directory", s.file(key))
	s.code = 255
}

func (s *sysctlRun) show(key string) {
	b, err := s.p.FS.ReadFile(s.file(key))
	if err != nil {
		s.missing(key)
		return
	}
	value := strings.TrimSuffix(string(b), "\n")
	switch {
	case s.o.has("n"):
		s.p.Printf("%s\n", value)
	case s.o.has("N"):
		s.p.Printf("%s\n", key)
	default:
		s.p.Printf("%s = %s\n", strings.ReplaceAll(key, "/", "."), value)
	}
}

func (s *sysctlRun) set(key, value string) {
	file := s.file(key)
	old, err := s.p.FS.ReadFile(file)
	if err != nil {
		s.missing(key)
		return
	}
	now := value + "\n"
	if string(old) != now || s.p.FS.Cred.UID != 0 {
		if err := s.p.FS.WriteFile(file, []byte(now), 0o644); err != nil {
			if proc.Text(err) == "Permission denied" {
				s.p.Errorf("permission denied on key %q, ignoring", strings.ReplaceAll(key, "/", "."))
			} else {
				s.p.Errorf("setting key %q: %s", strings.ReplaceAll(key, "/", "."), proc.Text(err))
			}
			s.code = 255
			return
		}
	}
	if !s.o.has("q") {
		s.p.Printf("%s = %s\n", strings.ReplaceAll(key, "/", "."), value)
	}
}

func (s *sysctlRun) load(file string) {
	b, err := readInput(s.p, file)
	if err != nil {
		s.p.Errorf("cannot open %q: %s", file, proc.Text(err))
		s.code = 255
		return
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		lenient := strings.HasPrefix(line, "-")
		key, value, found := strings.Cut(strings.TrimPrefix(line, "-"), "=")
		if !found {
			s.p.Errorf("%s: invalid syntax, continuing...", file)
			continue
		}
		was := s.code
		s.set(strings.TrimSpace(key), strings.TrimSpace(value))
		if lenient {
			s.code = was
		}
	}
}

// systemFiles are what --system loads: by name, a name in an earlier folder hiding the others.
func (s *sysctlRun) systemFiles() []string {
	byName := map[string]string{}
	for _, dir := range []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"} {
		list, err := s.p.FS.ReadDir(dir)
		if err != nil {
			continue // a folder that is missing holds nothing
		}
		for _, st := range list {
			if strings.HasSuffix(st.Name(), ".conf") && byName[st.Name()] == "" {
				byName[st.Name()] = dir + "/" + st.Name()
			}
		}
	}
	var names, files []string
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		files = append(files, byName[name])
	}
	if _, err := s.p.FS.Stat("/etc/sysctl.conf"); err == nil {
		files = append(files, "/etc/sysctl.conf")
	}
	return files
}

// modules are what modprobe finds; the kernel of the lab has more of them than one would load.
var modules = strings.Fields(`br_netfilter overlay nf_conntrack nf_nat nf_tables ip_tables iptable_nat iptable_filter ip6_tables
	xt_conntrack xt_MASQUERADE ip_vs ip_vs_rr bridge veth vxlan dummy tun tap bonding 8021q nfs nfsd nfsv4 cifs fuse zfs btrfs xfs
	ext4 loop dm_mod dm_crypt dm_thin_pool raid1 wireguard macvlan ipvlan rbd ceph kvm kvm_intel kvm_amd vhost_net virtio_net
	virtio_blk virtio_scsi softdog i2c_dev tcp_bbr sch_fq usb_storage configfs target_core_mod iscsi_tcp nvme_tcp`)

func modprobe(_ context.Context, p *proc.Proc) int {
	o := parse(p, "r a q v n remove=r all=a quiet=q verbose=v dry-run=n show=n first-time")
	if o == nil {
		return 1
	}
	loaded, err := p.FS.ReadFile("/proc/modules")
	if err != nil {
		p.Errorf("ERROR: /proc/modules: %s", proc.Text(err))
		return 1
	}
	names := o.Args
	if !o.has("a") && !o.has("r") && len(names) > 1 {
		names = names[:1] // the rest are parameters
	}
	text := string(loaded)
	for _, name := range names {
		name = strings.ReplaceAll(name, "-", "_")
		if !slices.Contains(modules, name) {
			if !o.has("q") {
				p.Errorf("FATAL: Module %s not found in directory /lib/modules/%s", name, kernel(p, "kernel/osrelease"))
			}
			return 1
		}
		if p.FS.Cred.UID != 0 {
			p.Errorf("ERROR: could not insert '%s': Operation not permitted", name)
			return 1
		}
		present := strings.HasPrefix(text, name+" ") || strings.Contains(text, "\n"+name+" ")
		switch {
		case o.has("r") && present:
			var kept []string
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, name+" ") {
					kept = append(kept, line)
				}
			}
			text = strings.Join(kept, "")
		case !o.has("r") && !present:
			text += name + " 16384 0 - Live 0x0000000000000000\n"
		}
	}
	if text != string(loaded) && !o.has("n") {
		if err := p.FS.WriteFile("/proc/modules", []byte(text), 0o444); err != nil {
			p.Errorf("ERROR: %s", proc.Text(err))
			return 1
		}
	}
	return 0
}

func lsmod(_ context.Context, p *proc.Proc) int {
	b, err := p.FS.ReadFile("/proc/modules")
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	p.Printf("%-19s %9s %s\n", "Module", "Size", "Used by")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 {
			p.Printf("%-19s %9s %s\n", f[0], f[1], f[2])
		}
	}
	return 0
}

func modinfo(_ context.Context, p *proc.Proc) int {
	o := parse(p, "n F: k:")
	if o == nil {
		return 1
	}
	code := 0
	for _, name := range o.Args {
		plain := strings.ReplaceAll(name, "-", "_")
		if !slices.Contains(modules, plain) {
			p.Errorf("ERROR: Module %s not found.", name)
			code = 1
			continue
		}
		p.Printf("filename:       /lib/modules/%s/kernel/%s.ko\nname:           %s\n", kernel(p, "kernel/osrelease"), plain, plain)
	}
	return code
}

// crontab keeps a user's table of jobs.
func crontab(_ context.Context, p *proc.Proc) int {
	o := parse(p, "l r e i u: T:")
	if o == nil {
		return 1
	}
	user := p.User
	if o.has("u") {
		if p.FS.Cred.UID != 0 && o.val("u") != p.User {
			p.Errorf("must be privileged to use -u")
			return 1
		}
		user = o.val("u")
	}
	root := p.FS.As(vfs.Root)
	file := "/var/spool/cron/crontabs/" + user
	switch {
	case o.has("l"):
		b, err := root.ReadFile(file)
		if err != nil {
			fmt.Fprintf(p.Stderr, "no crontab for %s\n", user) //nolint:errcheck // nobody left to tell
			return 1
		}
		p.Printf("%s", b)
	case o.has("r"):
		if err := root.Unlink(file); err != nil {
			fmt.Fprintf(p.Stderr, "no crontab for %s\n", user) //nolint:errcheck // nobody left to tell
			return 1
		}
	case o.has("e"):
		p.Errorf("\"/usr/bin/sensible-editor\" exited with status 1")
		return 1
	default:
		name := "-"
		if len(o.Args) > 0 {
			name = o.Args[0]
		}
		b, err := readInput(p, name)
		if err != nil {
			p.Errorf("%s: %s", name, proc.Text(err))
			return 1
		}
		if line, bad := badCronLine(string(b)); bad {
			fmt.Fprintf(p.Stderr, "%q:%d: bad minute\nerrors in crontab file, can't install.\n", name, line) //nolint:errcheck // nobody left to tell
			return 1
		}
		return putCrontab(p, root, file, user, b)
	}
	return 0
}

func putCrontab(p *proc.Proc, root *vfs.View, file, user string, content []byte) int {
	err := root.MkdirAll(path.Dir(file), 0o755)
	if err == nil {
		err = root.WriteFile(file, content, 0o600)
	}
	if err == nil {
		uid, gid, ownerErr := owner(p, user+":")
		if err = ownerErr; err == nil {
			err = root.Chown(file, uid, gid, true)
		}
	}
	if err == nil {
		err = root.Chmod(file, 0o600)
	}
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	return 0
}

// badCronLine finds a line that is neither empty, comment, setting nor job.
func badCronLine(text string) (line int, bad bool) {
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' || l[0] == '@' {
			continue
		}
		f := strings.Fields(l)
		if strings.Contains(f[0], "=") || len(f) > 1 && strings.HasPrefix(f[1], "=") {
			continue
		}
		if len(f) < 6 || strings.Trim(f[0], "0123456789*,-/") != "" || strings.Trim(f[1], "0123456789*,-/") != "" {
			return line, true
		}
	}
	return 0, false
}
