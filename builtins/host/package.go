package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type packageArgs struct {
	Names    []string `star:"names" doc:"one or more packages; name=version asks for that version"`
	State    string   `star:"state" default:"\"present\"" doc:"present, absent or latest"`
	Optional bool     `star:"optional" default:"False" doc:"leave out those that the distribution's archive does not have, instead of failing"`
	Update   bool     `star:"update_cache" default:"True" doc:"refresh the lists before installing, once in a run"`
}

var packages = builtin.Method(builtin.Spec{
	Name: "package", Effect: builtin.Operation, Returns: "result",
	Summary: "Packages of the distribution, several in one go. Another process that holds the package manager's lock is waited for.",
	Errors:  []string{"No such package or version: the package manager's own message."},
	Example: "host.package([\"curl\", \"jq\"])\nhost.package(\"apache2\", state = \"absent\")",
}, func(c *builtin.Call, h *Host, a packageArgs) (starlark.Value, error) {
	if !slices.Contains([]string{"present", "absent", "latest"}, a.State) {
		return nil, fmt.Errorf("package: state: %q is none of present, absent, latest", a.State)
	}
	if len(a.Names) == 0 {
		return nil, fmt.Errorf("package: names is empty")
	}
	for _, n := range a.Names {
		if !packageName(n) {
			return nil, fmt.Errorf("package: %q is no package name", n)
		}
	}
	return c.Do(&packageOp{h: h, task: c.Task, names: a.Names, state: a.State, update: a.Update, optional: a.Optional})
})

// packageName accepts what dpkg, rpm and apk do, with an optional version; never an option.
func packageName(s string) bool {
	return s != "" && s[0] != '-' && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-._:=~", r))
	}) < 0
}

// packageManager is what the operation needs of a distribution's tool.
type packageManager interface {
	// installed is a read-only script that prints "name version" for each installed package.
	installed() string
	// upgradable is a read-only script that prints those of the names that a newer version is known of.
	upgradable(names []string) string
	// available is a read-only script that prints those of the names that can be installed, and "?"
	// if no list of packages was fetched yet.
	available(names []string) string
	refresh() string
	install(names []string) string
	remove(names []string) string
}

type packageOp struct {
	h      *Host
	task   *runner.Task
	names  []string
	state  string
	update bool

	optional bool
	unsure   bool // of an optional package nobody knows yet whether it can be installed
}

func (o *packageOp) Address() op.Address {
	return o.h.address("package", strings.Join(o.names, ","))
}

// Read gives the version of each package by name, "absent" for those that are not installed.
func (o *packageOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	state := op.State{Attrs: op.Attrs{}}
	for _, n := range o.names {
		name, _, _ := strings.Cut(n, "=")
		one, err := v.Read(ctx, o.h.key("package", name), func(ctx context.Context) (op.Attrs, error) {
			all, err := o.h.installedPackages(ctx, v)
			if err != nil {
				return nil, err
			}
			version, ok := all[name]
			if !ok {
				return nil, nil
			}
			return op.Attrs{"version": version}, nil
		})
		if err != nil {
			return op.State{}, err
		}
		state.Attrs[name] = "absent"
		if one.Exists() {
			state.Attrs[name] = one.Attrs["version"]
		} else if one.Maybe != nil {
			state.Maybe = one.Maybe
		}
	}
	if o.optional && o.state != "absent" && state.Maybe == nil {
		return state, o.readAvailable(ctx, state)
	}
	if o.state == "latest" && state.Maybe == nil {
		return state, o.readUpgradable(ctx, state)
	}
	return state, nil
}

// notAvailable is the state of a package that no archive has.
const notAvailable = "not available"

// readAvailable tells absent packages that can be installed from those that can't.
func (o *packageOp) readAvailable(ctx context.Context, state op.State) error {
	var absent []string
	for _, n := range o.names {
		if name, _, _ := strings.Cut(n, "="); state.Attrs[name] == "absent" {
			absent = append(absent, name)
		}
	}
	o.unsure = false
	if len(absent) == 0 {
		return nil
	}
	manager, err := o.h.manager(ctx)
	if err != nil {
		return err
	}
	r, err := o.h.read(ctx, manager.available(absent))
	if err != nil {
		return err
	}
	found := strings.Fields(string(r.Stdout))
	if o.unsure = slices.Contains(found, "?"); o.unsure {
		return nil
	}
	for _, name := range absent {
		if !slices.Contains(found, name) {
			state.Attrs[name] = notAvailable
		}
	}
	return nil
}

func (o *packageOp) readUpgradable(ctx context.Context, state op.State) error {
	manager, err := o.h.manager(ctx)
	if err != nil {
		return err
	}
	r, err := o.h.read(ctx, manager.upgradable(o.names))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(r.Stdout)) {
		if state.Attrs[name] != "absent" {
			state.Attrs[name] = fmt.Sprint(state.Attrs[name], " (outdated)")
		}
	}
	return nil
}

