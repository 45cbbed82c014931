package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/remote/shell"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

// Lab gives the machines that features are tried on.
type Lab interface {
	// Machine boots a new one. available are packages that its distribution's archive has besides its own.
	Machine(ctx context.Context, name string, available []Package) (Simulated, error)
}

// Simulated is a machine of a Lab, reached as a real one is.
type Simulated interface {
	Dial(ctx context.Context, readOnly bool) (remote.Conn, error)
	// State is a digest of all that is on it, to tell whether anything changed.
	State() string
	Close() error
}

// Package is one that can be installed on a simulated machine.
type Package struct {
	Name, Version string
	Depends       []string
	Units         []string          // systemd units, enabled and started on installation
	Groups        []string          // system groups that it makes
	Files         map[string]string // path to content
}

// Machine is a simulated machine in a test.
type Machine struct {
	name string
	t    *T
	lab  Simulated

	given bool        // the test gave it something
	used  atomic.Bool // something was done on it

	mu    sync.Mutex
	conns map[bool]remote.Conn // by whether they are read-only
}

func (m *Machine) String() string        { return "machine(" + m.name + ")" }
func (m *Machine) Type() string          { return "machine" }
func (m *Machine) Freeze()               {}
func (m *Machine) Truth() starlark.Bool  { return true }
func (m *Machine) Hash() (uint32, error) { return starlark.String(m.name).Hash() }

// Attr gives a method or the name.
func (m *Machine) Attr(name string) (starlark.Value, error) {
	if name == "name" {
		return starlark.String(m.name), nil
	}
	return MachineType.Attr(m, name), nil
}

// AttrNames lists methods and fields.
func (m *Machine) AttrNames() []string { return MachineType.AttrNames() }

// conn gives the connection that may write, or the one that may not.
func (m *Machine) conn(ctx context.Context, readOnly bool) (remote.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.conns[readOnly]; ok {
		return c, nil
	}
	c, err := m.lab.Dial(ctx, readOnly)
	if err != nil {
		return nil, err
	}
	m.conns[readOnly] = c
	return c, nil
}

func (m *Machine) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, c := range m.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, m.lab.Close())...)
}

// kept is a connection that outlives the run that uses it.
type kept struct{ remote.Conn }

func (kept) Close() error { return nil }

// sh runs a script that has to succeed.
func (m *Machine) sh(ctx context.Context, what, script string) (string, error) {
	conn, err := m.conn(ctx, false)
	if err != nil {
		return "", err
	}
	r, err := conn.Run(ctx, remote.Command{Script: script})
	if err != nil {
		return "", err
	}
	if r.Code != 0 {
		return "", &remote.ExitError{What: what, Result: r}
	}
	return string(r.Stdout), nil
}

// callsFile is where commands that stand in for real ones note how they were called.
const callsFile = "/var/cache/phoenix-test/calls"

// prepare brings a new machine to what the test says it has.
func (m *Machine) prepare(ctx context.Context, a machineArgs) error {
	var b strings.Builder
	b.WriteString("mkdir -p -m 1777 /var/cache/phoenix-test && : > " + callsFile + " && chmod 666 " + callsFile + "\n")
	if len(a.Packages) > 0 {
		// The simulated archive is empty until it was asked, as a real one is on a new machine.
		b.WriteString("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install " + shell.Join(a.Packages...) + " >&2 || exit 1\n")
	}
	for _, g := range a.Groups {
		b.WriteString("getent group " + shell.Quote(g) + " >/dev/null || groupadd " + shell.Quote(g) + " || exit 1\n")
	}
	for _, u := range a.Users {
		b.WriteString("useradd -m -U -s /bin/bash " + shell.Quote(u) + " || exit 1\n")
	}
	for _, path := range slices.Sorted(maps.Keys(a.Files)) {
		if err := writeFile(&b, path, a.Files[path]); err != nil {
			return err
		}
	}
	for _, name := range a.Services {
		unit := shell.Quote("/etc/systemd/system/" + strings.TrimSuffix(name, ".service") + ".service")
		b.WriteString("printf '[Service]\\nExecStart=/usr/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' > " + unit +
			" && systemctl daemon-reload && systemctl enable --now " + shell.Quote(name) + " >&2 || exit 1\n")
	}
	for _, name := range slices.Sorted(maps.Keys(a.Commands)) {
		script, ok := a.Commands[name].(string)
		if !ok || strings.Contains(name, "/") {
			return fmt.Errorf("machine: commands: %s: want a name with the text of a shell script", name)
		}
		text := "#!/bin/sh\nprintf '%s\\n' " + shell.Quote(name) + "\" $*\" >> " + callsFile + "\n" + script + "\n"
		file := shell.Quote("/usr/local/sbin/" + name)
		b.WriteString("printf %s " + shell.Quote(text) + " > " + file + " && chmod 755 " + file + " || exit 1\n")
	}
	_, err := m.sh(ctx, "preparing the machine", b.String())
	return err
}

