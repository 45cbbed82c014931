package proxmox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"golang.org/x/crypto/ssh"

	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

// findings are what the doctor tells: one for each thing that was looked at.
type findings struct{ list []any }

func (f *findings) ok(check, detail string) {
	f.list = append(f.list, map[string]any{"check": check, "ok": true, "detail": detail, "mend": ""})
}

func (f *findings) bad(check string, problem any, mend string) {
	f.list = append(f.list, map[string]any{"check": check, "ok": false, "detail": fmt.Sprint(problem), "mend": mend})
}

// doctor looks at everything that a run needs, and says how to mend what is missing.
func (s *Session) doctor(c *builtin.Call, _ none) (starlark.Value, error) {
	f := &findings{}
	s.checkKey(f)
	ctx := c.Context()
	client, err := s.pve(ctx, c.Task)
	if err != nil {
		f.bad("proxmox_api", err, "set proxmox_api in "+config.HypervisorFile+"; docs/proxmox.md has the commands that make a token")
		return value.FromGo(f.list), nil
	}
	version, err := client.Version(ctx)
	if err != nil {
		f.bad("connection", err, connectionMend(err))
		return value.FromGo(f.list), nil
	}
	f.ok("connection", "Proxmox VE "+version)
	nodes, err := client.Nodes(ctx)
	if err != nil {
		f.bad("nodes", err, "give the token the privilege Sys.Audit")
		return value.FromGo(f.list), nil
	}
	for _, n := range nodes {
		if n.Online {
			f.ok("node "+n.Name, "online")
		} else {
			f.bad("node "+n.Name, "offline", "bring it back, or leave its machines out with --limit")
		}
	}
	if err := s.checkMachines(c, client, version, nodes, f); err != nil {
		return nil, err
	}
	return value.FromGo(f.list), nil
}

func connectionMend(err error) string {
	var cert *pve.CertificateError
	var refused *pve.Error
	switch {
	case errors.As(err, &cert):
		return "compare the fingerprint with the one on the node, then set proxmox_api.tls_fingerprint"
	case errors.As(err, &refused) && refused.Status == 401:
		return "the token is wrong or expired: make a new one (docs/proxmox.md)"
	}
	return "check proxmox_api.url, the network, and that pveproxy runs on the node"
}

// checkMachines looks at what the configured machines are to be made from and put on.
func (s *Session) checkMachines(c *builtin.Call, client *pve.Client, release string, nodes []pve.Node, f *findings) error {
	ctx := c.Context()
	vms, err := s.machines(ctx, c.Task)
	if err != nil {
		return err
	}
	var placed []config.VM
	nodeOf := map[string]string{}
	said := map[string]bool{}
	once := func(check string, report func()) {
		if !said[check] {
			said[check] = true
			report()
		}
	}
	for _, vm := range s.options.Config.VMs {
		node, err := s.node(ctx, c.Task, vm)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(nodes, func(n pve.Node) bool { return n.Name == node })
		if i < 0 {
			once("node "+node, func() { f.bad("node "+node, "the cluster has no such node", "correct node of "+vm.Name) })
			continue
		}
		s.checkID(ctx, client, vm, vms, f)
		if !nodes[i].Online { // it can't be asked, and is reported already
			continue
		}
		placed, nodeOf[vm.Name] = append(placed, vm), node
		once("template "+vm.TemplateName, func() { checkTemplate(ctx, client, node, vm, vms, f) })
		once("storage "+node+" "+vm.BootDiskStorage, func() { checkStorage(ctx, client, node, vm, f) })
		once("bridge "+node+" "+vm.NetworkBridge, func() { checkBridge(ctx, client, node, vm, f) })
	}
	importFrom := func(node string) string {
		storage, err := importStorage(ctx, client, node)
		if err != nil {
			return "" // said with the template
		}
		return storage
	}
	s.checkPrivileges(ctx, client, needs(placed, vms, release, func(vm config.VM) string { return nodeOf[vm.Name] }, importFrom), f)
	return nil
}

// checkID looks whether the machine's id is somebody else's. One that was made from this configuration
// under another name is renamed by the next run.
func (s *Session) checkID(ctx context.Context, client *pve.Client, vm config.VM, vms []pve.VM, f *findings) {
	i := slices.IndexFunc(vms, func(v pve.VM) bool { return v.ID == vm.ID })
	if i < 0 || !vms[i].Template && (vms[i].Name == vm.Name || vms[i].Status == "unknown") {
		return
	}
	check, what := fmt.Sprintf("vm_id %d", vm.ID), "a template"
	if !vms[i].Template {
		c, err := client.Config(ctx, vms[i].Node, vm.ID)
		if err == nil && c["ciuser"] == s.sshUser(vm) {
			f.ok(check, vms[i].Name+" is to be renamed to "+vm.Name)
			return
		}
		what = "a machine"
	}
	f.bad(check, fmt.Sprintf("%s called %s on %s has it", what, vms[i].Name, vms[i].Node), "give "+vm.Name+" another vm_id")
}

