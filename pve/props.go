package pve

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Property is one part of a property string such as net0.
type Property struct{ Key, Value string }

// Properties is a property string, with its order kept: "virtio=BC:24:…,bridge=vmbr0,firewall=1".
// A part without "=" has no Key.
type Properties []Property

// ParseProperties reads a property string.
func ParseProperties(s string) Properties {
	var list Properties
	for part := range strings.SplitSeq(s, ",") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			key, value = "", part
		}
		list = append(list, Property{key, value})
	}
	return list
}

func (p Properties) String() string {
	parts := make([]string, len(p))
	for i, e := range p {
		parts[i] = e.Value
		if e.Key != "" {
			parts[i] = e.Key + "=" + e.Value
		}
	}
	return strings.Join(parts, ",")
}

// Get gives the value of a key.
func (p Properties) Get(key string) string {
	for _, e := range p {
		if e.Key == key {
			return e.Value
		}
	}
	return ""
}

// With gives a copy with the key set, in its place or at the end.
func (p Properties) With(key, value string) Properties {
	out := slices.Clone(p)
	for i, e := range out {
		if e.Key == key {
			out[i].Value = value
			return out
		}
	}
	return append(out, Property{key, value})
}

// Without gives a copy that lacks the key.
func (p Properties) Without(key string) Properties {
	return slices.DeleteFunc(slices.Clone(p), func(e Property) bool { return e.Key == key })
}

// netModels are the network cards that Proxmox knows; the model is the key of the MAC address.
var netModels = []string{"virtio", "e1000", "e1000e", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "i82551",
	"i82557b", "i82559er", "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3"}

// NIC is a network card: netN.
type NIC struct {
	Model, MAC, Bridge string
	rest               Properties
}

// ParseNIC reads a netN value.
func ParseNIC(s string) NIC {
	var n NIC
	for _, e := range ParseProperties(s) {
		switch {
		case slices.Contains(netModels, e.Key):
			n.Model, n.MAC = e.Key, e.Value
		case e.Key == "" && slices.Contains(netModels, e.Value):
			n.Model = e.Value
		case e.Key == "model":
			n.Model = e.Value
		case e.Key == "macaddr":
			n.MAC = e.Value
		case e.Key == "bridge":
			n.Bridge = e.Value
		default:
			n.rest = append(n.rest, e)
		}
	}
	return n
}

// String writes the card with its MAC address and whatever else it had.
func (n NIC) String() string {
	model := Property{"", n.Model}
	if n.MAC != "" {
		model = Property{n.Model, n.MAC}
	}
	return append(Properties{model, {"bridge", n.Bridge}}, n.rest...).String()
}

// Disk is a drive: scsiN, virtioN, sataN, ideN.
type Disk struct {
	Volume  string // "local-zfs:vm-1001-disk-0"
	Storage string
	Bytes   int64
	CDROM   bool
}

// ParseDisk reads a drive.
func ParseDisk(s string) Disk {
	p := ParseProperties(s)
	d := Disk{Volume: p.Get("file"), CDROM: p.Get("media") == "cdrom"}
	if len(p) > 0 && p[0].Key == "" {
		d.Volume = p[0].Value
	}
	d.Storage, _, _ = strings.Cut(d.Volume, ":")
	d.Bytes, _ = ParseSize(p.Get("size"))
	return d
}

// ParseSize reads a size as drives have it: "32G", "2252M", bytes without a unit.
func ParseSize(s string) (int64, error) {
	if s == "" {
		return 0, fmt.Errorf("no size")
	}
	factor := int64(1)
	if i := strings.IndexByte("KMGT", s[len(s)-1]); i >= 0 {
		factor = 1 << (10 * (i + 1))
		s = s[:len(s)-1]
	}
	f, err := strconv.ParseFloat(s, 64)
	return int64(f * float64(factor)), err
}

// BootDisk gives the key of the disk that the machine boots from.
func (c Config) BootDisk() string {
	order := ParseProperties(c["boot"]).Get("order")
	candidates := strings.Split(order, ";")
	candidates = append(candidates, c["bootdisk"], "scsi0", "virtio0", "sata0", "ide0")
	for _, key := range candidates {
		if v, ok := c[key]; ok && key != "" && !strings.HasPrefix(key, "net") && !ParseDisk(v).CDROM {
			return key
		}
	}
	return ""
}

// CloudInitDrive gives the key of the cloud-init drive, or "".
func (c Config) CloudInitDrive() string {
	for key, v := range c {
		if strings.Contains(v, "cloudinit") && strings.Contains(v, "media=cdrom") {
			return key
		}
	}
	return ""
}

// SplitTags reads tags, in lower case and sorted as Proxmox stores them.
func SplitTags(s string) []string {
	tags := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune(";, ", r) })
	slices.Sort(tags)
	return slices.Compact(tags)
}

// JoinTags writes tags as Proxmox stores them.
func JoinTags(tags []string) string { return strings.Join(SplitTags(strings.Join(tags, ";")), ";") }

// EncodeKeys writes public keys as the parameter sshkeys wants them.
func EncodeKeys(keys []string) string {
	return strings.ReplaceAll(url.QueryEscape(strings.Join(keys, "\n")), "+", "%20")
}

// DecodeKeys reads the parameter sshkeys.
func DecodeKeys(s string) []string {
	text, err := url.PathUnescape(s)
	if err != nil {
		text = s
	}
	var keys []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			keys = append(keys, line)
		}
	}
	return keys
}
