package host

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type unitArgs struct {
	Name    string       `star:"name" doc:"the unit with its ending: \"app.service\", \"backup.timer\", or a drop-in of one: \"ssh.service.d/limits.conf\""`
	Content builtin.Text `star:"content" default:"None" doc:"the unit file"`
	Running *bool        `star:"running" default:"None" doc:"whether it is to run; a change of its file restarts it"`
	Enabled *bool        `star:"enabled" default:"None" doc:"whether it is to start at boot"`
	State   string       `star:"state" default:"\"present\"" doc:"present, or absent: it is stopped, disabled and removed"`
}

var systemdUnit = builtin.Method(builtin.Spec{
	Name: "systemd_unit", Effect: builtin.Operation, Returns: "result; changed is true if the file or the unit's state was changed",
	Summary: "A unit file below /etc/systemd/system, which systemd is told of, and whether the unit runs and starts at boot.",
	Errors:  []string{"It does not start: the end of its journal."},
	Example: "host.systemd_unit(\"app.service\", content = \"[Service]\\nExecStart=/usr/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n\", running = True, enabled = True)",
}, func(c *builtin.Call, h *Host, a unitArgs) (starlark.Value, error) {
	gone, err := isAbsent("systemd_unit", a.State)
	if err != nil {
		return nil, err
	}
	unit, dropIn, isDropIn := strings.Cut(a.Name, ".d/")
	if !unitName(unit) || isDropIn && (!fileName(dropIn) || !strings.HasSuffix(dropIn, ".conf")) {
		return nil, fmt.Errorf("systemd_unit: %q is no unit file: \"app.service\", or \"app.service.d/limits.conf\"", a.Name)
	}
	if gone != !a.Content.IsSet() {
		return nil, fmt.Errorf("systemd_unit: content goes with state \"present\", and only with it")
	}
	o := &fileOp{h: h, kind: "systemd_unit", id: a.Name, path: "/etc/systemd/system/" + a.Name, gone: gone,
		after: "[ ! -d /run/systemd/system ] || systemctl daemon-reload",
		want:  op.Attrs{"type": "file", "content": a.Content.Attr()}}
	if !isDropIn {
		o.predict = func(v *op.View, change op.Change) {
			switch change.Action {
			case op.Create:
				v.Appear(h.key("unit", unit), op.Attrs{"running": false, "enabled": false, "masked": false})
			case op.Delete:
				v.Put(h.key("unit", unit), op.Change{Action: op.Delete})
			}
		}
	}
	if gone {
		no := false
		outcomes := []op.Operation{o}
		if !isDropIn {
			outcomes = []op.Operation{&serviceOp{h: h, a: serviceArgs{Name: unit, Running: &no, Enabled: &no}}, o}
		}
		return doAll(c, outcomes...)
	}
	if isDropIn {
		if _, err := c.Do(&directoryOp{h: h, path: "/etc/systemd/system/" + unit + ".d", want: op.Attrs{"type": "directory"}}); err != nil {
			return nil, err
		}
	}
	out, err := c.Task.Do(o)
	if err != nil || a.Running == nil && a.Enabled == nil {
		return builtin.Result(out, nil), err
	}
	s := serviceArgs{Name: unit, Running: a.Running, Enabled: a.Enabled}
	if a.Running != nil && *a.Running {
		changed, maybe := out.Changed()
		s.Restarted = builtin.Flag{Set: true, Value: changed}
		if maybe {
			s.Restarted.Unknown = &op.Unknown{From: out.Address, Attr: "changed"}
		}
	}
	state, err := c.Task.Do(&serviceOp{h: h, a: s})
	return joined(out, state), err
})

var unitEndings = []string{".service", ".timer", ".socket", ".mount", ".automount", ".path", ".target", ".slice", ".swap"}

func unitName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsAny(s, "/ \t\n\x00'\"") &&
		slices.ContainsFunc(unitEndings, func(e string) bool { return strings.HasSuffix(s, e) && len(s) > len(e) })
}

// doAll carries out operations one after the other; the result is that of all of them.
func doAll(c *builtin.Call, operations ...op.Operation) (starlark.Value, error) {
	var outcomes []op.Outcome
	for _, o := range operations {
		out, err := c.Task.Do(o)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, out)
	}
	return joined(outcomes...), nil
}

// joined is the result of several operations: changed if one of them is, with the last one's address.
func joined(outcomes ...op.Outcome) starlark.Value {
	sum := outcomes[len(outcomes)-1]
	sum.Change = op.Change{Action: op.None}
	for _, o := range outcomes {
		if changed, maybe := o.Changed(); changed && !maybe {
			sum.Change = op.Change{Action: op.Update}
			break
		} else if maybe {
			sum.Change = op.Change{Action: op.Update, Open: true}
		}
	}
	return builtin.Result(sum, nil)
}
