package docker

import (
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

// addDefaultNetworks makes the three that are always there. e.mu is held.
func (e *Engine) addDefaultNetworks() {
	for _, driver := range []string{"bridge", "host", "null"} {
		name := driver
		if driver == "null" {
			name = "none"
		}
		n := &api.Network{Name: name, ID: newID(), Created: time.Now().UTC(), Scope: "local", Driver: driver, IPAM: api.IPAM{Driver: "default", Config: []api.IPAMConfig{}}, Labels: map[string]string{}, Options: map[string]string{}}
		if driver == "bridge" {
			n.IPAM.Config = e.freeRange()
		}
		e.networks[n.ID] = n
	}
}

// freeRange is the next of Docker's address pools: 172.17.0.0/16 and on. e.mu is held.
func (e *Engine) freeRange() []api.IPAMConfig {
	used := map[string]bool{}
	for _, n := range e.networks {
		for _, c := range n.IPAM.Config {
			used[c.Subnet] = true
		}
	}
	for i := 0; ; i++ {
		prefix := fmt.Sprintf("172.%d", 17+i)
		if i >= 15 {
			prefix = fmt.Sprintf("10.%d", i)
		}
		if subnet := prefix + ".0.0/16"; !used[subnet] {
			return []api.IPAMConfig{{Subnet: subnet, Gateway: prefix + ".0.1"}}
		}
	}
}

// network finds a network by name, id or beginning of an id. e.mu is held.
func (e *Engine) network(ref string) (*api.Network, error) {
	for _, n := range e.networks {
		if n.Name == ref || n.ID == ref {
			return n, nil
		}
	}
	for _, n := range e.networks {
		if len(ref) >= 4 && strings.HasPrefix(n.ID, ref) {
			return n, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "network %s not found", ref)
}

// addNetworks puts a new container into its networks. e.mu is held.
func (e *Engine) addNetworks(rec *api.Container, config *api.NetworkingConfig) error {
	rec.NetworkSettings = api.NetworkSettings{Ports: map[string][]api.PortBinding{}, Networks: map[string]*api.EndpointSettings{}}
	wanted := map[string]*api.EndpointSettings{}
	mode := rec.HostConfig.NetworkMode
	if strings.HasPrefix(mode, "container:") {
		return nil
	}
	if config != nil {
		for name, s := range config.EndpointsConfig {
			wanted[name] = s
		}
	}
	if wanted[mode] == nil {
		wanted[mode] = &api.EndpointSettings{}
	}
	for name, s := range wanted {
		n, err := e.network(name)
		if err != nil {
			return err
		}
		settings := api.EndpointSettings{NetworkID: n.ID, EndpointID: newID()}
		if s != nil {
			settings.Aliases = s.Aliases
		}
		if n.Driver == "bridge" {
			settings.Gateway = n.IPAM.Config[0].Gateway
			settings.IPAddress = e.freeAddress(n)
			settings.MacAddress = macOf(settings.IPAddress)
		}
		rec.NetworkSettings.Networks[n.Name] = &settings
		if n.Name == mode {
			rec.NetworkSettings.IPAddress = settings.IPAddress
		}
	}
	return nil
}

// freeAddress is the lowest address in a network that no container has. e.mu is held.
func (e *Engine) freeAddress(n *api.Network) string {
	used := map[string]bool{}
	for _, c := range e.containers {
		if s := c.rec.NetworkSettings.Networks[n.Name]; s != nil {
			used[s.IPAddress] = true
		}
	}
	gateway, err := netip.ParseAddr(n.IPAM.Config[0].Gateway)
	if err != nil {
		return ""
	}
	ip := gateway.Next()
	for used[ip.String()] {
		ip = ip.Next()
	}
	return ip.String()
}

func macOf(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	b := a.As4()
	return fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// CreateNetwork makes a network.
func (e *Engine) CreateNetwork(r api.NetworkCreate) (api.Network, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !containerName.MatchString(r.Name) {
		return api.Network{}, refuse(http.StatusBadRequest, "invalid network name: %q", r.Name)
	}
	for _, n := range e.networks {
		if n.Name == r.Name {
			return api.Network{}, refuse(http.StatusConflict, "network with name %s already exists", r.Name)
		}
	}
	switch r.Driver = orDefault(r.Driver, "bridge"); r.Driver {
	case "bridge":
	case "overlay":
		return api.Network{}, refuse(http.StatusServiceUnavailable, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
	default:
		return api.Network{}, refuse(http.StatusNotFound, "could not find plugin %s in v1 plugin registry: plugin not found", r.Driver)
	}
	n := &api.Network{Name: r.Name, ID: newID(), Created: time.Now().UTC(), Scope: "local", Driver: r.Driver, Internal: r.Internal, Attachable: r.Attachable,
		IPAM: api.IPAM{Driver: "default", Config: e.freeRange()}, Labels: orEmpty(r.Labels), Options: orEmpty(r.Options)}
	e.networks[n.ID] = n
	return *n, e.commit()
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// RemoveNetwork removes a network without containers.
func (e *Engine) RemoveNetwork(ref string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.network(ref)
	if err != nil {
		return err
	}
	if slices.Contains([]string{"bridge", "host", "none"}, n.Name) {
		return refuse(http.StatusForbidden, "%s is a pre-defined network and cannot be removed", n.Name)
	}
	for _, c := range e.containers {
		if c.rec.NetworkSettings.Networks[n.Name] != nil && c.rec.State.Running {
			return refuse(http.StatusForbidden, "error while removing network: network %s has active endpoints (name:%q id:%q)", n.Name, c.rec.Name[1:], c.rec.ID[:12])
		}
	}
	delete(e.networks, n.ID)
	return e.commit()
}

// networkView is a network with the running containers in it. e.mu is held.
func (e *Engine) networkView(n *api.Network) api.Network {
	v := *n
	v.Containers = map[string]api.NetworkContainer{}
	for id, c := range e.containers {
		if s := c.rec.NetworkSettings.Networks[n.Name]; s != nil && c.rec.State.Running {
			v.Containers[id] = api.NetworkContainer{Name: c.rec.Name[1:], EndpointID: s.EndpointID, MacAddress: s.MacAddress, IPv4Address: s.IPAddress + "/16"}
		}
	}
	return v
}

// volume returns the named volume, made if it isn't there; "" is a new anonymous one. e.mu is held.
func (e *Engine) volume(r api.VolumeCreate) (api.Volume, error) {
	labels := orEmpty(r.Labels)
	if r.Name == "" {
		r.Name = newID()
		labels = map[string]string{"com.docker.volume.anonymous": ""}
	}
	if v, found := e.volumes[r.Name]; found {
		return v, nil
	}
	if !containerName.MatchString(r.Name) {
		return api.Volume{}, refuse(http.StatusBadRequest, "create %s: %q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", r.Name, r.Name)
	}
	if r.Driver != "" && r.Driver != "local" {
		return api.Volume{}, refuse(http.StatusNotFound, "create %s: error looking up volume plugin %s: plugin %q not found", r.Name, r.Driver, r.Driver)
	}
	v := api.Volume{Name: r.Name, Driver: "local", Mountpoint: path.Join(e.Root(), "volumes", r.Name, "_data"), CreatedAt: time.Now().UTC().Truncate(time.Second), Labels: labels, Options: orEmpty(r.DriverOpts), Scope: "local"}
	if err := e.host.MkdirAll(v.Mountpoint, 0o755); err != nil {
		return api.Volume{}, refuse(http.StatusInternalServerError, "create %s: %v", r.Name, err)
	}
	e.volumes[v.Name] = v
	return v, nil
}

// CreateVolume makes a volume, or returns the one that is there.
func (e *Engine) CreateVolume(r api.VolumeCreate) (api.Volume, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v, found := e.volumes[r.Name]; found {
		return v, nil
	}
	v, err := e.volume(r)
	if err != nil {
		return v, err
	}
	return v, e.commit()
}

// RemoveVolume removes a volume, with what programs keep in it.
func (e *Engine) RemoveVolume(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, found := e.volumes[name]; !found {
		return refuse(http.StatusNotFound, "get %s: no such volume", name)
	}
	for _, c := range e.containers {
		for _, m := range c.rec.Mounts {
			if m.Type == "volume" && m.Name == name {
				return refuse(http.StatusConflict, "remove %s: volume is in use - [%s]", name, c.rec.ID)
			}
		}
	}
	delete(e.volumes, name)
	if err := e.host.SaveState(dataKey("volume", name), nil); err != nil {
		return err
	}
	return e.commit()
}
