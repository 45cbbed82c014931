package guest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
)

// aptRequest is an apt-get command line taken apart.
type aptRequest struct {
	verb                         string
	names                        []string
	simulate, purge, upgradeOnly bool
}

func parseApt(args []string) (aptRequest, error) {
	var r aptRequest
	for i := 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			r.names = append(r.names, args[i+1:]...)
			i = len(args)
		case arg == "-o" || arg == "--option" || arg == "-c" || arg == "-t":
			i++
		case strings.HasPrefix(arg, "-o"), strings.HasPrefix(arg, "--option="), strings.HasPrefix(arg, "-t="), strings.HasPrefix(arg, "-q="):
		case arg == "-s", arg == "--simulate", arg == "--dry-run", arg == "--just-print", arg == "--no-act":
			r.simulate = true
		case arg == "--purge":
			r.purge = true
		case arg == "--only-upgrade":
			r.upgradeOnly = true
		case slices.Contains([]string{"-y", "--yes", "--assume-yes", "-q", "-qq", "--quiet", "--no-install-recommends", "--install-recommends", "--allow-downgrades",
			"--allow-unauthenticated", "--allow-change-held-packages", "--reinstall", "-f", "--fix-broken", "--fix-missing", "--force-yes", "--no-upgrade",
			"--auto-remove", "--autoremove", "-m", "-d", "-u", "-V", "-yq", "-qy", "-yqq", "-qqy", "--allow-releaseinfo-change"}, arg):
		case strings.HasPrefix(arg, "-"):
			return r, saidf("E: Command line option %q [from %s] is not understood in combination with the other options.", strings.TrimLeft(arg, "-"), arg)
		case r.verb == "":
			r.verb = arg
		default:
			r.names = append(r.names, arg)
		}
	}
	return r, nil
}

// aptGet is apt-get and apt.
func aptGet(ctx context.Context, p *proc.Proc) int {
	r, err := parseApt(p.Args)
	if err != nil {
		fmt.Fprintln(p.Stderr, err) //nolint:errcheck // nobody left to tell
		return 100
	}
	if p.FS.Cred.UID != 0 && !r.simulate && r.verb != "" && r.verb != "list" {
		fmt.Fprint(p.Stderr, "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?\n") //nolint:errcheck // nobody left to tell
		return 100
	}
	g := guestOf(p)
	if !r.simulate {
		// Another apt is waited for, as with DPkg::Lock::Timeout; the real one without that gives up.
		select {
		case g.aptLock <- struct{}{}:
			defer func() { <-g.aptLock }()
		case <-ctx.Done():
			return 100
		}
	}
	switch r.verb {
	case "update":
		return aptUpdate(p)
	case "install", "reinstall", "satisfy":
		return aptInstall(ctx, p, r)
	case "remove", "purge", "autoremove", "autopurge":
		r.purge = r.purge || r.verb == "purge"
		return aptRemove(p, r)
	case "upgrade", "dist-upgrade", "full-upgrade":
		p.Printf("Reading package lists...\nBuilding dependency tree...\nReading state information...\nCalculating upgrade...\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n")
		return 0
	case "clean", "autoclean", "check":
		return 0
	case "":
		p.Printf("apt 2.4.13 (amd64)\n")
		return 0
	}
	fmt.Fprintf(p.Stderr, "E: Invalid operation %s\n", r.verb) //nolint:errcheck // nobody left to tell
	return 100
}

// packageLists is there once the archive was asked what it has.
const packageLists = "/var/lib/apt/lists/archive.ubuntu.com_ubuntu_dists_jammy_main_binary-amd64_Packages"

func aptUpdate(p *proc.Proc) int {
	for i, suite := range []string{"jammy", "jammy-updates", "jammy-security"} {
		p.Printf("Hit:%d http://archive.ubuntu.com/ubuntu %s InRelease\n", i+1, suite)
	}
	p.Printf("Reading package lists...\n")
	if err := p.FS.WriteFile(packageLists, []byte("Package: base-files\n"), 0o644); err != nil {
		fmt.Fprintf(p.Stderr, "E: %s\n", proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 100
	}
	// Its date is what tells whether the lists are fresh; it is nobody's configuration.
	if err := p.FS.WriteFile("/var/cache/apt/pkgcache.bin", []byte(time.Now().UTC().Format(time.RFC3339)), 0o644); err != nil {
		fmt.Fprintf(p.Stderr, "E: %s\n", proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 100
	}
	return 0
}

// resolve orders packages so that each comes after what it depends on; those installed are left out.
func (c *catalog) resolve(names []string, have map[string]dpkgEntry) (list []*Package, err error) {
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] || have[name].installed() {
			return nil
		}
		seen[name] = true
		p := c.packages[name]
		if p == nil {
			return saidf("E: Unable to locate package %s", name)
		}
		for _, d := range p.Depends {
			if err := add(d); err != nil {
				return err
			}
		}
		list = append(list, p)
		return nil
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, add(name))
	}
	return list, errors.Join(errs...)
}

