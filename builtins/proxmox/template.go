package proxmox

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

type templatesArgs struct {
	Name string `star:"name" doc:"the name, with or without the version at its end"`
}

type fromImageArgs struct {
	Name        string `star:"name" doc:"name of the machine"`
	Image       string `star:"image" doc:"where Proxmox downloads the cloud image from"`
	Checksum    string `star:"checksum" default:"\"\"" doc:"the image's checksum, as sha256:HEX or sha512:HEX"`
	Description string `star:"description" default:"\"\"" doc:"for people"`
	ID          int    `star:"id" default:"0" doc:"its vm_id; 0: the first from 9000 on that is free"`
	Node        string `star:"node" default:"\"\"" doc:"node to make it on; proxmox_api.node if not given"`
	Storage     string `star:"storage" default:"\"local-zfs\"" doc:"storage for its disk"`
	Bridge      string `star:"bridge" default:"\"vmbr0\"" doc:"bridge of its network card"`
	DiskGB      int    `star:"disk_gb" default:"8" doc:"size of its disk in GiB; the image's own must not be larger"`
	Vendor      string `star:"vendor" default:"\"\"" doc:"volume of a cloud-init vendor file, such as local:snippets/guest-agent.yml"`
}

type retireArgs struct {
	ID int `star:"id" doc:"the template's number"`
}

// versioned splits a template's name from the version at its end.
var versioned = regexp.MustCompile(`^(.*?)(?:-v(\d+))?$`)

func splitVersion(name string) (base string, version int) {
	m := versioned.FindStringSubmatch(name)
	version, _ = strconv.Atoi(m[2]) // no version is 0
	return m[1], version
}

func (s *Session) templateBuiltins() []*builtin.Builtin {
	return []*builtin.Builtin{
		builtin.Func(builtin.Spec{
			Name: "templates", Effect: builtin.Reads,
			Summary: "The templates of a name in all versions, the newest first: NAME-v3, NAME-v2, … and NAME itself.",
			Returns: "list of structs with id, name, version (0 for one without), node, description and clones (the names of the machines whose disks are linked to it)",
			Example: "for t in proxmox.templates(\"ubuntu-22.04-cloud-template\"):\n    print(t.name, t.clones)",
		}, s.templates),
		builtin.Func(builtin.Spec{
			Name: "from_image", Effect: builtin.Operation, Returns: "vm",
			Summary: "A machine that is in no configuration file, made from a cloud image: what a template is built from. It is worked on through the guest agent, which the image must have, or get from the vendor file at its first boot.",
			Errors:  []string{"There is a template of that name.", "No storage of the node takes images to import."},
			Example: "vm = proxmox.from_image(\"debian-12-v1\", image = \"https://images.example/debian-12.qcow2\")\nvm.start()",
		}, s.fromImage),
		builtin.Func(builtin.Spec{
			Name: "retire_template", Effect: builtin.Operation, Returns: "result",
			Summary: "Destroys a template that no machine is linked to.",
			Errors:  []string{"Machines are linked to it: which.", "It is no template."},
			Example: "for t in proxmox.templates(\"ubuntu-22.04-cloud-template\")[1:]:\n    if not t.clones:\n        proxmox.retire_template(t.id)",
		}, func(c *builtin.Call, a retireArgs) (starlark.Value, error) {
			return c.Do(&retireOp{s: s, task: c.Task, id: a.ID})
		}),
	}
}

