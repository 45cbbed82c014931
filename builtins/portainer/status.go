package portainer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/config"
	"phoenix-run/portainer"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

var serverStatus = builtin.Method(builtin.Spec{
	Name: "status", Effect: builtin.Reads,
	Example: "print(portainer.server(vm).status().version)",
	Summary: "What the configuration declares against what Portainer has, changing nothing: a row for each environment, and one for each stack that is declared or that phoenix-run deployed. A server that can't be reached is told in trouble.",
	Returns: "struct with version, trouble, and rows: environment, stack (\"\" for the environment itself), declared, deployed, containers, version, drift",
}, func(c *builtin.Call, v *Server, _ none) (starlark.Value, error) {
	report := map[string]any{"version": "", "trouble": "", "rows": []any{}}
	if err := v.status(c, report); err != nil {
		if c.Context().Err() != nil {
			return nil, err
		}
		report["trouble"] = err.Error()
	}
	return value.StructFromGo(report), nil
})

func (v *Server) status(c *builtin.Call, report map[string]any) error {
	ctx := c.Context()
	client, err := v.client(c)
	if err != nil {
		return err
	}
	now, err := client.Status(ctx)
	if err != nil {
		return err
	}
	report["version"] = now.Version
	all, err := v.inventory(ctx, c)
	if err != nil {
		return err
	}
	stacks, err := v.stacks(ctx, c)
	if err != nil {
		return err
	}
	rows := []any{}
	for _, vm := range v.s.options.Config.VMs {
		i := slices.IndexFunc(all.environments, func(e portainer.Environment) bool { return e.Name == vm.Name })
		if i < 0 && len(vm.DockerStacks) == 0 && !vm.IsPortainerServer() {
			continue
		}
		r := row(vm.Name, "", true)
		if i < 0 {
			r["deployed"] = "missing"
			rows = append(rows, r)
		} else {
			rows = append(rows, v.environmentRow(c, r, all.environments[i], now.Version))
		}
		for _, use := range vm.DockerStacks {
			if use.Name != config.PortainerStack {
				rows = append(rows, v.stackRow(c, vm.Name, use.Name, use.Environment, i >= 0))
			}
		}
		for _, s := range stacks {
			wanted := slices.ContainsFunc(vm.DockerStacks, func(u config.StackUse) bool { return portainer.NormalizeName(u.Name) == s.Name })
			if i >= 0 && s.Environment == all.environments[i].ID && own(s) && !wanted {
				r := row(vm.Name, s.Name, false)
				r["deployed"] = s.State.String()
				rows = append(rows, r)
			}
		}
	}
	for _, e := range all.environments {
		if _, declared := v.s.options.Config.VM(e.Name); !declared && all.own(e) {
			r := row(e.Name, "", false)
			r["deployed"], r["version"] = upText(e.Up), e.AgentVersion
			rows = append(rows, r)
		}
	}
	report["rows"] = rows
	return nil
}

func row(environment, stack string, declared bool) map[string]any {
	return map[string]any{"environment": environment, "stack": stack, "declared": declared, "deployed": "", "containers": "", "version": "", "drift": []any{}}
}

func upText(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func (v *Server) environmentRow(c *builtin.Call, r map[string]any, e portainer.Environment, version string) map[string]any {
	r["deployed"], r["version"] = "up", e.AgentVersion
	if e.Kind == portainer.LocalDocker {
		r["version"] = version
	}
	containers, err := v.allContainers(c.Context(), c, e)
	if err != nil {
		r["deployed"], r["drift"] = "down", []any{err.Error()}
		return r
	}
	r["containers"] = fmt.Sprint(len(containers))
	if e.AgentVersion != "" {
		if order, err := portainer.CompareVersions(e.AgentVersion, version); err == nil && order != 0 {
			r["drift"] = []any{"the agent is " + e.AgentVersion + ", the server " + version}
		}
	}
	return r
}

// stackRow compares a declared stack with what runs, as a sync would.
func (v *Server) stackRow(c *builtin.Call, machine, name, environment string, registered bool) map[string]any {
	r := row(machine, name, true)
	r["deployed"] = "missing"
	if !registered {
		return r
	}
	trouble := func(err error) map[string]any {
		r["deployed"], r["drift"] = "unknown", []any{err.Error()}
		return r
	}
	spec, err := configmod.Stack(c.Context(), v.s.options.Config, c.Task, name, environment)
	if err != nil {
		return trouble(err)
	}
	o, err := v.newStack(c, spec, machine)
	if err != nil {
		return trouble(err)
	}
	o.adopt = true // a difference is told, not refused
	state, err := o.Read(c.Context(), c.Task.Run.View)
	if err != nil {
		return trouble(err)
	}
	if !state.Exists() {
		return r
	}
	change, err := o.Diff(state)
	if err != nil {
		return trouble(err)
	}
	r["deployed"] = state.Attrs["state"]
	if change.Action != op.None {
		drift := []any{}
		for _, name := range change.Changed() {
			drift = append(drift, name)
		}
		r["drift"] = drift
	}
	return o.count(c.Context(), r, state)
}

// count adds how many of a stack's containers run, and their version: the commit, or the images' tags.
func (o *stackOp) count(ctx context.Context, r map[string]any, state op.State) map[string]any {
	env, _, _, err := o.v.environment(ctx, o.c, o.environment)
	if err != nil {
		return r
	}
	containers, err := o.v.containers(ctx, o.c, env, o.name())
	if err != nil {
		return r
	}
	up := 0
	var tags []string
	for _, one := range containers {
		if one.State == "running" && one.Health != "unhealthy" {
			up++
		}
		if _, tag, ok := strings.Cut(one.Image[strings.LastIndex(one.Image, "/")+1:], ":"); ok {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	r["containers"], r["version"] = fmt.Sprintf("%d/%d", up, len(containers)), strings.Join(slices.Compact(tags), " ")
	if commit, _ := state.Attrs["commit"].(string); commit != "" {
		r["version"] = commit[:min(len(commit), 10)]
	}
	return r
}
