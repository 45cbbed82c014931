package host

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

// settingOp is one value of the machine that a script reads and another sets.
type settingOp struct {
	h          *Host
	kind, id   string
	want       string
	readScript string // prints the value; nothing if there is none
	apply      string
	normal     func(string) string
}

func (o *settingOp) Address() op.Address { return o.h.address(o.kind, o.id) }
func (o *settingOp) key() op.Key         { return o.h.key(o.kind, o.id) }

func (o *settingOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, o.readScript)
		if err != nil {
			return nil, err
		}
		return op.Attrs{"value": o.normalized(string(r.Stdout))}, nil
	})
	if err == nil && !s.Exists() { // a machine that nobody can look at yet has some value
		s.Attrs = op.Attrs{"value": "(as the image has it)"}
	}
	return s, err
}

func (o *settingOp) normalized(s string) string {
	s = strings.TrimSpace(s)
	if o.normal != nil {
		return o.normal(s)
	}
	return s
}

func (o *settingOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"value": o.normalized(o.want)}), nil
}

func (o *settingOp) Predict(v *op.View, change op.Change) { v.Put(o.key(), change) }

func (o *settingOp) Apply(ctx context.Context, _ op.Change) error {
	_, err := o.h.must(ctx, o.kind+" "+o.id, o.apply, nil)
	return err
}

type sysctlArgs struct {
	Name  string         `star:"name" doc:"the parameter, as in \"vm.swappiness\""`
	Value starlark.Value `star:"value" doc:"what it is to be"`
}

var sysctl = builtin.Method(builtin.Spec{
	Name: "sysctl", Effect: builtin.Operation, Returns: "result",
	Summary: "A kernel parameter, now and after each boot (/etc/sysctl.d/90-phoenix-NAME.conf).",
	Example: "host.sysctl(\"vm.swappiness\", 10)",
}, func(c *builtin.Call, h *Host, a sysctlArgs) (starlark.Value, error) {
	text := a.Value.String()
	if s, ok := starlark.AsString(a.Value); ok {
		text = s
	}
	name := quote(a.Name)
	file := "/etc/sysctl.d/90-phoenix-" + a.Name + ".conf"
	// Both the running value and the file count: the value alone would be gone after a boot.
	kept := "sed -n 's/^[^=]*= *//p' " + quote(file) + " 2>/dev/null"
	return c.Do(&settingOp{h: h, kind: "sysctl", id: a.Name, want: text, normal: spaces,
		readScript: "v=$(sysctl -n " + name + " | tr -s '[:space:]' ' '); k=$(" + kept + " | tr -s '[:space:]' ' ')\n" +
			`[ "${v% }" = "${k% }" ] && echo "$v" || echo "$v (until the next boot)"`,
		apply: fmt.Sprintf("printf '%%s = %%s\\n' %s %s > %s && sysctl -q -w %s", name, quote(text), quote(file), quote(a.Name+"="+text))})
})

// spaces brings runs of blanks to one: the kernel separates the parts of a value with tabs.
func spaces(s string) string { return strings.Join(strings.Fields(s), " ") }

type nameArgs struct {
	Name string `star:"name" doc:"the name"`
}

var timezone = builtin.Method(builtin.Spec{
	Name: "timezone", Effect: builtin.Operation, Returns: "result",
	Summary: "The machine's time zone, such as Europe/Zurich.",
	Errors:  []string{"No such zone: is tzdata installed?"},
	Example: "host.timezone(\"Europe/Zurich\")",
}, func(c *builtin.Call, h *Host, a nameArgs) (starlark.Value, error) {
	zone := quote("/usr/share/zoneinfo/" + a.Name)
	return c.Do(&settingOp{h: h, kind: "timezone", id: "system", want: a.Name,
		readScript: `readlink -f /etc/localtime | sed 's|^.*/zoneinfo/||'`,
		apply: "[ -e " + zone + " ] || { echo " + quote("no time zone "+a.Name) + " >&2; exit 1; }\n" +
			"ln -sfn " + zone + " /etc/localtime && printf '%s\\n' " + quote(a.Name) + " > /etc/timezone"})
})

var hostname = builtin.Method(builtin.Spec{
	Name: "hostname", Effect: builtin.Operation, Returns: "result",
	Summary: "The machine's host name, now and after each boot.",
	Example: "host.hostname(\"qdrant-db\")",
}, func(c *builtin.Call, h *Host, a nameArgs) (starlark.Value, error) {
	return c.Do(&settingOp{h: h, kind: "hostname", id: "system", want: a.Name,
		readScript: `[ "$(uname -n)" = "$(cat /etc/hostname)" ] && uname -n || :`, apply: hostnameScript + quote(a.Name)})
})

// hostnameScript sets the name that is its next word. Where systemd does not run, nobody answers hostnamectl.
const hostnameScript = `name() {
	if [ -d /run/systemd/system ]; then hostnamectl set-hostname "$1"; else printf '%s\n' "$1" > /etc/hostname && hostname "$1"; fi
}
name `
