package host

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type cronArgs struct {
	Name     string         `star:"name" doc:"the file below /etc/cron.d; letters, digits, _ and -, since cron passes others over"`
	Command  string         `star:"command" default:"\"\"" doc:"what is run, by /bin/sh; a % is a plain one"`
	Schedule string         `star:"schedule" default:"\"@daily\"" doc:"minute, hour, day, month and weekday, as in \"30 3 * * 1\", or @hourly, @daily, @weekly, @monthly, @yearly, @reboot"`
	User     string         `star:"user" default:"\"root\"" doc:"whose rights it has"`
	Env      map[string]any `star:"env" default:"{}" doc:"variables, such as PATH and MAILTO"`
	State    string         `star:"state" default:"\"present\"" doc:"present or absent"`
}

var cron = builtin.Method(builtin.Spec{
	Name: "cron", Effect: builtin.Operation, Returns: "result",
	Summary: "A command that cron runs at set times, in a file of its own below /etc/cron.d.",
	Errors:  []string{"There is no /etc/cron.d: cron is not installed.", "The schedule is none."},
	Example: "host.directory(\"/etc/cron.d\")\nhost.cron(\"backup\", \"/usr/local/bin/backup\", schedule = \"30 3 * * *\")",
}, func(c *builtin.Call, h *Host, a cronArgs) (starlark.Value, error) {
	gone, err := isAbsent("cron", a.State)
	if err != nil {
		return nil, err
	}
	content := ""
	if !gone {
		if content, err = cronText(a); err != nil {
			return nil, fmt.Errorf("cron: %w", err)
		}
	}
	if !fileName(a.Name) || strings.Contains(a.Name, ".") {
		return nil, fmt.Errorf("cron: %q is no name that cron reads: letters, digits, _ and -", a.Name)
	}
	return c.Do(&fileOp{h: h, kind: "cron", id: a.Name, path: "/etc/cron.d/" + a.Name, gone: gone,
		want: op.Attrs{"type": "file", "content": content, "mode": "0644", "owner": "root", "group": "root"}})
})

func cronText(a cronArgs) (string, error) {
	fields := strings.Fields(a.Schedule)
	switch {
	case len(fields) == 1 && slices.Contains([]string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@reboot"}, fields[0]):
	case len(fields) == 5 && !strings.ContainsFunc(a.Schedule, func(r rune) bool {
		return !strings.ContainsRune("0123456789*/,- abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", r)
	}):
	default:
		return "", fmt.Errorf("schedule: %q is none: five fields as in \"30 3 * * 1\", or @daily and the like", a.Schedule)
	}
	if a.Command == "" || strings.ContainsAny(a.Command, "\n\x00") {
		return "", fmt.Errorf("command: it must be one line")
	}
	if !accountName(a.User) {
		return "", fmt.Errorf("user: %q is no user name", a.User)
	}
	var b strings.Builder
	b.WriteString("# Kept by phoenix-run.\n")
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		v, ok := a.Env[name].(string)
		if !ok || strings.Contains(v, "\n") {
			return "", fmt.Errorf("env: %s: want a string of one line", name)
		}
		fmt.Fprintf(&b, "%s=%q\n", name, v)
	}
	// An unescaped % would be a newline to cron.
	fmt.Fprintf(&b, "%s %s %s\n", strings.Join(fields, " "), a.User, strings.ReplaceAll(a.Command, "%", `\%`))
	return b.String(), nil
}
