package proxmox

import (
	"fmt"

	"go.starlark.net/starlark"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/config"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

// VM is a machine as playbooks see it.
type VM struct {
	s       *Session
	vm      config.VM
	spec    *configmod.Spec
	changed starlark.Value
}

func newVM(s *Session, vm config.VM, out op.Outcome) (*VM, error) {
	spec, err := configmod.NewSpec(vm)
	if err != nil {
		return nil, err
	}
	changed, _ := out.Changed()
	return &VM{s: s, vm: vm, spec: spec, changed: starlark.Bool(changed)}, nil
}

func (v *VM) String() string        { return fmt.Sprintf("vm(%d %s)", v.vm.ID, v.vm.Name) }
func (v *VM) Type() string          { return "vm" }
func (v *VM) Freeze()               {}
func (v *VM) Truth() starlark.Bool  { return true }
func (v *VM) Hash() (uint32, error) { return starlark.MakeInt(v.vm.ID).Hash() }

// Attr gives a method or a field.
func (v *VM) Attr(name string) (starlark.Value, error) {
	switch name {
	case "id":
		return starlark.MakeInt(v.vm.ID), nil
	case "name":
		return starlark.String(v.vm.Name), nil
	case "spec":
		return v.spec, nil
	case "changed":
		return v.changed, nil
	}
	return VMType.Attr(v, name), nil
}

// AttrNames lists methods and fields.
func (v *VM) AttrNames() []string { return VMType.AttrNames() }

// Config gives what the configuration says of the machine.
func (v *VM) Config() config.VM { return v.vm }

// VMType declares the methods of vm objects.
var VMType *builtin.Type

func init() { // the methods name types that name VMType again
	VMType = builtin.NewType("vm", "A virtual machine in Proxmox.", []builtin.Param{
		{Name: "id", Type: "int", Doc: "its number"},
		{Name: "name", Type: "string", Doc: "its name"},
		{Name: "spec", Type: "vm_spec", Doc: "what the configuration says of it"},
		{Name: "changed", Type: "bool", Doc: "whether proxmox.vm has, or would have, changed it"},
	}, vmStart, vmStop, vmReboot, vmWaitForAgent, vmWaitForCloudInit, vmAddress, vmHost, vmSnapshot, vmRollback, vmMakeTemplate)
}

// address names an operation on the machine.
func (v *VM) address(kind string) op.Address {
	return op.Address{Host: v.vm.Name, Kind: kind, ID: fmt.Sprint(v.vm.ID)}
}

// missing reports whether the machine can't be worked in yet, since it is only planned.
func (v *VM) missing(t *runner.Task) (op.Cause, bool) { return t.Run.View.IsMissing(v.vm.Name) }
