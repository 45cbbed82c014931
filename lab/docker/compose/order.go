package compose

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"phoenix-run/lab/docker/api"
)

// await waits until a service's containers meet a condition of depends_on.
func (d *deployment) await(ctx context.Context, service, condition string) error {
	if condition != types.ServiceConditionHealthy && condition != types.ServiceConditionCompletedSuccessfully {
		return nil // the order of starting is all that is asked
	}
	limit := d.o.HealthTimeout
	if limit == 0 {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		list, err := d.c.Containers(ctx, true, api.Filters{"label": {labelProject + "=" + d.p.Name, labelService + "=" + service}})
		if err != nil {
			return err
		}
		met := len(list) > 0
		for _, c := range list {
			v, err := d.c.Container(ctx, c.ID)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(v.Name, "/")
			switch s := v.State; condition {
			case types.ServiceConditionCompletedSuccessfully:
				if s.Status == "exited" && s.ExitCode != 0 {
					return fmt.Errorf("service %q didn't complete successfully: exit %d", service, s.ExitCode)
				}
				met = met && s.Status == "exited"
			case types.ServiceConditionHealthy:
				switch {
				case s.Health != nil && s.Health.Status == "unhealthy":
					return fmt.Errorf("dependency failed to start: container %s is unhealthy", name)
				case s.Status == "exited":
					return fmt.Errorf("dependency failed to start: container %s exited (%d)", name, s.ExitCode)
				}
				met = met && s.Running && (s.Health == nil || s.Health.Status == "healthy")
			}
		}
		if met {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("service %s: %w", service, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// startOrder lists services with what they depend on first.
func startOrder(p *types.Project) ([]string, error) {
	var order []string
	state := map[string]int{}
	var visit func(name string, trail []string) error
	visit = func(name string, trail []string) error {
		switch state[name] {
		case 1:
			return fmt.Errorf("dependency cycle detected: %s", strings.Join(append(trail, name), " -> "))
		case 2:
			return nil
		}
		state[name] = 1
		deps := p.Services[name].GetDependencies()
		slices.Sort(deps)
		for _, dep := range deps {
			if _, enabled := p.Services[dep]; enabled {
				if err := visit(dep, append(trail, name)); err != nil {
					return err
				}
			}
		}
		state[name] = 2
		order = append(order, name)
		return nil
	}
	for _, name := range p.ServiceNames() {
		if err := visit(name, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
