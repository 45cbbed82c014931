package compose

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"phoenix-run/lab/docker/api"
)

// The labels that compose puts on what it makes.
const (
	labelProject   = "com.docker.compose.project"
	labelService   = "com.docker.compose.service"
	labelHash      = "com.docker.compose.config-hash"
	labelNumber    = "com.docker.compose.container-number"
	labelOneoff    = "com.docker.compose.oneoff"
	labelFiles     = "com.docker.compose.project.config_files"
	labelDir       = "com.docker.compose.project.working_dir"
	labelDepends   = "com.docker.compose.depends_on"
	labelImage     = "com.docker.compose.image"
	labelVersion   = "com.docker.compose.version"
	labelNetwork   = "com.docker.compose.network"
	labelVolume    = "com.docker.compose.volume"
	composeVersion = "2.40.3"
)

// serviceHash tells whether a service's containers are as they should be. What only matters while
// deploying is left out, as compose does; the content of configs and secrets is in.
func serviceHash(p *types.Project, s types.ServiceConfig) (string, error) {
	s.Build, s.PullPolicy, s.Scale, s.DependsOn, s.Profiles = nil, "", nil, nil, nil
	if s.Deploy != nil {
		d := *s.Deploy
		d.Replicas = nil
		s.Deploy = &d
	}
	contents := map[string]string{}
	for _, c := range s.Configs {
		contents["config "+c.Source] = p.Configs[c.Source].Content
	}
	for _, c := range s.Secrets {
		contents["secret "+c.Source] = p.Secrets[c.Source].Content
	}
	b, err := json.Marshal(struct {
		Service  types.ServiceConfig
		Contents map[string]string
	}{s, contents})
	if err != nil {
		return "", fmt.Errorf("service %s: %w", s.Name, err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), nil
}

// request is the container that a service asks for.
func request(p *types.Project, s types.ServiceConfig, hash, imageID string, number int) (api.CreateRequest, error) {
	r := api.CreateRequest{
		Config: api.Config{
			Hostname: s.Hostname, User: s.User, Tty: s.Tty, OpenStdin: s.StdinOpen, Cmd: s.Command, Image: imageOf(p, s),
			WorkingDir: s.WorkingDir, Entrypoint: s.Entrypoint, Labels: map[string]string{}, StopSignal: s.StopSignal,
			ExposedPorts: map[string]struct{}{},
		},
		HostConfig: &api.HostConfig{
			NetworkMode: s.NetworkMode, Privileged: s.Privileged, ReadonlyRootfs: s.ReadOnly, CapAdd: s.CapAdd, CapDrop: s.CapDrop,
			ExtraHosts: s.ExtraHosts.AsList(":"), SecurityOpt: s.SecurityOpt, Memory: int64(s.MemLimit), NanoCpus: int64(s.CPUS * 1e9),
			ShmSize: int64(s.ShmSize), PidMode: s.Pid, Init: s.Init, PortBindings: map[string][]api.PortBinding{},
		},
	}
	for k, v := range s.Labels {
		r.Labels[k] = v
	}
	var depends []string
	for name, d := range s.DependsOn {
		depends = append(depends, fmt.Sprintf("%s:%s:%t", name, d.Condition, d.Restart))
	}
	slices.Sort(depends)
	for k, v := range map[string]string{
		labelProject: p.Name, labelService: s.Name, labelHash: hash, labelNumber: fmt.Sprint(number), labelOneoff: "False",
		labelFiles: strings.Join(p.ComposeFiles, ","), labelDir: p.WorkingDir, labelDepends: strings.Join(depends, ","),
		labelImage: imageID, labelVersion: composeVersion,
	} {
		r.Labels[k] = v
	}
	for k, v := range s.Environment {
		if v != nil {
			r.Env = append(r.Env, k+"="+*v)
		}
	}
	slices.Sort(r.Env)
	for _, port := range s.Expose {
		r.ExposedPorts[withProto(port)] = struct{}{}
	}
	for _, port := range s.Ports {
		spec := fmt.Sprintf("%d/%s", port.Target, cmp.Or(port.Protocol, "tcp"))
		r.ExposedPorts[spec] = struct{}{}
		published, _, _ := strings.Cut(port.Published, "-")
		r.HostConfig.PortBindings[spec] = append(r.HostConfig.PortBindings[spec], api.PortBinding{HostIP: port.HostIP, HostPort: published})
	}
	if h := s.HealthCheck; h != nil {
		r.Healthcheck = &api.Healthcheck{Test: h.Test, Interval: span(h.Interval), Timeout: span(h.Timeout), StartPeriod: span(h.StartPeriod), StartInterval: span(h.StartInterval)}
		if h.Retries != nil {
			r.Healthcheck.Retries = int(*h.Retries)
		}
		if h.Disable {
			r.Healthcheck.Test = []string{"NONE"}
		}
	}
	r.HostConfig.RestartPolicy = restartPolicy(s)
	if err := mounts(p, s, r.HostConfig); err != nil {
		return r, err
	}
	networks(p, s, &r, number)
	return r, nil
}

func imageOf(p *types.Project, s types.ServiceConfig) string {
	if s.Image == "" {
		return p.Name + "-" + s.Name
	}
	return s.Image
}

func withProto(port string) string {
	if strings.Contains(port, "/") {
		return port
	}
	return port + "/tcp"
}

func span(d *types.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}

func restartPolicy(s types.ServiceConfig) api.RestartPolicy {
	if s.Restart != "" {
		name, count, _ := strings.Cut(s.Restart, ":")
		p := api.RestartPolicy{Name: name}
		if count != "" {
			if _, err := fmt.Sscan(count, &p.MaximumRetryCount); err != nil {
				p.MaximumRetryCount = 0
			}
		}
		return p
	}
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		p := api.RestartPolicy{Name: map[string]string{"none": "no", "on-failure": "on-failure", "any": "always"}[cmp.Or(s.Deploy.RestartPolicy.Condition, "any")]}
		if m := s.Deploy.RestartPolicy.MaxAttempts; m != nil && p.Name == "on-failure" {
			p.MaximumRetryCount = int(*m)
		}
		return p
	}
	return api.RestartPolicy{}
}

