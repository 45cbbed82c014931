package guest

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// distribution is the system that the image holds.
const (
	release       = "22.04"
	codename      = "jammy"
	kernelRelease = "5.15.0-118-generic"
	kernelVersion = "#128-Ubuntu SMP Fri Jul 5 09:28:59 UTC 2024"
)

// catalog is what the distribution's archive has.
type catalog struct {
	packages map[string]*Package
	units    map[string]Unit
}

// archived is a package without any code of ours: its programs are simulated ones by name, or only
// tell their version.
type archived struct {
	name, version string
	depends       string
	programs      string // paths of programs that package tools or this one has, or that say their version
	units         string
	groups        string
	base          bool // in the image
	off           bool // its units are neither enabled nor started on installation
}

var archive = []archived{
	{name: "adduser", version: "3.118ubuntu5", base: true},
	{name: "apt", version: "2.4.13", programs: "/usr/bin/apt-get /usr/bin/apt-cache /usr/bin/apt-mark /usr/bin/apt-key /usr/bin/apt", base: true},
	{name: "base-files", version: "12ubuntu4.7", base: true},
	{name: "base-passwd", version: "3.5.52build1", base: true},
	{name: "bash", version: "5.1-6ubuntu1.1", programs: "/usr/bin/bash", base: true},
	{name: "ca-certificates", version: "20240203~22.04.1", programs: "/usr/sbin/update-ca-certificates", base: true},
	{name: "cloud-guest-utils", version: "0.32-22-g45fe84a5-0ubuntu1", programs: "/usr/bin/growpart", base: true},
	{name: "cloud-init", version: "24.1.3-0ubuntu1~22.04.5", programs: "/usr/bin/cloud-init", units: "cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service", base: true},
	{name: "coreutils", version: "8.32-4.1ubuntu1.2", base: true},
	{name: "cron", version: "3.0pl1-137ubuntu3", programs: "/usr/bin/crontab", units: "cron.service", groups: "crontab", base: true},
	{name: "curl", version: "7.81.0-1ubuntu1.18", programs: "/usr/bin/curl", base: true},
	{name: "dash", version: "0.5.11+git20210903+really0.5.11-2build1", programs: "/usr/bin/dash /usr/bin/sh", base: true},
	{name: "dbus", version: "1.12.20-2ubuntu4.1", units: "dbus.service", groups: "messagebus", base: true},
	{name: "diffutils", version: "1:3.8-0ubuntu2", base: true},
	{name: "dpkg", version: "1.21.1ubuntu2.3", programs: "/usr/bin/dpkg /usr/bin/dpkg-query", base: true},
	{name: "e2fsprogs", version: "1.46.5-2ubuntu1.1", programs: "/usr/sbin/resize2fs", base: true},
	{name: "findutils", version: "4.8.0-1ubuntu3", base: true},
	{name: "gnupg", version: "2.2.27-3ubuntu2.1", programs: "/usr/bin/gpg", base: true},
	{name: "grep", version: "3.7-1build1", base: true},
	{name: "gzip", version: "1.10-4ubuntu4.1", base: true},
	{name: "hostname", version: "3.23ubuntu2", base: true},
	{name: "init-system-helpers", version: "1.62", base: true},
	{name: "iproute2", version: "5.15.0-1ubuntu2", programs: "/usr/sbin/ip /usr/bin/ss", base: true},
	{name: "libc6", version: "2.35-0ubuntu3.8", base: true},
	{name: "locales", version: "2.35-0ubuntu3.8", programs: "/usr/sbin/locale-gen /usr/sbin/update-locale /usr/bin/locale", base: true},
	{name: "login", version: "1:4.8.1-2ubuntu2.2", base: true},
	{name: "lsb-release", version: "11.1.0ubuntu4", programs: "/usr/bin/lsb_release", base: true},
	{name: "mawk", version: "1.3.4.20200120-3", base: true},
	{name: "mount", version: "2.37.2-4ubuntu3.4", base: true},
	{name: "netplan.io", version: "0.106.1-7ubuntu0.22.04.4", programs: "/usr/sbin/netplan", base: true},
	{name: "openssh-client", version: "1:8.9p1-3ubuntu0.10", base: true},
	{name: "openssh-server", version: "1:8.9p1-3ubuntu0.10", programs: "/usr/sbin/sshd", units: "ssh.service", base: true},
	{name: "passwd", version: "1:4.8.1-2ubuntu2.2", base: true},
	{name: "procps", version: "2:3.3.17-6ubuntu2.1", base: true},
	{name: "python3", version: "3.10.6-1~22.04.1", base: true},
	{name: "qemu-guest-agent", version: "1:6.2+dfsg-2ubuntu6.22", units: "qemu-guest-agent.service", base: true},
	{name: "rsyslog", version: "8.2112.0-2ubuntu2.2", units: "rsyslog.service", groups: "syslog", base: true},
	{name: "sed", version: "4.8-1ubuntu2", base: true},
	{name: "snapd", version: "2.63+22.04ubuntu0.1", units: "snapd.service", base: true},
	{name: "sudo", version: "1.9.9-1ubuntu2.4", programs: "/usr/sbin/visudo", groups: "sudo", base: true},
	{name: "systemd", version: "249.11-0ubuntu3.12", programs: "/usr/bin/systemctl /usr/bin/journalctl /usr/bin/hostnamectl /usr/bin/timedatectl /usr/bin/systemd-analyze /usr/bin/loginctl", units: "systemd-networkd.service systemd-resolved.service systemd-journald.service", base: true},
	{name: "systemd-sysv", version: "249.11-0ubuntu3.12", programs: "/usr/sbin/reboot /usr/sbin/shutdown /usr/sbin/poweroff /usr/sbin/halt", base: true},
	{name: "systemd-timesyncd", version: "249.11-0ubuntu3.12", units: "systemd-timesyncd.service", base: true},
	{name: "tar", version: "1.34+dfsg-1ubuntu0.1.22.04.2", base: true},
	{name: "tzdata", version: "2024a-0ubuntu0.22.04.1", base: true},
	{name: "ubuntu-minimal", version: "1.481.1", base: true},
	{name: "ufw", version: "0.36.1-4ubuntu0.1", units: "ufw.service", base: true},
	{name: "unattended-upgrades", version: "2.8ubuntu1", units: "unattended-upgrades.service", base: true},
	{name: "util-linux", version: "2.37.2-4ubuntu3.4", base: true},
	{name: "vim-tiny", version: "2:8.2.3995-1ubuntu2.17", programs: "/usr/bin/vi", base: true},

	{name: "acl", version: "2.3.1-1", programs: "/usr/bin/setfacl /usr/bin/getfacl"},
	{name: "apache2", version: "2.4.52-1ubuntu4.12", programs: "/usr/sbin/apache2ctl", units: "apache2.service"},
	{name: "apt-transport-https", version: "2.4.13"},
	{name: "build-essential", version: "12.9ubuntu3"},
	{name: "chrony", version: "4.2-2ubuntu2", programs: "/usr/bin/chronyc", units: "chrony.service", groups: "_chrony"},
	{name: "cifs-utils", version: "2:6.14-1ubuntu0.1", programs: "/usr/sbin/mount.cifs"},
	{name: "dnsutils", version: "1:9.18.28-0ubuntu0.22.04.1", programs: "/usr/bin/dig"},
	{name: "fail2ban", version: "0.11.2-6", programs: "/usr/bin/fail2ban-client", units: "fail2ban.service"},
	{name: "git", version: "1:2.34.1-1ubuntu1.11", programs: "/usr/bin/git"},
	{name: "htop", version: "3.0.5-7build2", programs: "/usr/bin/htop"},
	{name: "iftop", version: "1.0~pre4-7", programs: "/usr/sbin/iftop"},
	{name: "iotop", version: "0.6-24-g733f3f8-1.1build2", programs: "/usr/sbin/iotop"},
	{name: "jq", version: "1.6-2.1ubuntu3", depends: "libjq1", programs: "/usr/bin/jq"},
	{name: "libjq1", version: "1.6-2.1ubuntu3"},
	{name: "iptables", version: "1.8.7-1ubuntu5.2", programs: "/usr/sbin/iptables"},
	{name: "lvm2", version: "2.03.11-2.1ubuntu5", programs: "/usr/sbin/lvs"},
	{name: "make", version: "4.3-4.1build1", programs: "/usr/bin/make"},
	{name: "mc", version: "3:4.8.27-1", programs: "/usr/bin/mc"},
	{name: "nano", version: "6.2-1ubuntu0.1", programs: "/usr/bin/nano"},
	{name: "ncdu", version: "1.15.1-1", programs: "/usr/bin/ncdu"},
	{name: "net-tools", version: "1.60+git20181103.0eebece-1ubuntu5", programs: "/usr/bin/netstat /usr/sbin/ifconfig"},
	{name: "nfs-common", version: "1:2.6.1-1ubuntu1.2", depends: "rpcbind", programs: "/usr/sbin/mount.nfs", units: "nfs-client.target"},
	{name: "nfs-kernel-server", version: "1:2.6.1-1ubuntu1.2", depends: "nfs-common", programs: "/usr/sbin/exportfs", units: "nfs-server.service"},
	{name: "nginx", version: "1.18.0-6ubuntu14.5", programs: "/usr/sbin/nginx", units: "nginx.service"},
	{name: "nftables", version: "1.0.2-1ubuntu3", programs: "/usr/sbin/nft", units: "nftables.service", off: true},
	{name: "prometheus-node-exporter", version: "1.3.1-1", programs: "/usr/bin/prometheus-node-exporter", units: "prometheus-node-exporter.service", groups: "prometheus"},
	{name: "ntp", version: "1:4.2.8p15+dfsg-1ubuntu2", units: "ntp.service"},
	{name: "python3-pip", version: "22.0.2+dfsg-1ubuntu0.4", programs: "/usr/bin/pip3"},
	{name: "rpcbind", version: "1.2.6-2build1", units: "rpcbind.service"},
	{name: "rsync", version: "3.2.7-0ubuntu0.22.04.2", programs: "/usr/bin/rsync", units: "rsync.service"},
	{name: "screen", version: "4.9.0-1", programs: "/usr/bin/screen"},
	{name: "software-properties-common", version: "0.99.22.9", programs: "/usr/bin/add-apt-repository"},
	{name: "sysstat", version: "12.5.2-2ubuntu0.2", programs: "/usr/bin/iostat", units: "sysstat.service"},
	{name: "tmux", version: "3.2a-4ubuntu0.2", programs: "/usr/bin/tmux"},
	{name: "tree", version: "2.0.2-1", programs: "/usr/bin/tree"},
	{name: "unzip", version: "6.0-26ubuntu3.2", programs: "/usr/bin/unzip"},
	{name: "vim", version: "2:8.2.3995-1ubuntu2.17", programs: "/usr/bin/vim"},
	{name: "wget", version: "1.21.2-2ubuntu1.1", programs: "/usr/bin/wget"},
	{name: "xfsprogs", version: "5.13.0-1ubuntu2.1", programs: "/usr/sbin/mkfs.xfs"},
	{name: "zip", version: "3.0-12build2", programs: "/usr/bin/zip"},
	{name: "zsh", version: "5.8.1-1", programs: "/usr/bin/zsh"},
}

