package host

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type moduleArgs struct {
	Name    string  `star:"name" doc:"the module"`
	Options *string `star:"options" default:"None" doc:"its parameters, as in \"nested=1\", in /etc/modprobe.d; they count when it is loaded the next time. As they are, if not given"`
	State   string  `star:"state" default:"\"present\"" doc:"present: loaded now and at boot; absent: neither"`
}

var kernelModule = builtin.Method(builtin.Spec{
	Name: "kernel_module", Effect: builtin.Operation, Returns: "result",
	Summary: "A kernel module, loaded now and at each boot (/etc/modules-load.d/phoenix-NAME.conf). One that is built into the kernel counts as loaded.",
	Errors:  []string{"There is no such module for the running kernel: modprobe's own message."},
	Example: "host.kernel_module(\"br_netfilter\")",
}, func(c *builtin.Call, h *Host, a moduleArgs) (starlark.Value, error) {
	gone, err := isAbsent("kernel_module", a.State)
	if err != nil {
		return nil, err
	}
	if !fileName(a.Name) {
		return nil, fmt.Errorf("kernel_module: %q is no module's name", a.Name)
	}
	if a.Options != nil && strings.ContainsAny(*a.Options, "\n\x00") {
		return nil, fmt.Errorf("kernel_module: options: they hold a newline")
	}
	return c.Do(moduleOp(h, a, gone))
})

func moduleOp(h *Host, a moduleArgs, gone bool) *thingOp {
	intro := fmt.Sprintf("m=%s l=/etc/modules-load.d/phoenix-%[1]s.conf o=/etc/modprobe.d/phoenix-%[1]s.conf\n", quote(a.Name)) +
		`r=$(uname -r) u=$(printf %s "$m" | tr - _)
loaded() { [ -d "/sys/module/$u" ] || sed 's|.*/||; s|\.ko$||; s|-|_|g' "/lib/modules/$r/modules.builtin" 2>/dev/null | grep -qxF -- "$u"; }
`
	return &thingOp{h: h, addr: h.address("kernel_module", a.Name),
		needs: []op.Key{h.key("fs", "/lib/modules")},
		tell: intro + `if loaded; then n=yes; else n=no; fi
if [ -e "$l" ]; then b=yes; else b=no; fi
[ $n$b = nono ] && [ ! -e "$o" ] && exit 0
printf '%s\n' loaded=$n at_boot=$b "options=$(sed -n 's/^options [^ ]* //p' "$o" 2>/dev/null)"`,
		want: func(current op.State) (op.Attrs, error) {
			if gone {
				return nil, nil
			}
			want := op.Attrs{"loaded": true, "at_boot": true}
			if a.Options != nil {
				want["options"] = *a.Options
			} else if !current.Exists() {
				want["options"] = ""
			}
			return want, nil
		},
		apply: func(change op.Change) (string, []byte) {
			if change.Action == op.Delete {
				return intro + `rm -f -- "$l" "$o" && { [ ! -d "/sys/module/$u" ] || modprobe -r -- "$m"; }`, nil
			}
			script := installFunction + intro
			if options, _ := change.After["options"].(string); options != "" {
				script += `printf 'options %s %s\n' "$m" ` + quote(options) + ` | install "$o" 0644` + "\n"
			} else if a.Options != nil {
				script += `rm -f -- "$o"` + "\n"
			}
			return script + `loaded || modprobe -- "$m" || exit 1
printf '%s\n' "$m" | install "$l" 0644`, nil
		},
	}
}