// writeFile adds to a script what makes a file: a text, or a dict with content, mode and owner.
func writeFile(b *strings.Builder, path string, v any) error {
	content, mode, owner := "", "0644", "root:root"
	switch v := v.(type) {
	case string:
		content = v
	case map[string]any:
		for key, field := range map[string]*string{"content": &content, "mode": &mode, "owner": &owner} {
			if text, ok := v[key].(string); ok {
				*field = text
			} else if v[key] != nil {
				return fmt.Errorf("machine: files: %s: %s is no string", path, key)
			}
		}
	default:
		return fmt.Errorf("machine: files: %s: want its content, or a dict with content, mode and owner", path)
	}
	p := shell.Quote(path)
	b.WriteString("mkdir -p \"$(dirname -- " + p + ")\" && printf %s " + shell.Quote(content) + " > " + p +
		" && chown " + shell.Quote(owner) + " " + p + " && chmod " + shell.Quote(mode) + " " + p + " || exit 1\n")
	return nil
}

// parsePackages reads the argument available: name to dict.
func parsePackages(given map[string]any) ([]Package, error) {
	var list []Package
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p := Package{Name: name, Version: "1.0-1"}
		fields, ok := given[name].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("machine: available: %s: want a dict with version, depends, units, groups, files", name)
		}
		for key, v := range fields {
			var bad bool
			switch key {
			case "version":
				p.Version, ok = v.(string)
				bad = !ok
			case "depends":
				p.Depends, bad = texts(v)
			case "units":
				p.Units, bad = texts(v)
			case "groups":
				p.Groups, bad = texts(v)
			case "files":
				m, isMap := v.(map[string]any)
				p.Files, bad = map[string]string{}, !isMap
				for path, content := range m {
					p.Files[path], ok = content.(string)
					bad = bad || !ok
				}
			default:
				bad = true
			}
			if bad {
				return nil, fmt.Errorf("machine: available: %s: %s: want version (string), depends, units, groups (lists of strings) or files (path to content)", name, key)
			}
		}
		list = append(list, p)
	}
	return list, nil
}

func texts(v any) (list []string, bad bool) {
	all, ok := v.([]any)
	for _, e := range all {
		s, isText := e.(string)
		list, ok = append(list, s), ok && isText
	}
	return list, !ok
}

type pathArgs struct {
	Path string `star:"path" doc:"absolute path"`
}

type nameArgs struct {
	Name string `star:"name" doc:"its name"`
}

type shArgs struct {
	Script string `star:"script" doc:"a POSIX shell script, run as root"`
}

// MachineType declares the methods of machines.
var MachineType = builtin.NewType("machine", "A simulated Debian-like machine of a test (Ubuntu 22.04): a real shell, files, users, packages and services, and no network. It is gone when the test ends.",
	[]builtin.Param{{Name: "name", Type: "string", Doc: "its name"}},
	applyMethod, planMethod, onceMethod, interruptedMethod,
	builtin.Method(builtin.Spec{Name: "read", Effect: builtin.Reads, Returns: "string",
		Summary: "The content of a file.", Errors: []string{"There is no such file."},
		Example: "def test_hostname(t):\n    assert.matches(t.machine().read(\"/etc/hostname\"), \"machine\")"},
		func(c *builtin.Call, m *Machine, a pathArgs) (starlark.Value, error) {
			conn, err := m.conn(c.Context(), true)
			if err != nil {
				return nil, err
			}
			var b strings.Builder
			err = conn.Download(c.Context(), a.Path, &b)
			return starlark.String(b.String()), err
		}),
	builtin.Method(builtin.Spec{Name: "stat", Effect: builtin.Reads, Returns: "struct with type (file, directory, link, other), mode (\"0644\"), owner, group and target; None if nothing is there",
		Summary: "What is at a path. A symbolic link is not followed.",
		Example: "def test_tmp(t):\n    assert.eq(t.machine().stat(\"/tmp\").mode, \"1777\")"}, stat),
	builtin.Method(builtin.Spec{Name: "package", Effect: builtin.Reads, Returns: "string, or None if it is not installed",
		Summary: "The version of an installed package.",
		Example: "def test_bash(t):\n    assert.true(t.machine().package(\"bash\"))"}, version),
	builtin.Method(builtin.Spec{Name: "service", Effect: builtin.Reads, Returns: "struct with running, enabled and masked; None if there is no such unit",
		Summary: "How a systemd unit is.",
		Example: "def test_ssh(t):\n    assert.true(t.machine().service(\"ssh\").running)"}, service),
	builtin.Method(builtin.Spec{Name: "user", Effect: builtin.Reads, Returns: "struct with uid, home, shell and groups; None if there is no such user",
		Summary: "What an account is.",
		Example: "def test_root(t):\n    assert.eq(t.machine().user(\"root\").home, \"/root\")"}, account),
	builtin.Method(builtin.Spec{Name: "sh", Effect: builtin.Reads, Returns: "struct with stdout, stderr and code",
		Summary: "Runs a script on the machine: to look at something, or to change it between two applies as a person would.",
		Example: "def test_sh(t):\n    assert.eq(t.machine().sh(\"echo hello\").stdout, \"hello\\n\")"},
		func(c *builtin.Call, m *Machine, a shArgs) (starlark.Value, error) {
			m.used.Store(true)
			conn, err := m.conn(c.Context(), false)
			if err != nil {
				return nil, err
			}
			r, err := conn.Run(c.Context(), remote.Command{Script: a.Script})
			return value.StructFromGo(map[string]any{"stdout": string(r.Stdout), "stderr": string(r.Stderr), "code": r.Code}), err
		}),
	builtin.Method(builtin.Spec{Name: "calls", Effect: builtin.Reads, Returns: "list of strings: the arguments of each call, joined by blanks",
		Summary: "How a command that the test gave the machine was called so far.",
		Example: "def test_calls(t):\n    m = t.machine(commands = {\"greet\": \"echo hi\"})\n    m.sh(\"greet you\")\n    assert.eq(m.calls(\"greet\"), [\"you\"])"},
		func(c *builtin.Call, m *Machine, a nameArgs) (starlark.Value, error) {
			text, err := m.sh(c.Context(), "reading "+callsFile, "cat "+callsFile)
			if err != nil {
				return nil, err
			}
			calls := []string{}
			for line := range strings.Lines(text) {
				if name, arguments, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); name == a.Name {
					calls = append(calls, arguments)
				}
			}
			return value.FromGo(calls), nil
		}),
)

