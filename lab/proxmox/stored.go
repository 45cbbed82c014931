package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// stored is a value as the configuration file keeps it; image is what to import, if anything.
func (c *call) stored(ctx context.Context, g *guest, key, text string) (out, image string, err error) {
	switch bus := busOf(key); {
	case bus == "net":
		p, err := netFormat.parse(key, text)
		if err != nil {
			return "", "", err
		}
		if p["macaddr"] == "" {
			p["macaddr"] = newMAC()
		}
		p["macaddr"] = strings.ToUpper(p["macaddr"])
		return netFormat.String(p), "", nil
	case isDisk(key):
		return c.storedDrive(g, key, text)
	case bus == "unused":
		if _, owned := g.Volumes[volumeOf(text)]; !owned {
			return "", "", fmt.Errorf("volume '%s' does not exist", volumeOf(text))
		}
	}
	switch key {
	case "tags":
		return c.server.tags(text), "", nil
	case "description":
		return description(text), "", nil
	case "cipassword":
		hashed, err := cryptPassword(text)
		return hashed, "", err
	case "sshkeys":
		return text, "", c.server.checkKeys(text)
	case "cicustom":
		return text, "", c.server.checkCustom(text, g.Node)
	case "vmgenid":
		if text == "1" {
			return newUUID(), "", nil
		}
	}
	return text, "", nil
}

// tags are kept sorted, each once, in lower case unless the datacenter says otherwise. s.mu is held.
func (s *Server) tags(text string) string {
	if !s.cluster.TagCase {
		text = strings.ToLower(text)
	}
	all := splitList(text, "")
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ";")
}

// description is kept as comment lines, so that each line gets a newline.
func description(text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	return text + "\n"
}

// checkKeys refuses what sshd could not read.
func (s *Server) checkKeys(encoded string) error {
	text, err := url.QueryUnescape(strings.ReplaceAll(encoded, "+", "%2B"))
	if err != nil {
		return errors.New("SSH public key validation error")
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && len(strings.Fields(line)) < 2 {
			return errors.New("SSH public key validation error")
		}
	}
	return nil
}

func checkBootOrder(config map[string]string, text string) error {
	p, err := bootFormat.parse("boot", text)
	if err != nil {
		return err
	}
	for _, dev := range splitList(p["order"], ";") {
		if _, ok := config[dev]; !ok {
			return fmt.Errorf("invalid bootorder: device '%s' does not exist'", dev)
		}
	}
	return nil
}
