// Package seed makes cloud-init's NoCloud data as Proxmox makes it, word for word where it matters.
package seed

import (
	"fmt"
	"net/netip"
	"strings"

	"phoenix-run/lab/machine"
)

// Files are the files of a NoCloud seed by name.
func Files(spec machine.Spec) (map[string]string, error) {
	ci := spec.CloudInit
	network, err := Network(spec)
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"user-data": UserData(spec), "meta-data": MetaData(ci), "network-config": network,
	}
	for part, name := range map[string]string{"user": "user-data", "meta": "meta-data", "network": "network-config", "vendor": "vendor-data"} {
		if text, ok := ci.Custom[part]; ok {
			files[name] = text
		}
	}
	return files, nil
}

// MetaData is the file meta-data.
func MetaData(ci machine.CloudInit) string { return fmt.Sprintf("instance-id: %s\n", ci.InstanceID) }

// UserData is the file user-data.
func UserData(spec machine.Spec) string {
	ci := spec.CloudInit
	var b strings.Builder
	host, domain, _ := strings.Cut(spec.Name, ".")
	if domain == "" {
		domain, _, _ = strings.Cut(ci.Search, " ")
	}
	fqdn := host
	if domain != "" {
		fqdn += "." + domain
	}
	fmt.Fprintf(&b, "#cloud-config\nhostname: %s\nmanage_etc_hosts: true\nfqdn: %s\n", host, fqdn)
	if ci.User != "" {
		fmt.Fprintf(&b, "user: %s\n", ci.User)
		if ci.User == "root" {
			b.WriteString("disable_root: False\n")
		}
	}
	if ci.Password != "" {
		fmt.Fprintf(&b, "password: %s\n", ci.Password)
	}
	if len(ci.SSHKeys) > 0 {
		b.WriteString("ssh_authorized_keys:\n")
		for _, k := range ci.SSHKeys {
			fmt.Fprintf(&b, "  - %s\n", k)
		}
	}
	b.WriteString("chpasswd:\n  expire: False\n")
	if ci.User != "root" {
		b.WriteString("users:\n  - default\n")
	}
	if ci.Upgrade {
		b.WriteString("package_upgrade: true\n")
	}
	return b.String()
}

// Network is the file network-config, version 1: a card for each ipconfig.
func Network(spec machine.Spec) (string, error) {
	ci := spec.CloudInit
	var b strings.Builder
	b.WriteString("version: 1\nconfig:\n")
	for n, text := range ci.IPConfig {
		if n >= len(spec.MAC) {
			break
		}
		p, err := options(text)
		if err != nil {
			return "", fmt.Errorf("ipconfig%d: %w", n, err)
		}
		fmt.Fprintf(&b, "    - type: physical\n      name: eth%d\n      mac_address: '%s'\n      subnets:\n", n, strings.ToLower(spec.MAC[n]))
		switch ip := p["ip"]; ip {
		case "":
		case "dhcp":
			b.WriteString("      - type: dhcp4\n")
		default:
			prefix, err := netip.ParsePrefix(ip)
			if err != nil {
				return "", fmt.Errorf("ipconfig%d: %w", n, err)
			}
			fmt.Fprintf(&b, "      - type: static\n        address: '%s'\n        netmask: '%s'\n", prefix.Addr(), mask(prefix.Bits()))
			if p["gw"] != "" {
				fmt.Fprintf(&b, "        gateway: '%s'\n", p["gw"])
			}
		}
		switch ip := p["ip6"]; ip {
		case "":
		case "dhcp":
			b.WriteString("      - type: dhcp6\n")
		case "auto":
			b.WriteString("      - type: ipv6_slaac\n")
		default:
			fmt.Fprintf(&b, "      - type: static6\n        address: '%s'\n", ip)
			if p["gw6"] != "" {
				fmt.Fprintf(&b, "        gateway: '%s'\n", p["gw6"])
			}
		}
	}
	list := func(title, text string) {
		if words := strings.Fields(strings.ReplaceAll(text, ",", " ")); len(words) > 0 {
			fmt.Fprintf(&b, "      %s:\n", title)
			for _, w := range words {
				fmt.Fprintf(&b, "      - '%s'\n", w)
			}
		}
	}
	if ci.Nameserver != "" || ci.Search != "" {
		b.WriteString("    - type: nameserver\n")
		list("address", ci.Nameserver)
		list("search", ci.Search)
	}
	return b.String(), nil
}

// options parses "a=b,c=d".
func options(text string) (map[string]string, error) {
	out := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("%q has no value", part)
		}
		out[key] = value
	}
	return out, nil
}

// mask is a prefix length as a net mask.
func mask(bits int) string {
	m := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// Reserve gives a machine what its network would by DHCP: a first card without an address of its own
// gets this one, and no name server means this one.
func Reserve(ci *machine.CloudInit, address, gateway, dns string) {
	first := "ip=" + address + ",gw=" + gateway
	if len(ci.IPConfig) == 0 {
		ci.IPConfig = []string{first}
	} else if p, err := options(ci.IPConfig[0]); err == nil && (p["ip"] == "dhcp" || p["ip"] == "" && p["ip6"] == "") {
		ci.IPConfig = append([]string{first}, ci.IPConfig[1:]...)
	}
	if ci.Nameserver == "" {
		ci.Nameserver = dns
	}
}
