// Package lint finds in a module what can be told to be wrong without running it: functions and
// methods that there are not, parameters that they don't have, and those that are missing.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
)

// Known is what modules can call.
type Known struct {
	modules map[string]builtin.Module
	funcs   map[string]*builtin.Builtin
	types   map[string]*builtin.Type
}

// NewKnown makes a Known of declarations.
func NewKnown(modules []builtin.Module, types []*builtin.Type) *Known {
	k := &Known{modules: map[string]builtin.Module{}, funcs: map[string]*builtin.Builtin{}, types: map[string]*builtin.Type{}}
	for _, m := range modules {
		if m.Name != "" {
			k.modules[m.Name] = m
			continue
		}
		for _, f := range m.Funcs {
			k.funcs[f.Name] = f
		}
	}
	for _, t := range types {
		k.types[t.Name] = t
	}
	return k
}

// Module gives the faults of a loaded module, as they stand in it. loaded gives what it loads.
func (k *Known) Module(m *load.Loaded, loaded func(name string) (*load.Loaded, error)) []lang.Fault {
	l := &linter{known: k, module: m, types: map[*syntax.Ident]*builtin.Type{}, mixed: map[*syntax.Ident]bool{}, functions: map[*syntax.Ident]*starlark.Function{}}
	l.loads(loaded)
	l.parameters()
	// A type may come from a variable that is assigned further down, as in a loop.
	for range 3 {
		l.assignments()
	}
	syntax.Walk(m.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DotExpr:
			l.attribute(n)
		case *syntax.CallExpr:
			l.call(n)
		}
		return true
	})
	slices.SortStableFunc(l.faults, func(a, b lang.Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return l.faults
}

type linter struct {
	known     *Known
	module    *load.Loaded
	types     map[*syntax.Ident]*builtin.Type // by a variable's first identifier
	mixed     map[*syntax.Ident]bool          // variables that hold values of several types
	functions map[*syntax.Ident]*starlark.Function
	faults    []lang.Fault
}

func (l *linter) fault(pos syntax.Position, near string, format string, args ...any) {
	f := lang.Fault{Pos: pos, Message: fmt.Sprintf(format, args...)}
	if near != "" {
		f.Hint = "did you mean " + near + "?"
	}
	if lines := strings.Split(string(l.module.Text), "\n"); int(pos.Line) <= len(lines) && pos.Line > 0 {
		f.Line = lines[pos.Line-1]
	}
	l.faults = append(l.faults, f)
}

// binding gives an identifier's variable.
func binding(id *syntax.Ident) (*resolve.Binding, bool) {
	b, ok := id.Binding.(*resolve.Binding)
	return b, ok
}

// loads notes the functions that the module loads.
func (l *linter) loads(loaded func(name string) (*load.Loaded, error)) {
	for _, stmt := range l.module.File.Stmts {
		s, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		from, err := loaded(s.ModuleName())
		if err != nil {
			continue // the loader has told of it
		}
		for i, id := range s.To {
			fn, isFunction := from.Globals[s.From[i].Name].(*starlark.Function)
			if b, ok := binding(id); ok && isFunction && b.First != nil {
				l.functions[b.First] = fn
			}
		}
	}
}

// parameters notes parameters whose type their name tells: host of a feature, t of a test.
func (l *linter) parameters() {
	inFeatures := strings.HasPrefix(l.module.Module.Path, "features/")
	isTest := strings.HasSuffix(l.module.Module.Path, "_test.star")
	note := func(params []syntax.Expr, testFunction bool) {
		for i, p := range params {
			id, ok := p.(*syntax.Ident)
			if !ok {
				continue
			}
			b, ok := binding(id)
			switch {
			case !ok || b.First == nil:
			case id.Name == "host" && (inFeatures || i == 0 && len(params) > 1 && named(params[1], "vm")):
				l.types[b.First] = l.known.types["host"]
			case testFunction && i == 0:
				l.types[b.First] = l.known.types["t"]
			}
		}
	}
	syntax.Walk(l.module.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			note(n.Params, isTest && strings.HasPrefix(n.Name.Name, "test_"))
		case *syntax.LambdaExpr:
			note(n.Params, false)
		}
		return true
	})
}

