package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"phoenix-run/config"
	"phoenix-run/pve"
)

// need is what the work needs on one path of Proxmox's permission tree.
type need struct {
	path       string
	privileges []string
	why        string
}

// machinePrivileges are needed on every machine that is worked on. The guest agent's privilege is
// another one since Proxmox VE 9, which knows VM.Monitor no more.
func machinePrivileges(release string) []string {
	list := []string{"VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
		"VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"}
	if strings.HasPrefix(release, "8") {
		return append(list, "VM.Monitor")
	}
	return append(list, "VM.GuestAgent.Unrestricted")
}

// needs lists what the configured machines need, each path once.
func needs(vms []config.VM, there []pve.VM, release string, nodeOf func(config.VM) string, importFrom func(node string) string) []need {
	var list []need
	add := func(path, why string, privileges ...string) {
		i := slices.IndexFunc(list, func(n need) bool { return n.path == path })
		if i < 0 {
			list = append(list, need{path: path, why: why})
			i = len(list) - 1
		}
		for _, p := range privileges {
			if !slices.Contains(list[i].privileges, p) {
				list[i].privileges = append(list[i].privileges, p)
			}
		}
	}
	for _, vm := range vms {
		node := nodeOf(vm)
		add("/nodes/"+node, "to see the node's bridges", "Sys.Audit")
		add(fmt.Sprintf("/vms/%d", vm.ID), "to make and run "+vm.Name, machinePrivileges(release)...)
		add("/storage/"+vm.BootDiskStorage, "to put disks there", "Datastore.AllocateSpace", "Datastore.Audit")
		add("/sdn/zones/localnetwork/"+vm.NetworkBridge, "to connect machines to the bridge", "SDN.Use")
		if vm.StartupOrder > 0 {
			add("/", "to set the startup_order of "+vm.Name, "Sys.Modify")
		}
		i := slices.IndexFunc(there, func(v pve.VM) bool { return v.Template && v.Name == vm.TemplateName })
		switch {
		case i >= 0:
			add(fmt.Sprintf("/vms/%d", there[i].ID), "to clone the template "+vm.TemplateName, "VM.Clone", "VM.Audit")
		case vm.CloudImage != nil:
			if storage := importFrom(node); storage != "" {
				add("/storage/"+storage, "to download cloud images to it", "Datastore.AllocateTemplate", "Datastore.Audit")
			}
			add("/nodes/"+node, "to download cloud images on it", "Sys.AccessNetwork")
		}
	}
	return list
}

// checkPrivileges asks Proxmox what the token may do on each path that the work touches.
func (s *Session) checkPrivileges(ctx context.Context, client *pve.Client, list []need, f *findings) {
	bad := false
	for _, n := range list {
		have, err := client.Permissions(ctx, n.path)
		if err != nil {
			f.bad("privileges on "+n.path, err, "")
			return
		}
		missing := slices.DeleteFunc(slices.Clone(n.privileges), func(p string) bool { return have[p] })
		if len(missing) == 0 {
			continue
		}
		bad = true
		f.bad("privileges on "+n.path, "missing "+n.why+": "+strings.Join(missing, " "), fmt.Sprintf(
			"pveum role modify PhoenixRun --append 1 --privs %q, if the token has that role there; else pveum acl modify %s --users NAME --roles PhoenixRun; a token with privilege separation needs the role itself (--tokens)",
			strings.Join(missing, " "), n.path))
	}
	if !bad {
		f.ok("privileges", fmt.Sprintf("all that is needed, on %d paths", len(list)))
	}
}
