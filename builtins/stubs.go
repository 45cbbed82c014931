package builtins

import (
	"fmt"
	"strings"

	"phoenix-run/runner/builtin"
)

// Stubs are the declarations as a Python stub file, by which editors complete names and show what they
// mean. The module assert is not in it, since that word can't be a name there.
func Stubs() string {
	var b strings.Builder
	b.WriteString(stubsHead)
	modules, types := Documented()
	for _, t := range types {
		fmt.Fprintf(&b, "\nclass %s:\n", className(t.Name))
		docstring(&b, "    ", t.Doc)
		for _, f := range t.Fields {
			fmt.Fprintf(&b, "    %s: %s\n", f.Name, stubType(f.Type))
			docstring(&b, "    ", f.Doc)
		}
		for _, m := range t.Methods {
			stub(&b, "    ", "self", m)
		}
	}
	for _, m := range modules {
		switch m.Name {
		case "assert":
		case "":
			for _, f := range m.Funcs {
				stub(&b, "", "", f)
			}
		default:
			fmt.Fprintf(&b, "\nclass _%s:\n", m.Name)
			docstring(&b, "    ", m.Doc)
			for _, f := range m.Funcs {
				stub(&b, "    ", "self", f)
			}
			fmt.Fprintf(&b, "\n%s: _%[1]s\n", m.Name)
		}
	}
	return b.String()
}

const stubsHead = `# What playbooks and features of phoenix-run can call, for editors. Made by: phoenix-run doc --stubs
from typing import Any, Callable

class Secret:
    """A text that is never shown: it can be passed on and joined with +."""

def load(module: str, *names: str, **renamed: str) -> None: ...
def fail(*args: Any, sep: str = " ") -> None: ...
def struct(**fields: Any) -> Any: ...
def known(x: Any) -> bool:
    """Whether a value can be looked at before an apply."""
json: Any
math: Any
`

func docstring(b *strings.Builder, by, text string) {
	if text == "" {
		return
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"""`, `\"\"\"`)
	if strings.HasSuffix(text, `"`) {
		text += " "
	}
	fmt.Fprintf(b, "%s\"\"\"%s\"\"\"\n", by, strings.ReplaceAll(text, "\n", "\n"+by))
}

// stub declares one function or method.
func stub(b *strings.Builder, by, self string, f *builtin.Builtin) {
	var params []string
	if self != "" {
		params = append(params, self)
	}
	optional := false
	for _, p := range f.Params {
		text := p.Name + ": " + stubType(p.Type)
		switch {
		case strings.HasPrefix(p.Name, "**"):
		case !p.Required:
			text += " = " + p.Default
			if p.Default == "None" {
				text = p.Name + ": " + stubType(p.Type) + " | None = None"
			}
			optional = true
		case optional:
			text += " = ..." // required, but Python wants those first
		}
		params = append(params, text)
	}
	fmt.Fprintf(b, "\n%sdef %s(%s) -> %s:\n", by, f.Name, strings.Join(params, ", "), stubType(f.Returns))
	doc := f.Summary
	if len(f.Params) > 0 {
		doc += "\n"
	}
	for _, p := range f.Params {
		doc += "\n" + strings.TrimLeft(p.Name, "*") + ": " + p.Doc
	}
	if f.Returns != "" {
		doc += "\n\nReturns: " + f.Returns
	}
	docstring(b, by+"    ", doc)
}

// stubTypes are the reference's types in Python's words.
var stubTypes = map[string]string{
	"": "None", "string": "str", "bool": "bool", "int": "int", "float": "float", "any": "Any", "dict": "dict[str, Any]", "list": "list[Any]",
	"list of string": "str | list[str]", "string | secret": "str | Secret", "secret": "Secret", "mode": "str | int", "duration": "int | float | str",
	"function": "Callable[..., Any]",
}

// stubType gives a type's name in Python; what a return value is may be told by more than its type.
func stubType(text string) string {
	if known, ok := stubTypes[text]; ok {
		return known
	}
	word, _, _ := strings.Cut(text, " ")
	word = strings.TrimRight(word, ",;:")
	for _, t := range types() {
		if t.Name == word {
			return className(word)
		}
	}
	switch word {
	case "string", "secret", "dict", "bool":
		return stubTypes[word]
	}
	return "Any"
}

// className writes a type's name as Python writes classes: "portainer_server" is PortainerServer.
func className(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
