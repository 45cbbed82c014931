package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type commandArgs struct {
	Command  starlark.Value `star:"command" doc:"program and arguments as a list, or a text for the shell"`
	Creates  string         `star:"creates" default:"\"\"" doc:"path: where something is there already, the command is not run"`
	Unless   string         `star:"unless" default:"\"\"" doc:"shell command that changes nothing: where it succeeds, the command is not run"`
	OnlyIf   string         `star:"only_if" default:"\"\"" doc:"shell command that changes nothing: where it fails, the command is not run"`
	ReadOnly bool           `star:"read_only" default:"False" doc:"it changes nothing: it runs in a dry run too, and is never counted as a change"`
	Changes  []string       `star:"changes" default:"None" doc:"paths below which it changes something; anything on the machine, if not given"`
	Dir      string         `star:"dir" default:"\"\"" doc:"folder to run in"`
	Env      map[string]any `star:"env" default:"{}" doc:"environment variables; a secret's value goes over standard input, never into an argument list"`
	Stdin    builtin.Text   `star:"stdin" default:"None" doc:"what it reads"`
	Timeout  time.Duration  `star:"timeout" default:"0" doc:"how long it may take; 0: as long as it likes"`
	OKCodes  []any          `star:"ok_codes" default:"[0]" doc:"exit codes that mean success"`
}

var command = builtin.Method(builtin.Spec{
	Name: "command", Effect: builtin.Operation,
	Summary: "Runs a command. Nobody can tell afterwards whether it was run, so say by creates, unless or only_if when it is needed; without them it runs every time.",
	Returns: "result with stdout, stderr and code; in a dry run they are unknown, unless the command is read_only or not needed",
	Errors:  []string{"It ends with another code than ok_codes: the end of what it printed."},
	Example: "host.command([\"update-ca-certificates\"], unless = \"test -e /etc/ssl/certs/ours.pem\")\nkernel = host.command(\"uname -r\", read_only = True).stdout",
}, func(c *builtin.Call, h *Host, a commandArgs) (starlark.Value, error) {
	text, err := commandText(a.Command)
	if err != nil {
		return nil, err
	}
	return runCommand(c, h, "command", text, a)
})

type scriptArgs struct {
	Script   string        `star:"script" doc:"a POSIX shell script"`
	Creates  string        `star:"creates" default:"\"\"" doc:"path: where something is there already, the script is not run"`
	Unless   string        `star:"unless" default:"\"\"" doc:"shell command that changes nothing: where it succeeds, the script is not run"`
	ReadOnly bool          `star:"read_only" default:"False" doc:"it changes nothing"`
	Timeout  time.Duration `star:"timeout" default:"0" doc:"how long it may take; 0: as long as it likes"`
}

var script = builtin.Method(builtin.Spec{
	Name: "script", Effect: builtin.Operation,
	Summary: "Runs a shell script of several lines, as command does.",
	Returns: "result with stdout, stderr and code",
	Example: "host.script(\"set -e\\nmake\\nmake install\\n\", creates = \"/usr/local/bin/app\")",
}, func(c *builtin.Call, h *Host, a scriptArgs) (starlark.Value, error) {
	return runCommand(c, h, "script", a.Script, commandArgs{Creates: a.Creates, Unless: a.Unless, ReadOnly: a.ReadOnly,
		Timeout: a.Timeout, OKCodes: []any{int64(0)}})
})

func commandText(v starlark.Value) (string, error) {
	if s, ok := starlark.AsString(v); ok {
		return s, nil
	}
	list, ok := v.(starlark.Iterable)
	if !ok {
		return "", fmt.Errorf("command: got %s, want a list of strings or a string", v.Type())
	}
	var words []string
	for e := range starlark.Elements(list) {
		s, ok := starlark.AsString(e)
		if !ok {
			return "", fmt.Errorf("command: argument %d is a %s, want string; a secret goes into env or stdin", len(words), e.Type())
		}
		words = append(words, s)
	}
	return quote(words...), nil
}

func runCommand(c *builtin.Call, h *Host, kind, text string, a commandArgs) (starlark.Value, error) {
	o := &commandOp{h: h, task: c.Task, kind: kind, script: text, a: a}
	if a.ReadOnly {
		return o.readNow(c)
	}
	out, err := c.Task.Do(o)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{"stdout": "", "stderr": "", "code": 0}
	switch {
	case out.Change.Action == op.None:
	case c.Task.Run.Planning():
		for name := range fields {
			fields[name] = op.Unknown{From: out.Address, Attr: name}
		}
	case out.State.Attrs == nil: // a run that was cut off has done it, and nobody knows what it said
		for name := range fields {
			fields[name] = op.Unknown{From: out.Address, Attr: name, Lost: true}
		}
	default:
		maps.Copy(fields, out.State.Attrs)
	}
	return builtin.Result(out, fields), nil
}

// commandOp is a command: the one operation whose effect can't be read back.
type commandOp struct {
	h      *Host
	task   *runner.Task
	kind   string
	script string
	a      commandArgs
	result op.Attrs
}

func (o *commandOp) Address() op.Address { return o.h.address(o.kind, shorten(o.script)) }

// shorten is a command on one line, for people.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}

