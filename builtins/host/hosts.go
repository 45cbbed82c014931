package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type hostsEntryArgs struct {
	Address string   `star:"address" doc:"the IP address"`
	Names   []string `star:"names" doc:"the names that stand for it, the main one first"`
	State   string   `star:"state" default:"\"present\"" doc:"present or absent"`
}

var hostsEntry = builtin.Method(builtin.Spec{
	Name: "hosts_entry", Effect: builtin.Operation, Returns: "result",
	Summary: "Names in /etc/hosts. They stand for this address alone: where they stood for another of the same kind, they are taken away.",
	Example: "host.hosts_entry(\"10.0.0.5\", [\"db.example.org\", \"db\"])",
}, func(c *builtin.Call, h *Host, a hostsEntryArgs) (starlark.Value, error) {
	gone, err := isAbsent("hosts_entry", a.State)
	if err != nil {
		return nil, err
	}
	address, err := netip.ParseAddr(a.Address)
	if err != nil {
		return nil, fmt.Errorf("hosts_entry: address: %w", err)
	}
	for _, n := range a.Names {
		if n == "" || strings.ContainsAny(n, " \t\n#\x00") {
			return nil, fmt.Errorf("hosts_entry: %q is no name of a machine", n)
		}
	}
	if len(a.Names) == 0 {
		return nil, fmt.Errorf("hosts_entry: names is empty")
	}
	return c.Do(&fileOp{h: h, kind: "hosts_entry", id: a.Address + " " + a.Names[0], path: "/etc/hosts", want: op.Attrs{"type": "file"},
		edit: func(old string, _ bool) (string, error) { return editHosts(old, address, a.Names, gone), nil }})
})

// editHosts brings the names to the address and to no other of its kind, or away from it.
func editHosts(old string, address netip.Addr, names []string, gone bool) string {
	var kept []string
	there := false
	for line := range strings.Lines(old) {
		text, comment, commented := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			kept = append(kept, line)
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil || a.Is4() != address.Is4() || gone && a != address {
			kept = append(kept, line)
			continue
		}
		has := func(n string) bool { return slices.Contains(fields[1:], n) }
		if !gone && !there && a == address && !slices.ContainsFunc(names, func(n string) bool { return !has(n) }) {
			there = true
			kept = append(kept, line)
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(fields[1:]), func(n string) bool { return slices.Contains(names, n) })
		switch {
		case len(rest) == len(fields)-1:
			kept = append(kept, line)
		case len(rest) > 0:
			line = fields[0] + "\t" + strings.Join(rest, " ")
			if commented {
				line += " #" + comment
			}
			kept = append(kept, line+"\n")
		}
	}
	text := strings.Join(kept, "")
	if gone || there {
		return text
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + address.String() + "\t" + strings.Join(names, " ") + "\n"
}
