package guest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// nftState is the key under which a machine keeps its tables: "inet name" to its chains' text.
const nftState = "nft"

type nftTable struct {
	Name   string   `json:"name"` // with its family
	Chains []string `json:"chains"`
	Text   string   `json:"text"`
}

// nft keeps tables and checks their form. It filters nothing: there are no packets.
func nft(_ context.Context, p *proc.Proc) int {
	g := guestOf(p).g
	var tables []nftTable
	if err := g.LoadState(nftState, &tables); err != nil {
		p.Errorf("%v", err)
		return 1
	}
	args, check := slices.Clone(p.Args[1:]), false
	if len(args) > 0 && (args[0] == "-c" || args[0] == "--check") {
		args, check = args[1:], true
	}
	var err error
	switch {
	case len(args) == 2 && (args[0] == "-f" || args[0] == "--file"):
		tables, err = nftLoad(p, args[1], tables, 0)
	case len(args) > 1 && args[0] == "list":
		return nftList(p, args[1:], tables)
	default:
		tables, err = nftRun(strings.Join(args, " "), "<cmdline>", tables, nil)
	}
	if err == nil && !check {
		err = g.SaveState(nftState, tables)
		g.Touch()
	}
	if err != nil {
		fmt.Fprintln(p.Stderr, proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 1
	}
	return 0
}

func nftLoad(p *proc.Proc, file string, tables []nftTable, depth int) ([]nftTable, error) {
	text, err := p.FS.ReadFile(p.Path(file))
	if err != nil || depth > 16 {
		return nil, fmt.Errorf("internal:0:0-0: Error: Could not open file %q: No such file or directory", file)
	}
	return nftRun(string(text), file, tables, func(pattern string, tables []nftTable) ([]nftTable, error) {
		list, err := p.FS.ReadDir(path.Dir(pattern))
		for _, f := range list {
			if ok, _ := path.Match(path.Base(pattern), f.Name()); ok && err == nil { //nolint:errcheck // a bad pattern fits nothing
				tables, err = nftLoad(p, path.Dir(pattern)+"/"+f.Name(), tables, depth+1)
			}
		}
		if err != nil && !strings.Contains(pattern, "*") {
			return nil, err
		}
		return tables, nil
	})
}

// nftRun carries out statements.
func nftRun(text, file string, tables []nftTable, include func(string, []nftTable) ([]nftTable, error)) ([]nftTable, error) {
	tables = slices.Clone(tables)
	bad := func(line int, format string, args ...any) ([]nftTable, error) {
		return nil, fmt.Errorf("%s:%d:1-1: Error: %s", file, line, fmt.Sprintf(format, args...))
	}
	find := func(name string) int {
		return slices.IndexFunc(tables, func(t nftTable) bool { return t.Name == name })
	}
	var inside *nftTable
	depth, n := 0, 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		f := strings.Fields(strings.NewReplacer("{", " { ", "}", " } ").Replace(line))
		if len(f) == 0 {
			continue
		}
		opened := depth
		depth += strings.Count(line, "{") - strings.Count(line, "}")
		if depth < 0 {
			return bad(n, "syntax error, unexpected '}'")
		}
		if opened > 0 {
			if f[0] == "chain" && len(f) > 1 {
				inside.Chains = append(inside.Chains, f[1])
			} else if !slices.Contains(nftWords, strings.TrimRight(f[0], ";")) {
				return bad(n, "syntax error, unexpected %s", f[0])
			}
			inside.Text += line + "\n"
			if depth == 0 {
				tables[find(inside.Name)] = *inside
			}
			continue
		}
		switch {
		case f[0] == "include" && include != nil && len(f) == 2:
			var err error
			if tables, err = include(strings.Trim(f[1], `";`), tables); err != nil {
				return nil, err
			}
		case f[0] == "table" && len(f) >= 3, f[0] == "add" && len(f) >= 4 && f[1] == "table":
			if f[0] == "add" {
				f = f[1:]
			}
			name := f[1] + " " + f[2]
			if find(name) < 0 {
				tables = append(tables, nftTable{Name: name})
			}
			one := tables[find(name)]
			inside = &one
		case (f[0] == "delete" || f[0] == "flush") && len(f) == 4 && f[1] == "table":
			at := find(f[2] + " " + f[3])
			if at < 0 {
				return bad(n, "Could not process rule: No such file or directory")
			}
			if tables[at] = (nftTable{Name: f[2] + " " + f[3]}); f[0] == "delete" {
				tables = slices.Delete(tables, at, at+1)
			}
		case f[0] == "flush" && len(f) == 2 && f[1] == "ruleset":
			tables = nil
		default:
			return bad(n, "syntax error, unexpected %s", f[0])
		}
	}
	if depth > 0 {
		return bad(n, "syntax error, unexpected end of file, expecting '}'")
	}
	return tables, nil
}

// nftWords are what a line in a table may begin with.
var nftWords = []string{"}", "type", "policy", "ct", "iif", "iifname", "oif", "oifname", "ip", "ip6", "tcp", "udp", "th", "icmp", "icmpv6", "meta",
	"counter", "limit", "log", "accept", "drop", "reject", "jump", "goto", "return", "set", "map", "elements", "flags", "comment", "fib", "mark", "masquerade", "dnat", "snat"}

func nftList(p *proc.Proc, args []string, tables []nftTable) int {
	found := false
	for _, t := range tables {
		switch {
		case args[0] == "ruleset", args[0] == "table" && len(args) == 3 && t.Name == args[1]+" "+args[2],
			args[0] == "chain" && len(args) == 4 && t.Name == args[1]+" "+args[2] && slices.Contains(t.Chains, args[3]):
			p.Printf("table %s {\n%s", t.Name, t.Text)
			found = true
		case args[0] == "tables":
			p.Printf("table %s\n", t.Name)
			found = true
		}
	}
	if !found && (args[0] == "table" || args[0] == "chain") {
		fmt.Fprintln(p.Stderr, "Error: No such file or directory") //nolint:errcheck // nobody left to tell
		return 1
	}
	return 0
}
