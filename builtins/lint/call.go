package lint

import (
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"phoenix-run/runner/lang"
)

// signature is what of a function is needed to check a call.
type signature struct {
	name       string
	params     []string
	required   []string
	positional int // how many may be given without their names
	varargs    bool
	kwargs     bool
}

// signatureOf finds out what an expression that is called takes.
func (l *linter) signatureOf(fn syntax.Expr) (signature, bool) {
	if b, name := l.callee(fn); b != nil {
		s := signature{name: name}
		for _, p := range b.Params {
			if strings.HasPrefix(p.Name, "**") {
				s.kwargs = true
				continue
			}
			s.params = append(s.params, p.Name)
			if p.Required {
				s.required = append(s.required, p.Name)
			}
		}
		s.positional = len(s.params)
		return s, true
	}
	id, ok := fn.(*syntax.Ident)
	if !ok {
		return signature{}, false
	}
	b, ok := binding(id)
	if !ok {
		return signature{}, false
	}
	if f, ok := l.functions[b.First]; ok && b.First != nil {
		return functionSignature(f), true
	}
	// A function of the module itself.
	if f, ok := l.module.Globals[id.Name].(*starlark.Function); ok && b.Scope == resolve.Global {
		return functionSignature(f), true
	}
	return signature{}, false
}

func functionSignature(f *starlark.Function) signature {
	s := signature{name: f.Name(), varargs: f.HasVarargs(), kwargs: f.HasKwargs()}
	n := f.NumParams()
	if s.varargs {
		n--
	}
	if s.kwargs {
		n--
	}
	s.positional = n - f.NumKwonlyParams()
	for i := range n {
		name, _ := f.Param(i)
		s.params = append(s.params, name)
		if f.ParamDefault(i) == nil {
			s.required = append(s.required, name)
		}
	}
	return s
}

// call checks the arguments of a call.
func (l *linter) call(call *syntax.CallExpr) {
	s, ok := l.signatureOf(call.Fn)
	if !ok {
		return
	}
	pos, _ := call.Fn.Span()
	given := map[string]bool{}
	positional, open := 0, false
	for _, arg := range call.Args {
		switch a := arg.(type) {
		case *syntax.UnaryExpr:
			if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
				open = true // what it holds, nobody can tell here
				continue
			}
		case *syntax.BinaryExpr:
			if id, ok := a.X.(*syntax.Ident); ok && a.Op == syntax.EQ {
				if !slices.Contains(s.params, id.Name) && !s.kwargs {
					l.fault(id.NamePos, lang.Nearest(id.Name, s.params), "%s has no parameter %s", s.name, id.Name)
				}
				if i := slices.Index(s.params, id.Name); i >= 0 && i < positional || given[id.Name] {
					l.fault(id.NamePos, "", "%s: %s is given twice", s.name, id.Name)
				}
				given[id.Name] = true
				continue
			}
		}
		positional++
	}
	if positional > s.positional && !s.varargs {
		l.fault(pos, "", "%s takes at most %d arguments without names, not %d", s.name, s.positional, positional)
	}
	if open {
		return
	}
	for i, name := range s.params[:min(positional, len(s.params))] {
		if i < s.positional {
			given[name] = true
		}
	}
	var missing []string
	for _, name := range s.required {
		if !given[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		l.fault(pos, "", "%s: missing %s", s.name, strings.Join(missing, ", "))
	}
}