// Arguments tell this command from another at the same place.
func (o *commandOp) Arguments() op.Attrs {
	return op.Attrs{"script": o.script, "dir": o.a.Dir, "env": o.a.Env, "stdin": o.a.Stdin.Attr()}
}

// Result is what the command left behind.
func (o *commandOp) Result() op.Attrs { return o.result }

// Read asks the guards whether the command is needed. Attributes mean: it is not.
func (o *commandOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	if o.a.Creates != "" {
		p, err := clean(o.a.Creates)
		if err != nil {
			return op.State{}, fmt.Errorf("creates: %w", err)
		}
		node, err := o.h.node(ctx, v, p)
		if err != nil {
			return op.State{}, err
		}
		if node.Exists() {
			return op.State{Attrs: op.Attrs{"needed": false}, Maybe: node.Maybe}, nil
		}
		return op.State{Maybe: node.Maybe}, nil
	}
	cause := v.Touched(o.h.name) // a guard may look at anything, so at what an earlier step changes too
	for _, guard := range []struct {
		script  string
		skipsOn bool
	}{{o.a.Unless, true}, {o.a.OnlyIf, false}} {
		if guard.script == "" {
			continue
		}
		s, err := v.Read(ctx, o.h.key("guard", guard.script), func(ctx context.Context) (op.Attrs, error) {
			r, err := o.h.read(ctx, guard.script)
			if err != nil || r.Code != 0 {
				return nil, err
			}
			return op.Attrs{"succeeds": true}, nil
		})
		if err != nil {
			return op.State{}, err
		}
		if cause == nil {
			cause = s.Maybe
		}
		if _, missing := v.IsMissing(o.h.name); !missing && s.Exists() == guard.skipsOn {
			return op.State{Attrs: op.Attrs{"needed": false}, Maybe: cause}, nil
		}
	}
	return op.State{Maybe: cause}, nil
}

func (o *commandOp) Diff(current op.State) (op.Change, error) {
	if current.Exists() {
		return op.Change{Action: op.None}, nil
	}
	addr := o.Address()
	return op.Change{Action: op.Run, After: op.Attrs{
		"stdout": op.Unknown{From: addr, Attr: "stdout"}, "stderr": op.Unknown{From: addr, Attr: "stderr"},
		"code": op.Unknown{From: addr, Attr: "code"}}}, nil
}

func (o *commandOp) Predict(v *op.View, _ op.Change) {
	cause := op.Cause{Address: o.Address(), Why: "runs a command"}
	if len(o.a.Changes) == 0 {
		v.Mark(op.Key{Host: o.h.name}, cause, true)
	}
	for _, p := range o.a.Changes {
		v.Mark(o.h.key("fs", strings.TrimSuffix(p, "/**")), cause, true)
	}
	if o.a.Creates != "" {
		v.Appear(o.h.key("fs", o.a.Creates), op.Attrs{"type": "other"})
	}
}

func (o *commandOp) Apply(ctx context.Context, _ op.Change) error {
	r, err := o.run(ctx)
	o.result = op.Attrs{"stdout": string(r.Stdout), "stderr": string(r.Stderr), "code": r.Code}
	if err != nil {
		return err
	}
	if !slices.Contains(o.a.OKCodes, any(int64(r.Code))) {
		return &remote.ExitError{What: shorten(o.script), Result: r}
	}
	return nil
}

// run sends the script, with secrets of env in front of its standard input.
func (o *commandOp) run(ctx context.Context) (remote.Result, error) {
	conn, err := o.h.Conn(ctx)
	if err != nil {
		return remote.Result{}, err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(o.a.Env)) {
		v, err := bytesOf(o.a.Env[name])
		if err != nil {
			v = []byte(fmt.Sprint(o.a.Env[name]))
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(string(v)))
	}
	if o.a.Dir != "" {
		fmt.Fprintf(&b, "cd -- %s || exit 1\n", quote(o.a.Dir))
	}
	b.WriteString(o.script)
	cmd := remote.Command{Script: b.String(), ReadOnly: o.a.ReadOnly, Timeout: o.a.Timeout,
		Output: func(line string) { o.task.Progress(o.h.name, line) }}
	if text, ok := o.a.Stdin.Reveal(); ok {
		cmd.Stdin = []byte(text)
	}
	return conn.Run(ctx, cmd)
}

// readNow runs a read-only command, in a plan too; on a machine that is only planned, and after a step of
// the plan that changes the machine, its results are unknown.
func (o *commandOp) readNow(c *builtin.Call) (starlark.Value, error) {
	fields := map[string]any{}
	out := op.Outcome{Address: o.Address(), Change: op.Change{Action: op.None}}
	view := c.Task.Run.View
	if _, missing := view.IsMissing(o.h.name); missing || view.Touched(o.h.name) != nil {
		for _, name := range []string{"stdout", "stderr", "code"} {
			fields[name] = op.Unknown{From: out.Address, Attr: name}
		}
		return builtin.Result(out, fields), nil
	}
	r, err := o.run(c.Context())
	if err != nil {
		return nil, err
	}
	if !slices.Contains(o.a.OKCodes, any(int64(r.Code))) {
		return nil, &remote.ExitError{What: shorten(o.script), Result: r}
	}
	fields["stdout"], fields["stderr"], fields["code"] = string(r.Stdout), string(r.Stderr), r.Code
	return builtin.Result(out, fields), nil
}
