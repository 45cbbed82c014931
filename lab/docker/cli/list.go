package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

// containerRow is a line of docker ps, with the names that --format knows.
type containerRow struct {
	Command, CreatedAt, ID, Image, Labels, LocalVolumes, Mounts, Names, Networks, Ports, RunningFor, Size, State, Status string

	labels map[string]string
}

// Label is a label's value, for {{.Label "x"}}.
func (r containerRow) Label(name string) string { return r.labels[name] }

func short(id string, whole bool) string {
	id = strings.TrimPrefix(id, "sha256:")
	if whole || len(id) < 12 {
		return id
	}
	return id[:12]
}

func ps(ctx context.Context, c *Command, args []string) error {
	f, _, err := parse("a|all q|quiet f|filter= format= no-trunc n|last= l|latest s|size", args, true)
	if err != nil {
		return err
	}
	filters, err := readFilters(f["filter"])
	if err != nil {
		return err
	}
	found, err := c.Client.Containers(ctx, f.on("all") || f.on("latest"), filters)
	if err != nil {
		return err
	}
	if f.on("latest") && len(found) > 1 {
		found = found[:1]
	}
	var rows []containerRow
	for _, s := range found {
		if f.on("quiet") {
			if err := c.printf("%s\n", short(s.ID, f.on("no-trunc"))); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, rowOf(s, f.on("no-trunc")))
	}
	if f.on("quiet") {
		return nil
	}
	return list(c, f.value("format"), [][2]string{{"CONTAINER ID", "ID"}, {"IMAGE", "Image"}, {"COMMAND", "Command"}, {"CREATED", "RunningFor"}, {"STATUS", "Status"}, {"PORTS", "Ports"}, {"NAMES", "Names"}}, rows)
}

func rowOf(s api.Summary, whole bool) containerRow {
	command := s.Command
	if !whole && len(command) > 20 {
		command = command[:19] + "…"
	}
	created := time.Unix(s.Created, 0)
	r := containerRow{
		ID: short(s.ID, whole), Image: s.Image, Command: `"` + command + `"`, CreatedAt: created.Format("2006-01-02 15:04:05 -0700 MST"),
		RunningFor: age(time.Since(created)) + " ago", State: s.State, Status: s.Status, Ports: ports(s.Ports), Size: "0B", LocalVolumes: "0", labels: s.Labels,
	}
	var names, labels, mounts, networks []string
	for _, n := range s.Names {
		names = append(names, strings.TrimPrefix(n, "/"))
	}
	for k, v := range s.Labels {
		labels = append(labels, k+"="+v)
	}
	volumes := 0
	for _, m := range s.Mounts {
		if m.Type == "volume" {
			volumes++
			mounts = append(mounts, short(m.Name, whole || len(m.Name) < 64))
		} else {
			mounts = append(mounts, m.Source)
		}
	}
	for n := range s.NetworkSettings.Networks {
		networks = append(networks, n)
	}
	slices.Sort(labels)
	slices.Sort(networks)
	r.Names, r.Labels, r.Mounts, r.Networks = strings.Join(names, ","), strings.Join(labels, ","), strings.Join(mounts, ","), strings.Join(networks, ",")
	r.LocalVolumes = fmt.Sprint(volumes)
	return r
}

func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "Less than a second"
	case d < time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func ports(list []api.Port) string {
	var out []string
	for _, p := range list {
		if p.PublicPort == 0 {
			out = append(out, fmt.Sprintf("%d/%s", p.PrivatePort, p.Type))
			continue
		}
		out = append(out, fmt.Sprintf("%s:%d->%d/%s", p.IP, p.PublicPort, p.PrivatePort, p.Type))
	}
	return strings.Join(out, ", ")
}

func readFilters(specs []string) (api.Filters, error) {
	f := api.Filters{}
	for _, spec := range specs {
		key, value, found := strings.Cut(spec, "=")
		if !found {
			return nil, usage("invalid argument %q for \"-f, --filter\" flag: invalid filter '%s'", spec, spec)
		}
		f[strings.ToLower(key)] = append(f[strings.ToLower(key)], value)
	}
	return f, nil
}

