package guest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/vfs"
)

// kernelFiles puts what the kernel shows in /proc and /sys into the tree.
func (r *running) kernelFiles() error {
	v := r.g.root()
	g := r.g
	text := func(f func() string) *vfs.Generated {
		return &vfs.Generated{Read: func() []byte { return []byte(f()) }}
	}
	files := map[string]func() string{
		"/proc/meminfo": r.meminfo,
		"/proc/cpuinfo": r.cpuinfo,
		"/proc/uptime":  func() string { return fmt.Sprintf("%d.00 %d.00\n", g.UptimeSeconds(), g.UptimeSeconds()) },
		"/proc/loadavg": func() string { return "0.00 0.01 0.00 1/120 1000\n" },
		"/proc/version": func() string { return "Linux version " + kernelRelease + " (buildd@lcy02) #128-Ubuntu SMP\n" },
		"/proc/cmdline": func() string {
			return "BOOT_IMAGE=/boot/vmlinuz-" + kernelRelease + " root=LABEL=cloudimg-rootfs ro console=ttyS0\n"
		},
		"/proc/filesystems":                 func() string { return "nodev\tproc\nnodev\ttmpfs\nnodev\toverlay\n\text4\n" },
		"/proc/net/tcp":                     r.tcp,
		"/proc/net/tcp6":                    func() string { return tcpHead },
		"/proc/1/comm":                      func() string { return "systemd\n" },
		"/proc/sys/kernel/random/boot_id":   func() string { return g.BootID() + "\n" },
		"/proc/sys/kernel/osrelease":        func() string { return kernelRelease + "\n" },
		"/proc/sys/kernel/ostype":           func() string { return "Linux\n" },
		"/sys/class/net/eth0/address":       func() string { return r.mac() + "\n" },
		"/sys/class/net/eth0/operstate":     func() string { return "up\n" },
		"/sys/class/net/lo/address":         func() string { return "00:00:00:00:00:00\n" },
		"/sys/class/dmi/id/product_name":    func() string { return "Standard PC (i440FX + PIIX, 1996)\n" },
		"/sys/class/dmi/id/sys_vendor":      func() string { return "QEMU\n" },
		"/sys/block/sda/size":               func() string { return strconv.FormatInt(r.disk()/512, 10) + "\n" },
		"/sys/class/block/sda/size":         func() string { return strconv.FormatInt(r.disk()/512, 10) + "\n" },
		"/sys/class/block/sda1/size":        func() string { return strconv.FormatInt(r.root()/512, 10) + "\n" },
		"/proc/sys/kernel/version":          func() string { return kernelVersion + "\n" },
		"/sys/fs/cgroup/cgroup.controllers": func() string { return "cpuset cpu io memory hugetlb pids rdma misc\n" },
	}
	var errs []error
	for name, f := range files {
		errs = append(errs, v.Generate(name, 0o444, text(f)))
	}
	// What commands mount and swap on lasts as long as the boot.
	errs = append(errs, r.lists(v))
	for _, name := range slices.Sorted(maps.Keys(sysctls)) {
		errs = append(errs, r.parameter(v, name, sysctls[name]))
	}
	return errors.Join(append(errs, r.applySysctl(v))...)
}

// lastingState is under what a machine keeps the kernel's lists, for a lab that is started again: to the
// machine that is no boot.
const lastingState = "kernel"

// restoreLists brings the lists back to what they were when the lab ended.
func (r *running) restoreLists() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.g.LoadState(lastingState, &r.lasting)
}

