package docker

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"phoenix-run/lab/docker/api"
)

// Data is where a program keeps its state: what is mounted at a path of its container. It lives and
// dies with that mount, so a container recreated with the same volume finds it again.
type Data struct {
	host Host
	key  string
}

// Data returns what is mounted at target, or nil if nothing is.
func (rt *Runtime) Data(target string) *Data {
	for _, m := range rt.Container.Mounts {
		if m.Destination == path.Clean(target) {
			name := m.Name
			if m.Type != "volume" {
				name = m.Source
			}
			return &Data{rt.Host, dataKey(m.Type, name)}
		}
	}
	return nil
}

// Load decodes what Save kept; it leaves into alone when there is nothing.
func (d *Data) Load(into any) error { return d.host.LoadState(d.key, into) }

// Save keeps v.
func (d *Data) Save(v any) error { return d.host.SaveState(d.key, v) }

func dataKey(kind, name string) string { return "docker-" + kind + "/" + name }

// ReadFile reads a file as the program sees it: through the container's mounts.
func (rt *Runtime) ReadFile(name string) ([]byte, error) {
	p, found := hostPath(rt.Container, name)
	if !found {
		return nil, fmt.Errorf("open %s: no such file or directory", name)
	}
	return rt.Host.ReadFile(p)
}

// WriteFile writes a file as the program does: through the container's mounts.
func (rt *Runtime) WriteFile(name string, content []byte, mode fs.FileMode) error {
	p, found := hostPath(rt.Container, name)
	if !found {
		return nil // in the container's own layer, which nobody looks at
	}
	if old, err := rt.Host.ReadFile(p); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := rt.Host.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	return rt.Host.WriteFile(p, content, mode)
}

// Env returns a variable of the container's environment.
func (rt *Runtime) Env(name string) string {
	for _, kv := range rt.Container.Config.Env {
		if key, value, _ := strings.Cut(kv, "="); key == name {
			return value
		}
	}
	return ""
}

// hostPath is where on the host a container's file is; false when it is in no mount.
func hostPath(c api.Container, name string) (string, bool) {
	name = path.Clean(name)
	best, found := api.MountPoint{}, false
	for _, m := range c.Mounts {
		inside := name == m.Destination || strings.HasPrefix(name, strings.TrimSuffix(m.Destination, "/")+"/")
		if inside && len(m.Destination) > len(best.Destination) && m.Type != "tmpfs" {
			best, found = m, true
		}
	}
	return path.Join(best.Source, strings.TrimPrefix(name, best.Destination)), found
}