func mounts(p *types.Project, s types.ServiceConfig, h *api.HostConfig) error {
	for _, v := range s.Volumes {
		m := api.Mount{Type: v.Type, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly}
		switch v.Type {
		case types.VolumeTypeVolume:
			if v.Source != "" {
				m.Source = p.Volumes[v.Source].Name
			}
		case types.VolumeTypeBind:
			m.BindOptions = &api.BindOptions{CreateMountpoint: v.Bind != nil && bool(v.Bind.CreateHostPath)}
		case types.VolumeTypeTmpfs:
		default:
			return fmt.Errorf("service %q: volume type %q is not supported", s.Name, v.Type)
		}
		h.Mounts = append(h.Mounts, m)
	}
	for _, target := range s.Tmpfs {
		target, _, _ = strings.Cut(target, ":")
		h.Mounts = append(h.Mounts, api.Mount{Type: "tmpfs", Target: target})
	}
	file := func(kind, source, target string, o types.FileObjectConfig, folder string) error {
		if target == "" {
			target = folder + source
		} else if !path.IsAbs(target) {
			target = folder + target
		}
		if o.File == "" {
			if o.Content == "" && o.Environment == "" {
				return fmt.Errorf("unsupported external %s %s", kind, source)
			}
			return nil // its content goes into the container itself, no mount
		}
		h.Mounts = append(h.Mounts, api.Mount{Type: "bind", Source: o.File, Target: target, ReadOnly: true})
		return nil
	}
	for _, c := range s.Configs {
		if err := file("config", c.Source, c.Target, types.FileObjectConfig(p.Configs[c.Source]), "/"); err != nil {
			return err
		}
	}
	for _, c := range s.Secrets {
		if err := file("secret", c.Source, c.Target, types.FileObjectConfig(p.Secrets[c.Source]), "/run/secrets/"); err != nil {
			return err
		}
	}
	return nil
}

func networks(p *types.Project, s types.ServiceConfig, r *api.CreateRequest, number int) {
	if service, found := strings.CutPrefix(s.NetworkMode, "service:"); found {
		r.HostConfig.NetworkMode = "container:" + containerName(p, p.Services[service], 1)
	}
	if len(s.Networks) == 0 {
		return
	}
	r.HostConfig.NetworkMode = ""
	r.NetworkingConfig = &api.NetworkingConfig{EndpointsConfig: map[string]*api.EndpointSettings{}}
	names := s.NetworksByPriority()
	for i, key := range names {
		n := p.Networks[key]
		settings := &api.EndpointSettings{Aliases: []string{containerName(p, s, number), s.Name}}
		if c := s.Networks[key]; c != nil {
			settings.Aliases = append(settings.Aliases, c.Aliases...)
		}
		r.NetworkingConfig.EndpointsConfig[n.Name] = settings
		if i == 0 {
			r.HostConfig.NetworkMode = n.Name
		}
	}
}

func containerName(p *types.Project, s types.ServiceConfig, number int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return fmt.Sprintf("%s-%s-%d", p.Name, s.Name, number)
}
