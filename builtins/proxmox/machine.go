package proxmox

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/op"
)

// machineOp makes a machine as configured: cloned or created where it is not there, changed where it differs.
type machineOp struct {
	s        *Session
	task     *runner.Task
	vm       config.VM
	moveDisk bool
	vendor   string // volume of a cloud-init vendor file for the first boot; "" for none

	// What Read found, for Predict: whether the machine runs, and its configuration.
	running  bool
	settings pve.Settings
}

// IsLandmark has the recap name the machine.
func (o *machineOp) IsLandmark() {}

func (o *machineOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "vm", ID: fmt.Sprint(o.vm.ID)}
}

func (o *machineOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, cell(o.vm.ID), func(ctx context.Context) (op.Attrs, error) {
		found, ok, err := o.s.find(ctx, o.task, o.vm.ID)
		if err != nil || !ok {
			return nil, err
		}
		if found.Status == "unknown" {
			return nil, fmt.Errorf("node %s, which VM %d is on, is offline: bring it back, or leave the VM out with --limit '!%s'", found.Node, o.vm.ID, o.vm.Name)
		}
		o.running = found.Status == "running"
		if o.settings, err = o.s.settings(ctx, o.task, found); err != nil {
			return nil, err
		}
		return actual(o.settings.Config), nil
	})
}

func (o *machineOp) Diff(current op.State) (op.Change, error) {
	want, err := o.s.desired(o.vm)
	if err != nil {
		return op.Change{}, err
	}
	if current.Exists() {
		if name := current.Attrs["name"]; name != o.vm.Name && o.taken(current.Attrs) {
			return op.Change{}, fmt.Errorf("vm_id %d belongs to %q, which is a template or not made from this configuration: give %s another vm_id", o.vm.ID, name, o.vm.Name)
		}
		if err := o.checkDisk(current.Attrs, want); err != nil {
			return op.Change{}, err
		}
	}
	change := op.Compare(current, want)
	if change.Action == op.Create {
		change.Note = "clone of " + o.vm.TemplateName
		if o.vm.TemplateName == "" {
			change.Note = "from " + o.vm.CloudImage.URL
		}
	}
	return change, nil
}

// taken reports whether a machine of another name under this id is someone else's: a renamed one keeps
// its user and keys.
func (o *machineOp) taken(have op.Attrs) bool {
	return have["ssh_user"] != o.s.sshUser(o.vm)
}

// checkDisk refuses what can't be done, and leaves alone what must be asked for.
func (o *machineOp) checkDisk(have, want op.Attrs) error {
	size := toFloat(have["boot_disk_size_gb"])
	if wanted := toFloat(want["boot_disk_size_gb"]); size > wanted {
		return fmt.Errorf("the boot disk has %v GiB and boot_disk_size_gb is %v: a disk can't be made smaller; set boot_disk_size_gb to %v or more", size, wanted, size)
	}
	if !o.moveDisk {
		want["boot_disk_storage"] = have["boot_disk_storage"]
	}
	return nil
}

// warnOfStorage tells of a disk that is not where the configuration has it.
func (o *machineOp) warnOfStorage(have op.Attrs) {
	if storage := have["boot_disk_storage"]; storage != nil && storage != o.vm.BootDiskStorage {
		o.task.Warn(o.vm.Name, fmt.Sprintf("the boot disk is on %v, boot_disk_storage is %s: it is moved only when that is asked for: phoenix-run create %d --move-disk",
			storage, o.vm.BootDiskStorage, o.vm.ID))
	}
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

func (o *machineOp) Predict(v *op.View, change op.Change) {
	v.Put(cell(o.vm.ID), change)
	if change.Action == op.Update && o.running {
		o.predictPending(v, change)
	}
	if change.Action == op.Create {
		cause := op.Cause{Address: o.Address(), Why: "is a new machine"}
		v.Missing(o.vm.Name, cause)
		v.Put(powerCell(o.vm.ID), op.Change{Action: op.Create, After: op.Attrs{"power": "stopped"}})
	}
}

func (o *machineOp) Apply(ctx context.Context, change op.Change) error {
	client, err := o.s.pve(ctx, o.task)
	if err != nil {
		return err
	}
	var node string
	names := change.Changed()
	if change.Action == op.Create {
		if node, err = o.create(ctx, client); err != nil {
			return err
		}
	} else {
		found, ok, err := o.s.find(ctx, o.task, o.vm.ID)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("VM %d has gone since it was read", o.vm.ID)
		}
		node = found.Node
	}
	return o.configure(ctx, client, node, names, change.After)
}

