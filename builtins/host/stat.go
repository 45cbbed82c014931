package host

import (
	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

type statArgs struct {
	Path string `star:"path" doc:"absolute path; a link is not followed"`
}

var stat = builtin.Method(builtin.Spec{
	Name: "stat", Effect: builtin.Reads,
	Summary: "What is at a path. In a dry run that is what earlier steps will have made of it.",
	Returns: "struct with exists, type (file, directory, link or other), mode, owner, group and target (of a link), None where there is none; unknown where only an apply can tell",
	Example: "if host.stat(\"/etc/motd\").exists:\n    print(host.stat(\"/etc/motd\").owner)",
}, func(c *builtin.Call, h *Host, a statArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	s, err := h.node(c.Context(), c.Task.Run.View, p)
	if err != nil {
		return nil, err
	}
	if s.Maybe != nil {
		return value.NewUnknown(s.Maybe.Address, "what is at "+p), nil
	}
	fields := map[string]any{"exists": s.Exists()}
	for _, name := range []string{"type", "mode", "owner", "group", "target"} {
		fields[name] = s.Attrs[name]
	}
	return value.StructFromGo(fields), nil
})
