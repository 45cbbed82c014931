package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type rebootArgs struct {
	Needed     builtin.Flag  `star:"needed" default:"True" doc:"whether to: the changed of what it depends on"`
	IfRequired bool          `star:"if_required" default:"False" doc:"only where the distribution says that a reboot is due (/run/reboot-required)"`
	Timeout    time.Duration `star:"timeout" default:"600" doc:"how long the machine may take to be back"`
}

var reboot = builtin.Method(builtin.Spec{
	Name: "reboot", Effect: builtin.Operation, Returns: "result",
	Summary: "Reboots the machine, waits until it is back under a new boot id, and until what starts at boot has started. A run that is resumed does not do it again.",
	Errors:  []string{"It is not back in time: the last thing that was seen."},
	Example: "host.package([\"linux-image-amd64\"])\nhost.reboot(if_required = True)",
}, func(c *builtin.Call, h *Host, a rebootArgs) (starlark.Value, error) {
	return c.Do(&rebootOp{h: h, task: c.Task, a: a})
})

type rebootOp struct {
	h    *Host
	task *runner.Task
	a    rebootArgs
	boot string
}

func (o *rebootOp) Address() op.Address { return o.h.address("reboot", "system") }

// Arguments are none: two reboots differ by their place.
func (o *rebootOp) Arguments() op.Attrs { return op.Attrs{} }

const bootID = "cat /proc/sys/kernel/random/boot_id"

func (o *rebootOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.h.key("boot", ""), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, bootID+" && { [ ! -e /run/reboot-required ] || echo due; }")
		if err != nil {
			return nil, err
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "asking for the boot id", Result: r}
		}
		id, due, _ := strings.Cut(string(r.Stdout), "\n")
		o.boot = id
		return op.Attrs{"due": due != ""}, nil
	})
}

func (o *rebootOp) Diff(current op.State) (op.Change, error) {
	switch {
	case o.a.Needed.Unknown == nil && o.a.Needed.Set && !o.a.Needed.Value,
		o.a.IfRequired && current.Exists() && current.Attrs["due"] != true && current.Maybe == nil:
		return op.Change{Action: op.None}, nil
	}
	return op.Change{Action: op.Run, After: op.Attrs{}, Open: o.a.Needed.Unknown != nil || o.a.IfRequired && !current.Exists()}, nil
}

func (o *rebootOp) Predict(v *op.View, _ op.Change) {
	if !v.Planning() { // all that was remembered may be different now
		v.Mark(op.Key{Host: o.h.name}, op.Cause{Address: o.Address(), Why: "reboots"}, true)
		return
	}
	v.Put(o.h.key("boot", ""), op.Change{Action: op.Update, After: op.Attrs{"due": false}})
}

// rebootScript returns before the machine goes down, so that its answer arrives.
const rebootScript = `if [ -d /run/systemd/system ]; then r='systemctl reboot'; else r=reboot; fi
command -v ${r%% *} >/dev/null || { echo "there is no ${r%% *}" >&2; exit 1; }
nohup sh -c "sleep 1; exec $r" >/dev/null 2>&1 </dev/null &`

func (o *rebootOp) Apply(ctx context.Context, _ op.Change) error {
	if _, err := o.h.must(ctx, "rebooting", rebootScript, nil); err != nil {
		return err
	}
	o.task.Begin(o.h.name, o.Address().String(), "rebooting")
	ctx, cancel := context.WithTimeoutCause(ctx, o.a.Timeout, fmt.Errorf("not back within %s", o.a.Timeout))
	defer cancel()
	var last error
	for pause := 200 * time.Millisecond; ; pause = min(pause*2, 3*time.Second) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
		var back bool
		if back, last = o.isBack(ctx); back {
			return nil
		}
	}
}

// isBack asks the machine whether it has booted anew. A connection that was there is given up.
func (o *rebootOp) isBack(ctx context.Context) (bool, error) {
	try, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := o.h.read(try, bootID)
	if err != nil {
		return false, errors.Join(err, o.h.Close()) // dialled again at the next look
	}
	if r.Code != 0 || strings.TrimSpace(string(r.Stdout)) == o.boot {
		return false, fmt.Errorf("it has not gone down yet")
	}
	// What fails to start is for whoever needs it to say; how long that takes is not known.
	_, err = o.h.read(ctx, "[ ! -d /run/systemd/system ] || systemctl is-system-running --wait >/dev/null || :")
	return err == nil, err
}
