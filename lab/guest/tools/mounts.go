package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// mountLine is a line of /proc/mounts or /etc/fstab.
type mountLine struct{ source, target, kind, options string }

func mountLines(p *proc.Proc, file string) []mountLine {
	b, err := p.FS.ReadFile(file)
	if err != nil {
		return nil
	}
	var out []mountLine
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if f := strings.Fields(line); len(f) >= 4 {
			for i := range f {
				f[i] = strings.NewReplacer(`\040`, " ", `\011`, "\t").Replace(f[i])
			}
			out = append(out, mountLine{f[0], f[1], f[2], f[3]})
		}
	}
	return out
}

func putMounts(p *proc.Proc, list []mountLine) error {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%s %s %s %s 0 0\n", strings.ReplaceAll(m.source, " ", `\040`), strings.ReplaceAll(m.target, " ", `\040`), m.kind, m.options)
	}
	return p.FS.WriteFile("/proc/mounts", []byte(b.String()), 0o444)
}

// mountOf is what a path lies on.
func mountOf(list []mountLine, file string) (mountLine, bool) {
	var best mountLine
	for _, m := range list {
		if (file == m.target || m.target == "/" || strings.HasPrefix(file, m.target+"/")) && len(m.target) >= len(best.target) {
			best = m
		}
	}
	return best, best.target != ""
}

func mount(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a t: o: r w v n f s B R bind=B rbind=R all=a types=t options=o read-only=r fake=f verbose=v source: target: mkdir?")
	if o == nil {
		return 1
	}
	list := mountLines(p, "/proc/mounts")
	if len(o.Args) == 0 && !o.has("a") {
		for _, m := range list {
			p.Printf("%s on %s type %s (%s)\n", m.source, m.target, m.kind, m.options)
		}
		return 0
	}
	if p.FS.Cred.UID != 0 {
		p.Errorf("only root can do that")
		return 1
	}
	if o.has("a") {
		code := 0
		for _, m := range mountLines(p, "/etc/fstab") {
			noauto := slices.Contains(strings.Split(m.options, ","), "noauto")
			mounted := slices.ContainsFunc(list, func(x mountLine) bool { return x.target == m.target })
			if m.kind == "swap" || noauto || mounted || m.target == "none" || o.has("t") && o.val("t") != m.kind {
				continue
			}
			code = max(code, mountOne(p, &list, m))
		}
		return code
	}
	options := strings.Join(o.set["o"], ",")
	if o.has("r") {
		options = strings.Trim(options+",ro", ",")
	}
	if o.has("B") {
		options = strings.Trim(options+",bind", ",")
	}
	m := mountLine{kind: o.val("t"), options: options}
	target := path.Clean(p.Path(o.Args[len(o.Args)-1]))
	if slices.Contains(strings.Split(options, ","), "remount") {
		return remount(p, list, target, options)
	}
	if len(o.Args) == 1 {
		for _, f := range mountLines(p, "/etc/fstab") {
			if f.target == target || f.source == o.Args[0] {
				if options != "" {
					f.options += "," + options
				}
				return mountOne(p, &list, f)
			}
		}
		p.Errorf("%s: can't find in /etc/fstab.", o.Args[0])
		return 1
	}
	m.source, m.target = o.Args[0], target
	if o.has("mkdir") {
		if err := p.FS.MkdirAll(target, 0o755); err != nil {
			p.Errorf("%s: %s", target, proc.Text(err))
			return 32
		}
	}
	return mountOne(p, &list, m)
}

