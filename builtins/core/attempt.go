package core

import (
	"errors"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

type attemptArgs struct {
	Fn starlark.Callable `star:"fn" doc:"called without arguments"`
}

// Attempt is the builtin of that name: what other languages have try for.
var Attempt = builtin.Func(builtin.Spec{
	Name: "attempt", Effect: builtin.Reads,
	Summary: "Calls fn and gives what became of it, instead of failing with it. A cancelled run, and a value that only an apply can know, still end it.",
	Returns: "struct with ok, value (None if it failed) and error (the text, None if it succeeded)",
	Example: "r = attempt(lambda: host.command([\"true\"]))\nif not r.ok:\n    print(r.error)",
}, func(c *builtin.Call, a attemptArgs) (starlark.Value, error) {
	v, err := starlark.Call(c.Thread, a.Fn, nil, nil)
	var unknown *value.UnknownError
	if err != nil && (c.Context().Err() != nil || errors.As(err, &unknown) || errors.Is(err, runner.ErrStopped)) {
		return nil, err
	}
	fields := starlark.StringDict{"ok": starlark.Bool(err == nil), "value": starlark.None, "error": starlark.None}
	if err != nil {
		fields["error"] = starlark.String(err.Error())
	} else {
		fields["value"] = v
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, fields), nil
})
