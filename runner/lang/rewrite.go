package lang

import "go.starlark.net/syntax"

// Names of the checks that rewritten programs call. No identifier that a person would write begins so.
const (
	knownName   = "__known"   // the operand, and all it holds, may be looked at
	decidedName = "__decided" // the operand itself may be looked at: truth, length, elements
	methodsName = "__methods" // the operand, with methods that check their arguments
	orPlanName  = "__or_plan" // x.or_plan(value), for x of any type: in an apply it is a plain value
)

// lookingMethods are the methods of Starlark's own types that compare, hash or format their arguments
// or their receiver's elements.
var lookingMethods = map[string]bool{
	"format": true, "join": true, "index": true, "count": true, "remove": true, "get": true, "pop": true,
	"setdefault": true, "add": true, "discard": true, "find": true, "rfind": true, "rindex": true,
	"startswith": true, "endswith": true, "replace": true, "split": true, "rsplit": true, "partition": true,
	"rpartition": true, "strip": true, "lstrip": true, "rstrip": true, "removeprefix": true,
	"removesuffix": true, "union": true, "intersection": true, "difference": true,
	"symmetric_difference": true, "issubset": true, "issuperset": true,
}

// takingMethods look at the elements of their arguments, but not into them.
var takingMethods = map[string]bool{"extend": true, "update": true}

// receiverLooks are those of them that compare the elements of what they are called on.
var receiverLooks = map[string]bool{"index": true, "count": true, "remove": true}

// rewrite makes the program ask before it looks: the language compares, tests and formats values of
// any type without asking them, so that an Unknown would silently be unequal to everything and true.
// Positions stay, so errors point at the operand.
func rewrite(f *syntax.File) {
	called := map[*syntax.DotExpr]bool{}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DotExpr: // a method that is taken here and called elsewhere
			if lookingMethods[n.Name.Name] && !called[n] {
				n.X = call(methodsName, n.X)
			}
		case *syntax.BinaryExpr:
			switch n.Op {
			case syntax.EQL, syntax.NEQ, syntax.LT, syntax.GT, syntax.LE, syntax.GE,
				syntax.IN, syntax.NOT_IN, syntax.PERCENT:
				n.X, n.Y = check(knownName, n.X), check(knownName, n.Y)
			case syntax.AND, syntax.OR:
				n.X = check(decidedName, n.X)
			}
		case *syntax.UnaryExpr:
			if n.Op == syntax.NOT {
				n.X = check(decidedName, n.X)
			}
		case *syntax.AssignStmt:
			switch unparen(n.LHS).(type) {
			case *syntax.TupleExpr, *syntax.ListExpr:
				n.RHS = check(decidedName, n.RHS)
			default:
				if n.Op == syntax.PERCENT_EQ {
					n.RHS = check(knownName, n.RHS) // an unknown left side refuses by itself
				}
			}
		case *syntax.IfStmt:
			n.Cond = checkCond(n.Cond)
		case *syntax.WhileStmt:
			n.Cond = checkCond(n.Cond)
		case *syntax.CondExpr:
			n.Cond = checkCond(n.Cond)
		case *syntax.IfClause:
			n.Cond = checkCond(n.Cond)
		case *syntax.ForStmt:
			n.X = check(decidedName, n.X)
		case *syntax.ForClause:
			n.X = check(decidedName, n.X)
		case *syntax.SliceExpr:
			n.X = check(decidedName, n.X)
			for _, e := range []*syntax.Expr{&n.Lo, &n.Hi, &n.Step} {
				if *e != nil {
					*e = check(decidedName, *e)
				}
			}
		case *syntax.IndexExpr:
			n.Y = check(knownName, n.Y)
		case *syntax.DictEntry:
			n.Key = check(knownName, n.Key)
		case *syntax.CallExpr:
			if dot, ok := n.Fn.(*syntax.DotExpr); ok {
				called[dot] = true
			}
			rewriteCall(n)
		}
		return true
	})
}

func rewriteCall(call *syntax.CallExpr) {
	dot, isDot := call.Fn.(*syntax.DotExpr)
	if isDot && dot.Name.Name == "or_plan" {
		start, _ := dot.Span()
		call.Fn = &syntax.Ident{NamePos: start, Name: orPlanName}
		call.Args = append([]syntax.Expr{dot.X}, call.Args...)
		return
	}
	looks := isDot && lookingMethods[dot.Name.Name]
	takes := isDot && takingMethods[dot.Name.Name]
	if isDot && receiverLooks[dot.Name.Name] {
		dot.X = check(knownName, dot.X)
	}
	for i, arg := range call.Args {
		switch a := arg.(type) {
		case *syntax.UnaryExpr:
			if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
				name := decidedName
				if looks {
					name = knownName
				}
				a.X = check(name, a.X)
				continue
			}
		case *syntax.BinaryExpr:
			if a.Op == syntax.EQ { // name = value
				if looks {
					a.Y = check(knownName, a.Y)
				}
				continue
			}
		}
		switch {
		case looks:
			call.Args[i] = check(knownName, arg)
		case takes:
			call.Args[i] = check(decidedName, arg)
		}
	}
}

// checkCond checks a condition, unless its form alone gives a plain bool.
func checkCond(e syntax.Expr) syntax.Expr {
	switch x := unparen(e).(type) {
	case *syntax.BinaryExpr:
		switch x.Op {
		case syntax.EQL, syntax.NEQ, syntax.LT, syntax.GT, syntax.LE, syntax.GE, syntax.IN, syntax.NOT_IN:
			return e
		}
	case *syntax.UnaryExpr:
		if x.Op == syntax.NOT {
			return e
		}
	}
	return check(decidedName, e)
}

// check wraps e in a call of the named check, at e's own position.
func check(name string, e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.Literal:
		return e
	case *syntax.CallExpr:
		if fn, ok := e.Fn.(*syntax.Ident); ok && (fn.Name == knownName || fn.Name == name) {
			return e
		}
	}
	return call(name, e)
}

func call(name string, e syntax.Expr) syntax.Expr {
	start, end := e.Span()
	return &syntax.CallExpr{
		Fn:     &syntax.Ident{NamePos: start, Name: name},
		Lparen: start,
		Args:   []syntax.Expr{e},
		Rparen: end,
	}
}

func unparen(e syntax.Expr) syntax.Expr {
	for {
		p, ok := e.(*syntax.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}
