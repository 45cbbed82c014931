package proxmox

import (
	"time"

	"go.starlark.net/starlark"

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
	row := map[string]any{"id": vm.ID, "name": vm.Name, "state": "absent", "node": "", "address": "", "agent": "", "uptime": "", "drift": []any{}, "pending": []any{}}
	found, ok, err := s.find(c.Context(), c.Task, vm.ID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return value.StructFromGo(row), nil
	}
	row["state"], row["node"] = found.Status, found.Node
	if found.Status == "unknown" {
		return value.StructFromGo(row), nil // its node is offline
	}
	client, err := s.pve(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	settings, err := client.Settings(c.Context(), found.Node, vm.ID)
	if err != nil {
		return nil, err
	}
	row["pending"] = op.Normal(pendingOf(settings))
	if row["drift"], err = s.drift(vm, settings.Config); err != nil {
		return nil, err
	}
	if found.Status == "running" {
		row["uptime"] = (time.Duration(found.Uptime) * time.Second).String()
		row["agent"] = "silent"
		if interfaces, err := client.Agent(found.Node, vm.ID).Interfaces(c.Context()); err == nil {
			row["agent"], row["address"] = "ok", pickAddress(interfaces)
		}
	}
	return value.StructFromGo(row), nil
}

// drift lists the keys in which a machine is not as declared.
func (s *Session) drift(vm config.VM, settings pve.Config) ([]any, error) {
	want, err := s.desired(vm)
	if err != nil {
		return nil, err
	}
	have := actual(settings)
	change := op.Compare(op.State{Attrs: have}, want)
	drift := []any{}
	if change.Action == op.None {
		return drift, nil
	}
	for _, key := range change.Changed() {
		drift = append(drift, map[string]any{"key": key, "declared": want[key], "actual": have[key]})
	}
	return drift, nil
}
