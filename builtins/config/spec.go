// Package config is what playbooks see of the configuration: config.vms(), config.vm(name) and the
// values behind them. Reading and checking the files is the work of the top-level package config.
package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/config"
	"phoenix-run/runner/value"
)

// Spec is one configured virtual machine as playbooks see it: the keys of phoenix_vm_configs.json with
// their defaults, and id and name for short.
type Spec struct {
	VM     config.VM
	fields *starlarkstruct.Struct
}

// NewSpec makes the Starlark value of a configured VM.
func NewSpec(vm config.VM) (*Spec, error) {
	// What is not given is an empty list, not None: playbooks go through it.
	vm.Tags, vm.Features = orEmpty(vm.Tags), orEmpty(vm.Features)
	vm.DockerStacks, vm.SSHPublicKeys = orEmpty(vm.DockerStacks), orEmpty(vm.SSHPublicKeys)
	fields, err := attributes(vm)
	if err != nil {
		return nil, err
	}
	names := make([]any, len(vm.DependsOn))
	for i, ref := range vm.DependsOn {
		names[i] = ref.Name
	}
	fields["depends_on"] = names
	fields["id"], fields["name"] = vm.ID, vm.Name
	fields["is_portainer_server"] = vm.IsPortainerServer()
	return &Spec{VM: vm, fields: value.StructFromGo(fields)}, nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// attributes gives a configuration struct's fields under their keys in the file.
func attributes(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return nil, err
	}
	// A list or dict that the files leave out is an empty one to playbooks, not None.
	of := reflect.Indirect(reflect.ValueOf(v))
	for i := range of.NumField() {
		key, _, _ := strings.Cut(of.Type().Field(i).Tag.Get("json"), ",")
		switch f := of.Field(i); {
		case f.Kind() == reflect.Slice && f.IsNil():
			fields[key] = []any{}
		case f.Kind() == reflect.Map && f.IsNil():
			fields[key] = map[string]any{}
		}
	}
	return fields, nil
}

func (s *Spec) String() string        { return fmt.Sprintf("vm(%d %s)", s.VM.ID, s.VM.Name) }
func (s *Spec) Type() string          { return "vm_spec" }
func (s *Spec) Freeze()               {}
func (s *Spec) Truth() starlark.Bool  { return true }
func (s *Spec) Hash() (uint32, error) { return starlark.MakeInt(s.VM.ID).Hash() }

// Attr gives a key of the configuration.
func (s *Spec) Attr(name string) (starlark.Value, error) { return s.fields.Attr(name) }

// AttrNames lists the keys.
func (s *Spec) AttrNames() []string {
	names := s.fields.AttrNames()
	slices.Sort(names)
	return names
}

// HasFeature reports whether the VM is given the feature.
func (s *Spec) HasFeature(name string) bool {
	return slices.ContainsFunc(s.VM.Features, func(f config.Feature) bool { return f.Name == name })
}
