package proxmox

import (
	"fmt"

	"go.starlark.net/starlark"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type vmArgs struct {
	Spec     starlark.Value `star:"spec" doc:"what the configuration says of the machine: config.vm(…), its id or its name"`
	MoveDisk bool           `star:"move_disk" default:"False" doc:"whether the boot disk is moved where boot_disk_storage has changed"`
}

type specArgs struct {
	Spec starlark.Value `star:"spec" doc:"config.vm(…), or the machine's id or name"`
}

type destroyArgs struct {
	Spec    starlark.Value `star:"spec" doc:"config.vm(…), or the machine's id or name"`
	Confirm string         `star:"confirm" default:"\"\"" doc:"the machine's name; asked for if it is not given"`
}

// Module makes the module proxmox.
func (s *Session) Module() builtin.Module {
	return builtin.Module{
		Name: "proxmox",
		Doc:  "Virtual machines in Proxmox VE.",
		Funcs: append([]*builtin.Builtin{
			builtin.Func(builtin.Spec{
				Name: "vm", Effect: builtin.Operation, Returns: "vm",
				Summary: "Makes the machine as configured. One that is not there is cloned from its template, or made from its cloud image; one that is there is compared key by key and changed where it differs. The MAC address stays. A disk is grown and never shrunk. What takes effect only after a restart is told as pending, or restarted where the machine's restart allows it.",
				Errors: []string{
					"No template of that name, and no cloud_image.",
					"The disk would have to become smaller.",
					"Proxmox refuses: its own message, with the privilege that is missing.",
				},
				Example: "vm = proxmox.vm(config.vm(1001))\nvm.start()",
			}, func(c *builtin.Call, a vmArgs) (starlark.Value, error) {
				vm, err := configmod.Find(s.options.Config, a.Spec)
				if err != nil {
					return nil, err
				}
				o := &machineOp{s: s, task: c.Task, vm: vm, moveDisk: a.MoveDisk}
				out, err := c.Task.Do(o)
				if err != nil {
					return nil, err
				}
				o.warnOfStorage(out.State.Attrs)
				if err := s.takeEffect(c.Task, vm); err != nil {
					return nil, err
				}
				return newVM(s, vm, out)
			}),
			builtin.Func(builtin.Spec{
				Name: "find", Effect: builtin.Reads, Returns: "vm",
				Summary: "A machine that is there already, as it is.",
				Example: "vm = proxmox.find(1002)\nprint(vm.name)",
				Errors:  []string{"It does not exist: phoenix-run create makes it."},
			}, func(c *builtin.Call, a specArgs) (starlark.Value, error) {
				vm, err := configmod.Find(s.options.Config, a.Spec)
				if err != nil {
					return nil, err
				}
				if _, planned := c.Task.Run.View.IsMissing(vm.Name); !planned {
					if _, _, err := s.locate(c.Context(), c.Task, vm); err != nil {
						return nil, err
					}
				}
				return newVM(s, vm, op.Outcome{Change: op.Change{Action: op.None}})
			}),
			builtin.Func(builtin.Spec{
				Name: "destroy", Effect: builtin.Operation, Returns: "result",
				Summary: "Destroys a machine, its disks and its snapshots. Its name must be given; a protected machine is refused.",
				Example: "proxmox.destroy(1002, confirm = \"qdrant-db\")",
			}, func(c *builtin.Call, a destroyArgs) (starlark.Value, error) {
				vm, err := configmod.Find(s.options.Config, a.Spec)
				if err != nil {
					return nil, err
				}
				if err := s.confirm(c, vm, a.Confirm, fmt.Sprintf("destroy it, with its disk on %s, its snapshots and all data in it", vm.BootDiskStorage)); err != nil {
					return nil, err
				}
				return c.Do(&destroyOp{s: s, task: c.Task, vm: vm})
			}),
			builtin.Func(builtin.Spec{
				Name: "status", Effect: builtin.Reads,
				Summary: "What a machine is now, beside what is declared.",
				Example: "now = proxmox.status(config.vm(1001))\nprint(now.state, [d.key for d in now.drift], now.pending)",
				Returns: "struct with id, name, state, node, address, agent, uptime, drift (a list of structs with key, declared and actual) and pending (what waits for a restart)",
			}, s.status),
			builtin.Func(builtin.Spec{
				Name: "doctor", Effect: builtin.Reads,
				Summary: "Looks at everything that a run needs: connection, certificate, token, privileges, nodes, templates, storages, bridges, SSH key.",
				Example: "for finding in proxmox.doctor():\n    print(finding[\"check\"], finding[\"ok\"])",
				Returns: "list of dicts with check, ok, detail and mend",
			}, s.doctor),
		}, s.templateBuiltins()...),
	}
}