func named(e syntax.Expr, name string) bool {
	id, ok := e.(*syntax.Ident)
	return ok && id.Name == name
}

// assignments notes variables that hold what a builtin returns.
func (l *linter) assignments() {
	syntax.Walk(l.module.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			l.assign(n.LHS, l.typeOf(n.RHS))
		case *syntax.ForStmt:
			l.assign(n.Vars, nil)
		case *syntax.ForClause:
			l.assign(n.Vars, nil)
		}
		return true
	})
}

func (l *linter) assign(to syntax.Expr, t *builtin.Type) {
	switch to := to.(type) {
	case *syntax.ParenExpr:
		l.assign(to.X, t)
	case *syntax.TupleExpr:
		for _, e := range to.List {
			l.assign(e, nil)
		}
	case *syntax.ListExpr:
		for _, e := range to.List {
			l.assign(e, nil)
		}
	case *syntax.Ident:
		b, ok := binding(to)
		if !ok || b.First == nil {
			return
		}
		have, known := l.types[b.First]
		switch {
		case l.mixed[b.First]:
		case !known:
			l.types[b.First] = t
		case have != t && have != nil:
			l.mixed[b.First] = true
			delete(l.types, b.First)
		case have != t:
			l.types[b.First] = t
		}
	}
}

// typeOf gives the declared type of a value, nil if nothing is known of it.
func (l *linter) typeOf(e syntax.Expr) *builtin.Type {
	switch e := e.(type) {
	case *syntax.ParenExpr:
		return l.typeOf(e.X)
	case *syntax.Ident:
		if b, ok := binding(e); ok && b.First != nil {
			return l.types[b.First]
		}
	case *syntax.CallExpr:
		if b, _ := l.callee(e.Fn); b != nil {
			return l.known.types[b.Returns]
		}
	}
	return nil
}

// callee gives the builtin that an expression stands for, and its name for people.
func (l *linter) callee(fn syntax.Expr) (*builtin.Builtin, string) {
	switch fn := fn.(type) {
	case *syntax.ParenExpr:
		return l.callee(fn.X)
	case *syntax.Ident:
		if predeclared(fn) {
			return l.known.funcs[fn.Name], fn.Name
		}
	case *syntax.DotExpr:
		if m, ok := l.moduleOf(fn.X); ok {
			return find(m.Funcs, fn.Name.Name), m.Name + "." + fn.Name.Name
		}
		if t := l.typeOf(fn.X); t != nil {
			return find(t.Methods, fn.Name.Name), t.Name + "." + fn.Name.Name
		}
	}
	return nil, ""
}

func find(list []*builtin.Builtin, name string) *builtin.Builtin {
	for _, b := range list {
		if b.Name == name {
			return b
		}
	}
	return nil
}

func predeclared(id *syntax.Ident) bool {
	b, ok := binding(id)
	return ok && b.Scope == resolve.Predeclared
}

func (l *linter) moduleOf(e syntax.Expr) (builtin.Module, bool) {
	id, ok := e.(*syntax.Ident)
	if !ok || !predeclared(id) {
		return builtin.Module{}, false
	}
	m, ok := l.known.modules[id.Name]
	return m, ok
}

// attribute looks for members of modules and types that there are not.
func (l *linter) attribute(dot *syntax.DotExpr) {
	name := dot.Name.Name
	if m, ok := l.moduleOf(dot.X); ok {
		var names []string
		for _, f := range m.Funcs {
			names = append(names, f.Name)
		}
		if !slices.Contains(names, name) {
			l.fault(dot.Name.NamePos, lang.Nearest(name, names), "%s has no function %s", m.Name, name)
		}
		return
	}
	t := l.typeOf(dot.X)
	if t == nil || t == builtin.ResultType { // an operation's result may have more
		return
	}
	if names := t.AttrNames(); !slices.Contains(names, name) && name != "or_plan" {
		l.fault(dot.Name.NamePos, lang.Nearest(name, names), "%s has no method or attribute %s", t.Name, name)
	}
}
