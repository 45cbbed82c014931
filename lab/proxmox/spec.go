package proxmox

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"phoenix-run/lab/machine"
)

// bootDisk is the key of the drive that the machine boots from, "" if it has none.
func bootDisk(config map[string]string) string {
	if p, err := bootFormat.parse("boot", config["boot"]); err == nil {
		for _, dev := range splitList(p["order"], ";") {
			if isHardDisk(config, dev) {
				return dev
			}
		}
	}
	for _, bus := range []string{"scsi", "virtio", "sata", "ide"} {
		for n := range indexLimits[bus] {
			if key := bus + idText(n); isHardDisk(config, key) {
				return key
			}
		}
	}
	return ""
}

func isHardDisk(config map[string]string, key string) bool {
	text, ok := config[key]
	return ok && isDisk(key) && busOf(key) != "efidisk" && busOf(key) != "tpmstate" && !strings.Contains(text, "media=cdrom") && volumeOf(text) != "none"
}

// bootDiskBytes is the size of the boot disk; 0 without one.
func (g *guest) bootDiskBytes() int64 {
	if v := g.Volumes[volumeOf(g.Config[bootDisk(g.Config)])]; v != nil {
		return v.Bytes
	}
	return 0
}

func memoryMiB(config map[string]string) int {
	p, err := memoryFormat.parse("memory", cmp.Or(config["memory"], "512"))
	if err != nil {
		return 512
	}
	return atoi(p["current"])
}

func (g *guest) memoryBytes() int64 { return int64(memoryMiB(g.Config)) << 20 }

func (g *guest) cpus() int {
	return max(1, atoi(g.Config["sockets"])) * max(1, atoi(g.Config["cores"]))
}

func agentOn(config map[string]string) bool {
	p, err := agentFormat.parse("agent", config["agent"])
	return err == nil && propBool(p["enabled"]) == "1"
}

// spec is a configuration as the machine behind it takes it. s.mu is held.
func (s *Server) spec(id int, config map[string]string, g *guest) machine.Spec {
	out := machine.Spec{
		Name: cmp.Or(config["name"], fmt.Sprintf("VM%d", id)), Sockets: max(1, atoi(config["sockets"])),
		Cores: max(1, atoi(config["cores"])), MemoryMiB: memoryMiB(config), Agent: agentOn(config),
		DiskBytes: g.bootDiskBytes(), CloudInit: s.cloudInit(id, g.CloudInit),
	}
	for n := range indexLimits["net"] {
		p, err := netFormat.parse("net", config["net"+idText(n)])
		if err == nil && p["link_down"] != "1" {
			out.MAC = append(out.MAC, p["macaddr"])
		}
	}
	return out
}

// cloudInitKeys are what the cloud-init image is made of; nil without a drive for it.
func cloudInitKeys(config map[string]string) map[string]string {
	drive := slices.ContainsFunc(slices.Collect(maps.Keys(config)), func(key string) bool {
		return isDisk(key) && isCloudInitVolume(volumeOf(config[key]))
	})
	if !drive {
		return nil
	}
	out := map[string]string{"name": config["name"]}
	for key, text := range config {
		if isCloudInit(key) {
			out[key] = text
		}
	}
	return out
}

// cloudInit parses the keys of an image.
func (s *Server) cloudInit(id int, keys map[string]string) machine.CloudInit {
	if keys == nil {
		return machine.CloudInit{}
	}
	ci := machine.CloudInit{
		User: keys["ciuser"], Password: keys["cipassword"], Nameserver: keys["nameserver"], Search: keys["searchdomain"],
		SSHKeys: authorizedKeys(keys["sshkeys"]), Upgrade: keys["ciupgrade"] != "0", Custom: s.customFiles(keys["cicustom"], s.nodeOf(id)),
	}
	last := -1
	for n := range indexLimits["ipconfig"] {
		if keys["ipconfig"+idText(n)] != "" {
			last = n
		}
	}
	for n := range last + 1 {
		ci.IPConfig = append(ci.IPConfig, keys["ipconfig"+idText(n)])
	}
	h := sha1.New()
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		fmt.Fprintf(h, "%s: %s\n", key, keys[key])
	}
	for _, part := range slices.Sorted(maps.Keys(ci.Custom)) {
		fmt.Fprintf(h, "%s: %s\n", part, ci.Custom[part])
	}
	ci.InstanceID = hex.EncodeToString(h.Sum(nil))
	return ci
}

func (s *Server) nodeOf(id int) string {
	if g := s.guests[id]; g != nil {
		return g.Node
	}
	return ""
}

func authorizedKeys(encoded string) []string {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return nil
	}
	var keys []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	return keys
}

// customFiles reads what cicustom names, by part; a file that has gone since is left out.
func (s *Server) customFiles(text, node string) map[string]string {
	p, err := cicustomFormat.parse("cicustom", text)
	if err != nil || len(p) == 0 {
		return nil
	}
	out := map[string]string{}
	for part, volume := range p {
		_, name, _ := strings.Cut(volume, ":")
		_, base, _ := strings.Cut(name, "/")
		if content, err := os.ReadFile(s.filePath(storageOf(volume), node, "snippets", base)); err == nil {
			out[part] = string(content)
		}
	}
	return out
}

const customFileLimit = 1 << 20

// checkCustom checks the files that cicustom names. s.mu is held.
func (s *Server) checkCustom(text, node string) error {
	p, err := cicustomFormat.parse("cicustom", text)
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, part := range slices.Sorted(maps.Keys(p)) {
		volume := p[part]
		st, err := s.cluster.storage(storageOf(volume), node)
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(volume, ":")
		kind, base, ok := strings.Cut(name, "/")
		if !ok || kind != "snippets" {
			return fmt.Errorf("%s is not in the snippets directory", volume)
		}
		info, err := os.Stat(s.filePath(st.ID, node, kind, base))
		if err != nil {
			return fmt.Errorf("volume '%s' does not exist", volume)
		}
		if sum += info.Size(); info.Size() > customFileLimit || sum > 3*customFileLimit {
			return fmt.Errorf("%s is too big: cloud-init files may have 1 MiB each and 3 MiB together", volume)
		}
	}
	return nil
}
