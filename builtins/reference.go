package builtins

import (
	"fmt"
	"strings"

	"go.starlark.net/syntax"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/lang"
)

// Reference is the documentation of everything that playbooks and features can call, as Markdown,
// made from the declarations.
func Reference() string {
	var b strings.Builder
	b.WriteString("# What playbooks and features can call\n\nMade from the declarations by `phoenix-run doc`. ")
	b.WriteString("Besides these there is the Starlark language itself, with `json`, `math`, `struct`, and `known(x)`, ")
	b.WriteString("which asks whether a value can be looked at before an apply; `x.or_plan(value)` is x where it can, ")
	b.WriteString("and else, in a plan, the value that stands for it. [Writing playbooks and features](writing.md) shows how.\n")
	for _, m := range documented() {
		title := m.Name
		if title == "" {
			title = "Functions"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, m.Doc)
		prefix := ""
		if m.Name != "" {
			prefix = m.Name + "."
		}
		for _, f := range m.Funcs {
			document(&b, prefix, f)
		}
	}
	for _, t := range types() {
		fmt.Fprintf(&b, "\n## %s objects\n\n%s\n", t.Name, t.Doc)
		if len(t.Fields) > 0 {
			b.WriteString("\n| attribute | type | meaning |\n| --- | --- | --- |\n")
			for _, f := range t.Fields {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Type, f.Doc)
			}
		}
		for _, m := range t.Methods {
			document(&b, t.Name+".", m)
		}
	}
	return b.String()
}

func document(b *strings.Builder, prefix string, f *builtin.Builtin) {
	fmt.Fprintf(b, "\n### %s%s\n\n%s\n", prefix, f.Name, f.Summary)
	if len(f.Params) > 0 {
		b.WriteString("\n| parameter | type | default | meaning |\n| --- | --- | --- | --- |\n")
		for _, p := range f.Params {
			def := "required"
			if !p.Required {
				def = "`" + p.Default + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, cell(p.Type), def, cell(p.Doc))
		}
	}
	if f.Returns != "" {
		fmt.Fprintf(b, "\nReturns: %s.\n", strings.TrimSuffix(f.Returns, "."))
	}
	if len(f.Errors) > 0 {
		b.WriteString("\nErrors:\n")
		for _, e := range f.Errors {
			fmt.Fprintf(b, "- %s\n", e)
		}
	}
	if f.Example != "" {
		fmt.Fprintf(b, "\n```python\n%s\n```\n", f.Example)
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// FirstSentence gives the beginning of a module's docstring.
func FirstSentence(text []byte) string {
	file, err := lang.Options().Parse("", text, syntax.RetainComments)
	if err != nil {
		return "(does not parse)"
	}
	doc := strings.Join(strings.Fields(lang.Doc(file.Stmts)), " ")
	if i := strings.Index(doc, ". "); i >= 0 {
		doc = doc[:i+1]
	}
	return doc
}