// configure brings the named attributes of a machine that is there to what they should be.
func (o *machineOp) configure(ctx context.Context, client *pve.Client, node string, names []string, want op.Attrs) error {
	if err := o.set(ctx, client, node, names, want); err != nil {
		return err
	}
	settings, err := client.Settled(ctx, node, o.vm.ID)
	if err != nil {
		return err
	}
	have := actual(settings.Config)
	disk, progress := settings.BootDisk(), o.s.progress(o.task, o.vm.Name)
	differs := func(name string) bool { return slices.Contains(names, name) && !op.Equal(have[name], want[name]) }
	if differs("boot_disk_storage") {
		if err := client.MoveDisk(ctx, node, o.vm.ID, disk, fmt.Sprint(want["boot_disk_storage"]), progress); err != nil {
			return err
		}
	}
	if differs("boot_disk_size_gb") {
		bytes := int64(toFloat(want["boot_disk_size_gb"])) * gib
		return client.Resize(ctx, node, o.vm.ID, disk, bytes, progress)
	}
	return nil
}

// set changes what is in the configuration itself. Where someone else has changed it in between, it is
// read again and only what still differs is set.
func (o *machineOp) set(ctx context.Context, client *pve.Client, node string, names []string, want op.Attrs) error {
	for try := 1; ; try++ {
		settings, err := client.Settled(ctx, node, o.vm.ID)
		if err != nil {
			return err
		}
		have := actual(settings.Config)
		differ := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return op.Equal(have[name], want[name]) })
		set, remove := parameters(differ, want, settings.Config)
		if settings.CloudInitDrive() == "" {
			set["ide2"] = fmt.Sprint(want["boot_disk_storage"]) + ":cloudinit"
		}
		if len(set)+len(remove) == 0 {
			return nil
		}
		if o.running {
			o.s.seeded(o.vm.ID, differ)
		}
		err = client.Configure(ctx, node, o.vm.ID, set, remove, settings.Config["digest"])
		if err == nil || !pve.IsChangedMeanwhile(err) || try == 5 {
			return err
		}
	}
}

// create clones the template, or makes the machine from its cloud image where there is no template.
func (o *machineOp) create(ctx context.Context, client *pve.Client) (node string, err error) {
	if node, err = o.s.node(ctx, o.task, o.vm); err != nil {
		return "", err
	}
	vms, err := o.s.machines(ctx, o.task)
	if err != nil {
		return "", err
	}
	template, found := pickTemplate(vms, o.vm.TemplateName, node)
	switch {
	case !found && o.vm.CloudImage == nil:
		return "", fmt.Errorf("no template %q on any node: build it, name another as template_name, or give the VM a cloud_image (templates: %s)", o.vm.TemplateName, templates(vms))
	case !found:
		return node, o.createFromImage(ctx, client, node)
	case template.Status == "unknown":
		return "", fmt.Errorf("template %s is on node %s, which is offline: bring the node back, or build the template on %s as well", template.Name, template.Node, node)
	}
	c, err := client.Config(ctx, template.Node, template.ID)
	if err != nil {
		return "", err
	}
	clone := pve.Clone{SourceNode: template.Node, Source: template.ID, ID: o.vm.ID, Name: o.vm.Name, Target: node}
	if storage := pve.ParseDisk(c[c.BootDisk()]).Storage; storage != o.vm.BootDiskStorage || template.Node != node {
		clone.Full, clone.Storage = true, o.vm.BootDiskStorage // a linked clone stays where its template is
		if template.Node != node {
			if err := reachable(ctx, client, template, storage, node, o.vm.BootDiskStorage); err != nil {
				return "", err
			}
		}
	}
	o.task.Begin(o.vm.Name, o.Address().String(), fmt.Sprintf("cloning %s", template.Name))
	return node, client.Clone(ctx, clone, o.s.progress(o.task, o.vm.Name))
}

