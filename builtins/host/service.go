package host

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type serviceArgs struct {
	Name      string       `star:"name" doc:"the unit; .service may be left out"`
	Running   *bool        `star:"running" default:"None" doc:"whether it is to run; as it is, if not given"`
	Enabled   *bool        `star:"enabled" default:"None" doc:"whether it is to start at boot; as it is, if not given"`
	Restarted builtin.Flag `star:"restarted" default:"False" doc:"restart it now: the changed of what it depends on"`
	Reloaded  builtin.Flag `star:"reloaded" default:"False" doc:"reload it now, or restart it if it can't"`
	Masked    *bool        `star:"masked" default:"None" doc:"whether it may not be started at all"`
}

var service = builtin.Method(builtin.Spec{
	Name: "service", Effect: builtin.Operation, Returns: "result",
	Summary: "A systemd service: whether it runs, starts at boot, and is restarted now.",
	Errors:  []string{"No such unit.", "It does not start: the end of its journal."},
	Example: "host.service(\"docker\", running = True, enabled = True)",
}, func(c *builtin.Call, h *Host, a serviceArgs) (starlark.Value, error) {
	if !strings.Contains(a.Name, ".") {
		a.Name += ".service"
	}
	if strings.HasPrefix(a.Name, "-") {
		return nil, fmt.Errorf("service: %q is no unit", a.Name)
	}
	return c.Do(&serviceOp{h: h, a: a})
})

type serviceOp struct {
	h *Host
	a serviceArgs
}

func (o *serviceOp) Address() op.Address {
	return o.h.address("service", strings.TrimSuffix(o.a.Name, ".service"))
}

func (o *serviceOp) key() op.Key { return o.h.key("unit", o.a.Name) }

func (o *serviceOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, "systemctl show -p LoadState -p ActiveState -p UnitFileState -- "+quote(o.a.Name))
		if err != nil {
			return nil, err
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "asking systemd about " + o.a.Name, Result: r}
		}
		return parseUnit(string(r.Stdout)), nil
	})
	if err != nil || s.Exists() || s.Maybe == nil {
		return s, err
	}
	// The unit may come with a package that an earlier step installs. Debian's packages enable and
	// start what they bring (Debian Policy 9.3.3), so that is what will be found.
	cause := v.Reach(o.key())
	fresh := cause != nil && cause.Address.Kind == "package"
	if cause == nil {
		cause = s.Maybe
	}
	return op.State{Attrs: op.Attrs{"running": fresh, "enabled": fresh, "masked": false}, Maybe: cause}, nil
}

func parseUnit(out string) op.Attrs {
	p := map[string]string{}
	for line := range strings.Lines(out) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[k] = v
	}
	if p["LoadState"] == "not-found" || p["LoadState"] == "" {
		return nil
	}
	active := p["ActiveState"]
	return op.Attrs{
		"running": active == "active" || active == "reloading" || active == "activating",
		"enabled": strings.HasPrefix(p["UnitFileState"], "enabled") || p["UnitFileState"] == "static" || p["UnitFileState"] == "alias" || p["UnitFileState"] == "generated" || p["UnitFileState"] == "indirect",
		"masked":  p["LoadState"] == "masked",
	}
}

func (o *serviceOp) Diff(current op.State) (op.Change, error) {
	if !current.Exists() {
		if o.a.Running != nil && !*o.a.Running && (o.a.Enabled == nil || !*o.a.Enabled) {
			return op.Change{Action: op.None}, nil // what is not there does not run
		}
		return op.Change{}, fmt.Errorf("there is no unit %s: is the package that brings it installed?", o.a.Name)
	}
	want := op.Attrs{}
	for name, v := range map[string]*bool{"running": o.a.Running, "enabled": o.a.Enabled, "masked": o.a.Masked} {
		if v != nil {
			want[name] = *v
		}
	}
	change := op.Compare(current, want)
	var notes []string
	for _, trigger := range []struct {
		word string
		flag builtin.Flag
	}{{"restart", o.a.Restarted}, {"reload", o.a.Reloaded}} {
		switch {
		case trigger.flag.Unknown != nil:
			change.Open = change.Action == op.None
			notes = append(notes, trigger.word+" if needed")
		case trigger.flag.Value && (current.Attrs["running"] == true || current.Maybe != nil):
			// Of a unit that nobody could look at yet, it is taken that it runs.
			notes = append(notes, trigger.word)
		}
	}
	if len(notes) > 0 {
		if change.Action == op.None {
			change.Action = op.Update
		}
		change.Note = strings.Join(notes, ", ")
	}
	return change, nil
}

func (o *serviceOp) Predict(v *op.View, change op.Change) { v.Put(o.key(), change) }

func (o *serviceOp) Apply(ctx context.Context, change op.Change) error {
	unit := quote(o.a.Name)
	var b strings.Builder
	step := func(verb string) { fmt.Fprintf(&b, "systemctl %s -- %s || exit 1\n", verb, unit) }
	differs := func(name string, to bool) bool {
		return change.After[name] == to && change.Before[name] != to
	}
	b.WriteString("systemctl daemon-reload\n") // unit files may be newer than what systemd knows
	if differs("masked", false) {
		step("unmask")
	}
	if differs("enabled", true) {
		step("enable")
	} else if differs("enabled", false) {
		step("disable")
	}
	switch {
	case differs("running", true):
		step("start")
	case differs("running", false):
		step("stop")
	case strings.Contains(change.Note, "restart"):
		step("restart")
	case strings.Contains(change.Note, "reload"):
		step("reload-or-restart")
	}
	if differs("masked", true) {
		step("mask")
	}
	_, err := o.h.must(ctx, "systemctl on "+o.a.Name, b.String(), nil)
	if err != nil {
		return o.withJournal(ctx, err)
	}
	return nil
}

// withJournal adds what the unit itself had to say.
func (o *serviceOp) withJournal(ctx context.Context, err error) error {
	r, readErr := o.h.read(ctx, "journalctl -n 8 --no-pager -o cat -u "+quote(o.a.Name))
	if readErr != nil || len(r.Stdout) == 0 {
		return err
	}
	return fmt.Errorf("%w\n  the end of its journal:\n  %s", err, strings.ReplaceAll(strings.TrimSpace(string(r.Stdout)), "\n", "\n  "))
}
