package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/config"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/value"
)

type noArgs struct{}

type vmsArgs struct {
	All bool `star:"all" default:"False" doc:"whatever --limit says"`
}

type vmArgs struct {
	VM starlark.Value `star:"vm" doc:"id or name of the machine"`
}

// Module makes the module config for what was read from cfg. limit is the pattern of --limit.
func Module(cfg *config.Config, limit string) builtin.Module {
	return builtin.Module{
		Name: "config",
		Doc:  "What the three configuration files say.",
		Funcs: []*builtin.Builtin{
			builtin.Func(builtin.Spec{
				Name: "vms", Effect: builtin.Pure,
				Summary: "All configured virtual machines that --limit leaves, those that others depend on first.",
				Returns: "list of vm_spec",
				Example: "for vm in config.vms():\n    print(vm.name, vm.memory_mb)",
			}, func(_ *builtin.Call, a vmsArgs) (starlark.Value, error) {
				if a.All {
					return specs(cfg.VMs)
				}
				vms, err := cfg.Select(limit)
				if err != nil {
					return nil, err
				}
				return specs(vms)
			}),
			builtin.Func(builtin.Spec{
				Name: "vm", Effect: builtin.Pure,
				Summary: "One configured virtual machine, whatever --limit says.",
				Returns: "vm_spec",
				Errors:  []string{"No such machine: the names that there are, and the nearest."},
				Example: "print(config.vm(1001).name)",
			}, func(_ *builtin.Call, a vmArgs) (starlark.Value, error) {
				vm, err := Find(cfg, a.VM)
				if err != nil {
					return nil, err
				}
				return NewSpec(vm)
			}),
			stackBuiltin(cfg),
			builtin.Func(builtin.Spec{
				Name: "stacks", Effect: builtin.Pure,
				Summary: "The names of the Docker stacks in the catalogue, sorted.",
				Example: "print(config.stacks())",
				Returns: "list of string",
			}, func(_ *builtin.Call, _ noArgs) (starlark.Value, error) {
				names := slices.Sorted(maps.Keys(cfg.Stacks))
				return value.FromGo(names), nil
			}),
			builtin.Func(builtin.Spec{
				Name: "settings", Effect: builtin.Pure,
				Summary: "The settings of your own in phoenix_hypervisor_config.json, for playbooks and features to read.",
				Example: "print(config.settings().get(\"owner\", \"nobody\"))",
				Returns: "dict",
			}, func(_ *builtin.Call, _ noArgs) (starlark.Value, error) {
				if cfg.Hypervisor.Settings == nil {
					return starlark.NewDict(0), nil
				}
				return value.FromGo(cfg.Hypervisor.Settings), nil
			}),
		},
	}
}

func specs(vms []config.VM) (starlark.Value, error) {
	list := make([]starlark.Value, len(vms))
	for i, vm := range vms {
		spec, err := NewSpec(vm)
		if err != nil {
			return nil, err
		}
		list[i] = spec
	}
	return starlark.NewList(list), nil
}

// Find gives the configured VM that a playbook means by an id, a name or a vm_spec.
func Find(cfg *config.Config, v starlark.Value) (config.VM, error) {
	if err := value.Known(v); err != nil {
		return config.VM{}, err
	}
	if spec, ok := v.(*Spec); ok {
		return spec.VM, nil
	}
	wanted := v.String()
	if s, ok := starlark.AsString(v); ok {
		wanted = s
	}
	var names []string
	for _, vm := range cfg.VMs {
		if vm.Name == wanted || fmt.Sprint(vm.ID) == wanted {
			return vm, nil
		}
		names = append(names, vm.Name)
	}
	text := fmt.Sprintf("no virtual machine %q in phoenix_vm_configs.json", wanted)
	if near := lang.Nearest(wanted, names); near != "" {
		text += fmt.Sprintf("; did you mean %s?", near)
	}
	return config.VM{}, fmt.Errorf("%s (there are: %s)", text, describe(cfg.VMs))
}

// describe names the machines, the first dozen of them.
func describe(vms []config.VM) string {
	const most = 12
	var out []string
	for i, vm := range vms {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(vms)-most))
			break
		}
		out = append(out, fmt.Sprintf("%d %s", vm.ID, vm.Name))
	}
	return strings.Join(out, ", ")
}
