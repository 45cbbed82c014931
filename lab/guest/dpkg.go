package guest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/shell"
	"phoenix-run/lab/guest/vfs"
)

const (
	statusFile      = "/var/lib/dpkg/status"
	statusInstalled = "install ok installed"
	statusConfig    = "deinstall ok config-files"
	architecture    = "amd64"
)

// dpkgEntry is a stanza of dpkg's status file.
type dpkgEntry struct{ name, status, version string }

func (e dpkgEntry) installed() bool { return e.status == statusInstalled }

// readStatus reads dpkg's status file.
func readStatus(v *vfs.View) (map[string]dpkgEntry, error) {
	text, err := v.As(vfs.Root).ReadFile(statusFile)
	if err != nil {
		return nil, err
	}
	out := map[string]dpkgEntry{}
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		var e dpkgEntry
		for line := range strings.Lines(stanza) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "Package":
				e.name = value
			case "Status":
				e.status = value
			case "Version":
				e.version = value
			}
		}
		if e.name != "" {
			out[e.name] = e
		}
	}
	return out, nil
}

func writeStatus(v *vfs.View, list map[string]dpkgEntry) error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(list)) {
		e := list[name]
		fmt.Fprintf(&b, "Package: %s\nStatus: %s\nPriority: optional\nSection: admin\nMaintainer: Ubuntu Developers <ubuntu-devel-discuss@lists.ubuntu.com>\nArchitecture: %s\nVersion: %s\nDescription: %s\n\n", e.name, e.status, architecture, e.version, e.name)
	}
	return v.As(vfs.Root).WriteFile(statusFile, []byte(b.String()), 0o644)
}

// setStatus changes one package's state; "" forgets it.
func setStatus(v *vfs.View, p *Package, status string) error {
	list, err := readStatus(v)
	if err != nil {
		return err
	}
	if status == "" {
		delete(list, p.Name)
	} else {
		list[p.Name] = dpkgEntry{p.Name, status, p.Version}
	}
	return writeStatus(v, list)
}

// dpkgQuery is dpkg-query, and the part of dpkg that asks.
func dpkgQuery(_ context.Context, p *proc.Proc) int {
	list, err := readStatus(p.FS)
	if err != nil {
		p.Errorf("error: %s", proc.Text(err))
		return 2
	}
	mode, format := "", "${binary:Package}\t${Version}\n"
	var names []string
	for i := 1; i < len(p.Args); i++ {
		arg := p.Args[i]
		switch {
		case arg == "-W", arg == "--show", arg == "-l", arg == "--list", arg == "-s", arg == "--status", arg == "-L", arg == "--listfiles", arg == "-S", arg == "--search":
			mode = map[string]string{"--show": "-W", "--list": "-l", "--status": "-s", "--listfiles": "-L", "--search": "-S"}[arg]
			if mode == "" {
				mode = arg
			}
		case arg == "-f" && i+1 < len(p.Args):
			i++
			format = p.Args[i]
		case strings.HasPrefix(arg, "-f="), strings.HasPrefix(arg, "--showformat="):
			_, format, _ = strings.Cut(arg, "=")
		case strings.HasPrefix(arg, "-f"):
			format = arg[2:]
		case arg == "--":
		case strings.HasPrefix(arg, "-") && arg != "--no-pager":
			p.Errorf("error: unknown option %s", arg)
			return 2
		default:
			names = append(names, arg)
		}
	}
	if mode == "" {
		p.Errorf("error: need an action option")
		return 2
	}
	var hits []dpkgEntry
	status := 0
	if len(names) == 0 {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			hits = append(hits, list[name])
		}
	}
	for _, pattern := range names {
		pattern, _, _ = strings.Cut(pattern, ":")
		found := false
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if shell.Match(pattern, name) {
				hits, found = append(hits, list[name]), true
			}
		}
		if !found {
			switch mode {
			case "-s":
				p.Errorf("package '%s' is not installed and no information is available", pattern)
			case "-L":
				p.Errorf("package '%s' is not installed", pattern)
			case "-S":
				p.Errorf("no path found matching pattern %s", pattern)
			default:
				p.Errorf("no packages found matching %s", pattern)
			}
			status = 1
		}
	}
	if mode == "-l" && len(hits) > 0 {
		p.Printf("Desired=Unknown/Install/Remove/Purge/Hold\n| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend\n|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)\n||/ Name           Version      Architecture Description\n+++-==============-============-============-=================================\n")
	}
	for _, e := range hits {
		switch mode {
		case "-W":
			p.Printf("%s", e.format(format))
		case "-l":
			p.Printf("%s  %-14s %-12s %-12s %s\n", map[bool]string{true: "ii", false: "rc"}[e.installed()], e.name, e.version, architecture, e.name)
		case "-s":
			p.Printf("Package: %s\nStatus: %s\nArchitecture: %s\nVersion: %s\n", e.name, e.status, architecture, e.version)
		case "-L":
			p.Printf("/.\n/usr/share/doc/%s\n", e.name)
			if pack := guestOf(p).g.backend.catalog.packages[e.name]; pack != nil {
				for _, file := range slices.Sorted(maps.Keys(pack.Programs)) {
					p.Printf("%s\n", file)
				}
			}
		}
	}
	return status
}

// format fills in a --showformat.
func (e dpkgEntry) format(format string) string {
	want, rest, _ := strings.Cut(e.status, " ")
	flag, state, _ := strings.Cut(rest, " ")
	abbrev := "ii "
	if !e.installed() {
		abbrev = "rc "
	}
	return strings.NewReplacer("${Package}", e.name, "${binary:Package}", e.name, "${Version}", e.version, "${Status}", e.status,
		"${db:Status-Status}", state, "${db:Status-Want}", want, "${db:Status-Eflag}", flag, "${db:Status-Abbrev}", abbrev,
		"${Architecture}", architecture, "${source:Package}", e.name, "${Installed-Size}", "100", `\n`, "\n", `\t`, "\t").Replace(format)
}

// dpkg asks, tells the architecture, and configures what is configured already.
func dpkg(ctx context.Context, p *proc.Proc) int {
	if len(p.Args) > 1 {
		switch p.Args[1] {
		case "--print-architecture":
			p.Printf("%s\n", architecture)
			return 0
		case "--print-foreign-architectures", "--configure", "--audit", "-C":
			return 0
		case "--compare-versions":
			return compareVersions(p)
		case "-i", "--install":
			p.Errorf("error: cannot access archive '%s': No such file or directory", strings.Join(p.Args[2:], " "))
			return 2
		}
	}
	return dpkgQuery(ctx, p)
}
