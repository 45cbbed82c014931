package proxmox

var nicModels = []string{
	"e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
	"ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
}

var netFormat = propFormat{
	main: "model", models: nicModels, modelValue: "macaddr",
	keys: table{
		"model": oneOf(nicModels...).req(), "macaddr": formatted(formatMAC), "bridge": formatted(formatBridge),
		"firewall": boolean(), "link_down": boolean(), "mtu": integer().atLeast(1).atMost(65520),
		"queues": integer().atLeast(0).atMost(64), "rate": number().atLeast(0),
		"tag": integer().atLeast(1).atMost(4094), "trunks": matching(`\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*`),
	},
}

var ipFormat = propFormat{keys: table{
	"ip": formatted(formatIPv4Config), "gw": formatted(formatIPv4),
	"ip6": formatted(formatIPv6Config), "gw6": formatted(formatIPv6),
}}

var agentFormat = propFormat{main: "enabled", keys: table{
	"enabled": boolean().req(), "freeze-fs": boolean(), "freeze-fs-on-backup": boolean(),
	"fstrim_cloned_disks": boolean(), "guest-fsfreeze": boolean(), "type": oneOf("virtio", "isa"),
}}

var bootFormat = propFormat{main: "legacy", keys: table{
	"legacy": matching(`[acdn]{1,4}`), "order": formatted(formatBootOrder),
}}

var memoryFormat = propFormat{main: "current", keys: table{"current": integer().atLeast(16).req()}}

var startupFormat = propFormat{main: "order", keys: table{
	"order": matching(`\d+`), "up": matching(`\d+`), "down": matching(`\d+`),
}}

var cicustomFormat = propFormat{keys: table{
	"meta": formatted(formatVolume), "network": formatted(formatVolume),
	"user": formatted(formatVolume), "vendor": formatted(formatVolume),
}}

var importAliases = map[string]string{"volume": "file"}

// driveKeys are the options that every kind of drive knows.
func driveKeys() table {
	t := table{
		"file": formatted(formatDrive).req(), "size": matching(`\d+(\.\d+)?[KMGT]?`),
		"aio": oneOf("native", "threads", "io_uring"), "backup": boolean(),
		"cache":         oneOf("none", "writethrough", "writeback", "unsafe", "directsync"),
		"detect_zeroes": boolean(), "discard": oneOf("ignore", "on"),
		"format": oneOf("raw", "qcow", "qed", "qcow2", "vmdk", "cloop"), "import-from": str(),
		"media": oneOf("cdrom", "disk"), "replicate": boolean(), "rerror": oneOf("ignore", "report", "stop"),
		"serial": str().chars(60), "shared": boolean(), "snapshot": boolean(),
		"werror": oneOf("enospc", "ignore", "report", "stop"),
	}
	for _, name := range []string{"bps", "bps_rd", "bps_wr", "iops", "iops_max", "iops_rd", "iops_rd_max", "iops_wr", "iops_wr_max"} {
		t[name] = integer()
	}
	for _, name := range []string{
		"bps_max_length", "bps_rd_max_length", "bps_wr_max_length",
		"iops_max_length", "iops_rd_max_length", "iops_wr_max_length",
	} {
		t[name] = integer().atLeast(1)
	}
	for _, name := range []string{"mbps", "mbps_max", "mbps_rd", "mbps_rd_max", "mbps_wr", "mbps_wr_max"} {
		t[name] = number()
	}
	return t
}

func driveFormat(extra table) propFormat {
	return propFormat{main: "file", keys: with(driveKeys(), extra), aliases: importAliases}
}

var wwn = matching(`0x[0-9a-fA-F]{16}`)

// driveFormats by bus.
var driveFormats = map[string]propFormat{
	"ide":  driveFormat(table{"model": str().chars(120), "ssd": boolean(), "wwn": wwn}),
	"sata": driveFormat(table{"ssd": boolean(), "wwn": wwn}),
	"scsi": driveFormat(table{
		"iothread": boolean(), "product": str().chars(16), "queues": integer().atLeast(2), "ro": boolean(),
		"scsiblock": boolean(), "ssd": boolean(), "vendor": str().chars(8), "wwn": wwn,
	}),
	"virtio": driveFormat(table{"iothread": boolean(), "ro": boolean()}),
	"efidisk": {main: "file", aliases: importAliases, keys: table{
		"file": formatted(formatDrive).req(), "size": str(), "format": str(), "import-from": str(),
		"efitype": oneOf("2m", "4m"), "ms-cert": oneOf("2011", "2023", "2023k", "2023w"), "pre-enrolled-keys": boolean(),
	}},
	"tpmstate": {main: "file", aliases: importAliases, keys: table{
		"file": formatted(formatDrive).req(), "size": str(), "format": str(), "import-from": str(),
		"version": oneOf("v1.2", "v2.0"),
	}},
	"unused": {main: "file", aliases: importAliases, keys: table{"file": formatted(formatVolume).req()}},
}
