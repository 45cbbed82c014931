package proxmox

import (
	"fmt"
	"slices"
)

// Version is a generation of Proxmox VE that the server can speak as.
type Version string

// The generations. They differ in agent privileges (VM.Monitor against VM.GuestAgent.*), error texts,
// what may be imported, the JSON type of nextid, the size limit of bodies, and whether an error's full
// text is in the body.
const (
	V9  Version = "9"   // 9.1
	V8  Version = "8"   // 8.4
	V83 Version = "8.3" // 8.3: no error text in the body, 64 KiB bodies, imports of .ova only
)

// flavor is what follows from a Version.
type flavor struct {
	version, release, repoid string
	major                    int
	message                  bool     // error bodies carry "message"
	bodyLimit                int64    // bytes
	importExts               []string // file name endings of importable images
	nextIDString             bool     // nextid is a JSON string, not a number
	qgaWord                  string   // "qga" or "qmp" in the text of a timed out agent command
	qemu                     string
	options                  table // the keys of a VM's configuration
}

func (f flavor) nine() bool { return f.major >= 9 }

func (v Version) flavor() (flavor, error) {
	f, err := v.constants()
	f.options = f.vmOptions()
	return f, err
}

func (v Version) constants() (flavor, error) {
	newExts := []string{".ova", ".qcow2", ".raw", ".vmdk"}
	switch v {
	case V9, "":
		return flavor{
			version: "9.1.1", release: "9.1", repoid: "42db4a6cf33dac83", major: 9, message: true,
			bodyLimit: 512 << 10, importExts: newExts, nextIDString: true, qgaWord: "qga", qemu: "10.1.2",
		}, nil
	case V8:
		return flavor{
			version: "8.4.1", release: "8.4", repoid: "2a5fa54a8503f96d", major: 8, message: true,
			bodyLimit: 512 << 10, importExts: newExts, qgaWord: "qmp", qemu: "9.2.0",
		}, nil
	case V83:
		return flavor{
			version: "8.3.5", release: "8.3", repoid: "dac3aa88bac3f300", major: 8,
			bodyLimit: 64 << 10, importExts: []string{".ova"}, qgaWord: "qmp", qemu: "9.0.2",
		}, nil
	}
	return flavor{}, fmt.Errorf("unknown Proxmox version %q: %v are known", string(v), []Version{V9, V8, V83})
}

// privileges are all that a role of this generation can hold.
func (f flavor) privileges() []string {
	privs := []string{
		"Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
		"Group.Allocate", "Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Permissions.Modify",
		"Pool.Allocate", "Pool.Audit", "Realm.Allocate", "Realm.AllocateUser", "SDN.Allocate", "SDN.Audit",
		"SDN.Use", "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify",
		"Sys.PowerMgmt", "Sys.Syslog", "User.Modify", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone",
		"VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType",
		"VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Console", "VM.Migrate",
		"VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback",
	}
	if f.nine() {
		privs = append(privs, "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt",
			"VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted", "VM.Replicate")
	} else {
		privs = append(privs, "VM.Monitor")
	}
	slices.Sort(privs)
	return privs
}