// installedPackages reads all of a machine's packages, once until one is changed.
func (h *Host) installedPackages(ctx context.Context, v *op.View) (map[string]string, error) {
	return op.Remember(ctx, v, h.key("package", ""), func(ctx context.Context) (map[string]string, error) {
		manager, err := h.manager(ctx)
		if err != nil {
			return nil, err
		}
		r, err := h.read(ctx, manager.installed())
		if err != nil {
			return nil, err
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "listing packages", Result: r}
		}
		all := map[string]string{}
		for line := range strings.Lines(string(r.Stdout)) {
			name, version, ok := strings.Cut(strings.TrimSpace(line), " ")
			if ok {
				all[name] = version
			}
		}
		return all, nil
	})
}

// Diff lists by package what it is and what it would be: "installed" where any version will do.
func (o *packageOp) Diff(current op.State) (op.Change, error) {
	change := op.Change{Action: op.None, Before: op.Attrs{}, After: op.Attrs{}}
	for _, n := range o.names {
		name, version, pinned := strings.Cut(n, "=")
		have := fmt.Sprint(current.Attrs[name])
		want := have
		switch {
		case o.state == "absent":
			want = "absent"
		case have == notAvailable:
			change.Note = notAvailable + ": " + name
		case pinned:
			want = version
		case have == "absent":
			want = "installed"
		case strings.HasSuffix(have, " (outdated)"):
			want = "latest"
		}
		change.Before[name], change.After[name] = have, want
		if have != want {
			change.Action = op.Update
		}
	}
	change.Open = o.unsure && change.Action != op.None
	return change, nil
}

func (o *packageOp) Predict(v *op.View, change op.Change) {
	cause := op.Cause{Address: o.Address(), Why: "installs packages"}
	for _, name := range change.Changed() {
		one := op.Change{Action: op.Create, After: op.Attrs{"version": change.After[name]}}
		if change.After[name] == "absent" {
			one = op.Change{Action: op.Delete}
		}
		v.Put(o.h.key("package", name), one)
	}
	// What a package brings along, nobody can list before.
	for _, space := range []string{"unit", "user", "group"} {
		v.Mark(o.h.key(space, ""), cause, false)
	}
	for _, dir := range []string{"/etc", "/usr", "/var", "/opt", "/lib", "/run"} {
		v.Mark(o.h.key("fs", dir), cause, false)
	}
}

func (o *packageOp) Apply(ctx context.Context, change op.Change) error {
	manager, err := o.h.manager(ctx)
	if err != nil {
		return err
	}
	names := o.changedNames(change)
	if o.state == "absent" {
		return o.work(ctx, "removing "+strings.Join(names, " "), manager.remove(names))
	}
	if o.update {
		// once in a run: the lists don't change that fast
		key := o.h.key("package-lists", "refreshed")
		if _, err := op.Remember(ctx, o.task.Run.View, key, func(ctx context.Context) (bool, error) {
			return true, o.work(ctx, "refreshing the package lists", manager.refresh())
		}); err != nil {
			return err
		}
	}
	if o.optional {
		r, err := o.h.read(ctx, manager.available(names))
		if err != nil {
			return err
		}
		found := strings.Fields(string(r.Stdout))
		names = slices.DeleteFunc(names, func(name string) bool {
			name, _, _ = strings.Cut(name, "=")
			return !slices.Contains(found, name)
		})
		if len(names) == 0 {
			return nil
		}
	}
	o.task.Begin(o.h.name, o.Address().String(), "installing "+strings.Join(names, " "))
	return o.work(ctx, "installing "+strings.Join(names, " "), manager.install(names))
}

// work runs the package manager, and says so once if another process makes it wait.
func (o *packageOp) work(ctx context.Context, what, script string) error {
	conn, err := o.h.Conn(ctx)
	if err != nil {
		return err
	}
	var told sync.Once
	r, err := conn.Run(ctx, remote.Command{Script: script, Output: func(line string) {
		if strings.Contains(line, "Waiting for cache lock") || strings.HasPrefix(line, waiting) {
			told.Do(func() { o.task.Log(o.h.name, what+": waiting, since "+strings.TrimSpace(line)) })
		}
	}})
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return &remote.ExitError{What: what, Result: r}
	}
	return nil
}

// changedNames gives those of the names that differ, as they were asked for.
func (o *packageOp) changedNames(change op.Change) []string {
	differ := change.Changed()
	var names []string
	for _, n := range o.names {
		if name, _, _ := strings.Cut(n, "="); slices.Contains(differ, name) {
			names = append(names, n)
		}
	}
	return names
}

// Verify accepts any version where any was asked for.
func (o *packageOp) Verify(change op.Change, actual op.State) []string {
	var bad []string
	for _, name := range change.Changed() {
		have, want := fmt.Sprint(actual.Attrs[name]), change.After[name]
		switch want {
		case "installed":
			if have == "absent" && !o.optional {
				bad = append(bad, name)
			}
		case "latest":
			if have == "absent" || strings.HasSuffix(have, "(outdated)") {
				bad = append(bad, name)
			}
		default:
			if have != want {
				bad = append(bad, name)
			}
		}
	}
	return bad
}