func aptInstall(ctx context.Context, p *proc.Proc, r aptRequest) int {
	run := guestOf(p)
	c := run.g.backend.catalog
	p.Printf("Reading package lists...\nBuilding dependency tree...\nReading state information...\n")
	have, err := readStatus(p.FS)
	if err != nil {
		fmt.Fprintf(p.Stderr, "E: Could not open file %s - open: %s\n", statusFile, proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 100
	}
	var names []string
	for _, name := range r.names {
		name, version, pinned := strings.Cut(name, "=")
		name, _, _ = strings.Cut(name, ":")
		if pinned && c.packages[name] != nil && c.packages[name].Version != version {
			fmt.Fprintf(p.Stderr, "E: Version '%s' for '%s' was not found\n", version, name) //nolint:errcheck // nobody left to tell
			return 100
		}
		if have[name].installed() {
			p.Printf("%s is already the newest version (%s).\n", name, have[name].version)
		}
		if !r.upgradeOnly || c.packages[name] == nil {
			names = append(names, name)
		}
	}
	list, err := c.resolve(names, have)
	if err != nil {
		fmt.Fprintln(p.Stderr, err) //nolint:errcheck // nobody left to tell
		return 100
	}
	slicesNames := make([]string, len(list))
	for i, pack := range list {
		slicesNames[i] = pack.Name
	}
	if len(list) > 0 {
		p.Printf("The following NEW packages will be installed:\n  %s\n", strings.Join(slices.Sorted(slices.Values(slicesNames)), " "))
	}
	p.Printf("0 upgraded, %d newly installed, 0 to remove and 0 not upgraded.\n", len(list))
	if r.simulate {
		for _, pack := range list {
			p.Printf("Inst %s (%s Ubuntu:22.04/jammy [amd64])\n", pack.Name, pack.Version)
		}
		for _, pack := range list {
			p.Printf("Conf %s (%s Ubuntu:22.04/jammy [amd64])\n", pack.Name, pack.Version)
		}
		return 0
	}
	for i, pack := range list {
		p.Printf("Get:%d http://archive.ubuntu.com/ubuntu jammy/main amd64 %s amd64 %s\n", i+1, pack.Name, pack.Version)
	}
	for _, pack := range list {
		select {
		case <-time.After(run.g.backend.opts.InstallTime):
		case <-ctx.Done():
			fmt.Fprintf(p.Stderr, "E: Sub-process /usr/bin/dpkg received signal.\n") //nolint:errcheck // nobody left to tell
			return 100
		}
		p.Printf("Unpacking %s (%s) ...\n", pack.Name, pack.Version)
		v := *p.FS
		v.Umask = 0o022
		if err := c.unpack(&v, pack, false); err != nil {
			fmt.Fprintf(p.Stderr, "dpkg: error processing package %s (--configure):\n %v\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n", pack.Name, err) //nolint:errcheck // nobody left to tell
			return 100
		}
	}
	failed := false
	for _, pack := range list {
		p.Printf("Setting up %s (%s) ...\n", pack.Name, pack.Version)
		for _, u := range pack.Units {
			if u.Off {
				continue
			}
			p.Printf("Created symlink /etc/systemd/system/%s.wants/%s → /lib/systemd/system/%s.\n", wantedBy(u.Name), u.Name, u.Name)
			// The unit outlives this command.
			if err := run.units.start(run.ctx, u.Name); err != nil {
				fmt.Fprintf(p.Stderr, "%v\ninvoke-rc.d: initscript %s, action \"start\" failed.\n", err, strings.TrimSuffix(u.Name, path.Ext(u.Name))) //nolint:errcheck // nobody left to tell
				failed = true
			}
		}
	}
	if failed {
		fmt.Fprintln(p.Stderr, "E: Sub-process /usr/bin/dpkg returned an error code (1)") //nolint:errcheck // nobody left to tell
		return 100
	}
	return 0
}

func aptRemove(p *proc.Proc, r aptRequest) int {
	run := guestOf(p)
	c := run.g.backend.catalog
	p.Printf("Reading package lists...\nBuilding dependency tree...\nReading state information...\n")
	have, err := readStatus(p.FS)
	if err != nil {
		fmt.Fprintf(p.Stderr, "E: Could not open file %s - open: %s\n", statusFile, proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 100
	}
	gone := map[string]bool{}
	for _, name := range r.names {
		switch {
		case have[name].installed():
			gone[name] = true
		case c.packages[name] == nil:
			fmt.Fprintf(p.Stderr, "E: Unable to locate package %s\n", name) //nolint:errcheck // nobody left to tell
			return 100
		case r.purge && have[name].status == statusConfig:
			gone[name] = true
		default:
			p.Printf("Package '%s' is not installed, so not removed\n", name)
		}
	}
	for again := true; again; {
		again = false
		for name, e := range have {
			if pack := c.packages[name]; pack != nil && e.installed() && !gone[name] && slices.ContainsFunc(pack.Depends, func(d string) bool { return gone[d] }) {
				gone[name], again = true, true
			}
		}
	}
	list := slices.Sorted(maps.Keys(gone))
	if len(list) > 0 {
		p.Printf("The following packages will be REMOVED:\n  %s\n", strings.Join(list, " "))
	}
	p.Printf("0 upgraded, 0 newly installed, %d to remove and 0 not upgraded.\n", len(list))
	for _, name := range list {
		pack := c.packages[name]
		if pack == nil {
			pack = &Package{Name: name, Version: have[name].version}
		}
		if r.simulate {
			p.Printf("Remv %s [%s]\n", name, pack.Version)
			continue
		}
		p.Printf("Removing %s (%s) ...\n", name, pack.Version)
		if err := run.removePackage(p, pack, r.purge); err != nil {
			fmt.Fprintf(p.Stderr, "dpkg: error processing package %s (--remove):\n %v\n", name, err) //nolint:errcheck // nobody left to tell
			return 100
		}
	}
	return 0
}

// removePackage takes a package's programs and units away; its configuration goes only with purge.
func (r *running) removePackage(p *proc.Proc, pack *Package, purge bool) error {
	var errs []error
	for _, u := range pack.Units {
		r.units.op.Lock()
		r.units.stopOne(u.Name)
		r.units.op.Unlock()
		errs = append(errs, p.FS.RemoveAll("/usr/lib/systemd/system/"+u.Name),
			p.FS.RemoveAll("/etc/systemd/system/"+wantedBy(u.Name)+".wants/"+u.Name))
	}
	for file := range pack.Programs {
		errs = append(errs, p.FS.RemoveAll(file))
	}
	for file := range pack.Files {
		if purge || !strings.HasPrefix(file, "/etc/") {
			errs = append(errs, p.FS.RemoveAll(file))
		}
	}
	status := statusConfig
	if purge {
		status = ""
	}
	return errors.Join(append(errs, p.FS.RemoveAll("/usr/share/doc/"+pack.Name), setStatus(p.FS, pack, status))...)
}

// aptCache is apt-cache show, policy and search.
func aptCache(_ context.Context, p *proc.Proc) int {
	c := guestOf(p).g.backend.catalog
	if len(p.Args) < 2 {
		return 100
	}
	have, err := readStatus(p.FS)
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 100
	}
	listed, shown := exists(p.FS, packageLists), 0
	for _, name := range p.Args[2:] {
		if strings.HasPrefix(name, "-") {
			continue
		}
		pack := c.packages[name]
		if !listed && !have[name].installed() {
			pack = nil
		}
		switch {
		case p.Args[1] == "search":
			for _, known := range slices.Sorted(maps.Keys(c.packages)) {
				if strings.Contains(known, name) {
					p.Printf("%s - %s\n", known, known)
				}
			}
		case pack == nil && p.Args[1] == "show":
			fmt.Fprintf(p.Stderr, "N: Unable to locate package %s\n", name) //nolint:errcheck // nobody left to tell
		case pack == nil && p.Args[1] == "policy":
		case p.Args[1] == "policy":
			installed := "(none)"
			if have[name].installed() {
				installed = have[name].version
			}
			p.Printf("%s:\n  Installed: %s\n  Candidate: %s\n  Version table:\n     %s 500\n        500 http://archive.ubuntu.com/ubuntu jammy/main amd64 Packages\n", name, installed, pack.Version, pack.Version)
		default:
			p.Printf("Package: %s\nArchitecture: %s\nVersion: %s\n\n", pack.Name, architecture, pack.Version)
			shown++
		}
	}
	if p.Args[1] == "show" && shown == 0 {
		fmt.Fprintf(p.Stderr, "E: No packages found\n") //nolint:errcheck // nobody left to tell
		return 100
	}
	return 0
}
