package lang

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/agnivade/levenshtein"
	"go.starlark.net/resolve"
	"go.starlark.net/syntax"
)

// SourceError is a module that can't be compiled, with every fault in it.
type SourceError struct{ Faults []Fault }

// Fault is one mistake in a module's text.
type Fault struct {
	Pos     syntax.Position
	Message string
	Hint    string
	Line    string // the source line
}

func (e *SourceError) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s", f.Pos, f.Message)
		if f.Hint != "" {
			fmt.Fprintf(&b, " (%s)", f.Hint)
		}
	}
	return b.String()
}

// Explain turns a compiler's error into one for people: all faults at once, with the source line, a
// word on habits from Python, and a suggestion for an unknown name.
func Explain(err error, text []byte, names []string) error {
	lines := strings.Split(string(text), "\n")
	line := func(p syntax.Position) string {
		if n := int(p.Line); n >= 1 && n <= len(lines) {
			return lines[n-1]
		}
		return ""
	}
	var syntaxErr syntax.Error
	var resolveErrs resolve.ErrorList
	switch {
	case errors.As(err, &syntaxErr):
		src := line(syntaxErr.Pos)
		return &SourceError{[]Fault{{syntaxErr.Pos, syntaxErr.Msg, pythonHint(src), src}}}
	case errors.As(err, &resolveErrs):
		e := &SourceError{}
		for _, r := range resolveErrs {
			f := Fault{Pos: r.Pos, Message: r.Msg, Line: line(r.Pos)}
			if name, ok := strings.CutPrefix(r.Msg, "undefined: "); ok {
				name, _, _ = strings.Cut(name, " ")
				if near := Nearest(name, append(names, globals(text)...)); near != "" {
					f.Hint = fmt.Sprintf("did you mean %s?", near)
				}
			}
			e.Faults = append(e.Faults, f)
		}
		return e
	}
	return err
}

// pythonHints are what people bring along from Python, and what stands for it here.
var pythonHints = []struct {
	pattern *regexp.Regexp
	hint    string
}{
	{regexp.MustCompile(`\b[rb]?f["']`), `there are no f-strings: write "a " + b, or "a %s" % b`},
	{regexp.MustCompile(`^\s*(try|except|finally)\b`), `there is no try: use attempt(fn, …), which returns a result with ok, value and error`},
	{regexp.MustCompile(`^\s*raise\b`), `there is no raise: use fail("message")`},
	{regexp.MustCompile(`^\s*(import|from)\b`), `there is no import: use load("@features//name.star", "name")`},
	{regexp.MustCompile(`^\s*class\b`), `there are no classes: use struct(name = value, …) and functions`},
	{regexp.MustCompile(`\bis\b`), `there is no "is": use ==`},
	{regexp.MustCompile(`^\s*while\b`), `there is no while: use for over range(n), or host.wait_for`},
	{regexp.MustCompile(`^\s*(with|async|yield|global|nonlocal|del|assert)\b`), `that is Python, and not part of Starlark`},
	{regexp.MustCompile(`def .*->|def .*\w\s*:\s*\w+\s*[,)=]`), `there are no type annotations: leave them out, the defaults give the types`},
}

func pythonHint(line string) string {
	code, _, _ := strings.Cut(line, "#")
	for _, h := range pythonHints {
		if h.pattern.MatchString(code) {
			return h.hint
		}
	}
	return ""
}

// globals finds the names that a module defines or loads, without compiling it.
func globals(text []byte) []string {
	file, err := options.Parse("", text, 0)
	if err != nil {
		return nil
	}
	var names []string
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			names = append(names, n.Name.Name)
			for _, p := range n.Params {
				if id, ok := p.(*syntax.Ident); ok {
					names = append(names, id.Name)
				}
			}
		case *syntax.LoadStmt:
			for _, id := range n.To {
				names = append(names, id.Name)
			}
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok {
				names = append(names, id.Name)
			}
		}
		return true
	})
	return names
}

// Nearest gives the candidate that is most like name, or "" if none is close.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+len(name)/3
	for _, c := range candidates {
		if strings.HasPrefix(c, "__") {
			continue
		}
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(c)); d <= bestDistance && c != name {
			if d < bestDistance || best == "" {
				best, bestDistance = c, d
			}
		}
	}
	return best
}

// Doc gives the docstring that a list of statements begins with.
func Doc(stmts []syntax.Stmt) string {
	if len(stmts) == 0 {
		return ""
	}
	expr, ok := stmts[0].(*syntax.ExprStmt)
	if !ok {
		return ""
	}
	lit, ok := expr.X.(*syntax.Literal)
	if !ok || lit.Token != syntax.STRING {
		return ""
	}
	return strings.TrimSpace(lit.Value.(string))
}
