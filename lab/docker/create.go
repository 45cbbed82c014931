package docker

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

var containerName = regexp.MustCompile(`^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// Create makes a container from an image that is there.
func (e *Engine) Create(name string, r api.CreateRequest) (api.CreateResponse, error) {
	if fault := e.opts.Faults.Create; fault != nil {
		if err := fault(e.host.Name(), r); err != nil {
			return api.CreateResponse{}, refuse(http.StatusInternalServerError, "%v", err)
		}
	}
	if name != "" && !containerName.MatchString(name) {
		return api.CreateResponse{}, refuse(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	host := api.HostConfig{}
	if r.HostConfig != nil {
		host = *r.HostConfig
	}
	if err := checkRestart(host); err != nil {
		return api.CreateResponse{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	image, found := e.image(r.Image)
	if !found {
		if _, err := api.ParseReference(r.Image); err != nil && !strings.HasPrefix(r.Image, "sha256:") {
			return api.CreateResponse{}, refuse(http.StatusBadRequest, "%v", err)
		}
		return api.CreateResponse{}, refuse(http.StatusNotFound, "No such image: %s", r.Image)
	}
	name = "/" + strings.TrimPrefix(name, "/")
	if name == "/" {
		name = e.newName()
	}
	for _, c := range e.containers {
		if c.rec.Name == name {
			return api.CreateResponse{}, refuse(http.StatusConflict, "Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", name, c.rec.ID)
		}
	}
	id := newID()
	c := &container{rec: api.Container{
		ID: id, Name: name, Created: time.Now().UTC(), Image: image.ID, Driver: "overlay2", Platform: "linux",
		LogPath: "/var/lib/docker/containers/" + id + "/" + id + "-json.log",
		Config:  merge(r.Config, image.Config, id), HostConfig: host, State: api.State{Status: "created"},
	}}
	rec := &c.rec
	if rec.HostConfig.NetworkMode == "" || rec.HostConfig.NetworkMode == "default" {
		rec.HostConfig.NetworkMode = "bridge"
	}
	if rec.HostConfig.RestartPolicy.Name == "" {
		rec.HostConfig.RestartPolicy.Name = "no"
	}
	argv := slices.Concat(rec.Config.Entrypoint, rec.Config.Cmd)
	if len(argv) == 0 {
		return api.CreateResponse{}, refuse(http.StatusBadRequest, "no command specified")
	}
	rec.Path, rec.Args = argv[0], argv[1:]
	if err := e.addMounts(c); err != nil {
		return api.CreateResponse{}, err
	}
	if err := e.addNetworks(rec, r.NetworkingConfig); err != nil {
		return api.CreateResponse{}, err
	}
	for spec := range rec.HostConfig.PortBindings {
		if _, _, err := splitPort(spec); err != nil {
			return api.CreateResponse{}, refuse(http.StatusBadRequest, "invalid port specification: %q", spec)
		}
		if rec.Config.ExposedPorts == nil {
			rec.Config.ExposedPorts = map[string]struct{}{}
		}
		rec.Config.ExposedPorts[spec] = struct{}{}
	}
	e.containers[id] = c
	return api.CreateResponse{ID: id, Warnings: []string{}}, e.commit()
}

func checkRestart(h api.HostConfig) error {
	switch p := h.RestartPolicy; p.Name {
	case "", "no", "always", "unless-stopped":
		if p.MaximumRetryCount != 0 {
			return refuse(http.StatusBadRequest, "invalid restart policy: maximum retry count can only be used with 'on-failure'")
		}
		if p.Name != "" && p.Name != "no" && h.AutoRemove {
			return refuse(http.StatusBadRequest, "can't create 'AutoRemove' container with restart policy")
		}
	case "on-failure":
	default:
		return refuse(http.StatusBadRequest, "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", p.Name)
	}
	return nil
}

// merge fills what the request leaves open from the image.
func merge(c, image api.Config, id string) api.Config {
	env := slices.Clone(image.Env)
	for _, kv := range c.Env {
		key, _, set := strings.Cut(kv, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, key+"=") })
		if set {
			env = append(env, kv)
		}
	}
	c.Env = env
	if len(c.Entrypoint) == 0 {
		c.Entrypoint = image.Entrypoint
		if len(c.Cmd) == 0 {
			c.Cmd = image.Cmd
		}
	}
	labels := map[string]string{}
	for k, v := range image.Labels {
		labels[k] = v
	}
	for k, v := range c.Labels {
		labels[k] = v
	}
	c.Labels = labels
	ports := map[string]struct{}{}
	for p := range image.ExposedPorts {
		ports[p] = struct{}{}
	}
	for p := range c.ExposedPorts {
		ports[p] = struct{}{}
	}
	c.ExposedPorts = ports
	volumes := map[string]struct{}{}
	for v := range image.Volumes {
		volumes[v] = struct{}{}
	}
	for v := range c.Volumes {
		volumes[v] = struct{}{}
	}
	c.Volumes = volumes
	c.Hostname = orDefault(c.Hostname, id[:12])
	c.WorkingDir = orDefault(c.WorkingDir, image.WorkingDir)
	c.User = orDefault(c.User, image.User)
	if c.Healthcheck == nil || len(c.Healthcheck.Test) == 0 {
		c.Healthcheck = image.Healthcheck
	}
	return c
}

// addMounts turns binds, mounts and the image's volumes into mount points. e.mu is held.
func (e *Engine) addMounts(c *container) error {
	rec := &c.rec
	taken := map[string]bool{}
	add := func(m api.MountPoint) error {
		if !path.IsAbs(m.Destination) {
			return refuse(http.StatusBadRequest, "invalid mount path: '%s' mount path must be absolute", m.Destination)
		}
		m.Destination = path.Clean(m.Destination)
		if taken[m.Destination] {
			return refuse(http.StatusBadRequest, "Duplicate mount point: %s", m.Destination)
		}
		taken[m.Destination] = true
		if m.Type == "volume" {
			v, err := e.volume(api.VolumeCreate{Name: m.Name})
			if err != nil {
				return err
			}
			if m.Name == "" {
				c.anonymous = append(c.anonymous, v.Name)
			}
			m.Name, m.Source, m.Driver = v.Name, v.Mountpoint+"", "local"
		}
		rec.Mounts = append(rec.Mounts, m)
		return nil
	}
	for _, bind := range rec.HostConfig.Binds {
		source, rest, found := strings.Cut(bind, ":")
		target, mode, _ := strings.Cut(rest, ":")
		if !found || source == "" || target == "" {
			return refuse(http.StatusBadRequest, "invalid volume specification: '%s'", bind)
		}
		options := strings.Split(mode, ",")
		m := api.MountPoint{Type: "bind", Source: path.Clean(source), Destination: target, Mode: mode, RW: !slices.Contains(options, "ro"), Propagation: "rprivate"}
		if !path.IsAbs(source) {
			if !containerName.MatchString(source) {
				return refuse(http.StatusBadRequest, "create %s: %q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", source, source)
			}
			m.Type, m.Name, m.Propagation = "volume", source, ""
		}
		if err := add(m); err != nil {
			return err
		}
	}
	for _, mount := range rec.HostConfig.Mounts {
		m := api.MountPoint{Type: mount.Type, Source: mount.Source, Destination: mount.Target, RW: !mount.ReadOnly}
		switch mount.Type {
		case "volume":
			m.Name, m.Source = mount.Source, ""
		case "bind":
			m.Propagation = "rprivate"
			create := mount.BindOptions != nil && mount.BindOptions.CreateMountpoint
			if _, err := e.host.Stat(mount.Source); err != nil && !create {
				return refuse(http.StatusBadRequest, "invalid mount config for type %q: bind source path does not exist: %s", mount.Type, mount.Source)
			}
		case "tmpfs":
		default:
			return refuse(http.StatusBadRequest, "invalid mount config for type %q: mount type unknown", mount.Type)
		}
		if err := add(m); err != nil {
			return err
		}
	}
	for target := range rec.Config.Volumes {
		if !taken[path.Clean(target)] {
			if err := add(api.MountPoint{Type: "volume", Destination: target, RW: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

func splitPort(spec string) (port int, proto string, err error) {
	number, proto, _ := strings.Cut(spec, "/")
	if proto == "" {
		proto = "tcp"
	}
	port, err = strconv.Atoi(number)
	if err == nil && (port < 1 || port > 65535) {
		err = fmt.Errorf("port out of range: %d", port)
	}
	return port, proto, err
}

var (
	nameLeft  = strings.Fields("brave calm clever eager fond happy jolly keen kind lucid modest nice proud quiet serene sharp sweet tender vivid witty")
	nameRight = strings.Fields("bohr curie darwin euler fermat gauss hopper kepler lamarr lovelace meitner newton noether pascal ride shannon tesla turing volta wiles")
)

// newName makes a free name like Docker's. e.mu is held.
func (e *Engine) newName() string {
	for {
		name := fmt.Sprintf("/%s_%s%d", nameLeft[rand.IntN(len(nameLeft))], nameRight[rand.IntN(len(nameRight))], rand.IntN(1000))
		if _, err := e.find(name); err != nil {
			return name
		}
	}
}
