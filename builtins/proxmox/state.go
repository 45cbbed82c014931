package proxmox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner/op"
)

const gib = 1 << 30

// desired gives what the configuration says of a machine, by its own keys. Without any public key,
// those that the machine has stay.
func (s *Session) desired(vm config.VM) (op.Attrs, error) {
	keys, err := s.publicKeys(vm)
	if err != nil {
		return nil, err
	}
	a := op.Attrs{
		"name":              vm.Name,
		"description":       strings.TrimSpace(vm.Description),
		"tags":              pve.SplitTags(strings.Join(vm.Tags, ";")),
		"os_type":           vm.OSType,
		"cpu_sockets":       vm.CPUSockets,
		"cpu_cores":         vm.CPUCores,
		"memory_mb":         vm.MemoryMB,
		"boot_disk_size_gb": vm.BootDiskSizeGB,
		"boot_disk_storage": vm.BootDiskStorage,
		"network_bridge":    vm.NetworkBridge,
		"network_model":     vm.NetworkModel,
		"start_on_boot":     vm.StartOnBoot,
		"protected":         vm.Protected,
		"ssh_user":          s.sshUser(vm),
		"ip_config":         ipConfig(vm.IPConfig),
		"guest_agent":       true,
		"nameserver":        strings.Join(strings.Fields(vm.Nameserver), " "),
		"startup_order":     vm.StartupOrder,
	}
	if len(keys) > 0 {
		a["ssh_public_keys"] = keys
	}
	return op.Normal(a).(map[string]any), nil
}

// actual gives the same of a machine as Proxmox has it.
func actual(c pve.Config) op.Attrs {
	nic := pve.ParseNIC(c["net0"])
	disk := pve.ParseDisk(c[c.BootDisk()])
	a := op.Attrs{
		"name":              c["name"],
		"description":       strings.TrimSpace(c["description"]),
		"tags":              pve.SplitTags(c["tags"]),
		"os_type":           c["ostype"],
		"cpu_sockets":       number(c["sockets"], 1),
		"cpu_cores":         number(c["cores"], 1),
		"memory_mb":         number(memory(c["memory"]), 512),
		"boot_disk_size_gb": sizeGB(disk.Bytes),
		"boot_disk_storage": disk.Storage,
		"network_bridge":    nic.Bridge,
		"network_model":     nic.Model,
		"start_on_boot":     c["onboot"] == "1",
		"protected":         c["protection"] == "1",
		"ssh_user":          c["ciuser"],
		"ssh_public_keys":   pve.DecodeKeys(c["sshkeys"]),
		"ip_config":         c["ipconfig0"],
		"nameserver":        c["nameserver"],
		"startup_order":     number(pve.ParseProperties(c["startup"]).Get("order"), 0),
		"guest_agent":       agentOn(c["agent"]),
	}
	return op.Normal(a).(map[string]any)
}

// sizeGB gives whole GiB as a whole number, and anything else as it is.
func sizeGB(bytes int64) any {
	if bytes%gib == 0 {
		return bytes / gib
	}
	return float64(bytes) / gib
}

// memory reads the amount in both forms: "4096", and "current=4096".
func memory(s string) string {
	if v := pve.ParseProperties(s).Get("current"); v != "" {
		return v
	}
	return s
}

func number(s string, unset int64) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return unset
	}
	return n
}

func agentOn(s string) bool {
	p := pve.ParseProperties(s)
	return p.Get("enabled") == "1" || len(p) > 0 && p[0].Key == "" && p[0].Value == "1"
}

// ipConfig writes the address as Proxmox has it.
func ipConfig(c config.IPConfig) string {
	if c.Address == "" {
		return "ip=dhcp"
	}
	text := "ip=" + c.Address
	if c.Gateway != "" {
		text += ",gw=" + c.Gateway
	}
	return text
}

func (s *Session) sshUser(vm config.VM) string {
	if vm.SSHUser != "" {
		return vm.SSHUser
	}
	return s.options.Config.Hypervisor.SSH.User
}

// publicKeys gives the keys that may log in: the configured ones, or that of the private key that
// phoenix-run itself logs in with.
func (s *Session) publicKeys(vm config.VM) ([]string, error) {
	if keys := vm.PublicKeys(); len(keys) > 0 {
		return keys, nil
	}
	file := s.options.Config.Hypervisor.SSH.PrivateKeyFile
	if file == "" {
		return nil, nil
	}
	path := s.options.Config.Path(file)
	if text, err := os.ReadFile(path + ".pub"); err == nil {
		return pve.DecodeKeys(string(text)), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ssh.private_key_file: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("ssh.private_key_file: %s: %w", path, err)
	}
	return []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}, nil
}

// parameters gives what has to be set and deleted in Proxmox for the named attributes to be as in want.
func parameters(names []string, want op.Attrs, c pve.Config) (set map[string]string, remove []string) {
	set = map[string]string{}
	put := func(key, value string) {
		if value != "" {
			set[key] = value
		} else if _, there := c[key]; there {
			remove = append(remove, key)
		}
	}
	flag := map[any]string{true: "1", false: "0"}
	nic, touched := pve.ParseNIC(c["net0"]), false
	for _, name := range names {
		v := want[name]
		switch name {
		case "name", "description", "nameserver":
			put(name, fmt.Sprint(v))
		case "tags":
			put("tags", pve.JoinTags(texts(v)))
		case "os_type":
			put("ostype", fmt.Sprint(v))
		case "cpu_sockets":
			put("sockets", fmt.Sprint(v))
		case "cpu_cores":
			put("cores", fmt.Sprint(v))
		case "memory_mb":
			put("memory", fmt.Sprint(v))
		case "start_on_boot":
			put("onboot", flag[v])
		case "protected":
			put("protection", flag[v])
		case "guest_agent":
			put("agent", pve.ParseProperties(c["agent"]).Without("").Without("enabled").With("enabled", "1").String())
		case "ssh_user":
			put("ciuser", fmt.Sprint(v))
		case "ssh_public_keys":
			put("sshkeys", pve.EncodeKeys(texts(v)))
		case "ip_config":
			put("ipconfig0", fmt.Sprint(v))
		case "startup_order":
			startup := pve.ParseProperties(c["startup"])
			if v == int64(0) {
				put("startup", startup.Without("order").String())
			} else {
				put("startup", startup.With("order", fmt.Sprint(v)).String())
			}
		case "network_bridge":
			nic.Bridge, touched = fmt.Sprint(v), true
		case "network_model":
			nic.Model, touched = fmt.Sprint(v), true
		}
	}
	if touched {
		set["net0"] = nic.String()
	}
	return set, remove
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = fmt.Sprint(e)
	}
	return out
}