func (s *Session) templates(c *builtin.Call, a templatesArgs) (starlark.Value, error) {
	base, _ := splitVersion(a.Name)
	vms, err := s.machines(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(slices.Clone(vms), func(vm pve.VM) bool {
		name, _ := splitVersion(vm.Name)
		return !vm.Template || name != base
	})
	slices.SortFunc(found, func(a, b pve.VM) int {
		_, va := splitVersion(a.Name)
		_, vb := splitVersion(b.Name)
		return vb - va
	})
	client, err := s.pve(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	list := make([]starlark.Value, len(found))
	for i, t := range found {
		config, err := client.Config(c.Context(), t.Node, t.ID)
		if err != nil {
			return nil, err
		}
		clones, err := s.clonesOf(c.Context(), c.Task, t.ID)
		if err != nil {
			return nil, err
		}
		_, version := splitVersion(t.Name)
		list[i] = value.StructFromGo(map[string]any{"id": t.ID, "name": t.Name, "version": version, "node": t.Node,
			"description": strings.TrimSpace(config["description"]), "clones": clones})
	}
	return starlark.NewList(list), nil
}

// clonesOf names the machines whose disks are linked to those of a template. A machine that can't be
// asked, since its node is offline, may be one: that is an error.
func (s *Session) clonesOf(ctx context.Context, task *runner.Task, template int) ([]string, error) {
	vms, err := s.machines(ctx, task)
	if err != nil {
		return nil, err
	}
	client, err := s.pve(ctx, task)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, vm := range vms {
		if vm.Template {
			continue
		}
		if vm.Status == "unknown" {
			return nil, fmt.Errorf("node %s is offline, so it is not known whether VM %d (%s) is linked to template %d", vm.Node, vm.ID, vm.Name, template)
		}
		config, err := client.Config(ctx, vm.Node, vm.ID)
		if err != nil {
			return nil, err
		}
		if config.LinkedTo(template) {
			names = append(names, vm.Name)
		}
	}
	return names, nil
}

func (s *Session) fromImage(c *builtin.Call, a fromImageArgs) (starlark.Value, error) {
	vm := config.NewVM()
	vm.ID, vm.Name, vm.Description, vm.Node = a.ID, a.Name, a.Description, a.Node
	vm.TemplateName, vm.CloudImage = "", &config.CloudImage{URL: a.Image, Checksum: a.Checksum}
	vm.BootDiskStorage, vm.BootDiskSizeGB, vm.NetworkBridge = a.Storage, a.DiskGB, a.Bridge
	vm.Transport = "agent"
	vms, err := s.machines(c.Context(), c.Task)
	if err != nil {
		return nil, err
	}
	taken := map[int]bool{}
	for _, other := range s.options.Config.VMs {
		taken[other.ID] = true
	}
	for _, other := range vms {
		taken[other.ID] = true
		if other.Name != a.Name {
			continue
		}
		if other.Template {
			return nil, fmt.Errorf("%s is a template already (VM %d on %s)", a.Name, other.ID, other.Node)
		}
		vm.ID = other.ID // an earlier run was cut off
	}
	for id := 9000; vm.ID == 0; id++ {
		if !taken[id] {
			vm.ID = id
		}
	}
	out, err := c.Task.Do(&machineOp{s: s, task: c.Task, vm: vm, vendor: a.Vendor})
	if err != nil {
		return nil, err
	}
	return newVM(s, vm, out)
}

// templateOp makes a machine a template.
type templateOp struct {
	s    *Session
	task *runner.Task
	vm   config.VM
}

func (o *templateOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "template", ID: fmt.Sprint(o.vm.ID)}
}

func (o *templateOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	if cause, missing := v.IsMissing(o.vm.Name); missing {
		return op.State{Attrs: op.Attrs{"template": false}, Maybe: &cause}, nil
	}
	return v.Read(ctx, op.Key{Host: "proxmox", Space: "template", ID: fmt.Sprint(o.vm.ID)}, func(ctx context.Context) (op.Attrs, error) {
		client, node, err := o.s.locate(ctx, o.task, o.vm)
		if err != nil {
			return nil, err
		}
		config, err := client.Config(ctx, node, o.vm.ID)
		return op.Attrs{"template": config["template"] == "1"}, err
	})
}

func (o *templateOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"template": true}), nil
}

func (o *templateOp) Predict(v *op.View, change op.Change) {
	v.Put(op.Key{Host: "proxmox", Space: "template", ID: fmt.Sprint(o.vm.ID)}, change)
	v.Mark(list, op.Cause{Address: o.Address(), Why: "makes a template"}, true)
}

// Apply takes off what only the first boot needed, so that clones ask for no file that their node
// does not have.
func (o *templateOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	settings, err := client.Config(ctx, node, o.vm.ID)
	if err != nil {
		return err
	}
	if settings["cicustom"] != "" {
		if err := client.Configure(ctx, node, o.vm.ID, nil, []string{"cicustom"}, settings["digest"]); err != nil {
			return err
		}
	}
	return client.MakeTemplate(ctx, node, o.vm.ID, o.s.progress(o.task, o.vm.Name))
}

// retireOp destroys a template that no machine is linked to.
type retireOp struct {
	s    *Session
	task *runner.Task
	id   int
}

func (o *retireOp) Address() op.Address {
	return op.Address{Host: "proxmox", Kind: "retired template", ID: fmt.Sprint(o.id)}
}

func (o *retireOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, cell(o.id), func(ctx context.Context) (op.Attrs, error) {
		found, ok, err := o.s.find(ctx, o.task, o.id)
		if err != nil || !ok {
			return nil, err
		}
		if !found.Template {
			return nil, fmt.Errorf("VM %d (%s) is no template", o.id, found.Name)
		}
		clones, err := o.s.clonesOf(ctx, o.task, o.id)
		if err != nil {
			return nil, err
		}
		if len(clones) > 0 {
			return nil, fmt.Errorf("template %s is kept: the disks of %s are linked to it", found.Name, strings.Join(clones, ", "))
		}
		return op.Attrs{"name": found.Name}, nil
	})
}

func (o *retireOp) Diff(current op.State) (op.Change, error) { return op.Removal(current), nil }

func (o *retireOp) Predict(v *op.View, change op.Change) { v.Put(cell(o.id), change) }

func (o *retireOp) Apply(ctx context.Context, _ op.Change) error {
	found, ok, err := o.s.find(ctx, o.task, o.id)
	if err != nil || !ok {
		return err
	}
	client, err := o.s.pve(ctx, o.task)
	if err != nil {
		return err
	}
	return client.Destroy(ctx, found.Node, o.id, o.s.progress(o.task, found.Name))
}

var vmMakeTemplate = builtin.Method(builtin.Spec{
	Name: "make_template", Effect: builtin.Operation, Returns: "result",
	Summary: "Makes the machine a template, for good. It must be off, and have no snapshots.",
	Example: "vm = proxmox.from_image(\"debian-12-v1\", image = \"https://images.example/debian-12.qcow2\")\nvm.make_template()",
}, func(c *builtin.Call, v *VM, _ none) (starlark.Value, error) {
	return c.Do(&templateOp{s: v.s, task: c.Task, vm: v.vm})
})
