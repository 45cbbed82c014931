package compose

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v3"
)

// Variable is a variable that a compose file uses.
type Variable struct {
	Name string
	Line int // where it is used first
	// Required tells that the file refuses to go on without it: ${X:?}.
	Required bool
	// Default tells that the file says what to take without it: ${X:-…}, ${X-…} or ${X:+…}.
	Default bool
}

// Variables lists the variables that a compose file uses, by name.
func Variables(text string) ([]Variable, error) {
	doc, _, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the compose file: %w", err)
	}
	found := map[string]Variable{}
	scalars(doc.Content[0], func(n *yaml.Node) {
		for name, v := range template.ExtractVariables(map[string]any{"": n.Value}, nil) {
			known, ok := found[name]
			if !ok {
				known = Variable{Name: name, Line: n.Line, Default: true}
			}
			known.Line = min(known.Line, n.Line)
			known.Required = known.Required || v.Required
			known.Default = known.Default && !v.Required && hasDefault(n.Value, name)
			found[name] = known
		}
	})
	var list []Variable
	for _, v := range found {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b Variable) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// hasDefault reports whether a text says what to take where the variable is missing. The library does
// not tell an empty default from none; it does tell when it was looked up in vain.
func hasDefault(text, name string) bool {
	blank := false
	_, err := template.SubstituteWithOptions(text, func(asked string) (string, bool) { return "x", asked != name },
		template.WithReplacementFunction(func(part string, mapping template.Mapping, cfg *template.Config) (string, error) {
			value, applied, err := template.DefaultReplacementAppliedFunc(part, mapping, cfg)
			if !applied && err == nil {
				blank = true
			}
			return value, err
		}), template.WithoutLogging)
	return err == nil && !blank
}

// Missing lists those variables that a file uses and that have neither a value nor a default: compose
// would take them for empty, with no more than a warning.
func Missing(used []Variable, given map[string]string) []Variable {
	var list []Variable
	for _, v := range used {
		if _, ok := given[v.Name]; !ok && !v.Default {
			list = append(list, v)
		}
	}
	return list
}

// scalars calls visit for each value; keys hold no variables.
func scalars(n *yaml.Node, visit func(*yaml.Node)) {
	switch n.Kind {
	case yaml.ScalarNode:
		visit(n)
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			scalars(n.Content[i], visit)
		}
	default: // an alias is visited where its anchor is
		for _, below := range n.Content {
			scalars(below, visit)
		}
	}
}
