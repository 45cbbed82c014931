package guest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// flagsOf takes the one-letter flags of a command line apart from its operands.
func flagsOf(p *proc.Proc) (flags string, operands []string) {
	for i, a := range p.Args[1:] {
		switch {
		case a == "--":
			return flags, append(operands, p.Args[i+2:]...)
		case len(a) > 1 && a[0] == '-' && a[1] != '-':
			flags += a[1:]
		case strings.HasPrefix(a, "--"):
			flags += map[string]string{"--fqdn": "f", "--short": "s", "--human-readable": "h", "--all": "a"}[a]
		default:
			operands = append(operands, a)
		}
	}
	return flags, operands
}

func hostname(_ context.Context, p *proc.Proc) int {
	flags, names := flagsOf(p)
	r := guestOf(p)
	switch {
	case len(names) > 0:
		if err := p.FS.WriteFile("/etc/hostname", []byte(names[0]+"\n"), 0o644); err != nil {
			p.Errorf("you must be root to change the host name")
			return 1
		}
	case strings.ContainsAny(flags, "iI"):
		p.Printf("%s\n", r.address)
	case strings.Contains(flags, "s"):
		name, _, _ := strings.Cut(r.g.Name(), ".")
		p.Printf("%s\n", name)
	default:
		p.Printf("%s\n", r.g.Name())
	}
	return 0
}

func uname(_ context.Context, p *proc.Proc) int {
	flags, _ := flagsOf(p)
	values := []struct{ flag, text string }{{"s", "Linux"}, {"n", guestOf(p).g.Name()}, {"r", kernelRelease},
		{"v", "#128-Ubuntu SMP Fri Jul 5 09:28:59 UTC 2024"}, {"m", "x86_64"}, {"p", "x86_64"}, {"i", "x86_64"}, {"o", "GNU/Linux"}}
	if flags == "" {
		flags = "s"
	}
	var out []string
	for _, v := range values {
		if strings.Contains(flags, v.flag) || strings.Contains(flags, "a") {
			out = append(out, v.text)
		}
	}
	p.Printf("%s\n", strings.Join(out, " "))
	return 0
}

func nproc(_ context.Context, p *proc.Proc) int {
	p.Printf("%d\n", guestOf(p).processors())
	return 0
}

// df knows one disk: the root file system, as large as growpart left it.
func df(_ context.Context, p *proc.Proc) int {
	flags, paths := flagsOf(p)
	for _, a := range p.Args[1:] {
		if strings.HasPrefix(a, "--output") {
			_, fields, _ := strings.Cut(a, "=")
			return dfOutput(p, fields)
		}
	}
	for _, name := range paths {
		if _, err := p.FS.Stat(p.Path(name)); err != nil {
			p.Errorf("%s: %s", name, proc.Text(err))
			return 1
		}
	}
	size := guestOf(p).RootBytes() / 1024
	used := int64(1_600_000)
	if strings.Contains(flags, "h") {
		p.Printf("Filesystem      Size  Used Avail Use%% Mounted on\n/dev/sda1       %4s  %4s  %4s %3d%% /\n", human(size), human(used), human(size-used), used*100/size)
		return 0
	}
	unit := "1K-blocks"
	if strings.Contains(flags, "m") {
		unit, size, used = "1M-blocks", size/1024, used/1024
	}
	if strings.Contains(flags, "B") {
		unit, size, used = "1B-blocks", size*1024, used*1024
	}
	if strings.Contains(flags, "T") {
		p.Printf("Filesystem     Type %10s %10s %10s Use%% Mounted on\n/dev/sda1      ext4 %10d %10d %10d %3d%% /\n", unit, "Used", "Available", size, used, size-used, used*100/size)
		return 0
	}
	p.Printf("Filesystem     %10s %10s %10s Use%% Mounted on\n/dev/sda1      %10d %10d %10d %3d%% /\n", unit, "Used", "Available", size, used, size-used, used*100/size)
	return 0
}

func dfOutput(p *proc.Proc, fields string) int {
	size := guestOf(p).RootBytes() / 1024
	values := map[string][2]string{"source": {"Filesystem", "/dev/sda1"}, "fstype": {"Type", "ext4"}, "size": {"1K-blocks", fmt.Sprint(size)},
		"used": {"Used", "1600000"}, "avail": {"Avail", fmt.Sprint(size - 1_600_000)}, "pcent": {"Use%", fmt.Sprintf("%d%%", 160_000_000/size)}, "target": {"Mounted on", "/"}}
	var head, line []string
	for name := range strings.SplitSeq(fields, ",") {
		head, line = append(head, values[name][0]), append(line, values[name][1])
	}
	p.Printf("%s\n%s\n", strings.Join(head, " "), strings.Join(line, " "))
	return 0
}

