package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"phoenix-run/lab/docker/api"
)

// composeRow is a line of docker compose ps.
type composeRow struct {
	Command, CreatedAt, ID, Image, Name, Project, RunningFor, Service, State, Status, Health string
	ExitCode                                                                                 int
	Publishers                                                                               []publisher
	Ports                                                                                    string
	labels                                                                                   map[string]string
}

type publisher struct {
	URL           string
	TargetPort    int
	PublishedPort int
	Protocol      string
}

// Label is a label's value.
func (r composeRow) Label(name string) string { return r.labels[name] }

func (x *composer) ps(ctx context.Context, args []string) error {
	f, services, err := parse("a|all q|quiet services format= status= filter= no-trunc orphans", args, true)
	if err != nil {
		return err
	}
	found, err := x.containers(ctx, f.on("all") || f.value("status") != "", services)
	if err != nil {
		return err
	}
	var rows []composeRow
	for _, s := range found {
		if want := f.value("status"); want != "" && want != s.State {
			continue
		}
		base := rowOf(s, true)
		v, err := x.Client.Container(ctx, s.ID)
		if err != nil {
			return err
		}
		r := composeRow{Command: base.Command, CreatedAt: base.CreatedAt, ID: s.ID, Image: s.Image, Name: base.Names, Project: s.Labels["com.docker.compose.project"],
			RunningFor: base.RunningFor, Service: s.Labels["com.docker.compose.service"], State: s.State, Status: s.Status, ExitCode: v.State.ExitCode, Ports: base.Ports, labels: s.Labels, Publishers: []publisher{}}
		if v.State.Health != nil {
			r.Health = v.State.Health.Status
		}
		for _, p := range s.Ports {
			r.Publishers = append(r.Publishers, publisher{p.IP, p.PrivatePort, p.PublicPort, p.Type})
		}
		rows = append(rows, r)
	}
	switch {
	case f.on("quiet"):
		return list(x.Command, "{{.ID}}", nil, rows)
	case f.on("services"):
		return list(x.Command, "{{.Service}}", nil, rows)
	}
	return list(x.Command, f.value("format"), [][2]string{{"NAME", "Name"}, {"IMAGE", "Image"}, {"COMMAND", "Command"}, {"SERVICE", "Service"}, {"CREATED", "RunningFor"}, {"STATUS", "Status"}, {"PORTS", "Ports"}}, rows)
}

func (x *composer) ls(ctx context.Context, args []string) error {
	f, _, err := parse("a|all q|quiet format= filter=", args, true)
	if err != nil {
		return err
	}
	found, err := x.Client.Containers(ctx, f.on("all"), api.Filters{"label": {"com.docker.compose.project"}})
	if err != nil {
		return err
	}
	type project struct{ Name, Status, ConfigFiles string }
	states := map[string]map[string]int{}
	files := map[string]string{}
	for _, s := range found {
		name := s.Labels["com.docker.compose.project"]
		if states[name] == nil {
			states[name] = map[string]int{}
		}
		states[name][s.State]++
		files[name] = s.Labels["com.docker.compose.project.config_files"]
	}
	projects := []project{}
	for name, counts := range states {
		var status []string
		for state, n := range counts {
			status = append(status, fmt.Sprintf("%s(%d)", state, n))
		}
		slices.Sort(status)
		projects = append(projects, project{name, strings.Join(status, ", "), files[name]})
	}
	slices.SortFunc(projects, func(a, b project) int { return strings.Compare(a.Name, b.Name) })
	if f.value("format") == "json" {
		b, err := json.Marshal(projects)
		if err != nil {
			return err
		}
		return x.printf("%s\n", b)
	}
	for _, p := range projects {
		line := p.Name
		if !f.on("quiet") {
			line = p.Name + "\t" + p.Status + "\t" + p.ConfigFiles
		}
		if err := x.printf("%s\n", line); err != nil {
			return err
		}
	}
	return nil
}