func stat(c *builtin.Call, m *Machine, a pathArgs) (starlark.Value, error) {
	p := shell.Quote(a.Path)
	out, err := m.sh(c.Context(), "stat "+a.Path, "[ -e "+p+" ] || [ -L "+p+" ] || exit 0\nstat -c '%a %U %G %F' -- "+p+" && readlink -- "+p+" || :")
	if err != nil || out == "" {
		return nil, err
	}
	head, target, _ := strings.Cut(out, "\n")
	f := strings.SplitN(head, " ", 4)
	if len(f) < 4 {
		return nil, fmt.Errorf("the machine's stat gave %q", out)
	}
	kind := map[string]string{"regular file": "file", "regular empty file": "file", "directory": "directory", "symbolic link": "link"}[f[3]]
	if kind == "" {
		kind = "other"
	}
	return value.StructFromGo(map[string]any{"type": kind, "mode": fmt.Sprintf("%04s", f[0]), "owner": f[1], "group": f[2],
		"target": strings.TrimSuffix(target, "\n")}), nil
}

func version(c *builtin.Call, m *Machine, a nameArgs) (starlark.Value, error) {
	out, err := m.sh(c.Context(), "asking dpkg", "dpkg-query -W -f '${db:Status-Status} ${Version}\\n' -- "+shell.Quote(a.Name)+" 2>/dev/null || :")
	if err != nil {
		return nil, err
	}
	status, version, _ := strings.Cut(strings.TrimSpace(out), " ")
	if status != "installed" {
		return starlark.None, nil
	}
	return starlark.String(version), nil
}

func service(c *builtin.Call, m *Machine, a nameArgs) (starlark.Value, error) {
	name := shell.Quote(a.Name)
	out, err := m.sh(c.Context(), "asking systemd", "echo \"$(systemctl is-active "+name+" 2>/dev/null) $(systemctl is-enabled "+name+" 2>/dev/null)\"; systemctl cat "+name+" >/dev/null 2>&1 && echo there || :")
	if err != nil {
		return nil, err
	}
	f := strings.Fields(out)
	masked := slices.Contains(f, "masked")
	if !masked && !slices.Contains(f, "there") {
		return starlark.None, nil
	}
	return value.StructFromGo(map[string]any{"running": f[0] == "active", "enabled": slices.Contains(f[1:], "enabled"), "masked": masked}), nil
}

func account(c *builtin.Call, m *Machine, a nameArgs) (starlark.Value, error) {
	name := shell.Quote(a.Name)
	out, err := m.sh(c.Context(), "looking up "+a.Name, "getent passwd "+name+" && id -nG "+name+" || :")
	if err != nil || out == "" {
		return nil, err
	}
	entry, groups, _ := strings.Cut(out, "\n")
	f := strings.Split(entry, ":")
	if len(f) < 7 {
		return nil, fmt.Errorf("the machine's getent gave %q", entry)
	}
	list := strings.Fields(groups)
	slices.Sort(list)
	return value.StructFromGo(map[string]any{"uid": f[2], "home": f[5], "shell": f[6], "groups": list}), nil
}
