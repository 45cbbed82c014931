package proxmox

import (
	"context"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
)

type none struct{}

type stopArgs struct {
	Timeout time.Duration `star:"timeout" default:"180" doc:"how long the guest may take"`
	Hard    bool          `star:"hard" default:"False" doc:"pull the plug at the timeout, instead of failing"`
}

type timeoutArgs struct {
	Timeout time.Duration `star:"timeout" default:"300" doc:"how long to wait"`
}

var vmStart = builtin.Method(builtin.Spec{
	Name: "start", Effect: builtin.Operation, Returns: "result",
	Summary: "Starts the machine if it does not run.",
	Example: "vm.start()",
}, func(c *builtin.Call, v *VM, _ none) (starlark.Value, error) {
	return c.Do(&powerOp{s: v.s, task: c.Task, vm: v.vm, want: "running"})
})

var vmStop = builtin.Method(builtin.Spec{
	Name: "stop", Effect: builtin.Operation, Returns: "result",
	Summary: "Shuts the machine down through the guest.",
	Example: "vm.stop(timeout = \"1m\", hard = True)",
	Errors:  []string{"The guest has not powered off in time: try hard = True."},
}, func(c *builtin.Call, v *VM, a stopArgs) (starlark.Value, error) {
	return c.Do(&powerOp{s: v.s, task: c.Task, vm: v.vm, want: "stopped", timeout: a.Timeout, hard: a.Hard})
})

var vmReboot = builtin.Method(builtin.Spec{
	Name: "reboot", Effect: builtin.Operation, Returns: "result",
	Summary: "Shuts the machine down and starts it again through Proxmox, so that pending changes take effect.",
	Example: "vm.reboot(timeout = \"5m\")\nvm.wait_for_agent()",
}, func(c *builtin.Call, v *VM, a stopArgs) (starlark.Value, error) {
	return c.Do(&rebootOp{s: v.s, task: c.Task, vm: v.vm, timeout: a.Timeout})
})

var vmWaitForAgent = builtin.Method(builtin.Spec{
	Name: "wait_for_agent", Effect: builtin.Reads,
	Summary: "Waits until the guest agent answers. In a dry run, a machine that does not run yet is not waited for.",
	Example: "vm.start()\nvm.wait_for_agent(timeout = \"5m\")",
	Errors:  []string{"It does not answer in time: is qemu-guest-agent in the template?"},
}, func(c *builtin.Call, v *VM, a timeoutArgs) (starlark.Value, error) {
	if _, missing := v.missing(c.Task); missing {
		return starlark.None, nil
	}
	return starlark.None, c.Task.Wait(v.address("agent"), "waiting for the guest agent", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, a.Timeout, timedOut(a.Timeout))
		defer cancel()
		client, node, err := v.s.locate(ctx, c.Task, v.vm)
		if err != nil {
			return err
		}
		cards, err := client.Agent(node, v.vm.ID).WaitReady(ctx, func(line string) { c.Task.Progress(v.vm.Name, line) })
		v.s.mu.Lock()
		defer v.s.mu.Unlock()
		v.s.cards[v.vm.ID] = cards
		return err
	})
})

var vmWaitForCloudInit = builtin.Method(builtin.Spec{
	Name: "wait_for_cloud_init", Effect: builtin.Reads,
	Summary: "Waits until cloud-init has done its work in the guest. Its errors are errors here, its warnings are warnings. A guest without cloud-init is not waited for.",
	Example: "vm.wait_for_cloud_init()",
	Errors:  []string{"cloud-init failed: its own message and the end of its log.", "It is not done in time."},
}, func(c *builtin.Call, v *VM, a timeoutArgs) (starlark.Value, error) {
	if _, missing := v.missing(c.Task); missing {
		return starlark.None, nil
	}
	return starlark.None, c.Task.Wait(v.address("cloud-init"), "waiting for cloud-init", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, a.Timeout, timedOut(a.Timeout))
		defer cancel()
		return v.waitForCloudInit(ctx, c.Task)
	})
})

var vmAddress = builtin.Method(builtin.Spec{
	Name: "address", Effect: builtin.Reads,
	Summary: "The machine's IP address: the configured one, or what the guest agent tells.",
	Example: "print(\"http://\" + vm.address() + \":8080\")",
	Returns: "string; in a dry run unknown for a machine that gets it by DHCP when it is made",
}, func(c *builtin.Call, v *VM, _ none) (starlark.Value, error) { return v.addressValue(c) })

var vmHost = builtin.Method(builtin.Spec{
	Name: "host", Effect: builtin.Pure,
	Summary: "The machine as a host to work on: over SSH or the guest agent, as its transport says. It is connected when it is first needed.",
	Example: "vm.host().file(\"/etc/motd\", content = \"welcome\\n\")",
	Returns: "host",
}, func(c *builtin.Call, v *VM, _ none) (starlark.Value, error) { return v.s.host(c.Task, v), nil })

type snapshotArgs struct {
	Name        string `star:"name" doc:"letters, digits, - and _"`
	Description string `star:"description" default:"\"\"" doc:"for people"`
}

var vmSnapshot = builtin.Method(builtin.Spec{
	Name: "snapshot", Effect: builtin.Operation, Returns: "result",
	Summary: "Keeps the machine's disks as they are, under a name, unless that snapshot is there already.",
	Example: "vm.snapshot(\"before-upgrade\", description = \"as it ran on Monday\")",
}, func(c *builtin.Call, v *VM, a snapshotArgs) (starlark.Value, error) {
	return c.Do(&snapshotOp{s: v.s, task: c.Task, vm: v.vm, name: a.Name, description: a.Description})
})

type rollbackArgs struct {
	Name    string `star:"name" doc:"which snapshot"`
	Confirm string `star:"confirm" default:"\"\"" doc:"the machine's name: what was written since the snapshot is lost"`
}

var vmRollback = builtin.Method(builtin.Spec{
	Name: "rollback", Effect: builtin.Operation, Returns: "result",
	Summary: "Brings the machine's disks back to a snapshot.",
	Example: "vm.snapshot(\"before-upgrade\")\nvm.rollback(\"before-upgrade\", confirm = vm.name)",
	Errors:  []string{"No such snapshot.", "The machine's name was not given."},
}, func(c *builtin.Call, v *VM, a rollbackArgs) (starlark.Value, error) {
	if err := v.s.confirm(c, v.vm, a.Confirm, "bring it back to the snapshot "+a.Name+"; what was written since is lost"); err != nil {
		return nil, err
	}
	return c.Do(&rollbackOp{s: v.s, task: c.Task, vm: v.vm, name: a.Name})
})
