package proxmox

import (
	"maps"
	"slices"
	"strings"
)

// hotplug moves what can take effect on a running machine out of pending. s.mu is held.
func (c *call) hotplug(g *guest) error {
	s := c.server
	features := hotplugFeatures(g.Config["hotplug"])
	for _, key := range slices.Sorted(maps.Keys(g.Delete)) {
		if plugsFast(key) || hotDevice(key, features) {
			s.applyDelete(g, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Pending)) {
		switch {
		case key == "memory" && features["memory"]:
			if atoi(g.Pending[key]) < atoi(g.Config[key]) {
				return badParam("memory", "hotplug problem - 400 parameter verification failed.\nmemory: unable to unplug memory")
			}
			s.applySet(g, key)
		case plugsFast(key) || hotDevice(key, features) || key == "balloon" || key == "cpulimit" || key == "cpuunits":
			s.applySet(g, key)
		}
	}
	return nil
}

func hotplugFeatures(text string) map[string]bool {
	switch text {
	case "", "1":
		text = "network,disk,usb"
	}
	out := map[string]bool{}
	for f := range strings.SplitSeq(text, ",") {
		out[f] = true
	}
	return out
}

// hotDevice reports whether devices like this can be plugged while the machine runs.
func hotDevice(key string, features map[string]bool) bool {
	switch busOf(key) {
	case "net":
		return features["network"]
	case "scsi", "virtio", "unused":
		return features["disk"]
	case "ide", "sata":
		return key == "ide2" // media can be changed
	case "usb":
		return features["usb"]
	}
	return false
}
