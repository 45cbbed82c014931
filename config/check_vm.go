package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// check holds the rules of ip_config.
func (c *IPConfig) check(r *report, n *node) {
	address, gateway := n.get("address"), n.get("gateway")
	switch {
	case c.DHCP && (address != nil || gateway != nil):
		r.fault(n.get("dhcp"), "dhcp and a fixed address exclude each other; keep one of them")
	case !c.DHCP && address == nil && gateway != nil:
		r.fault(gateway, "a gateway without an address; give the address too, or use dhcp")
	case !c.DHCP && address == nil:
		r.fault(n, "holds no address; give {\"dhcp\": true} or {\"address\": \"10.0.0.5/24\", \"gateway\": \"10.0.0.1\"}")
	}
	prefix, err := netip.ParsePrefix(c.Address)
	via, err2 := netip.ParseAddr(c.Gateway)
	if err != nil || err2 != nil {
		return // absent, or reported by its format
	}
	switch {
	case prefix.Addr().Is4() != via.Is4():
		r.fault(gateway, "is %s, and the address %s is of the other IP version", via, prefix)
	case prefix.Addr() == via:
		r.fault(gateway, "is the machine's own address")
	}
}

func (k *PublicKey) check(r *report, n *node) {
	if (n.get("key") == nil) == (n.get("file") == nil) {
		r.fault(n, "one of key and file is needed")
	}
}

func (i *CloudImage) check(r *report, n *node) {
	if i.Checksum == "" && n.get("checksum") == nil {
		r.warn(n, "no checksum: nothing tells whether the image is the one you mean; give \"checksum\": \"sha256:...\"")
	}
}

// checkVMs holds the rules that concern several VMs, or a VM and the other files.
func (l *loader) checkVMs() {
	list := l.vmRoot.get("virtual_machines")
	l.checkFeatures(l.vmRoot.get("vm_defaults"))
	l.checkKeyFiles(l.vmRoot.get("vm_defaults"), nil)
	ids, names, addresses := map[int]*node{}, map[string]*node{}, map[netip.Addr]int{}
	var server *node
	var serverName string
	for i := range l.config.VMs {
		vm, n := &l.config.VMs[i], list.item(i)
		if at := n.get("vm_id"); at != nil && vm.ID != 0 {
			if first, taken := ids[vm.ID]; taken {
				l.report.fault(at, "%d is taken: %s has it on %s", vm.ID, first.path, first.where())
			} else {
				ids[vm.ID] = at
			}
		}
		if at := n.get("vm_name"); at != nil && vm.Name != "" {
			if first, taken := names[strings.ToLower(vm.Name)]; taken {
				l.report.fault(at, "%q is taken: %s has it on %s", vm.Name, first.path, first.where())
			} else {
				names[strings.ToLower(vm.Name)] = at
			}
		}
		l.checkAddress(i, n, addresses)
		l.checkFeatures(n)
		l.checkKeyFiles(n, vm)
		l.checkUses(vm, n)
		if vm.IsPortainerServer() {
			at := useNode(n.get("docker_stacks").or(l.vmRoot.get("vm_defaults").get("docker_stacks")), PortainerStack).or(n)
			if server != nil {
				l.report.fault(at, "the stack %s is on %q already (%s): there can be one Portainer server, and %q would be a second",
					PortainerStack, serverName, server.where(), vm.Name)
			} else {
				server, serverName = at, vm.Name
			}
		}
	}
	l.checkDependencies()
}

// useNode returns the item of a docker_stacks list that names the stack.
func useNode(list *node, stack string) *node {
	if list == nil {
		return nil
	}
	for _, item := range list.items {
		if item.text == stack && item.kind == kindString {
			return item
		}
		if name := item.get("name"); name != nil && name.text == stack {
			return name
		}
	}
	return nil
}

func (l *loader) checkAddress(i int, n *node, taken map[netip.Addr]int) {
	prefix, err := netip.ParsePrefix(l.config.VMs[i].IPConfig.Address)
	if err != nil {
		return
	}
	at := n.get("ip_config").get("address").or(n)
	if first, is := taken[prefix.Addr()]; is {
		l.report.fault(at, "%s is taken: %q has it", prefix.Addr(), l.config.VMs[first].Name)
		return
	}
	taken[prefix.Addr()] = i
}

