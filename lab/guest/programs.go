package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
)

// systemPrograms are the programs that work on the machine as a whole, by name.
var systemPrograms = map[string]proc.Program{
	"apt-get": aptGet, "apt": aptGet, "apt-cache": aptCache, "apt-mark": succeed, "dpkg": dpkg, "dpkg-query": dpkgQuery,
	"systemctl": systemctl, "journalctl": journalctl, "hostnamectl": hostnamectl, "timedatectl": timedatectl,
	"cloud-init": cloudInitCommand, "reboot": power("reboot"), "poweroff": power("poweroff"), "halt": power("halt"), "shutdown": shutdown,
	"growpart": growpart, "resize2fs": resize2fs, "curl": curl, "ip": ipCommand, "ss": ss, "sshd": sshdTest, "visudo": visudo,
	"hostname": hostname, "uname": uname, "nproc": nproc, "df": df, "free": free, "sysctl": sysctl, "fallocate": fallocate,
	"findmnt": findmnt, "mount": mount, "useradd": useradd, "usermod": usermod, "userdel": userdel, "groupadd": groupadd,
	"groupdel": groupdel, "gpasswd": gpasswd, "chpasswd": chpasswd, "id": id, "whoami": whoami, "getent": getent,
	"sudo": sudo, "su": su, "crontab": crontab,
	"update-ca-certificates": updateCertificates, "locale-gen": localeGen, "update-locale": succeed, "lsb_release": lsbRelease,
}

func succeed(context.Context, *proc.Proc) int { return 0 }

// power is reboot and poweroff: they answer, and then the machine goes.
func power(what string) proc.Program {
	return func(_ context.Context, p *proc.Proc) int {
		if p.FS.Cred.UID != 0 {
			fmt.Fprintf(p.Stderr, "Failed to set wall message, ignoring: Interactive authentication required.\nFailed to %s system via logind: Interactive authentication required.\n", strings.Replace(what, "poweroff", "power off", 1)) //nolint:errcheck // nobody left to tell
			return 1
		}
		r := guestOf(p)
		r.g.Touch()
		if what == "reboot" {
			r.g.fromInside(r, func() error { return r.g.restart(true) })
			return 0
		}
		r.g.fromInside(r, func() error {
			r.g.op.Lock()
			defer r.g.op.Unlock()
			return r.g.off(true)
		})
		return 0
	}
}

func shutdown(ctx context.Context, p *proc.Proc) int {
	args := p.Args[1:]
	what, when := "poweroff", ""
	for _, a := range args {
		switch a {
		case "-r", "--reboot":
			what = "reboot"
		case "-h", "-P", "-H", "--poweroff", "--halt":
		case "-c":
			return 0
		default:
			if when == "" {
				when = a
			}
		}
	}
	if when != "" && when != "now" && when != "+0" {
		p.Errorf("only an immediate shutdown is simulated")
		return 1
	}
	return power(what)(ctx, p)
}

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
		if err := p.FS.WriteFile("/etc/hostname", []byte(args[1]+"\n"), 0o644); err != nil {
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

// RootBytes is the size of the root file system, for df.
func (r *running) RootBytes() int64 {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return r.g.meta.RootBytes
}

// curl fetches from the lab's own addresses only.
func curl(ctx context.Context, p *proc.Proc) int {
	var target, output, method, user string
	var data io.Reader
	fail, head, silent, showErrors := false, false, false, false
	header := http.Header{}
	writeOut := ""
	args := p.Args[1:]
	for i := 0; i < len(args); i++ {
		next := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch arg := args[i]; {
		case arg == "-o" || arg == "--output":
			output = next()
		case arg == "-X" || arg == "--request":
			method = next()
		case arg == "-H" || arg == "--header":
			if k, v, ok := strings.Cut(next(), ":"); ok {
				header.Add(k, strings.TrimSpace(v))
			}
		case arg == "-d" || arg == "--data" || arg == "--data-raw":
			data = strings.NewReader(next())
		case arg == "-u" || arg == "--user":
			user = next()
		case arg == "-w" || arg == "--write-out":
			writeOut = next()
		case slices.Contains([]string{"-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay", "-A", "--cacert"}, arg):
			next()
		case arg == "--fail":
			fail = true
		case arg == "--silent":
			silent = true
		case strings.HasPrefix(arg, "--"):
		case strings.HasPrefix(arg, "-"):
			for _, c := range arg[1:] {
				switch c {
				case 'f':
					fail = true
				case 'I':
					head = true
				case 's':
					silent = true
				case 'S':
					showErrors = true
				case 'o':
					output = next()
				}
			}
		default:
			target = arg
		}
	}
	say := func(code int, format string, a ...any) int {
		if !silent || showErrors {
			fmt.Fprintf(p.Stderr, "curl: (%d) %s\n", code, fmt.Sprintf(format, a...)) //nolint:errcheck // nobody left to tell
		}
		return code
	}
	if target == "" {
		fmt.Fprintln(p.Stderr, "curl: try 'curl --help' or 'curl --manual' for more information") //nolint:errcheck // nobody left to tell
		return 2
	}
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		return say(3, "URL using bad/illegal format or missing URL")
	}
	host := u.Hostname()
	if host == "localhost" || host == "127.0.0.1" {
		host = guestOf(p).address
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return say(6, "Could not resolve host: %s", u.Hostname())
	}
	if head {
		method = http.MethodHead
	}
	if method == "" {
		method = http.MethodGet
		if data != nil {
			method = http.MethodPost
		}
	}
	if port := u.Port(); port != "" {
		u.Host = net.JoinHostPort(host, port)
	} else {
		u.Host = host
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), data)
	if err != nil {
		return say(3, "URL using bad/illegal format or missing URL")
	}
	req.Header = header
	if name, password, found := strings.Cut(user, ":"); found {
		req.SetBasicAuth(name, password)
	}
	client := &http.Client{Transport: loopback, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return say(7, "Failed to connect to %s port %s after 0 ms: Connection refused", u.Hostname(), u.Port())
	}
	defer res.Body.Close() //nolint:errcheck // all of it was read
	if fail && res.StatusCode >= 400 {
		return say(22, "The requested URL returned error: %d", res.StatusCode)
	}
	out := p.Stdout
	if output != "" {
		d, err := p.Open(output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			return say(23, "Failure writing output to destination")
		}
		defer d.Close() //nolint:errcheck // a tree in memory takes all
		out = d.W
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return say(23, "Failure writing output to destination")
	}
	if writeOut != "" {
		p.Printf("%s", strings.NewReplacer("%{http_code}", fmt.Sprint(res.StatusCode), `\n`, "\n").Replace(writeOut))
	}
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

