package host

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type localeArgs struct {
	Name    string `star:"name" doc:"the locale, such as \"de_CH.UTF-8\" or \"C.UTF-8\""`
	Default bool   `star:"default" default:"True" doc:"whether it is the machine's own (LANG)"`
}

var localeSetting = builtin.Method(builtin.Spec{
	Name: "locale", Effect: builtin.Operation, Returns: "result",
	Summary: "A locale that programs can use, and the one that they use if nothing else is said.",
	Errors:  []string{"There is no such locale, or no locale-gen: install the package locales."},
	Example: "host.locale(\"C.UTF-8\")",
}, func(c *builtin.Call, h *Host, a localeArgs) (starlark.Value, error) {
	if a.Name == "" || strings.IndexFunc(a.Name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.@-", r))
	}) >= 0 || a.Name[0] == '-' {
		return nil, fmt.Errorf("locale: %q is no locale", a.Name)
	}
	return c.Do(localeOp(h, a.Name, a.Default))
})

// localeFile finds where the machine keeps LANG.
const localeFile = `if [ -e /etc/debian_version ]; then f=/etc/default/locale; else f=/etc/locale.conf; fi
`

func localeOp(h *Host, name string, byDefault bool) *thingOp {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "") }
	return &thingOp{h: h, addr: h.address("locale", name),
		tell: localeFile + `printf 'lang=%s\n' "$(sed -n 's/^LANG="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$f" 2>/dev/null)"; locale -a`,
		parse: func(out string) (op.Attrs, error) {
			first, rest, _ := strings.Cut(out, "\n")
			a := op.Attrs{"lang": strings.TrimPrefix(first, "lang="), name: "absent"}
			for line := range strings.Lines(rest) {
				if fold(strings.TrimSpace(line)) == fold(name) {
					a[name] = "generated"
				}
			}
			return a, nil
		},
		want: func(op.State) (op.Attrs, error) {
			want := op.Attrs{name: "generated"}
			if byDefault {
				want["lang"] = name
			}
			return want, nil
		},
		apply: func(change op.Change) (string, []byte) {
			script := installFunction + localeFile
			if change.Before[name] != "generated" {
				charset := "ISO-8859-1"
				if _, c, ok := strings.Cut(name, "."); ok {
					charset, _, _ = strings.Cut(c, "@")
				}
				line := name + " " + charset
				script += `command -v locale-gen >/dev/null || { echo 'there is no locale-gen: install the package locales' >&2; exit 1; }
grep -qxF -- ` + quote(line) + ` /usr/share/i18n/SUPPORTED || { echo ` + quote("no locale "+line) + ` >&2; exit 1; }
grep -qxF -- ` + quote(line) + ` /etc/locale.gen || { cat /etc/locale.gen; printf '%s\n' ` + quote(line) + `; } | install /etc/locale.gen 0644
locale-gen >&2 || exit 1
`
			}
			if byDefault {
				script += `{ grep -v '^LANG=' "$f" 2>/dev/null; printf 'LANG=%s\n' ` + quote(name) + `; } | install "$f" 0644`
			}
			return script, nil
		},
	}
}
