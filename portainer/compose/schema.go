package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/agnivade/levenshtein"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// compiled is the compose specification's own schema. The library that it comes with tells of the
// first fault only, and not where it is.
var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.Schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("compose-spec.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("compose-spec.json")
})

// schemaFaults finds unknown keys and values of a wrong type.
func schemaFaults(doc *yaml.Node, values map[string]any, file string) (Faults, error) {
	s, err := compiled()
	if err != nil {
		return nil, fmt.Errorf("the schema of compose files: %w", err)
	}
	text, err := json.Marshal(values)
	if err != nil {
		return Faults{{file, 1, 1, err.Error()}}, nil
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	err = s.Validate(instance)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil, err
	}
	var faults Faults
	all := leaves(invalid)
	for _, leaf := range all {
		if !follows(leaf, all) {
			faults = append(faults, schemaFault(doc, file, leaf)...)
		}
	}
	return faults, nil
}

// follows reports whether a fault is there only because of another one: where one value of a mapping
// is wrong, all its keys count as unknown.
func follows(e *jsonschema.ValidationError, all []*jsonschema.ValidationError) bool {
	if !isUnknownKey(e) {
		return false
	}
	parent, key := e.InstanceLocation[:len(e.InstanceLocation)-1], e.InstanceLocation[len(e.InstanceLocation)-1]
	if known := knownKeys(parent); known != nil {
		return known[key] || strings.HasPrefix(key, "x-")
	}
	return slices.ContainsFunc(all, func(other *jsonschema.ValidationError) bool {
		return !isUnknownKey(other) && len(other.InstanceLocation) > len(parent) && slices.Equal(parent, other.InstanceLocation[:len(parent)])
	})
}

func isUnknownKey(e *jsonschema.ValidationError) bool {
	_, no := e.ErrorKind.(*kind.FalseSchema)
	return no && len(e.InstanceLocation) > 0
}

// leaves gives what is wrong in the end. Of alternatives, none of which fits, it gives what is wrong
// with the one that came furthest.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, cause := range e.Causes {
		all = append(all, leaves(cause)...)
	}
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		furthest := slices.MaxFunc(all, func(a, b *jsonschema.ValidationError) int {
			return len(a.InstanceLocation) - len(b.InstanceLocation)
		})
		if len(furthest.InstanceLocation) > len(e.InstanceLocation) {
			return []*jsonschema.ValidationError{furthest}
		}
		return alternatives(e, all)
	}
	return all
}

// alternatives joins what types alternatives want into one fault.
func alternatives(e *jsonschema.ValidationError, all []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	joined := &kind.Type{}
	for _, leaf := range all {
		t, ok := leaf.ErrorKind.(*kind.Type)
		if !ok {
			return all[:1]
		}
		joined.Got = t.Got
		joined.Want = append(joined.Want, t.Want...)
	}
	slices.Sort(joined.Want)
	joined.Want = slices.Compact(joined.Want)
	return []*jsonschema.ValidationError{{InstanceLocation: e.InstanceLocation, ErrorKind: joined}}
}

func schemaFault(doc *yaml.Node, file string, e *jsonschema.ValidationError) Faults {
	path := e.InstanceLocation
	name := strings.Join(path, ".")
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		var faults Faults
		for _, key := range k.Properties {
			faults = append(faults, unknownKey(doc, file, path, key))
		}
		return faults
	case *kind.FalseSchema:
		if isUnknownKey(e) {
			return Faults{unknownKey(doc, file, path[:len(path)-1], path[len(path)-1])}
		}
	case *kind.Type:
		return Faults{at(doc, file, path, "%s must be %s, not %s", name, article(k.Want), people(k.Got))}
	}
	return Faults{at(doc, file, path, "%s: %s", name, e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))}
}

func article(want []string) string {
	var words []string
	for _, w := range want {
		words = append(words, people(w))
	}
	return strings.Join(words, " or ")
}

// people says a type of JSON Schema in YAML's words.
func people(name string) string {
	switch name {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "string":
		return "text"
	case "integer":
		return "an integer"
	case "null":
		return "empty"
	}
	return "a " + name
}

func unknownKey(doc *yaml.Node, file string, path []string, key string) Fault {
	parent := locate(doc.Content[0], path)
	n, _ := find(parent, key)
	if n == nil {
		n = parent
	}
	text := fmt.Sprintf("unknown key %q", key)
	if len(path) > 0 {
		text = strings.Join(path, ".") + ": " + text
	}
	best, distance := "", 3
	for _, name := range slices.Sorted(maps.Keys(knownKeys(path))) {
		if d := levenshtein.ComputeDistance(key, name); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		text += "; did you mean " + best + "?"
	}
	return Fault{file, n.Line, n.Column, text}
}

// knownKeys gives the keys that a compose file may have at its top, or in a service; nil for a path
// of something else.
func knownKeys(path []string) map[string]bool {
	file, service := allKeys()
	switch {
	case len(path) == 0:
		return file
	case len(path) == 2 && path[0] == "services":
		return service
	}
	return nil
}

// part is what of a JSON Schema names keys.
type part struct {
	Ref         string `json:"$ref"`
	AllOf       []part
	Properties  map[string]json.RawMessage
	Definitions map[string]part `json:"$defs"`
}

// allKeys reads the known keys out of the schema.
var allKeys = sync.OnceValues(func() (file, service map[string]bool) {
	var document part
	if json.Unmarshal([]byte(schema.Schema), &document) != nil {
		return nil, nil // it was compiled, so it is read as well
	}
	return document.keys(document.Definitions), document.Definitions["service"].keys(document.Definitions)
})

func (p part) keys(definitions map[string]part) map[string]bool {
	all := map[string]bool{}
	for name := range p.Properties {
		all[name] = true
	}
	if name, ok := strings.CutPrefix(p.Ref, "#/$defs/"); ok {
		maps.Copy(all, definitions[name].keys(definitions))
	}
	for _, one := range p.AllOf {
		maps.Copy(all, one.keys(definitions))
	}
	return all
}