type imageRow struct {
	ID, Repository, Tag, Digest, CreatedSince, CreatedAt, Size string
}

// Label is empty: images here have none.
func (r imageRow) Label(string) string { return "" }

func images(ctx context.Context, c *Command, args []string) error {
	f, rest, err := parse("a|all q|quiet f|filter= format= no-trunc digests", args, true)
	if err != nil {
		return err
	}
	filters, err := readFilters(f["filter"])
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		filters["reference"] = append(filters["reference"], rest[0])
	}
	found, err := c.Client.Images(ctx, filters)
	if err != nil {
		return err
	}
	var rows []imageRow
	for _, s := range found {
		if f.on("quiet") {
			id := short(s.ID, false)
			if f.on("no-trunc") {
				id = s.ID
			}
			if err := c.printf("%s\n", id); err != nil {
				return err
			}
			continue
		}
		created := time.Unix(s.Created, 0)
		r := imageRow{ID: short(s.ID, f.on("no-trunc")), Repository: "<none>", Tag: "<none>", Digest: "<none>", CreatedSince: age(time.Since(created)) + " ago", CreatedAt: created.Format("2006-01-02 15:04:05 -0700 MST"), Size: fmt.Sprintf("%dMB", s.Size>>20)}
		if len(s.RepoDigests) > 0 {
			r.Repository, r.Digest, _ = strings.Cut(s.RepoDigests[0], "@")
		}
		if len(s.RepoTags) == 0 {
			rows = append(rows, r)
		}
		for _, tag := range s.RepoTags {
			i := strings.LastIndexByte(tag, ':')
			r.Repository, r.Tag = tag[:i], tag[i+1:]
			rows = append(rows, r)
		}
	}
	if f.on("quiet") {
		return nil
	}
	return list(c, f.value("format"), [][2]string{{"REPOSITORY", "Repository"}, {"TAG", "Tag"}, {"IMAGE ID", "ID"}, {"CREATED", "CreatedSince"}, {"SIZE", "Size"}}, rows)
}

type volumeRow struct {
	Driver, Labels, Mountpoint, Name, Scope string
	labels                                  map[string]string
}

// Label is a label's value.
func (r volumeRow) Label(name string) string { return r.labels[name] }

func volumeList(ctx context.Context, c *Command, args []string) error {
	f, _, err := parse("q|quiet f|filter= format=", args, true)
	if err != nil {
		return err
	}
	filters, err := readFilters(f["filter"])
	if err != nil {
		return err
	}
	found, err := c.Client.Volumes(ctx, filters)
	if err != nil {
		return err
	}
	var rows []volumeRow
	for _, v := range found.Volumes {
		rows = append(rows, volumeRow{v.Driver, joined(v.Labels), v.Mountpoint, v.Name, v.Scope, v.Labels})
	}
	if f.on("quiet") {
		return list(c, "{{.Name}}", nil, rows)
	}
	return list(c, f.value("format"), [][2]string{{"DRIVER", "Driver"}, {"VOLUME NAME", "Name"}}, rows)
}

type networkRow struct {
	CreatedAt, Driver, ID, Internal, Labels, Name, Scope string
	labels                                               map[string]string
}

// Label is a label's value.
func (r networkRow) Label(name string) string { return r.labels[name] }

func networkList(ctx context.Context, c *Command, args []string) error {
	f, _, err := parse("q|quiet f|filter= format= no-trunc", args, true)
	if err != nil {
		return err
	}
	filters, err := readFilters(f["filter"])
	if err != nil {
		return err
	}
	found, err := c.Client.Networks(ctx, filters)
	if err != nil {
		return err
	}
	var rows []networkRow
	for _, n := range found {
		rows = append(rows, networkRow{n.Created.String(), n.Driver, short(n.ID, f.on("no-trunc")), fmt.Sprint(n.Internal), joined(n.Labels), n.Name, n.Scope, n.Labels})
	}
	if f.on("quiet") {
		return list(c, "{{.ID}}", nil, rows)
	}
	return list(c, f.value("format"), [][2]string{{"NETWORK ID", "ID"}, {"NAME", "Name"}, {"DRIVER", "Driver"}, {"SCOPE", "Scope"}}, rows)
}

func joined(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
