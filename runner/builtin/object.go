package builtin

import (
	"fmt"
	"maps"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
)

// Type is a kind of Starlark object with declared methods.
type Type struct {
	Name    string // "host"
	Doc     string
	Fields  []Param // attributes that are no methods, for the reference
	Methods []*Builtin
	byName  map[string]*Builtin
}

// NewType declares a kind of object.
func NewType(name, doc string, fields []Param, methods ...*Builtin) *Type {
	t := &Type{Name: name, Doc: doc, Fields: fields, Methods: methods, byName: map[string]*Builtin{}}
	for _, m := range methods {
		if _, twice := t.byName[m.Name]; twice {
			panic(fmt.Sprintf("builtin: type %s has two methods %s", name, m.Name))
		}
		t.byName[m.Name] = m
	}
	return t
}

// Attr gives the named method bound to recv, or nil.
func (t *Type) Attr(recv any, name string) starlark.Value {
	m, ok := t.byName[name]
	if !ok {
		return nil
	}
	return m.Value(t.Name+".", recv)
}

// AttrNames lists methods and fields, sorted.
func (t *Type) AttrNames() []string {
	names := slices.Collect(maps.Keys(t.byName))
	for _, f := range t.Fields {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// Module is a named group of functions: proxmox, portainer, ….
type Module struct {
	Name  string // "" for functions that stand alone
	Doc   string
	Funcs []*Builtin
}

// Value makes the module for Starlark.
func (m Module) Value() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for _, f := range m.Funcs {
		members[f.Name] = f.Value(m.Name+".", nil)
	}
	return &starlarkstruct.Module{Name: m.Name, Members: members}
}

// ResultType is what operations return.
var ResultType = NewType("result", "What became of an operation.", []Param{
	{Name: "changed", Type: "bool", Doc: "whether anything was, or in a dry run would be, changed"},
	{Name: "address", Type: "string", Doc: "the operation's address"},
})

// Result makes the value that an operation's call returns: changed, address, and the fields given.
// A changed that only an apply can tell is unknown.
func Result(out op.Outcome, fields map[string]any) starlark.Value {
	all := map[string]any{}
	maps.Copy(all, fields)
	changed, maybe := out.Changed()
	all["changed"] = changed
	if maybe {
		all["changed"] = op.Unknown{From: out.Address, Attr: "changed"}
	}
	all["address"] = out.Address.String()
	return value.StructFromGo(all)
}

// Do carries out an operation and returns its result.
func (c *Call) Do(o op.Operation) (starlark.Value, error) {
	out, err := c.Task.Do(o)
	if err != nil {
		return nil, err
	}
	return Result(out, nil), nil
}
