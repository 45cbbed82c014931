package host

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type sudoersArgs struct {
	Name    string `star:"name" doc:"the file below /etc/sudoers.d; without dot and tilde, since sudo passes those over"`
	Content string `star:"content" default:"\"\"" doc:"the rules"`
	State   string `star:"state" default:"\"present\"" doc:"present or absent"`
}

var sudoers = builtin.Method(builtin.Spec{
	Name: "sudoers", Effect: builtin.Operation, Returns: "result",
	Summary: "Rules for sudo in a file of their own, checked by visudo before they take effect.",
	Errors:  []string{"visudo refuses the rules: its own message; nothing was changed.", "There is no /etc/sudoers.d: sudo is not installed."},
	Example: "host.sudoers(\"deploy\", \"deploy ALL=(ALL) NOPASSWD: ALL\\n\")",
}, func(c *builtin.Call, h *Host, a sudoersArgs) (starlark.Value, error) {
	if !fileName(a.Name) || strings.Contains(a.Name, ".") {
		return nil, fmt.Errorf("sudoers: %q is no name that sudo reads: letters, digits, _ and -", a.Name)
	}
	gone, err := isAbsent("sudoers", a.State)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(a.Content, "\n") {
		a.Content += "\n"
	}
	return c.Do(&fileOp{h: h, kind: "sudoers", id: a.Name, path: "/etc/sudoers.d/" + a.Name, gone: gone, validate: "visudo -cqf %s",
		want: op.Attrs{"type": "file", "content": a.Content, "mode": "0440", "owner": "root", "group": "root"}})
})

// fileName accepts names that are one plain file's, and no option.
func fileName(s string) bool {
	return s != "" && s[0] != '-' && s[0] != '.' && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r))
	}) < 0
}

// isAbsent reads a state that is present or absent.
func isAbsent(name, state string) (bool, error) {
	if state != "present" && state != "absent" {
		return false, fmt.Errorf("%s: state: %q is neither present nor absent", name, state)
	}
	return state == "absent", nil
}
