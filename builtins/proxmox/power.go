package proxmox

import (
	"context"
	"fmt"
	"time"

	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/op"
)

func powerCell(id int) op.Key {
	return op.Key{Host: "proxmox", Space: "power", ID: fmt.Sprint(id)}
}

// powerOp brings a machine to a power state.
type powerOp struct {
	s       *Session
	task    *runner.Task
	vm      config.VM
	want    string // running, stopped
	timeout time.Duration
	hard    bool

	seen bool // the state was read from Proxmox, not predicted by an earlier step
}

func (o *powerOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "power", ID: fmt.Sprint(o.vm.ID)}
}

func (o *powerOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, powerCell(o.vm.ID), func(ctx context.Context) (op.Attrs, error) {
		client, node, err := o.s.locate(ctx, o.task, o.vm)
		if err != nil {
			return nil, err
		}
		o.seen = true
		status, err := client.Status(ctx, node, o.vm.ID)
		if err != nil {
			return nil, err
		}
		return op.Attrs{"power": status.Status}, nil
	})
}

func (o *powerOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"power": o.want}), nil
}

func (o *powerOp) Predict(v *op.View, change op.Change) {
	v.Put(powerCell(o.vm.ID), change)
	if _, missing := v.IsMissing(o.vm.Name); missing {
		return
	}
	cause := op.Cause{Address: o.Address(), Why: "changes whether the machine runs"}
	if o.seen && o.want == "running" {
		v.Off(o.vm.Name, cause)
		return
	}
	v.Mark(op.Key{Host: o.vm.Name}, cause, false) // it runs now, and so can be looked at
}

func (o *powerOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	progress := o.s.progress(o.task, o.vm.Name)
	o.s.boots(o.vm.ID)
	if o.want == "running" {
		return client.Start(ctx, node, o.vm.ID, progress)
	}
	return client.Shutdown(ctx, node, o.vm.ID, o.timeout, o.hard, progress)
}

// locate finds the machine's node, wherever it is now.
func (s *Session) locate(ctx context.Context, task *runner.Task, vm config.VM) (*pve.Client, string, error) {
	client, err := s.pve(ctx, task)
	if err != nil {
		return nil, "", err
	}
	found, ok, err := s.find(ctx, task, vm.ID)
	if err != nil {
		return nil, "", err
	}
	if !ok {
		return nil, "", fmt.Errorf("VM %d (%s) does not exist; make it with: phoenix-run create %d", vm.ID, vm.Name, vm.ID)
	}
	return client, found.Node, nil
}