// checkFeatures looks for features that there are not, in a machine or in vm_defaults.
func (l *loader) checkFeatures(owner *node) {
	list := owner.get("features")
	if list == nil {
		return
	}
	first := map[string]*node{}
	for _, item := range list.items {
		at := item
		if item.kind == kindObject {
			at = item.get("name")
		}
		if at == nil || at.kind != kindString || checkFormat("feature", at.text) != "" {
			continue
		}
		if other, twice := first[at.text]; twice {
			l.report.fault(at, "%q is listed twice: first as %s on %s", at.text, other.path, other.where())
			continue
		}
		first[at.text] = at
		if l.options.Features != nil && !slices.Contains(l.options.Features, at.text) {
			l.report.fault(at, "there is no feature %q; %s%s", at.text, known("features", l.options.Features),
				didYouMean(at.text, l.options.Features))
			continue
		}
		l.checkFeatureOptions(at.text, item.get("options"))
	}
}

// checkFeatureOptions looks for options that the feature does not have.
func (l *loader) checkFeatureOptions(feature string, given *node) {
	if l.options.FeatureOptions == nil || given == nil || given.kind != kindObject {
		return
	}
	options, known := l.options.FeatureOptions(feature)
	if !known {
		return
	}
	for _, m := range given.members {
		if slices.Contains(options, m.key.text) {
			continue
		}
		has := "it has none"
		if len(options) > 0 {
			has = "it has " + list(slices.Sorted(slices.Values(options)))
		}
		l.report.fault(m.key, "the feature %q has no option %q; %s%s", feature, m.key.text, has, didYouMean(m.key.text, options))
	}
}

// checkKeyFiles reads the public keys that stand in files. vm is nil for vm_defaults.
func (l *loader) checkKeyFiles(owner *node, vm *VM) {
	if list := owner.get("ssh_public_keys"); list != nil {
		for _, item := range list.items {
			file := item.get("file")
			if file == nil || file.text == "" {
				continue
			}
			l.checkKeyFile(file)
		}
	}
	if vm == nil {
		return
	}
	vm.SSHPublicKeys = slices.Clone(vm.SSHPublicKeys) // may be the list of vm_defaults
	for i, k := range vm.SSHPublicKeys {
		if k.File == "" {
			continue
		}
		if data, err := l.input(k.File); err == nil {
			vm.SSHPublicKeys[i].Key = strings.Join(lines(string(data)), "\n")
		}
	}
}

func (l *loader) checkKeyFile(file *node) {
	data, err := l.input(file.text)
	if err != nil {
		l.report.fault(file, "%q can't be read: %v (looked at %s)", file.text, err, locate(l.dir, file.text))
		return
	}
	keys := lines(string(data))
	if len(keys) == 0 {
		l.report.fault(file, "%q holds no key", file.text)
	}
	for i, key := range keys {
		if err := publicKey(key); err != nil {
			l.report.fault(file, "%q, key %d: %v", file.text, i+1, err)
			return
		}
	}
}

// checkUses looks for stacks and environments that there are not, and for stacks that can't run.
func (l *loader) checkUses(vm *VM, n *node) {
	list := n.get("docker_stacks").or(l.vmRoot.get("vm_defaults").get("docker_stacks"))
	seen := map[string]bool{}
	for i, use := range vm.DockerStacks {
		item := list.item(i).or(n)
		at := item.get("name").or(item)
		switch s, ok := l.config.Stacks[use.Name]; {
		case use.Name == "":
		case seen[use.Name]:
			l.report.fault(at, "%q is listed twice; Portainer has each stack once on a machine", use.Name)
		case use.Name == PortainerStack:
		case !ok && l.stacksKnown:
			names := append(l.config.StackNames(), PortainerStack)
			l.report.fault(at, "there is no stack %q in %s; %s%s", use.Name, StackFile, known("stacks", names), didYouMean(use.Name, names))
		case ok && use.Environment != "":
			if _, has := s.Environment(use.Environment); !has {
				names := s.EnvironmentNames()
				l.report.fault(item.get("environment").or(at), "the stack %q has no environment %q; %s%s",
					use.Name, use.Environment, known("environments", names), didYouMean(use.Environment, names))
			}
		}
		seen[use.Name] = true
	}
	docker := slices.ContainsFunc(vm.Features, func(f Feature) bool { return f.Name == "docker" })
	if len(vm.DockerStacks) > 0 && !docker {
		l.report.warn(list.or(n), "the machine has Docker stacks, and none of its features is docker; something else must install Docker")
	}
}

// findVM returns the index of the VM that ref names, -1 if there is none.
func (c *Config) findVM(ref VMRef) int {
	return slices.IndexFunc(c.VMs, func(vm VM) bool {
		if ref.Name != "" {
			return strings.EqualFold(vm.Name, ref.Name) || strconv.Itoa(vm.ID) == ref.Name
		}
		return vm.ID == ref.ID
	})
}
