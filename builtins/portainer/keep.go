package portainer

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"phoenix-run/builtins/config"
	"phoenix-run/builtins/host"
	"phoenix-run/portainer"
	"phoenix-run/remote"
	"phoenix-run/remote/shell"
)

// keeper keeps, on a stack's machine, what the stack needs beside Portainer: its files, and during an
// update what ran before it. The latter is what a run that was cut off between a failed update and its
// repair leaves for the next: the server itself forgets the old variables. It is root's alone, like the
// containers' environments on the same machine, and goes as soon as the stack runs.
type keeper struct {
	machine *host.Host // nil: nothing is kept
	stack   string     // its name in the configuration
	dirs    []string   // of the files that it mounts now, below its folder
}

func (o *stackOp) keeper() keeper {
	k := keeper{machine: o.v.s.machine(o.c, o.environment), stack: o.spec.Name}
	for _, f := range o.spec.Files {
		dir, _, _ := strings.Cut(strings.TrimPrefix(f.Path, config.StackDir(k.stack)+"/"), "/")
		k.dirs = append(k.dirs, dir)
	}
	return k
}

func (k keeper) note() string { return config.StackDir(k.stack) + ".last-working.json" }

// lastWorking gives what is to be put back if the update fails: what runs now, which is noted first, or
// where that does not work, what an earlier run has noted and could not put back. nil: there is nothing.
func (k keeper) lastWorking(ctx context.Context, client *portainer.Client, now portainer.Stack) (*portainer.Working, error) {
	text, err := client.StackFile(ctx, now.ID)
	if err != nil {
		return nil, err
	}
	if !client.Works(ctx, now, text) {
		return k.noted(ctx)
	}
	back := &portainer.Working{Stack: now, Text: text}
	if k.machine == nil {
		return back, nil
	}
	note, err := json.Marshal(back)
	if err != nil {
		return nil, err
	}
	script := fmt.Sprintf("umask 077\nmkdir -p -- %s && cat > %[2]s.new && mv -f -- %[2]s.new %[2]s", shell.Quote(path.Dir(k.note())), shell.Quote(k.note()))
	return back, k.run(ctx, "keeping what runs now", script, note)
}

// noted reads what an earlier run has left.
func (k keeper) noted(ctx context.Context) (*portainer.Working, error) {
	if k.machine == nil {
		return nil, nil
	}
	conn, err := k.machine.Conn(ctx)
	if err != nil {
		return nil, err
	}
	const what = "looking for what ran last"
	r, err := conn.Run(ctx, remote.Command{Script: "f=" + shell.Quote(k.note()) + "\nif [ -e \"$f\" ]; then cat -- \"$f\"; fi", ReadOnly: true})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	case r.Code != 0:
		return nil, &remote.ExitError{What: what, Result: r}
	case len(r.Stdout) == 0:
		return nil, nil
	}
	var back portainer.Working
	if err := json.Unmarshal(r.Stdout, &back); err != nil {
		return nil, fmt.Errorf("%s: %s on %s: %w; remove it", what, k.note(), k.machine.Name(), err)
	}
	return &back, nil
}

// forget drops the note.
func (k keeper) forget(ctx context.Context) error {
	return k.run(ctx, "forgetting what ran last", "rm -f -- "+shell.Quote(k.note()), nil)
}

// tidy drops the note, and files that the stack, which runs, does not mount any more.
func (k keeper) tidy(ctx context.Context) error {
	script := "rm -f -- " + shell.Quote(k.note()) + "\ncd -- " + shell.Quote(config.StackDir(k.stack)) + " 2>/dev/null || exit 0\nfor f in *; do\n\tcase $f in\n"
	for _, dir := range slices.Compact(slices.Sorted(slices.Values(k.dirs))) {
		script += "\t" + shell.Quote(dir) + ") ;;\n"
	}
	return k.run(ctx, "removing old files of stack "+k.stack, script+"\t*) rm -rf -- \"./$f\" ;;\n\tesac\ndone", nil)
}

// remove drops everything.
func (k keeper) remove(ctx context.Context) error {
	return k.run(ctx, "removing the files of stack "+k.stack, "rm -rf -- "+shell.Quote(config.StackDir(k.stack))+" "+shell.Quote(k.note()), nil)
}

func (k keeper) run(ctx context.Context, what, script string, stdin []byte) error {
	if k.machine == nil {
		return nil
	}
	conn, err := k.machine.Conn(ctx)
	if err != nil {
		return err
	}
	r, err := conn.Run(ctx, remote.Command{Script: script, Stdin: stdin})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if r.Code != 0 {
		return &remote.ExitError{What: what, Result: r}
	}
	return nil
}