// mountOne mounts a file system; what the lab has no device or helper for fails as it does really.
func mountOne(p *proc.Proc, list *[]mountLine, m mountLine) int {
	st, err := p.FS.Stat(m.target)
	if err != nil {
		p.Errorf("%s: mount point does not exist.", m.target)
		return 32
	}
	opts := strings.Split(m.options, ",")
	bind := slices.Contains(opts, "bind") || slices.Contains(opts, "rbind")
	if !st.IsDir() && !bind {
		p.Errorf("%s: mount point is not a directory.", m.target)
		return 32
	}
	if m.kind == "" || m.kind == "auto" {
		m.kind = "ext4"
		if before, _, found := strings.Cut(m.source, ":"); found && before != "" && !strings.HasPrefix(m.source, "/") {
			m.kind = "nfs"
		}
	}
	if bind {
		if _, err := p.FS.Stat(p.Path(m.source)); err != nil {
			p.Errorf("%s: special device %s does not exist.", m.target, m.source)
			return 32
		}
		under, _ := mountOf(*list, p.Path(m.source))
		m.source, m.kind = under.source, under.kind
	}
	switch m.kind {
	case "nfs", "nfs4", "cifs":
		if _, err := p.FS.Stat("/sbin/mount." + m.kind); err != nil {
			p.Errorf("%s: bad option; for several filesystems (e.g. nfs, cifs) you might need a /sbin/mount.<type> helper program.", m.target)
			return 32
		}
		m.kind = map[string]string{"nfs": "nfs4", "nfs4": "nfs4", "cifs": "cifs"}[m.kind]
	case "tmpfs", "proc", "sysfs", "overlay", "ramfs":
	default:
		if strings.HasPrefix(m.source, "/dev/") {
			if _, err := p.FS.Stat(m.source); err != nil {
				p.Errorf("%s: special device %s does not exist.", m.target, m.source)
				return 32
			}
		} else if strings.HasPrefix(m.source, "UUID=") || strings.HasPrefix(m.source, "LABEL=") {
			p.Errorf("%s: can't find %s.", m.target, m.source)
			return 1
		}
	}
	access, kept := "rw", []string{}
	for _, opt := range opts {
		switch opt {
		case "ro", "rw":
			access = opt
		case "", "defaults", "bind", "rbind", "auto", "noauto", "user", "users", "nofail", "_netdev", "exec", "suid", "dev", "async":
		default:
			if !strings.HasPrefix(opt, "x-systemd.") {
				kept = append(kept, opt)
			}
		}
	}
	if !slices.ContainsFunc(kept, func(s string) bool { return strings.HasSuffix(s, "atime") }) {
		kept = append([]string{"relatime"}, kept...)
	}
	m.options = strings.Join(append([]string{access}, kept...), ",")
	*list = append(*list, m)
	if err := putMounts(p, *list); err != nil {
		p.Errorf("%s: %s", m.target, proc.Text(err))
		return 32
	}
	return 0
}

func remount(p *proc.Proc, list []mountLine, target, options string) int {
	for i := range list {
		if list[i].target != target {
			continue
		}
		now := strings.Split(list[i].options, ",")
		for opt := range strings.SplitSeq(options, ",") {
			if opt == "ro" || opt == "rw" {
				now[0] = opt
			} else if opt != "remount" && !slices.Contains(now, opt) {
				now = append(now, opt)
			}
		}
		list[i].options = strings.Join(now, ",")
		if err := putMounts(p, list); err != nil {
			p.Errorf("%s: %s", target, proc.Text(err))
			return 32
		}
		return 0
	}
	p.Errorf("%s: mount point not mounted or bad option.", target)
	return 32
}

func umount(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a f l R v n q lazy=l force=f recursive=R quiet=q")
	if o == nil {
		return 1
	}
	code := 0
	for _, name := range o.Args {
		list := mountLines(p, "/proc/mounts")
		target := path.Clean(p.Path(name))
		at := -1
		for i, m := range list {
			if m.target == target || m.source == name {
				at = i
			}
		}
		if at < 0 {
			p.Errorf("%s: not mounted.", name)
			code = 32
			continue
		}
		if p.FS.Cred.UID != 0 {
			p.Errorf("%s: must be superuser to unmount.", name)
			code = 32
			continue
		}
		if err := putMounts(p, slices.Delete(list, at, at+1)); err != nil {
			p.Errorf("%s: %s", name, proc.Text(err))
			code = 32
		}
	}
	return code
}

func mountpoint(_ context.Context, p *proc.Proc) int {
	o := parse(p, "q d x quiet=q fs-devno=d")
	if o == nil || len(o.Args) != 1 {
		return 1
	}
	name := o.Args[0]
	if _, err := p.FS.Stat(p.Path(name)); err != nil {
		if !o.has("q") {
			p.Errorf("%s: %s", name, proc.Text(err))
		}
		return 1
	}
	full := path.Clean(p.Path(name))
	is := slices.ContainsFunc(mountLines(p, "/proc/mounts"), func(m mountLine) bool { return m.target == full })
	if !o.has("q") {
		p.Printf("%s is %sa mountpoint\n", name, map[bool]string{true: "", false: "not "}[is])
	}
	if is {
		return 0
	}
	return 32
}