// newCatalog joins the archive and the packages that the lab's other parts bring.
func newCatalog(more []Package) *catalog {
	c := &catalog{packages: map[string]*Package{}, units: map[string]Unit{}}
	for _, a := range archive {
		p := &Package{Name: a.name, Version: a.version, Depends: strings.Fields(a.depends), Groups: strings.Fields(a.groups), Programs: map[string]Program{}}
		for path := range strings.FieldsSeq(a.programs) {
			p.Programs[path] = nil
			if name := path[strings.LastIndexByte(path, '/')+1:]; own[name] == nil {
				p.Programs[path] = sayVersion(name, a.version)
			}
		}
		for name := range strings.FieldsSeq(a.units) {
			u := builtinUnit(name)
			u.Off = a.off
			p.Units = append(p.Units, u)
		}
		c.packages[p.Name] = p
	}
	for _, p := range more {
		c.packages[p.Name] = &p
	}
	for _, p := range c.packages {
		for _, u := range p.Units {
			c.units[u.Name] = u
		}
	}
	return c
}

// sayVersion is a program that can only be asked for its version.
func sayVersion(name, version string) Program {
	return func(_ context.Context, p *Process) int {
		if len(p.Args) == 2 && slices.Contains([]string{"--version", "-V", "-v", "version"}, p.Args[1]) {
			fmt.Fprintf(p.Stdout, "%s %s\n", name, version) //nolint:errcheck // nobody left to tell
			return 0
		}
		fmt.Fprintf(p.Stderr, "%s: this program can't do that in the lab: only --version is simulated\n", name) //nolint:errcheck // nobody left to tell
		return 1
	}
}

// unit is the code behind a unit that a package brought.
func (c *catalog) unit(name string) (Unit, bool) {
	u, known := c.units[name]
	return u, known
}

// builtinUnit is a unit of the base system; a few of them do something.
func builtinUnit(name string) Unit {
	u := Unit{Name: name}
	switch name {
	case "ssh.service":
		u.Start = func(ctx context.Context, g *Guest) error { return g.withRunning((*running).startSSH) }
		u.Stop = func(_ context.Context, g *Guest) error { return g.withRunning((*running).stopSSH) }
	case "qemu-guest-agent.service":
		u.Start = func(_ context.Context, g *Guest) error { return g.withRunning((*running).startAgent) }
		u.Stop = func(_ context.Context, g *Guest) error { return g.withRunning((*running).stopAgent) }
	}
	return u
}

// withRunning does something with what runs of a machine.
func (g *Guest) withRunning(do func(*running) error) error {
	if run := g.current(); run != nil {
		return do(run)
	}
	return errHalted
}
