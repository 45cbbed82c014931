package proxmox

import (
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

// status compares a machine with what is declared, changing nothing.
func (s *Session) status(c *builtin.Call, a specArgs) (starlark.Value, error) {
	vm, err := configmod.Find(s.options.Config, a.Spec)
	if err != nil {
		return nil, err
	}
	row := map[string]any{"id": vm.ID, "name": vm.Name, "state": "absent", "node": "", "address": "", "agent": "", "uptime": "", "pending": []any{}}
	found, ok, err := s.find(c.Context(), c.Task, vm.ID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return shown(row, nil), nil
	}
	row["state"], row["node"] = found.Status, found.Node
	if found.Status == "unknown" {
		return shown(row, nil), nil // its node is offline
	}
	client, err := s.pve(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	settings, err := client.Settings(c.Context(), found.Node, vm.ID)
	if err != nil {
		return nil, err
	}
	row["pending"] = pendingOf(settings)
	drift, err := s.drift(vm, settings.Config)
	if err != nil {
		return nil, err
	}
	if found.Status == "running" {
		row["uptime"] = (time.Duration(found.Uptime) * time.Second).String()
		row["agent"] = "silent"
		if interfaces, err := client.Agent(found.Node, vm.ID).Interfaces(c.Context()); err == nil {
			row["agent"], row["address"] = "ok", pickAddress(interfaces)
		}
	}
	return shown(row, drift), nil
}

// shown makes the row that playbooks see.
func shown(row map[string]any, drift []starlark.Value) starlark.Value {
	fields := starlark.StringDict{"drift": starlark.NewList(drift)}
	for name, v := range row {
		fields[name] = value.FromGo(v)
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, fields)
}

// drift lists the keys in which a machine is not as declared.
func (s *Session) drift(vm config.VM, settings pve.Config) ([]starlark.Value, error) {
	want, err := s.desired(vm)
	if err != nil {
		return nil, err
	}
	have := actual(settings)
	change := op.Compare(op.State{Attrs: have}, want)
	if change.Action == op.None {
		return nil, nil
	}
	var drift []starlark.Value
	for _, key := range change.Changed() {
		drift = append(drift, value.StructFromGo(map[string]any{"key": key, "declared": want[key], "actual": have[key]}))
	}
	return drift, nil
}