func human(kib int64) string {
	switch {
	case kib >= 10<<20:
		return fmt.Sprintf("%dG", kib>>20)
	case kib >= 1<<20:
		return fmt.Sprintf("%.1fG", float64(kib)/(1<<20))
	}
	return fmt.Sprintf("%dM", kib>>10)
}

func free(_ context.Context, p *proc.Proc) int {
	flags, _ := flagsOf(p)
	kib := guestOf(p).memory()*1024 - 50_000
	unit := 1
	if strings.Contains(flags, "m") || strings.Contains(flags, "h") {
		unit = 1024
	}
	if strings.Contains(flags, "g") {
		unit = 1 << 20
	}
	p.Printf("               total        used        free      shared  buff/cache   available\nMem:    %12d%12d%12d%12d%12d%12d\nSwap:   %12d%12d%12d\n",
		kib/unit, kib/5/unit, kib*6/10/unit, 1000/unit, kib/5/unit, kib*8/10/unit, 0, 0, 0)
	return 0
}

// sysctl reads and writes kernel parameters; they last until the next boot.
func sysctl(_ context.Context, p *proc.Proc) int {
	write, quiet, valueOnly, ignore := false, false, false, false
	status := 0
	var names []string
	for i := 1; i < len(p.Args); i++ {
		switch a := p.Args[i]; a {
		case "-w", "--write":
			write = true
		case "-q", "--quiet":
			quiet = true
		case "-n", "--values":
			valueOnly = true
		case "-e", "--ignore":
			ignore = true
		case "--":
		case "--system", "-p", "--load":
			if err := guestOf(p).applySysctl(p.FS); err != nil {
				p.Errorf("%s", proc.Text(err))
				return 1
			}
			return 0
		case "-a", "--all":
			for name := range sysctls {
				names = append(names, name)
			}
			slices.Sort(names)
		default:
			if strings.HasPrefix(a, "-p") {
				continue
			}
			names = append(names, a)
		}
	}
	for _, name := range names {
		name, value, set := strings.Cut(name, "=")
		name, value = strings.ReplaceAll(strings.TrimSpace(name), "/", "."), strings.TrimSpace(value)
		file := sysctlPath(name)
		if set || write {
			if _, err := p.FS.Stat(file); err == nil {
				old, readErr := p.FS.ReadFile(file)
				if readErr == nil && strings.TrimSpace(string(old)) != strings.Join(strings.Fields(value), "\t") {
					err = p.FS.WriteFile(file, []byte(value), 0o644)
				}
				if err != nil {
					p.Errorf("permission denied on key %q", name)
					status = 1
					continue
				}
				if !quiet {
					p.Printf("%s = %s\n", name, value)
				}
				continue
			}
		} else if text, err := p.FS.ReadFile(file); err == nil {
			if valueOnly {
				p.Printf("%s", text)
			} else {
				p.Printf("%s = %s", name, text)
			}
			continue
		}
		if !ignore {
			p.Errorf("cannot stat %s: No such file or directory", file)
			status = 255
		}
	}
	return status
}

func fallocate(_ context.Context, p *proc.Proc) int {
	size := int64(0)
	name := ""
	for i := 1; i < len(p.Args); i++ {
		if p.Args[i] == "-l" && i+1 < len(p.Args) {
			i++
			text := strings.TrimRight(strings.ToUpper(p.Args[i]), "IB")
			shift := map[byte]int{'K': 10, 'M': 20, 'G': 30}[text[len(text)-1]]
			n, err := strconv.ParseInt(strings.TrimRight(text, "KMG"), 10, 64)
			if err != nil {
				p.Errorf("invalid length value specified")
				return 1
			}
			size = n << shift
			continue
		}
		name = p.Args[i]
	}
	if size > 64<<20 {
		size = 64 << 20 // a file in memory: its size is cut, its being there is what counts
	}
	f, err := p.FS.Open(p.Path(name), os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		p.Errorf("cannot open %s: %s", name, proc.Text(err))
		return 1
	}
	if err := f.Truncate(size); err != nil {
		p.Errorf("fallocate failed: %s", proc.Text(err))
		return 1
	}
	return statusOf(f.Close())
}

func findmnt(_ context.Context, p *proc.Proc) int {
	_, names := flagsOf(p)
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(names) == 0 || slices.Contains(names, f[1]) {
			p.Printf("%s %s %s %s\n", f[1], f[0], f[2], f[3])
			if len(names) > 0 {
				return 0
			}
		}
	}
	if len(names) > 0 {
		return 1
	}
	return 0
}

func mount(_ context.Context, p *proc.Proc) int {
	if len(p.Args) == 1 {
		for line := range strings.Lines(mounts) {
			f := strings.Fields(line)
			p.Printf("%s on %s type %s (%s)\n", f[0], f[1], f[2], f[3])
		}
		return 0
	}
	if slices.Contains(p.Args, "-a") {
		return 0
	}
	p.Errorf("mounting is not simulated")
	return 32
}
