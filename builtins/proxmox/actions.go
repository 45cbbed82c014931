package proxmox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"phoenix-run/config"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

// rebootOp restarts a machine; it has no state that would tell afterwards.
type rebootOp struct {
	s       *Session
	task    *runner.Task
	vm      config.VM
	timeout time.Duration
}

func (o *rebootOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "reboot", ID: fmt.Sprint(o.vm.ID)}
}
func (o *rebootOp) Arguments() op.Attrs { return op.Attrs{"vm": o.vm.ID} }
func (o *rebootOp) Read(context.Context, *op.View) (op.State, error) {
	return op.State{}, nil
}
func (o *rebootOp) Diff(op.State) (op.Change, error) {
	return op.Change{Action: op.Run, After: op.Attrs{"rebooted": true}}, nil
}
func (o *rebootOp) Predict(v *op.View, _ op.Change) {
	v.Mark(op.Key{Host: o.vm.Name}, op.Cause{Address: o.Address(), Why: "restarts the machine"}, false)
}
func (o *rebootOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	o.s.boots(o.vm.ID)
	return client.Reboot(ctx, node, o.vm.ID, o.timeout, o.s.progress(o.task, o.vm.Name))
}

func snapshotCell(id int, name string) op.Key {
	return op.Key{Host: "proxmox", Space: "snapshot", ID: fmt.Sprintf("%d %s", id, name)}
}

// snapshotOp keeps a machine's disks under a name.
type snapshotOp struct {
	s                 *Session
	task              *runner.Task
	vm                config.VM
	name, description string
}

func (o *snapshotOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "snapshot", ID: o.name}
}

func (o *snapshotOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, snapshotCell(o.vm.ID, o.name), func(ctx context.Context) (op.Attrs, error) {
		client, node, err := o.s.locate(ctx, o.task, o.vm)
		if err != nil {
			return nil, err
		}
		names, err := client.Snapshots(ctx, node, o.vm.ID)
		if err != nil || !slices.Contains(names, o.name) {
			return nil, err
		}
		return op.Attrs{"name": o.name}, nil
	})
}

func (o *snapshotOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"name": o.name}), nil
}

func (o *snapshotOp) Predict(v *op.View, change op.Change) {
	v.Put(snapshotCell(o.vm.ID, o.name), change)
}

func (o *snapshotOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	return client.Snapshot(ctx, node, o.vm.ID, o.name, o.description, o.s.progress(o.task, o.vm.Name))
}

// rollbackOp brings a machine back to a snapshot: everything in it may be different afterwards.
type rollbackOp struct {
	s    *Session
	task *runner.Task
	vm   config.VM
	name string
}

func (o *rollbackOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "rollback", ID: o.name}
}
func (o *rollbackOp) Arguments() op.Attrs { return op.Attrs{"vm": o.vm.ID, "snapshot": o.name} }

func (o *rollbackOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s := &snapshotOp{s: o.s, task: o.task, vm: o.vm, name: o.name}
	state, err := s.Read(ctx, v)
	if err == nil && !state.Exists() {
		err = fmt.Errorf("VM %d has no snapshot %s", o.vm.ID, o.name)
	}
	return state, err
}

func (o *rollbackOp) Diff(op.State) (op.Change, error) {
	return op.Change{Action: op.Run, After: op.Attrs{"snapshot": o.name}}, nil
}

func (o *rollbackOp) Predict(v *op.View, _ op.Change) {
	v.Mark(op.Key{Host: o.vm.Name}, op.Cause{Address: o.Address(), Why: "brings everything back to the snapshot"}, true)
}

func (o *rollbackOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	o.s.boots(o.vm.ID)
	return client.Rollback(ctx, node, o.vm.ID, o.name, o.s.progress(o.task, o.vm.Name))
}

// destroyOp removes a machine and its disks.
type destroyOp struct {
	s    *Session
	task *runner.Task
	vm   config.VM
}

func (o *destroyOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "vm", ID: fmt.Sprint(o.vm.ID)}
}

func (o *destroyOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return (&machineOp{s: o.s, task: o.task, vm: o.vm}).Read(ctx, v)
}

func (o *destroyOp) Diff(current op.State) (op.Change, error) {
	if current.Exists() {
		if current.Attrs["name"] != o.vm.Name {
			return op.Change{}, fmt.Errorf("VM %d is called %v in Proxmox, not %s, so it is not destroyed", o.vm.ID, current.Attrs["name"], o.vm.Name)
		}
		if current.Attrs["protected"] == true {
			return op.Change{}, fmt.Errorf("VM %d (%s) is protected: set protected to false and apply that first", o.vm.ID, o.vm.Name)
		}
	}
	return op.Removal(current), nil
}

func (o *destroyOp) Predict(v *op.View, change op.Change) {
	v.Put(cell(o.vm.ID), change)
	v.Missing(o.vm.Name, op.Cause{Address: o.Address(), Why: "destroys the machine"})
}

func (o *destroyOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	progress := o.s.progress(o.task, o.vm.Name)
	status, err := client.Status(ctx, node, o.vm.ID)
	if err != nil {
		return err
	}
	if status.Status == "running" {
		if err := client.Stop(ctx, node, o.vm.ID, progress); err != nil {
			return err
		}
	}
	return client.Destroy(ctx, node, o.vm.ID, progress)
}

// confirm has the machine's name given before something is lost for good; a dry run needs none.
func (s *Session) confirm(c *builtin.Call, vm config.VM, given, what string) error {
	if s.options.Planning || given == vm.Name {
		return nil
	}
	if given != "" {
		return fmt.Errorf("--confirm says %q, the machine is called %s: nothing was done", given, vm.Name)
	}
	if s.options.Confirm == nil {
		return fmt.Errorf("this would %s: give --confirm %s", what, vm.Name)
	}
	return s.options.Confirm(fmt.Sprintf("VM %d (%s): %s. Type its name to go on:", vm.ID, vm.Name, what), vm.Name)
}
