package proxmox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// The named formats of Proxmox's schema, with the texts of their refusals.

func pattern(re, text string) func(string) error {
	compiled := regexp.MustCompile(re)
	return func(s string) error {
		if !compiled.MatchString(s) {
			return errors.New(text)
		}
		return nil
	}
}

// patternf is pattern with the value in the text.
func patternf(re, text string) func(string) error {
	compiled := regexp.MustCompile(re)
	return func(s string) error {
		if !compiled.MatchString(s) {
			return fmt.Errorf(text, s)
		}
		return nil
	}
}

const (
	nodeRE    = `^[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?$`
	labelRE   = `[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?`
	storageRE = `^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]$`
	tagRE     = `^[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*$`
)

var (
	formatVMID      = pattern(`^[1-9][0-9]{2,8}$`, "value does not look like a valid VM ID")
	formatNode      = pattern(nodeRE, "value does not look like a valid node name")
	formatDNSName   = pattern(`^`+labelRE+`(?:\.`+labelRE+`)*$`, "value does not look like a valid DNS name")
	formatStorage   = patternf(storageRE, "storage ID '%s' contains illegal characters")
	formatConfigID  = patternf(`^[a-zA-Z][a-zA-Z0-9_\-]+$`, "invalid configuration ID '%s'")
	formatPool      = pattern(`^[A-Za-z0-9.\-_]+(/[A-Za-z0-9.\-_]+){0,2}$`, "value does not look like a valid pool name")
	formatURLText   = pattern(`^[-%a-zA-Z0-9_.!~*'()]*$`, "invalid urlencoded string")
	formatTag       = pattern(tagRE, "invalid characters in tag")
	formatBridge    = pattern(`^[-_.a-zA-Z0-9]+$`, "invalid bridge")
	formatVolume    = patternf(`^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(.+)$`, "unable to parse volume ID '%s'")
	formatBootOrder = listOf(";", pattern(`^[a-z]+[0-9]+$`, "invalid boot device"))
	formatHotplug   = pattern(`^([01]|((network|disk|cpu|memory|usb|cloudinit)(,|$))*)$`, "invalid hotplug feature")
)

// formatDrive accepts a volume, "none", "cdrom", or an absolute path.
func formatDrive(s string) error {
	if s == "none" || s == "cdrom" || strings.HasPrefix(s, "/") {
		return nil
	}
	return formatVolume(s)
}

func formatMAC(s string) error {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 || strings.Contains(s, "-") || mac[0]&1 != 0 {
		return errors.New("value does not look like a valid unicast MAC address")
	}
	return nil
}

func formatIPv4Config(s string) error {
	if s == "dhcp" {
		return nil
	}
	if p, err := netip.ParsePrefix(s); err != nil || !p.Addr().Is4() {
		return errors.New("value does not look like a valid ipv4 network configuration")
	}
	return nil
}

func formatIPv6Config(s string) error {
	if s == "dhcp" || s == "auto" {
		return nil
	}
	if p, err := netip.ParsePrefix(s); err != nil || p.Addr().Is4() {
		return errors.New("value does not look like a valid ipv6 network configuration")
	}
	return nil
}

func formatIPv4(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
		return errors.New("value does not look like a valid ipv4 address")
	}
	return nil
}

func formatIPv6(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || a.Is4() {
		return errors.New("value does not look like a valid ipv6 address")
	}
	return nil
}

func formatAddress(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if formatDNSName(s) != nil {
		return errors.New("value does not look like a valid address")
	}
	return nil
}

func formatCIDR(s string) error {
	if _, err := netip.ParsePrefix(s); err != nil {
		return errors.New("value does not look like a valid CIDR network")
	}
	return nil
}

// listOf checks each item of a list; Proxmox drops empty items.
func listOf(separators string, item func(string) error) func(string) error {
	return func(s string) error {
		for _, part := range splitList(s, separators) {
			if err := item(part); err != nil {
				return err
			}
		}
		return nil
	}
}

// splitList cuts at any of the separators, or at Proxmox's usual ones: , ; and space.
func splitList(s, separators string) []string {
	if separators == "" {
		separators = ",; \x00\n\t"
	}
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) })
}
