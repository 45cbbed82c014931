package host

import (
	"context"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

type noArgs struct{}

const factsScript = `. /etc/os-release
printf '%s\n' "os=$ID" "version=$VERSION_ID" "codename=$VERSION_CODENAME" "kernel=$(uname -r)" "machine=$(uname -m)" "hostname=$(uname -n)" "cpus=$(nproc)"
sed -n 's/^MemTotal: *\([0-9]*\) kB/memory_kb=\1/p' /proc/meminfo`

// architectures are Debian's names for what the kernel calls its machine.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "riscv64": "riscv64"}

var facts = builtin.Method(builtin.Spec{
	Name: "facts", Effect: builtin.Reads,
	Summary: "What the machine is: os, version, codename, arch, kernel, hostname, cpus, memory_mb. Read once.",
	Returns: "struct; in a dry run unknown for a machine that is not there yet",
	Example: "if host.facts().os == \"ubuntu\":\n    print(host.facts().codename)",
}, func(c *builtin.Call, h *Host, _ noArgs) (starlark.Value, error) {
	view := c.Task.Run.View
	if _, missing := view.IsMissing(h.name); missing {
		return value.NewUnknown(h.address("facts", "system"), "facts"), nil
	}
	fields, err := op.Remember(c.Context(), view, op.Key{Host: h.name + " facts", Space: "facts"}, func(ctx context.Context) (map[string]any, error) {
		r, err := h.read(ctx, factsScript)
		if err != nil {
			return nil, err
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "reading the machine's facts", Result: r}
		}
		return parseFacts(string(r.Stdout)), nil
	})
	if err != nil {
		return nil, err
	}
	return value.StructFromGo(fields), nil
})

func parseFacts(out string) map[string]any {
	f := map[string]any{}
	for line := range strings.Lines(out) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		n, err := strconv.Atoi(v)
		switch {
		case k == "memory_kb" && err == nil:
			f["memory_mb"] = n / 1024
		case k == "cpus" && err == nil:
			f["cpus"] = n
		case k == "machine":
			f["arch"] = v
			if a, ok := architectures[v]; ok {
				f["arch"] = a
			}
		case k != "":
			f[k] = v
		}
	}
	return f
}