// sshdWords are the keywords of sshd_config that people set; others are refused by sshd -t.
func sshdTest(_ context.Context, p *proc.Proc) int {
	file := "/etc/ssh/sshd_config"
	for i, a := range p.Args {
		if a == "-f" && i+1 < len(p.Args) {
			file = p.Args[i+1]
		}
	}
	text, err := p.FS.ReadFile(p.Path(file))
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %s\n", file, proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 1
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if len(f) == 1 {
			fmt.Fprintf(p.Stderr, "%s line %d: Missing argument.\n%s: terminating, 1 bad configuration options\n", file, n, file) //nolint:errcheck // nobody left to tell
			return 255
		}
		if strings.IndexFunc(f[0], func(r rune) bool { return !(r|32 >= 'a' && r|32 <= 'z' || r >= '0' && r <= '9') }) >= 0 {
			fmt.Fprintf(p.Stderr, "%s: line %d: Bad configuration option: %s\n%s: terminating, 1 bad configuration options\n", file, n, f[0], file) //nolint:errcheck // nobody left to tell
			return 255
		}
	}
	return 0
}

// visudo -c checks a sudoers file: each line is a comment, a Defaults, an alias, an include or a rule.
func visudo(_ context.Context, p *proc.Proc) int {
	file := "/etc/sudoers"
	check := false
	for i := 1; i < len(p.Args); i++ {
		switch a := p.Args[i]; {
		case strings.HasPrefix(a, "-") && strings.Contains(a, "f") && i+1 < len(p.Args):
			check = check || strings.Contains(a, "c")
			i++
			file = p.Args[i]
		case strings.HasPrefix(a, "-"):
			check = check || strings.Contains(a, "c")
		default:
			file = a
		}
	}
	if !check {
		p.Errorf("no editor found (editor path = /usr/bin/editor)")
		return 1
	}
	text, err := p.FS.ReadFile(p.Path(file))
	if err != nil {
		p.Errorf("unable to open %s: %s", file, proc.Text(err))
		return 1
	}
	n := 0
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '@' || strings.HasPrefix(line, "Defaults") || strings.Contains(line, "_Alias ") {
			continue
		}
		subject, rule, found := strings.Cut(line, "=")
		if !found || len(strings.Fields(subject)) < 2 || strings.TrimSpace(rule) == "" {
			fmt.Fprintf(p.Stderr, "%s:%d:%d: syntax error\n%s\n", file, n, len(line), line) //nolint:errcheck // nobody left to tell
			return 1
		}
	}
	p.Printf("%s: parsed OK\n", file)
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
