package config

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is what a JSON value is; its String is used in messages.
type kind string

const (
	kindObject kind = "an object"
	kindArray  kind = "a list"
	kindString kind = "a string"
	kindNumber kind = "a number"
	kindBool   kind = "true or false"
	kindNull   kind = "null"
)

// node is a JSON value, or an object's key, that knows where it stands.
type node struct {
	file         string
	line, column int
	path         string
	kind         kind
	text         string // of a string, a number or a key
	truth        bool
	members      []member // of an object, in the file's order, without duplicates
	items        []*node  // of a list
}

type member struct{ key, value *node }

// get returns the value of an object's key, nil if it is not there. A nil node has no keys.
func (n *node) get(key string) *node {
	if n != nil {
		for _, m := range n.members {
			if m.key.text == key {
				return m.value
			}
		}
	}
	return nil
}

// item returns a list's item, nil if it is not there.
func (n *node) item(i int) *node {
	if n == nil || i < 0 || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}

// or returns n, and other if n is nil: the nearest place to point at.
func (n *node) or(other *node) *node {
	if n != nil {
		return n
	}
	return other
}

func (n *node) fault(format string, args ...any) Fault {
	return Fault{File: n.file, Line: n.line, Column: n.column, Path: n.path, Message: fmt.Sprintf(format, args...)}
}

// where names the node's position for a message about another one.
func (n *node) where() string { return fmt.Sprintf("line %d", n.line) }

// child returns the path of a key below path.
func child(path, key string) string {
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && r != '$' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
	switch {
	case !plain:
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// free returns the value as plain Go: map[string]any, []any, string, int64, float64, bool, nil.
func (n *node) free() any {
	switch n.kind {
	case kindObject:
		m := make(map[string]any, len(n.members))
		for _, e := range n.members {
			m[e.key.text] = e.value.free()
		}
		return m
	case kindArray:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.free()
		}
		return list
	case kindNumber:
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return i
		}
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			return n.text // out of every range: the digits as they stand
		}
		return f
	case kindString:
		return n.text
	case kindBool:
		return n.truth
	}
	return nil
}
