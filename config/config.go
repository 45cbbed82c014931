package config

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/secret"
)

// The files of a configuration folder.
const (
	VMFile         = "phoenix_vm_configs.json"
	StackFile      = "phoenix_stacks_config.json"
	HypervisorFile = "phoenix_hypervisor_config.json"
)

// Config is a whole configuration, checked and with all defaults applied.
type Config struct {
	Dir        string           `json:"dir"`              // the folder that was read, as Load was given it
	VMs        []VM             `json:"virtual_machines"` // in the file's order
	Stacks     map[string]Stack `json:"docker_stacks"`    // by name, without the built-in portainer
	Hypervisor Hypervisor       `json:"hypervisor"`
	Files      []InputFile      `json:"files"` // every file that was read, in the order of reading
}

// InputFile is a file that the configuration consists of.
type InputFile struct {
	Path   string `json:"path"`   // as the configuration names it: relative to its folder, unless absolute
	SHA256 string `json:"sha256"` // of the content, in hex
}

// Options say what Load should know beyond the files.
type Options struct {
	// Features are the names of all features there are. Nil: any name is taken.
	Features []string
	// FeatureOptions gives the options of a feature; false if they can't be told. Nil: any option is taken.
	FeatureOptions func(feature string) (options []string, known bool)
	// Override changes the hypervisor part after it is decoded and before it is checked for what
	// must be there: a rehearsal puts its own API in. Nil: nothing is changed.
	Override func(*Hypervisor)
	// NeedProxmox makes it a fault that proxmox_api is not there.
	NeedProxmox bool
	// NeedPortainer makes it a fault that portainer_api.password is not there although VMs have
	// Docker stacks.
	NeedPortainer bool
}

// Path returns where a path of the configuration is: "~/" is the home folder, and a relative path
// starts at the configuration folder.
func (c *Config) Path(path string) string { return locate(c.Dir, path) }

func locate(dir, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, filepath.FromSlash(path))
}

// VM returns the machine with that id or name.
func (c *Config) VM(idOrName string) (VM, bool) {
	i := slices.IndexFunc(c.VMs, func(vm VM) bool {
		return strconv.Itoa(vm.ID) == idOrName || strings.EqualFold(vm.Name, idOrName)
	})
	if i < 0 {
		return VM{}, false
	}
	return c.VMs[i], true
}

// PortainerServer returns the machine that runs the built-in stack portainer; false if none does.
func (c *Config) PortainerServer() (VM, bool) {
	i := slices.IndexFunc(c.VMs, VM.IsPortainerServer)
	if i < 0 {
		return VM{}, false
	}
	return c.VMs[i], true
}

// Literals returns the secrets that stand in the configuration itself: variables marked as secret,
// and plain passwords and tokens. Whoever shows anything registers them with its redactor first.
func (c *Config) Literals() []secret.Value {
	var found []secret.Value
	collect := func(r secret.Ref) {
		if v, ok := r.Literal(); ok && !v.IsZero() {
			found = append(found, v)
		}
	}
	variables := func(list []Variable) {
		for _, v := range list {
			if v.Secret {
				collect(v.Value)
			}
		}
	}
	for _, name := range c.StackNames() {
		s := c.Stacks[name]
		variables(s.Variables)
		for _, env := range s.Environments {
			variables(env.Variables)
		}
		if s.Git != nil {
			collect(s.Git.Password)
		}
	}
	h := c.Hypervisor
	for _, r := range []secret.Ref{h.ProxmoxAPI.Token, h.ProxmoxAPI.Password, h.PortainerAPI.Password, h.Portainer.AgentSecret,
		h.SSH.Passphrase, h.SSH.SudoPassword} {
		collect(r)
	}
	return found
}

// StackNames returns the names of the catalogue, sorted.
func (c *Config) StackNames() []string { return slices.Sorted(maps.Keys(c.Stacks)) }

// lines returns the lines of text that hold something and are no comments.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// newOf returns a T with its defaults.
func newOf[T any]() T {
	var t T
	setDefaults(reflect.ValueOf(&t).Elem())
	return t
}
