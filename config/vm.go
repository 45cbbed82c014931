package config

// vmFile is phoenix_vm_configs.json.
type vmFile struct {
	Schema   string   `json:"$schema" doc:"Where an editor finds the JSON Schema of this file."`
	Defaults defaults `json:"vm_defaults" doc:"What a virtual machine gets where it says nothing of its own."`
	VMs      []VM     `json:"virtual_machines" required:"true" doc:"The virtual machines. A value given here replaces the one of vm_defaults, lists included."`
}

// defaults are the keys of VM that do not belong to a single machine.
type defaults VM

// VM is one virtual machine, with the defaults applied.
type VM struct {
	ID          int      `json:"vm_id" required:"true" own:"true" min:"100" max:"999999999" doc:"A unique identifier for the VM, also in Proxmox."`
	Name        string   `json:"vm_name" required:"true" own:"true" format:"dns-label" doc:"A unique name for the VM, also its host name."`
	Description string   `json:"description" doc:"A brief description of the VM's purpose."`
	Tags        []string `json:"tags" format:"tag" doc:"A list of tags for organizing and filtering VMs."`

	TemplateName    string `json:"template_name" default:"ubuntu-22.04-cloud-template-v3" format:"not-empty" doc:"The name of the Proxmox template to clone."`
	OSType          string `json:"os_type" default:"l26" enum:"l26,l24,win11,win10,win8,win7,wvista,wxp,w2k8,w2k3,w2k,solaris,other" doc:"The operating system type. l26 is for modern Linux kernels."`
	CPUSockets      int    `json:"cpu_sockets" default:"1" min:"1" max:"16" doc:"The number of CPU sockets to allocate to the VM."`
	CPUCores        int    `json:"cpu_cores" default:"2" min:"1" max:"1024" doc:"The number of CPU cores (per socket) to allocate to the VM."`
	MemoryMB        int    `json:"memory_mb" default:"4096" min:"16" doc:"The amount of RAM in megabytes (MiB) to allocate to the VM."`
	BootDiskSizeGB  int    `json:"boot_disk_size_gb" default:"50" min:"1" doc:"The size of the boot disk in gigabytes (GiB). A disk is grown to it and never shrunk."`
	BootDiskStorage string `json:"boot_disk_storage" default:"local-zfs" format:"storage-id" doc:"The Proxmox storage pool to use for the boot disk."`
	NetworkBridge   string `json:"network_bridge" default:"vmbr0" format:"bridge" doc:"The Proxmox network bridge to connect the VM to."`
	NetworkModel    string `json:"network_model" default:"virtio" enum:"virtio,e1000,e1000e,e1000-82540em,e1000-82544gc,e1000-82545em,i82551,i82557b,i82559er,ne2k_isa,ne2k_pci,pcnet,rtl8139,vmxnet3" doc:"The model of the virtual network card. virtio is recommended for performance."`

	Features     []Feature  `json:"features" doc:"A list of features (scripts) to execute after the VM is created, in this order."`
	DockerStacks []StackUse `json:"docker_stacks" doc:"A list of Docker stacks (from phoenix_stacks_config.json) to deploy to the VM. The name portainer is built in: it makes this VM the Portainer server."`

	Node          string      `json:"node" format:"node" doc:"The Proxmox node to create the VM on. Without it, proxmox_api.node."`
	IPConfig      IPConfig    `json:"ip_config" default:"dhcp" doc:"The address of the first network card."`
	Nameserver    string      `json:"nameserver" format:"ip-list" doc:"DNS servers for cloud-init: addresses with spaces between them. Without it, the hypervisor's own."`
	SSHUser       string      `json:"ssh_user" format:"user" doc:"The user to work as in the VM, made by cloud-init. Without it, ssh.user."`
	SSHPublicKeys []PublicKey `json:"ssh_public_keys" doc:"The public keys that may log in as that user: each a key, or a file with keys."`
	Transport     string      `json:"transport" default:"ssh" enum:"ssh,agent" doc:"How to work in the VM: over SSH, or through the QEMU guest agent."`
	CloudImage    *CloudImage `json:"cloud_image" doc:"The image to make the VM from when the template does not exist."`

	DependsOn    []VMRef `json:"depends_on" own:"true" doc:"The VMs (ids or names) that must be up before this one is worked on."`
	StartOnBoot  bool    `json:"start_on_boot" default:"false" doc:"Whether Proxmox starts the VM when the node boots."`
	StartupOrder int     `json:"startup_order" default:"0" min:"0" doc:"The place in the node's start order. 0 leaves it open."`
	Restart      string  `json:"restart" default:"never" enum:"never,if_needed,ask" doc:"What to do when a change takes effect only after a restart of the VM."`
	Protected    bool    `json:"protected" default:"false" doc:"Whether the VM is safe from being destroyed."`
}