func findmnt(_ context.Context, p *proc.Proc) int {
	o := parse(p, "n o: T: M: S: t: J r l k m s R v x noheadings=n output=o target=T mountpoint=M source=S types=t json=J raw=r list=l kernel=k mtab=m fstab=s verify=x")
	if o == nil {
		return 1
	}
	file := "/proc/mounts"
	if o.has("s") {
		file = "/etc/fstab"
	}
	list := mountLines(p, file)
	if o.has("x") {
		p.Printf("Success, no errors or warnings detected\n")
		return 0
	}
	keep := func(is func(mountLine) bool) {
		list = slices.DeleteFunc(list, func(m mountLine) bool { return !is(m) })
	}
	if o.has("T") {
		best, _ := mountOf(list, path.Clean(p.Path(o.val("T"))))
		keep(func(m mountLine) bool { return m == best })
	}
	if o.has("M") {
		keep(func(m mountLine) bool { return m.target == path.Clean(o.val("M")) })
	}
	if o.has("S") {
		keep(func(m mountLine) bool { return m.source == o.val("S") })
	}
	if o.has("t") {
		keep(func(m mountLine) bool { return slices.Contains(strings.Split(o.val("t"), ","), m.kind) })
	}
	for _, arg := range o.Args {
		keep(func(m mountLine) bool { return m.target == path.Clean(arg) || m.source == arg })
	}
	if len(list) == 0 {
		return 1
	}
	fields := []string{"TARGET", "SOURCE", "FSTYPE", "OPTIONS"}
	if o.has("o") {
		fields = strings.Split(strings.ToUpper(o.val("o")), ",")
	}
	value := func(m mountLine, field string) string {
		return map[string]string{"TARGET": m.target, "SOURCE": m.source, "FSTYPE": m.kind, "OPTIONS": m.options}[field]
	}
	if o.has("J") {
		var rows []map[string]string
		for _, m := range list {
			row := map[string]string{}
			for _, f := range fields {
				row[strings.ToLower(f)] = value(m, f)
			}
			rows = append(rows, row)
		}
		b, err := json.MarshalIndent(map[string]any{"filesystems": rows}, "", "   ")
		if err != nil {
			return 1
		}
		p.Printf("%s\n", b)
		return 0
	}
	var rows [][]string
	if !o.has("n") {
		rows = append(rows, fields)
	}
	for _, m := range list {
		var row []string
		for _, f := range fields {
			row = append(row, value(m, f))
		}
		rows = append(rows, row)
	}
	columns(p, rows)
	return 0
}

const swapMagic = "SWAPSPACE2"

// mkswap puts a swap area's signature into a file.
func mkswap(_ context.Context, p *proc.Proc) int {
	o := parse(p, "L: U: f c label=L uuid=U force=f check=c")
	if o == nil || len(o.Args) == 0 {
		return 1
	}
	name := o.Args[0]
	f, err := p.FS.Open(p.Path(name), os.O_RDWR, 0)
	if err != nil {
		p.Errorf("cannot open %s: %s", name, proc.Text(err))
		return 1
	}
	defer f.Close() //nolint:errcheck // a tree's files fail when they are written
	size := f.Stat().Size()
	if size < 40<<10 {
		p.Errorf("error: swap area needs to be at least 40 KiB")
		return 1
	}
	if f.Stat().Perm()&0o077 != 0 {
		p.Errorf("%s: insecure permissions %04o, fix with: chmod 0600 %s", name, f.Stat().Perm(), name)
	}
	if _, err := f.WriteAt([]byte(swapMagic), 4086); err != nil {
		p.Errorf("%s: unable to write signature page: %s", name, proc.Text(err))
		return 1
	}
	p.Printf("Setting up swapspace version 1, size = %s (%d bytes)\nno label, UUID=%08x-0000-4000-8000-000000000000\n", human(size-4096), size-4096, f.Stat().Ino)
	return 0
}

// swapLine is a line of /proc/swaps; sizes are in KiB.
type swapLine struct {
	file, kind     string
	size, priority int64
}

func swapLines(p *proc.Proc) []swapLine {
	b, err := p.FS.ReadFile("/proc/swaps")
	if err != nil {
		return nil
	}
	var out []swapLine
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 5 && f[0] != "Filename" {
			out = append(out, swapLine{f[0], f[1], int64(number(f[2])), -2})
		}
	}
	return out
}