// pickTemplate finds a template by name: where there are several, one on the node itself, which needs no
// shared storage, before one on another, and that before one that can't be reached.
func pickTemplate(vms []pve.VM, name, node string) (best pve.VM, found bool) {
	rank := func(vm pve.VM) int {
		switch {
		case vm.Status == "unknown":
			return 0
		case vm.Node != node:
			return 1
		}
		return 2
	}
	for _, vm := range vms {
		if vm.Template && vm.Name == name && (!found || rank(vm) > rank(best)) {
			best, found = vm, true
		}
	}
	return best, found
}

// reachable is an error where Proxmox can't clone a template to another node: both its storage and the
// one for the clone's disk must be shared.
func reachable(ctx context.Context, client *pve.Client, template pve.VM, from, node, to string) error {
	storages, err := client.Storages(ctx, template.Node)
	if err != nil {
		return err
	}
	for _, name := range []string{from, to} {
		i := slices.IndexFunc(storages, func(s pve.Storage) bool { return s.Name == name })
		if i < 0 || !storages[i].Shared {
			return fmt.Errorf("template %s is on node %s, and storage %s is not shared, so Proxmox can't clone it to node %s: build the template on %s as well (phoenix-run build template), or use shared storage for both",
				template.Name, template.Node, name, node, node)
		}
	}
	return nil
}

func templates(vms []pve.VM) string {
	var names []string
	for _, vm := range vms {
		if vm.Template {
			names = append(names, vm.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// createFromImage lets the node download the cloud image and imports it as the boot disk.
func (o *machineOp) createFromImage(ctx context.Context, client *pve.Client, node string) error {
	image := o.vm.CloudImage
	storage, err := importStorage(ctx, client, node)
	if err != nil {
		return err
	}
	file := path.Base(image.URL)
	if ext := path.Ext(file); ext == ".img" {
		file = strings.TrimSuffix(file, ext) + ".qcow2" // what cloud images are, and what Proxmox imports by name
	}
	progress := o.s.progress(o.task, o.vm.Name)
	there, err := client.StorageHas(ctx, node, storage, "import", file)
	if err != nil {
		return err
	}
	if !there {
		o.task.Begin(o.vm.Name, o.Address().String(), "downloading "+image.URL)
		if err := client.Download(ctx, node, storage, "import", file, image.URL, image.Checksum, progress); err != nil {
			return err
		}
	}
	params := map[string]string{
		"name":    o.vm.Name,
		"ostype":  o.vm.OSType,
		"scsihw":  "virtio-scsi-single",
		"scsi0":   fmt.Sprintf("%s:0,import-from=%s:import/%s", o.vm.BootDiskStorage, storage, file),
		"ide2":    o.vm.BootDiskStorage + ":cloudinit",
		"boot":    "order=scsi0",
		"serial0": "socket",
		"vga":     "serial0",
		"agent":   "enabled=1",
		"net0":    fmt.Sprintf("%s,bridge=%s", o.vm.NetworkModel, o.vm.NetworkBridge),
	}
	if o.vendor != "" {
		params["cicustom"] = "vendor=" + o.vendor
	}
	return client.Create(ctx, node, o.vm.ID, params, progress)
}

func importStorage(ctx context.Context, client *pve.Client, node string) (string, error) {
	storages, err := client.Storages(ctx, node)
	if err != nil {
		return "", err
	}
	for _, s := range storages {
		if s.Active && slices.Contains(s.Content, "import") {
			return s.Name, nil
		}
	}
	return "", fmt.Errorf("no storage of node %s takes images to import: allow the content type import on one (Datacenter → Storage; Proxmox 8.4 or newer)", node)
}
