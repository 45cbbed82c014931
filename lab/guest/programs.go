package guest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
)

// systemPrograms are the programs that work on the machine as a whole, by name.
var systemPrograms = map[string]proc.Program{
	"apt-get": mayTouch(aptGet), "apt": mayTouch(aptGet), "apt-cache": aptCache, "apt-mark": succeed, "dpkg": dpkg, "dpkg-query": dpkgQuery,
	"systemctl": systemctl, "journalctl": journalctl, "hostnamectl": hostnamectl, "timedatectl": timedatectl,
	"cloud-init": cloudInitCommand, "reboot": mayTouch(power("reboot")), "poweroff": mayTouch(power("poweroff")), "halt": mayTouch(power("halt")), "shutdown": mayTouch(shutdown),
	"growpart": growpart, "resize2fs": mayTouch(resize2fs), "curl": curl, "ip": ipCommand, "ss": ss, "sshd": sshdTest, "nft": mayTouch(nft),
	"update-ca-certificates": updateCertificates, "locale-gen": localeGen, "update-locale": succeed, "lsb_release": lsbRelease,
}

func succeed(context.Context, *proc.Proc) int { return 0 }

func hostnamectl(_ context.Context, p *proc.Proc) int {
	args := slices.DeleteFunc(slices.Clone(p.Args[1:]), func(a string) bool { return strings.HasPrefix(a, "--") })
	g := guestOf(p).g
	switch {
	case len(args) == 0 || args[0] == "status":
		p.Printf(" Static hostname: %s\n       Icon name: computer-vm\n         Chassis: vm\n  Virtualization: kvm\nOperating System: Ubuntu 22.04.4 LTS\n          Kernel: Linux %s\n    Architecture: x86-64\n", g.Name(), kernelRelease)
		return 0
	case (args[0] == "hostname" || args[0] == "set-hostname") && len(args) == 1:
		p.Printf("%s\n", g.Name())
		return 0
	case (args[0] == "hostname" || args[0] == "set-hostname") && len(args) == 2:
		if p.FS.Cred.UID != 0 {
			fmt.Fprintln(p.Stderr, "Could not set static hostname: Interactive authentication required.") //nolint:errcheck // nobody left to tell
			return 1
		}
		name := []byte(args[1] + "\n")
		if err := errors.Join(p.FS.WriteFile("/etc/hostname", name, 0o644), p.FS.WriteFile(sysctlPath("kernel.hostname"), name, 0o644)); err != nil {
			fmt.Fprintf(p.Stderr, "Could not set static hostname: %s\n", proc.Text(err)) //nolint:errcheck // nobody left to tell
			return 1
		}
		return 0
	}
	fmt.Fprintf(p.Stderr, "Unknown command verb %s.\n", args[0]) //nolint:errcheck // nobody left to tell
	return 1
}

func timedatectl(_ context.Context, p *proc.Proc) int {
	zone := "Etc/UTC"
	if target, err := p.FS.Readlink("/etc/localtime"); err == nil {
		if _, after, found := strings.Cut(target, "zoneinfo/"); found {
			zone = after
		}
	}
	args := p.Args[1:]
	switch {
	case len(args) == 0 || args[0] == "status":
		p.Printf("               Local time: %s\n           Universal time: %s\n                Time zone: %s\nSystem clock synchronized: yes\n              NTP service: active\n", time.Now().UTC().Format("Mon 2006-01-02 15:04:05 MST"), time.Now().UTC().Format("Mon 2006-01-02 15:04:05 MST"), zone)
	case args[0] == "show":
		value := slices.Contains(args, "--value")
		for _, kv := range []string{"Timezone=" + zone, "LocalRTC=no", "CanNTP=yes", "NTP=yes", "NTPSynchronized=yes"} {
			key, v, _ := strings.Cut(kv, "=")
			asked := strings.Join(args, " ")
			if strings.Contains(asked, "-p") && !strings.Contains(asked, key) || strings.Contains(asked, "-p") && key == "NTP" && strings.Contains(asked, "NTPSync") {
				continue
			}
			if value {
				kv = v
			}
			p.Printf("%s\n", kv)
		}
	case args[0] == "list-timezones":
		for _, z := range slices.Sorted(slices.Values(zones)) {
			p.Printf("%s\n", z)
		}
	case args[0] == "set-timezone" && len(args) == 2:
		if _, err := p.FS.Stat("/usr/share/zoneinfo/" + args[1]); err != nil {
			fmt.Fprintf(p.Stderr, "Failed to set time zone: Invalid or not installed time zone '%s'\n", args[1]) //nolint:errcheck // nobody left to tell
			return 1
		}
		if zone == args[1] {
			return 0
		}
		err := p.FS.RemoveAll("/etc/localtime")
		if err == nil {
			err = p.FS.Symlink("/usr/share/zoneinfo/"+args[1], "/etc/localtime")
		}
		if err == nil {
			err = p.FS.WriteFile("/etc/timezone", []byte(args[1]+"\n"), 0o644)
		}
		if err != nil {
			fmt.Fprintf(p.Stderr, "Failed to set time zone: %s\n", proc.Text(err)) //nolint:errcheck // nobody left to tell
			return 1
		}
	case args[0] == "set-ntp":
	default:
		fmt.Fprintf(p.Stderr, "Unknown command verb %s.\n", args[0]) //nolint:errcheck // nobody left to tell
		return 1
	}
	return 0
}

