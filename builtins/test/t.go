package test

import (
	"errors"
	"fmt"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/config"
	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
)

// T is what a test function is called with.
type T struct {
	lab    Lab
	config *config.Config

	mu       sync.Mutex
	machines []*Machine
}

// NewT makes the argument of one test function.
func NewT(lab Lab, cfg *config.Config) *T { return &T{lab: lab, config: cfg} }

// Close gives the machines back.
func (t *T) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, m := range t.machines {
		errs = append(errs, m.close())
	}
	t.machines = nil
	return errors.Join(errs...)
}

func (t *T) String() string        { return "t" }
func (t *T) Type() string          { return "t" }
func (t *T) Freeze()               {}
func (t *T) Truth() starlark.Bool  { return true }
func (t *T) Hash() (uint32, error) { return 0, errors.New("unhashable: t") }

// Attr gives a method.
func (t *T) Attr(name string) (starlark.Value, error) { return TType.Attr(t, name), nil }

// AttrNames lists the methods.
func (t *T) AttrNames() []string { return TType.AttrNames() }

type machineArgs struct {
	Name      string         `star:"name" default:"\"machine\"" doc:"its host name"`
	Files     map[string]any `star:"files" default:"{}" doc:"path to content, or to a dict with content, mode and owner"`
	Packages  []string       `star:"packages" default:"[]" doc:"installed packages, besides those of the image"`
	Available map[string]any `star:"available" default:"{}" doc:"packages that can be installed besides those of the simulated archive: name to a dict with version, depends, units, groups, files"`
	Services  []string       `star:"services" default:"[]" doc:"services that run and start at boot"`
	Users     []string       `star:"users" default:"[]" doc:"people with an account"`
	Groups    []string       `star:"groups" default:"[]" doc:"groups"`
	Commands  map[string]any `star:"commands" default:"{}" doc:"programs that stand in for real ones: name to the text of a shell script"`
}

type vmArgs struct {
	Fields builtin.Rest `star:"fields" doc:"keys of phoenix_vm_configs.json, or others that the feature reads; the rest has its defaults"`
}

// TType declares the methods of t.
var TType = builtin.NewType("t", "What a test function gets: the means to make machines.", nil,
	builtin.Method(builtin.Spec{
		Name: "machine", Effect: builtin.Reads, Returns: "machine",
		Summary: "A new simulated machine, with what the test gives it. Nothing real is touched.",
		Errors:  []string{"A package is not in the simulated archive: give it by available."},
		Example: "def test_motd(t):\n    m = t.machine(files = {\"/etc/motd\": \"old\\n\"})\n    done = m.apply(lambda host: host.file(\"/etc/motd\", content = \"new\\n\"))\n    assert.eq(done.changes, [\"update file /etc/motd\"])\n    assert.eq(m.read(\"/etc/motd\"), \"new\\n\")",
	}, newMachine),
	builtin.Method(builtin.Spec{
		Name: "vm", Effect: builtin.Reads, Returns: "struct with the attributes of a vm_spec",
		Summary: "What the configuration would say of a virtual machine, for the second parameter of a feature.",
		Example: "def test_vm(t):\n    assert.eq(t.vm(name = \"db\").memory_mb, 4096)",
	}, func(_ *builtin.Call, t *T, a vmArgs) (starlark.Value, error) { return t.spec("machine", a.Fields) }),
)

func newMachine(c *builtin.Call, t *T, a machineArgs) (starlark.Value, error) {
	available, err := parsePackages(a.Available)
	if err != nil {
		return nil, err
	}
	simulated, err := t.lab.Machine(c.Context(), a.Name, available)
	if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	m := &Machine{name: a.Name, t: t, lab: simulated, conns: map[bool]remote.Conn{}}
	m.given = len(a.Files)+len(a.Packages)+len(a.Services)+len(a.Users)+len(a.Groups)+len(a.Commands) > 0
	t.mu.Lock()
	t.machines = append(t.machines, m)
	t.mu.Unlock()
	return m, m.prepare(c.Context(), a)
}

// spec makes a vm_spec of the configuration's defaults and the fields given.
func (t *T) spec(name string, fields []starlark.Tuple) (starlark.Value, error) {
	all := starlark.StringDict{}
	if vm, ok := t.config.VM("1001"); ok {
		vm.Name = name
		spec, err := configmod.NewSpec(vm)
		if err != nil {
			return nil, err
		}
		for _, attr := range spec.AttrNames() {
			if all[attr], err = spec.Attr(attr); err != nil {
				return nil, err
			}
		}
	}
	for _, kv := range fields {
		key, _ := starlark.AsString(kv[0])
		all[key] = kv[1]
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, all), nil
}