// mountAll does at boot what /etc/fstab asks for.
func (r *running) mountAll() error {
	errs := []error{r.g.SaveState(lastingState, nil)}
	user := account.User{Name: "root", Home: "/root", Shell: "/bin/bash"}
	for _, argv := range [][]string{{"/usr/bin/mount", "-a"}, {"/usr/bin/swapon", "-a"}} {
		out := &journalWriter{g: r.g, unit: "systemd"}
		p := r.process(user, argv, strings.NewReader(""), out, out)
		p.Audit = nil
		wait, err := r.start(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		wait(r.ctx) // what can't be mounted, the journal tells
	}
	return errors.Join(errs...)
}

// lists puts the kernel's lists that programs change into the tree.
func (r *running) lists(v *vfs.View) error {
	r.mu.Lock()
	r.lasting = map[string]string{"/proc/mounts": mounts, "/proc/modules": "br_netfilter 32768 0 - Live 0x0\noverlay 151552 0 - Live 0x0\n",
		"/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"}
	r.mu.Unlock()
	var errs []error
	for _, name := range []string{"/proc/mounts", "/proc/self/mounts", "/proc/modules", "/proc/swaps"} {
		key := strings.Replace(name, "self/", "", 1)
		errs = append(errs, v.Generate(name, 0o644, &vfs.Generated{
			Read: func() []byte {
				r.mu.Lock()
				defer r.mu.Unlock()
				return []byte(r.lasting[key])
			},
			Write: func(b []byte) error {
				r.mu.Lock()
				r.lasting[key] = string(b)
				all := maps.Clone(r.lasting)
				r.mu.Unlock()
				return r.g.SaveState(lastingState, all)
			},
		}))
	}
	return errors.Join(errs...)
}

const mounts = `/dev/sda1 / ext4 rw,relatime,discard,errors=remount-ro 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0
udev /dev devtmpfs rw,nosuid,relatime,mode=755 0 0
tmpfs /run tmpfs rw,nosuid,nodev,noexec,relatime,mode=755 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0
`

// sysctls are kernel parameters with the values that a boot gives them.
var sysctls = map[string]string{
	"vm.swappiness": "60", "vm.max_map_count": "65530", "vm.overcommit_memory": "0", "vm.dirty_ratio": "20", "vm.dirty_background_ratio": "10",
	"vm.vfs_cache_pressure": "100", "net.ipv4.ip_forward": "0", "net.ipv4.tcp_syncookies": "1", "net.ipv4.conf.all.forwarding": "0",
	"net.ipv4.conf.all.rp_filter": "2", "net.ipv6.conf.all.forwarding": "0", "net.ipv6.conf.all.disable_ipv6": "0", "net.core.somaxconn": "4096",
	"net.core.rmem_max": "212992", "net.core.wmem_max": "212992", "net.core.default_qdisc": "fq_codel", "net.ipv4.tcp_congestion_control": "cubic",
	"net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1", "net.ipv4.ip_local_port_range": "32768\t60999",
	"fs.file-max": "9223372036854775807", "fs.inotify.max_user_watches": "65536", "fs.inotify.max_user_instances": "128", "kernel.panic": "0",
	"kernel.hostname": "", "kernel.pid_max": "4194304", "kernel.dmesg_restrict": "1", "kernel.kptr_restrict": "1",
	"net.ipv4.conf.all.accept_redirects": "0", "net.ipv4.conf.all.accept_source_route": "0", "net.ipv4.conf.all.send_redirects": "1",
	"net.ipv6.conf.all.accept_redirects": "1", "kernel.unprivileged_userns_clone": "1",
}

func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// parameter puts one kernel parameter into the tree.
func (r *running) parameter(v *vfs.View, name, value string) error {
	r.mu.Lock()
	if r.params == nil {
		r.params = map[string]string{}
	}
	r.params[name] = value
	r.mu.Unlock()
	return v.Generate(sysctlPath(name), 0o644, &vfs.Generated{
		Read: func() []byte {
			r.mu.Lock()
			defer r.mu.Unlock()
			return []byte(r.params[name] + "\n")
		},
		Write: func(b []byte) error {
			r.mu.Lock()
			r.params[name] = strings.Join(strings.Fields(string(b)), "\t")
			r.mu.Unlock()
			return nil
		},
	})
}

// applySysctl gives the parameters the values that the machine's own files have, as systemd-sysctl does.
func (r *running) applySysctl(v *vfs.View) error {
	var files []string
	if list, err := v.ReadDir("/etc/sysctl.d"); err == nil {
		for _, f := range list {
			if strings.HasSuffix(f.Name(), ".conf") {
				files = append(files, "/etc/sysctl.d/"+f.Name())
			}
		}
	}
	for _, file := range append(files, "/etc/sysctl.conf") {
		text, err := v.ReadFile(file)
		if err != nil {
			continue // a file that is not there sets nothing
		}
		for line := range strings.Lines(string(text)) {
			name, value, found := strings.Cut(strings.TrimSpace(line), "=")
			name = strings.TrimLeft(strings.TrimSpace(name), "-")
			if _, known := sysctls[name]; found && known && name[0] != '#' && name[0] != ';' {
				if err := v.WriteFile(sysctlPath(name), []byte(strings.TrimSpace(value)), 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *running) memory() int {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return orDefault(r.g.meta.Spec.MemoryMiB, 512)
}

func (r *running) processors() int {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return orDefault(r.g.meta.Spec.Sockets, 1) * orDefault(r.g.meta.Spec.Cores, 1)
}

// root is the size of the root file system, as growpart left it.
func (r *running) root() int64 {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return r.g.meta.RootBytes
}

// Addresses are the machine's, for hostname -I.
func (r *running) Addresses() []string { return []string{r.address} }

func (r *running) disk() int64 {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return r.g.meta.DiskBytes
}

func (r *running) meminfo() string {
	kib := r.memory()*1024 - 50_000 // what the kernel keeps for itself
	var swap int64
	r.mu.Lock()
	for line := range strings.Lines(r.lasting["/proc/swaps"]) {
		if f := strings.Fields(line); len(f) == 5 {
			if n, err := strconv.ParseInt(f[2], 10, 64); err == nil { // not the title
				swap += n
			}
		}
	}
	r.mu.Unlock()
	return fmt.Sprintf("MemTotal:       %8d kB\nMemFree:        %8d kB\nMemAvailable:   %8d kB\nBuffers:        %8d kB\nCached:         %8d kB\nSwapTotal:      %8d kB\nSwapFree:       %8d kB\n",
		kib, kib*6/10, kib*8/10, kib/50, kib/5, swap, swap)
}

func (r *running) cpuinfo() string {
	var b strings.Builder
	for i := range r.processors() {
		fmt.Fprintf(&b, "processor\t: %d\nvendor_id\t: GenuineIntel\nmodel name\t: QEMU Virtual CPU version 2.5+\ncpu cores\t: %d\n\n", i, r.processors())
	}
	return b.String()
}

const tcpHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// tcp lists the ports that something listens on at the machine's address: the lab asks by connecting.
func (r *running) tcp() string {
	var b strings.Builder
	b.WriteString(tcpHead)
	ip := net.ParseIP(r.address).To4()
	if ip == nil {
		return b.String()
	}
	line := func(port int) {
		addr := hex.EncodeToString([]byte{ip[3], ip[2], ip[1], ip[0]})
		fmt.Fprintf(&b, "%4d: %s:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %d 1\n", port, strings.ToUpper(addr), port, 20000+port)
	}
	for _, port := range listening(r.address) {
		line(port)
	}
	return b.String()
}