// NewVM returns a VM that says nothing of its own: with the defaults of each key, without those of a
// vm_defaults.
func NewVM() VM { return newOf[VM]() }

// Feature is one feature of a VM, with the options for it.
type Feature struct {
	Name    string         `json:"name" required:"true" format:"feature" doc:"The name of the feature: features/NAME.star in the project folder or in the binary."`
	Options map[string]any `json:"options" doc:"The feature's options, by name. What there is, phoenix-run features show NAME tells."`
}

func (Feature) shorthand() shorthand { return shorthand{text: "name"} }

// StackUse says that a VM runs a stack, in one of the stack's environments.
type StackUse struct {
	Name        string `json:"name" required:"true" format:"not-empty" doc:"The stack's name in the catalogue, or portainer."`
	Environment string `json:"environment" default:"production" format:"not-empty" doc:"The stack's environment that gives variables and files."`
}

func (StackUse) shorthand() shorthand { return shorthand{text: "name"} }

// IPConfig is the address of a VM's first network card: by DHCP, or fixed.
type IPConfig struct {
	DHCP    bool   `json:"dhcp" doc:"Whether the address comes by DHCP."`
	Address string `json:"address" format:"cidr" doc:"A fixed address with its prefix length, such as 10.0.0.5/24."`
	Gateway string `json:"gateway" format:"ip" doc:"The default gateway for the fixed address."`
}

func (IPConfig) shorthand() shorthand { return shorthand{text: "dhcp", word: "dhcp"} }

// PublicKey is one entry of ssh_public_keys. After Load, Key holds the keys' text, one a line, also
// where they came from a file.
type PublicKey struct {
	Key  string `json:"key" format:"ssh-public-key" doc:"A public key as in authorized_keys."`
	File string `json:"file" format:"path" doc:"A file with public keys, such as ~/.ssh/id_ed25519.pub."`
}

func (PublicKey) shorthand() shorthand { return shorthand{text: "key"} }

// CloudImage is a disk image on the web.
type CloudImage struct {
	URL      string `json:"url" required:"true" format:"url" doc:"Where Proxmox downloads the image from."`
	Checksum string `json:"checksum" format:"checksum" doc:"The image's checksum, as sha256:HEX or sha512:HEX."`
}

// VMRef names another VM. After Load both fields are set, whichever the file gave.
type VMRef struct {
	ID   int    `json:"id" min:"100" max:"999999999" doc:"The VM's id."`
	Name string `json:"name" format:"not-empty" doc:"The VM's name."`
}

func (VMRef) shorthand() shorthand { return shorthand{text: "name", number: "id", only: true} }

// PublicKeys returns the text of all public keys of the VM, each with its own line.
func (vm VM) PublicKeys() []string {
	var keys []string
	for _, k := range vm.SSHPublicKeys {
		keys = append(keys, lines(k.Key)...)
	}
	return keys
}

// PortainerStack is the built-in stack that makes a VM the Portainer server.
const PortainerStack = "portainer"

// IsPortainerServer reports whether the VM runs the built-in stack portainer.
func (vm VM) IsPortainerServer() bool {
	for _, use := range vm.DockerStacks {
		if use.Name == PortainerStack {
			return true
		}
	}
	return false
}