func putSwaps(p *proc.Proc, list []swapLine) error {
	var b strings.Builder
	b.WriteString("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
	for i, s := range list {
		fmt.Fprintf(&b, "%-40s%s\t\t%d\t\t0\t\t%d\n", s.file, s.kind, s.size, -2-i)
	}
	return p.FS.WriteFile("/proc/swaps", []byte(b.String()), 0o444)
}

func swapon(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a s p: d v e f show? noheadings bytes raw all=a summary=s priority=p discard=d ifexists=e fixpgsz=f options:")
	if o == nil {
		return 1
	}
	list := swapLines(p)
	if o.has("show") || o.has("s") || len(o.Args) == 0 && !o.has("a") {
		fields := []string{"NAME", "TYPE", "SIZE", "USED", "PRIO"}
		if v := o.val("show"); v != "" {
			fields = strings.Split(strings.ToUpper(v), ",")
		}
		var rows [][]string
		if !o.has("noheadings") && len(list) > 0 {
			rows = append(rows, fields)
		}
		for i, s := range list {
			size := human(s.size << 10)
			if o.has("bytes") {
				size = strconv.FormatInt(s.size<<10, 10)
			}
			var row []string
			for _, f := range fields {
				row = append(row, map[string]string{"NAME": s.file, "TYPE": s.kind, "SIZE": size, "USED": "0B", "PRIO": strconv.Itoa(-2 - i)}[f])
			}
			rows = append(rows, row)
		}
		columns(p, rows)
		return 0
	}
	if p.FS.Cred.UID != 0 {
		p.Errorf("Not superuser.")
		return 1
	}
	files := o.Args
	if o.has("a") {
		for _, m := range mountLines(p, "/etc/fstab") {
			if m.kind == "swap" && !slices.Contains(strings.Split(m.options, ","), "noauto") {
				files = append(files, m.source)
			}
		}
	}
	code := 0
	for _, name := range files {
		full := path.Clean(p.Path(name))
		if slices.ContainsFunc(list, func(s swapLine) bool { return s.file == full }) {
			if !o.has("a") {
				p.Errorf("%s: swapon failed: Device or resource busy", name)
				code = 255
			}
			continue
		}
		size, ok := swapArea(p, name, full)
		if !ok {
			code = 255
			continue
		}
		list = append(list, swapLine{file: full, kind: "file", size: size >> 10})
	}
	if err := putSwaps(p, list); err != nil {
		p.Errorf("%s", proc.Text(err))
		return 255
	}
	return code
}

// swapArea checks a file and returns the room in it.
func swapArea(p *proc.Proc, name, full string) (int64, bool) {
	f, err := p.FS.Open(full, os.O_RDONLY, 0)
	if err != nil {
		p.Errorf("cannot open %s: %s", name, proc.Text(err))
		return 0, false
	}
	defer f.Close() //nolint:errcheck // only read
	magic := make([]byte, len(swapMagic))
	if _, err := f.ReadAt(magic, 4086); err != nil || string(magic) != swapMagic {
		p.Errorf("%s: read swap header failed", name)
		return 0, false
	}
	st := f.Stat()
	if st.Perm()&0o077 != 0 {
		p.Errorf("%s: insecure permissions %04o, 0600 suggested.", name, st.Perm())
	}
	return st.Size() - 4096, true
}

func swapoff(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a v all=a verbose=v")
	if o == nil {
		return 1
	}
	list := swapLines(p)
	code := 0
	if o.has("a") {
		list = nil
	}
	for _, name := range o.Args {
		full := path.Clean(p.Path(name))
		at := slices.IndexFunc(list, func(s swapLine) bool { return s.file == full })
		if at < 0 {
			p.Errorf("%s: swapoff failed: Invalid argument", name)
			code = 4
			continue
		}
		list = slices.Delete(list, at, at+1)
	}
	if code == 0 {
		if err := putSwaps(p, list); err != nil {
			p.Errorf("%s", proc.Text(err))
			return 4
		}
	}
	return code
}

func fallocate(_ context.Context, p *proc.Proc) int {
	o := parse(p, "l: o: n x v length=l offset=o keep-size=n posix=x verbose=v")
	if o == nil || len(o.Args) == 0 {
		return 1
	}
	size, err := count(o.val("l"))
	if err != nil || size <= 0 {
		p.Errorf("invalid length value specified")
		return 1
	}
	f, err := p.FS.Open(p.Path(o.Args[0]), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		p.Errorf("cannot open %s: %s", o.Args[0], proc.Text(err))
		return 1
	}
	defer f.Close() //nolint:errcheck // a tree's files fail when they are written
	if size > f.Stat().Size() {
		if _, available := space(p); size > available {
			p.Errorf("fallocate failed: No space left on device")
			return 1
		}
		if err := f.Truncate(size); err != nil {
			p.Errorf("fallocate failed: %s", proc.Text(err))
			return 1
		}
	}
	return 0
}

// baseUsed is what an installed system takes that the tree only hints at.
const baseUsed = 2 << 30

// space is the root file system's size and what is free, in bytes.
func space(p *proc.Proc) (size, free int64) {
	b, err := p.FS.As(vfs.Root).ReadFile("/sys/class/block/sda1/size")
	if err != nil {
		return 0, 0
	}
	size = int64(number(string(b))) * 512
	size -= size / 50 // what ext4 needs for itself
	return size, max(0, size-baseUsed-p.FS.FS.Used())
}

func df(_ context.Context, p *proc.Proc) int {
	o := parse(p, "h H k m P T a B: i l t: x: human-readable=h portability=P print-type=T block-size=B all=a type=t exclude-type=x local=l total output? inodes=i sync no-sync")
	if o == nil {
		return 1
	}
	list := mountLines(p, "/proc/mounts")
	var shown []mountLine
	if len(o.Args) > 0 {
		for _, name := range o.Args {
			if _, err := p.FS.Stat(p.Path(name)); err != nil {
				p.Errorf("%s: %s", name, proc.Text(err))
				return 1
			}
			if m, found := mountOf(list, path.Clean(p.Path(name))); found {
				shown = append(shown, m)
			}
		}
	} else {
		for _, m := range list {
			if slices.Contains([]string{"ext4", "tmpfs", "nfs4", "cifs", "xfs", "vfat"}, m.kind) && (!o.has("t") || o.val("t") == m.kind) && !slices.Contains(o.set["x"], m.kind) {
				shown = append(shown, m)
			}
		}
	}
	unit, title := int64(1024), "1K-blocks"
	switch {
	case o.has("B"):
		n, err := count(strings.TrimLeft(o.val("B"), "0"))
		if err != nil {
			if n, err = count("1" + o.val("B")); err != nil {
				p.Errorf("invalid --block-size argument '%s'", o.val("B"))
				return 1
			}
		}
		unit, title = n, o.val("B")+"-blocks"
	case o.has("m"):
		unit, title = 1<<20, "1M-blocks"
	case o.has("P"):
		title = "1024-blocks"
	}
	fields := []string{"source", "size", "used", "avail", "pcent", "target"}
	if o.has("T") {
		fields = slices.Insert(fields, 1, "fstype")
	}
	if o.has("output") && o.val("output") != "" {
		fields = strings.Split(o.val("output"), ",")
	}
	if o.has("h") {
		title = "Size"
	}
	names := map[string]string{"source": "Filesystem", "fstype": "Type", "size": title, "used": "Used", "avail": map[bool]string{true: "Avail", false: "Available"}[o.has("h") || o.has("output")], "pcent": "Use%", "target": "Mounted on"}
	if o.has("P") {
		names["pcent"] = "Capacity"
	}
	var rows [][]string
	row := []string{}
	for _, f := range fields {
		row = append(row, names[f])
	}
	rows = append(rows, row)
	for _, m := range shown {
		size, free := space(p)
		if m.kind == "tmpfs" {
			size = meminfo(p)["MemTotal"] << 9
			free = size
		}
		used := size - free
		percent := int64(0)
		if size > 0 {
			percent = (used*100 + size - 1) / size
		}
		amount := func(n int64) string {
			if o.has("h") {
				return human(n)
			}
			return strconv.FormatInt((n+unit-1)/unit, 10)
		}
		row := []string{}
		for _, f := range fields {
			row = append(row, map[string]string{
				"source": m.source, "fstype": m.kind, "size": amount(size), "used": amount(used), "avail": amount(free),
				"pcent": strconv.FormatInt(percent, 10) + "%", "target": m.target,
			}[f])
		}
		rows = append(rows, row)
	}
	columns(p, rows)
	return 0
}
