package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
)

// loader holds what Load knows while it reads.
type loader struct {
	report  *report
	dir     string
	options Options
	config  *Config
	seen    map[string]inputResult // files of Config.Files, by path

	vmRoot, stackRoot, hypervisorRoot *node // nil where the file is absent or no JSON object
	stacksKnown                       bool  // the catalogue could be read, or there is none
	vmFile, hypervisorFile            *node // stand for the files as a whole
}

// inputResult is the outcome of reading an input file once.
type inputResult struct {
	data []byte
	err  error
}

// Load reads the configuration in the folder dir. If anything is wrong the error is Faults, with
// every fault of all files, and the Config is nil. The warnings are sorted by position too.
//
// phoenix_vm_configs.json must be there. The other two may be absent: then there is no catalogue,
// and the hypervisor part has its defaults.
func Load(dir string, options Options) (*Config, []Warning, error) {
	l := &loader{
		report:  &report{},
		dir:     dir,
		options: options,
		config:  &Config{Dir: dir, Stacks: map[string]Stack{}, Hypervisor: newOf[Hypervisor]()},
		seen:    map[string]inputResult{},
	}
	l.readVMs()
	l.readStacks()
	l.readHypervisor()
	l.checkVMs()
	l.checkStacks()
	l.checkHypervisor()
	l.fill()
	warnings, err := l.report.result()
	if err != nil {
		return nil, warnings, err
	}
	return l.config, warnings, nil
}

// read parses one of the three files. root is nil if it is absent or can't be parsed; absent tells
// which.
func (l *loader) read(name string) (root, whole *node, absent bool) {
	whole = &node{file: filepath.Join(l.dir, name)}
	data, err := l.input(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, whole, true
	}
	if err != nil {
		l.report.fault(whole, "can't be read: %v", err)
		return nil, whole, false
	}
	return parse(whole.file, data, l.report), whole, false
}

// input reads a file of the configuration, once, and notes its digest.
func (l *loader) input(path string) ([]byte, error) {
	if known, ok := l.seen[path]; ok {
		return known.data, known.err
	}
	data, err := os.ReadFile(locate(l.dir, path))
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // the fault has the path already
	}
	l.seen[path] = inputResult{data, err}
	if err == nil {
		sum := sha256.Sum256(data)
		l.config.Files = append(l.config.Files, InputFile{Path: path, SHA256: hex.EncodeToString(sum[:])})
	}
	return data, err
}

func (l *loader) readVMs() {
	root, whole, absent := l.read(VMFile)
	l.vmRoot, l.vmFile = root, whole
	if absent {
		l.report.fault(whole, "there is no such file; phoenix-run init writes one to start from")
		return
	}
	if root == nil {
		return
	}
	file := vmFile{Defaults: newOf[defaults]()}
	d := decoder{report: l.report}
	// Each machine starts as a copy of vm_defaults, so the list is decoded by hand after them.
	top := *root
	top.members = nil
	var list *node
	for _, m := range root.members {
		if m.key.text == "virtual_machines" && m.value.kind == kindArray {
			list = m.value
			m.value = &node{kind: kindArray}
		}
		top.members = append(top.members, m)
	}
	d.decode(&top, reflect.ValueOf(&file).Elem(), field{})
	if list == nil {
		return
	}
	if len(list.items) == 0 {
		l.report.warn(list, "there is no virtual machine")
	}
	for _, item := range list.items {
		vm := VM(file.Defaults)
		if d.want(item, kindObject, "") {
			d.object(item, reflect.ValueOf(&vm).Elem())
		}
		l.config.VMs = append(l.config.VMs, vm)
	}
}

func (l *loader) readStacks() {
	root, _, absent := l.read(StackFile)
	l.stackRoot, l.stacksKnown = root, absent
	if root == nil {
		return
	}
	var file stackFile
	decoder{report: l.report}.decode(root, reflect.ValueOf(&file).Elem(), field{})
	for name, s := range file.Stacks {
		s.Name = name
		l.config.Stacks[name] = s
	}
	list := root.get("docker_stacks")
	l.stacksKnown = list != nil && list.kind == kindObject
}

func (l *loader) readHypervisor() {
	root, whole, _ := l.read(HypervisorFile)
	l.hypervisorRoot, l.hypervisorFile = root, whole
	if root != nil {
		decoder{report: l.report}.decode(root, reflect.ValueOf(&l.config.Hypervisor).Elem(), field{})
	}
	if l.options.Override != nil {
		l.options.Override(&l.config.Hypervisor)
	}
}

// fill completes what depends on other parts: what a VM takes from the hypervisor's settings, and
// the images of Portainer.
func (l *loader) fill() {
	h := &l.config.Hypervisor
	if h.Portainer.ServerImage == "" {
		h.Portainer.ServerImage = "portainer/portainer-ce:" + h.Portainer.Version
	}
	if h.Portainer.AgentImage == "" {
		h.Portainer.AgentImage = "portainer/agent:" + h.Portainer.Version
	}
	for i := range l.config.VMs {
		vm := &l.config.VMs[i]
		if vm.SSHUser == "" {
			vm.SSHUser = h.SSH.User
		}
		if vm.Node == "" {
			vm.Node = h.ProxmoxAPI.Node
		}
	}
}