func checkTemplate(ctx context.Context, client *pve.Client, node string, vm config.VM, vms []pve.VM, f *findings) {
	check := "template " + vm.TemplateName
	i := slices.IndexFunc(vms, func(v pve.VM) bool { return v.Template && v.Name == vm.TemplateName })
	switch {
	case i >= 0:
		checkTemplateConfig(ctx, client, check, vms[i], f)
	case vm.CloudImage != nil:
		if _, err := importStorage(ctx, client, node); err != nil {
			f.bad(check, "not there, and its cloud_image can't be used: "+err.Error(), "allow the content type import on a storage of "+node)
			return
		}
		f.ok(check, "not there; "+vm.CloudImage.URL+" is used instead")
	default:
		f.bad(check, "no template of that name (there are: "+templates(vms)+")", "build it, correct template_name, or give a cloud_image")
	}
}

// checkTemplateConfig looks whether machines that are cloned from the template can be talked to.
func checkTemplateConfig(ctx context.Context, client *pve.Client, check string, template pve.VM, f *findings) {
	if template.Status == "unknown" {
		f.bad(check, fmt.Sprintf("VM %d is on node %s, which is offline", template.ID, template.Node), "bring the node back")
		return
	}
	c, err := client.Config(ctx, template.Node, template.ID)
	switch {
	case err != nil:
		f.bad(check, err, fmt.Sprintf("give the token VM.Audit and VM.Clone on /vms/%d", template.ID))
	case c.BootDisk() == "" || pve.ParseDisk(c[c.BootDisk()]).Storage == "":
		f.bad(check, fmt.Sprintf("VM %d has no disk to boot from", template.ID), fmt.Sprintf("qm set %d --boot order=scsi0, or build the template anew", template.ID))
	default:
		f.ok(check, fmt.Sprintf("VM %d on %s", template.ID, template.Node))
	}
}

func checkStorage(ctx context.Context, client *pve.Client, node string, vm config.VM, f *findings) {
	check := "storage " + vm.BootDiskStorage + " on " + node
	storages, err := client.Storages(ctx, node)
	if err != nil {
		f.bad(check, err, "give the token the privilege Datastore.Audit")
		return
	}
	i := slices.IndexFunc(storages, func(st pve.Storage) bool { return st.Name == vm.BootDiskStorage })
	switch {
	case i < 0:
		f.bad(check, "there is no such storage", "correct boot_disk_storage, or enable the storage for the node")
	case !storages[i].Active:
		f.bad(check, "it is not active", "see Datacenter → Storage")
	case !slices.Contains(storages[i].Content, "images"):
		f.bad(check, "it takes no disk images", "allow the content type images for it")
	default:
		f.ok(check, "takes disk images")
	}
}

func checkBridge(ctx context.Context, client *pve.Client, node string, vm config.VM, f *findings) {
	check := "bridge " + vm.NetworkBridge + " on " + node
	bridges, err := client.Bridges(ctx, node)
	switch {
	case err != nil:
		f.bad(check, err, "give the token the privilege Sys.Audit")
	case !slices.Contains(bridges, vm.NetworkBridge):
		f.bad(check, fmt.Sprintf("there is no such bridge (there are: %s)", strings.Join(bridges, ", ")), "correct network_bridge, or make the bridge")
	default:
		f.ok(check, "there")
	}
}

// checkKey looks whether phoenix-run can log in to the machines at all.
func (s *Session) checkKey(f *findings) {
	settings := s.options.Config.Hypervisor.SSH
	const mend = "set ssh.private_key_file, or ssh.agent to true; or work through the guest agent (transport: agent)"
	switch {
	case settings.PrivateKeyFile != "":
		text, err := os.ReadFile(s.options.Config.Path(settings.PrivateKeyFile))
		if err == nil {
			_, err = ssh.ParsePrivateKey(text)
		}
		if err != nil {
			f.bad("ssh key", err, mend)
			return
		}
		f.ok("ssh key", settings.PrivateKeyFile)
	case settings.Agent && os.Getenv("SSH_AUTH_SOCK") == "":
		f.bad("ssh key", "ssh.agent is true, but no agent runs (SSH_AUTH_SOCK is not set)", "start one: eval $(ssh-agent); ssh-add")
	case settings.Agent:
		f.ok("ssh key", "from the SSH agent")
	default:
		f.bad("ssh key", "no key is configured", mend)
	}
}
