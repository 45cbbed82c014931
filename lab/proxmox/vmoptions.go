package proxmox

import "strings"

// vmOptions are the keys of a VM's configuration.
func (f flavor) vmOptions() table {
	t := table{
		"acpi": boolean(), "affinity": matching(`\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*`), "agent": prop(agentFormat),
		"amd-sev": str(), "arch": oneOf("x86_64", "aarch64"), "args": str(), "audio0": str(), "autostart": boolean(),
		"balloon": integer().atLeast(0), "bios": oneOf("seabios", "ovmf"), "boot": prop(bootFormat),
		"bootdisk": matching(`(ide|sata|scsi|virtio)\d+`), "cdrom": prop(driveFormats["ide"]),
		"cicustom": prop(cicustomFormat), "cipassword": str(),
		"citype": oneOf("configdrive2", "nocloud", "opennebula"), "ciupgrade": boolean(), "ciuser": str(),
		"cores": integer().atLeast(1), "cpu": str(), "cpulimit": number().atLeast(0).atMost(128),
		"cpuunits": integer().atLeast(1).atMost(262144), "description": str().chars(8192),
		"efidisk0": prop(driveFormats["efidisk"]), "force": boolean(), "freeze": boolean(),
		"hookscript": formatted(formatVolume), "hostpci[n]": str(), "hotplug": formatted(formatHotplug),
		"hugepages": oneOf("any", "2", "1024"), "ide[n]": prop(driveFormats["ide"]),
		"ipconfig[n]": prop(ipFormat), "ivshmem": str(), "keephugepages": boolean(),
		"keyboard": oneOf("de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu",
			"is", "it", "ja", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "sv", "sl", "tr"),
		"kvm": boolean(), "localtime": boolean(),
		"lock": oneOf("backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete",
			"suspending", "suspended"),
		"machine": str(), "memory": prop(memoryFormat), "migrate_downtime": number().atLeast(0),
		"migrate_speed": integer().atLeast(0), "name": formatted(formatDNSName),
		"nameserver": formatted(listOf("", formatAddress)), "net[n]": prop(netFormat), "numa": boolean(),
		"numa[n]": str(), "onboot": boolean(),
		"ostype": oneOf("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11",
			"l24", "l26", "solaris"),
		"parallel[n]": matching(`/dev/parport\d+|/dev/usb/lp\d+`), "protection": boolean(), "reboot": boolean(),
		"rng0": str(), "sata[n]": prop(driveFormats["sata"]), "scsi[n]": prop(driveFormats["scsi"]),
		"scsihw":       oneOf("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"),
		"searchdomain": str(), "serial[n]": matching(`(/dev/.+|socket)`), "shares": integer().atLeast(0).atMost(50000),
		"smbios1": str().chars(512), "smp": integer().atLeast(1), "sockets": integer().atLeast(1),
		"spice_enhancements": str(), "sshkeys": formatted(formatURLText),
		"startdate": matching(`(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)`),
		"startup":   prop(startupFormat), "tablet": boolean(), "tags": formatted(listOf("", formatTag)),
		"tdf": boolean(), "template": boolean(), "tpmstate0": prop(driveFormats["tpmstate"]),
		"unused[n]": prop(driveFormats["unused"]), "usb[n]": str(), "vcpus": integer().atLeast(1), "vga": str(),
		"virtio[n]": prop(driveFormats["virtio"]), "virtiofs[n]": str(),
		"vmgenid":        matching(`[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01]`),
		"vmstatestorage": formatted(formatStorage), "watchdog": str(),
	}
	if f.nine() {
		t["allow-ksm"] = boolean()
		t["intel-tdx"] = str()
	}
	return t
}

func prop(f propFormat) param { return param{kind: kindString, props: &f} }

// busOf splits a numbered key: "scsi0" is of "scsi"; "" for keys without a number.
func busOf(key string) string {
	if m := indexed.FindStringSubmatch(key); m != nil {
		return m[1]
	}
	return ""
}

// isDisk reports whether the key holds a drive, CD-ROMs included, unused volumes not.
func isDisk(key string) bool {
	switch busOf(key) {
	case "ide", "sata", "scsi", "virtio", "efidisk", "tpmstate":
		return true
	}
	return false
}

// isCloudInit reports whether the key is one of those that make up the cloud-init image.
func isCloudInit(key string) bool {
	switch key {
	case "cicustom", "cipassword", "citype", "ciuser", "nameserver", "searchdomain", "sshkeys", "ciupgrade":
		return true
	}
	return busOf(key) == "ipconfig"
}

// plugsFast reports whether a change takes effect on a running machine without touching its devices.
func plugsFast(key string) bool {
	switch key {
	case "description", "hookscript", "lock", "migrate_downtime", "migrate_speed", "name", "onboot",
		"protection", "shares", "startup", "tags", "vmstatestorage", "hotplug", "affinity", "template":
		return true
	}
	return isCloudInit(key)
}

// isNumeric reports whether the configuration shows the key as a JSON number.
func (f flavor) isNumeric(key string) bool {
	p, ok := f.options.lookup(key)
	return ok && (p.kind == kindInteger || p.kind == kindBoolean)
}

// privilegesFor are the privileges that changing key takes, on the VM or (startup) on the root.
func privilegeFor(key, val string) (path, privilege string) {
	switch bus := busOf(key); {
	case bus == "net":
		return "", "VM.Config.Network"
	case isCloudInit(key):
		return "", "VM.Config.Cloudinit"
	case isDisk(key) && strings.Contains(val, "media=cdrom") && !strings.Contains(val, "cloudinit"):
		return "", "VM.Config.CDROM"
	case isDisk(key) || bus == "unused" || key == "vmstatestorage":
		return "", "VM.Config.Disk"
	case bus == "hostpci" || bus == "usb" || bus == "serial" || bus == "parallel" || bus == "virtiofs":
		return "", "VM.Config.HWType"
	}
	switch key {
	case "cpu", "cpulimit", "cpuunits", "cores", "sockets", "numa", "vcpus", "smp", "affinity", "allow-ksm":
		return "", "VM.Config.CPU"
	case "memory", "balloon", "shares", "hugepages", "keephugepages":
		return "", "VM.Config.Memory"
	case "acpi", "arch", "audio0", "bios", "ivshmem", "kvm", "machine", "rng0", "scsihw", "smbios1", "tablet",
		"vga", "watchdog", "amd-sev", "intel-tdx", "keyboard":
		return "", "VM.Config.HWType"
	case "cdrom":
		return "", "VM.Config.CDROM"
	case "startup":
		return "/", "Sys.Modify"
	case "template":
		return "", "VM.Allocate"
	}
	return "", "VM.Config.Options"
}