func growpart(_ context.Context, p *proc.Proc) int {
	if len(p.Args) < 3 {
		p.Errorf("must supply disk and partition-number")
		return 2
	}
	r := guestOf(p)
	r.g.mu.Lock()
	grown, disk := r.g.meta.RootBytes < r.g.meta.DiskBytes, r.g.meta.DiskBytes
	r.g.mu.Unlock()
	if !grown {
		p.Printf("NOCHANGE: partition 1 is size %d. it cannot be grown\n", disk/512)
		return 1
	}
	p.Printf("CHANGED: partition=1 start=227328 old: size=4384735 new: size=%d\n", disk/512-227328)
	return 0
}

func resize2fs(_ context.Context, p *proc.Proc) int {
	r := guestOf(p)
	if r.g.growRoot() {
		r.g.Touch()
		p.Printf("The filesystem on /dev/sda1 is now %d (4k) blocks long.\n", r.disk()/4096)
		return 0
	}
	p.Printf("The filesystem is already %d (4k) blocks long.  Nothing to do!\n", r.disk()/4096)
	return 0
}

func ipCommand(_ context.Context, p *proc.Proc) int {
	r := guestOf(p)
	words := slices.DeleteFunc(slices.Clone(p.Args[1:]), func(a string) bool { return strings.HasPrefix(a, "-") })
	switch {
	case len(words) > 0 && strings.HasPrefix("route", words[0]):
		p.Printf("default via %s dev eth0 proto dhcp src %s metric 100\n", r.address, r.address)
	case len(words) > 0 && (strings.HasPrefix("address", words[0]) || strings.HasPrefix("link", words[0])):
		p.Printf("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n")
		p.Printf("2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP group default qlen 1000\n    link/ether %s brd ff:ff:ff:ff:ff:ff\n    inet %s/24 metric 100 brd 127.255.255.255 scope global dynamic eth0\n", r.mac(), r.address)
	default:
		fmt.Fprintf(p.Stderr, "Object \"%s\" is unknown, try \"ip help\".\n", strings.Join(words, " ")) //nolint:errcheck // nobody left to tell
		return 1
	}
	return 0
}

func ss(_ context.Context, p *proc.Proc) int {
	r := guestOf(p)
	p.Printf("State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n")
	for _, port := range listening(r.address) {
		p.Printf("LISTEN 0      4096   %s:%d 0.0.0.0:*\n", r.address, port)
	}
	return 0
}

func updateCertificates(_ context.Context, p *proc.Proc) int {
	list, err := p.FS.ReadDir("/usr/local/share/ca-certificates")
	added := 0
	bundle, readErr := p.FS.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err == nil && readErr == nil {
		for _, f := range list {
			text, err := p.FS.ReadFile("/usr/local/share/ca-certificates/" + f.Name())
			if err == nil && strings.HasSuffix(f.Name(), ".crt") && !strings.Contains(string(bundle), string(text)) {
				bundle = append(bundle, text...)
				added++
			}
		}
		if added > 0 {
			err = p.FS.WriteFile("/etc/ssl/certs/ca-certificates.crt", bundle, 0o644)
		}
	}
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	p.Printf("Updating certificates in /etc/ssl/certs...\n%d added, 0 removed; done.\nRunning hooks in /etc/ca-certificates/update.d...\ndone.\n", added)
	return 0
}

func localeGen(_ context.Context, p *proc.Proc) int {
	p.Printf("Generating locales (this might take a while)...\n")
	for _, name := range p.Args[1:] {
		file := "/usr/lib/locale/" + path.Base(name)
		if _, err := p.FS.Stat(file); err == nil {
			continue
		}
		if err := p.FS.MkdirAll(file, 0o755); err != nil {
			p.Errorf("%s", proc.Text(err))
			return 1
		}
		p.Printf("  %s... done\n", name)
	}
	p.Printf("Generation complete.\n")
	return 0
}

func lsbRelease(_ context.Context, p *proc.Proc) int {
	short := false
	var want []string
	for _, a := range p.Args[1:] {
		for _, c := range strings.TrimLeft(a, "-") {
			switch c {
			case 's':
				short = true
			case 'i':
				want = append(want, "Distributor ID:\tUbuntu")
			case 'd':
				want = append(want, "Description:\tUbuntu 22.04.4 LTS")
			case 'r':
				want = append(want, "Release:\t"+release)
			case 'c':
				want = append(want, "Codename:\t"+codename)
			}
		}
	}
	for _, line := range want {
		if _, value, _ := strings.Cut(line, "\t"); short {
			line = value
		}
		p.Printf("%s\n", line)
	}
	return 0
}
