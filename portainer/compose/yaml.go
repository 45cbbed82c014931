package compose

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads a file twice: as nodes, which know where they stand, and as values, with anchors, aliases
// and merges resolved.
func parse(text string) (*yaml.Node, map[string]any, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil, errors.New("the file is empty")
	}
	root := resolve(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		return nil, nil, errors.New("the file must be a mapping, with services in it")
	}
	var values map[string]any
	if err := doc.Decode(&values); err != nil {
		return nil, nil, err
	}
	if err := textKeys(values, ""); err != nil {
		return nil, nil, err
	}
	return &doc, values, nil
}

// textKeys refuses keys that are no text, such as 80: nothing could be said of what is below them.
func textKeys(v any, path string) error {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if err := textKeys(below, path+key+"."); err != nil {
				return err
			}
		}
	case []any:
		for i, below := range v {
			if err := textKeys(below, path+strconv.Itoa(i)+"."); err != nil {
				return err
			}
		}
	case map[any]any:
		return fmt.Errorf("%s: all keys must be text: put numbers into quotes", strings.TrimSuffix(path, "."))
	}
	return nil
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// entry gives key and value of a mapping's own entry, or nils.
func entry(mapping *yaml.Node, key string) (*yaml.Node, *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// find gives key and value of an entry that is a mapping's own, or merged into it by <<, or nils.
func find(mapping *yaml.Node, key string) (*yaml.Node, *yaml.Node) {
	mapping = resolve(mapping)
	if k, v := entry(mapping, key); v != nil {
		return k, v
	}
	_, merged := entry(mapping, "<<")
	if merged = resolve(merged); merged == nil {
		return nil, nil
	}
	sources := []*yaml.Node{merged}
	if merged.Kind == yaml.SequenceNode {
		sources = merged.Content
	}
	for _, source := range sources {
		if k, v := find(source, key); v != nil {
			return k, v
		}
	}
	return nil, nil
}

// locate gives the node at a path, or the last one on the way to it.
func locate(n *yaml.Node, path []string) *yaml.Node {
	for _, step := range path {
		below := resolve(n)
		switch below.Kind {
		case yaml.MappingNode:
			key, value := find(below, step)
			if value == nil {
				return n
			}
			// A mapping or list is where its key is.
			if n = value; n.Kind != yaml.ScalarNode {
				n = &yaml.Node{Kind: yaml.AliasNode, Alias: resolve(value), Line: key.Line, Column: key.Column}
			}
		case yaml.SequenceNode:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(below.Content) {
				return n
			}
			n = below.Content[i]
		default:
			return n
		}
	}
	return n
}
