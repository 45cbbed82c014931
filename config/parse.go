package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"
)

// maxDepth bounds nesting: deeper input is an attack on the stack, not a configuration.
const maxDepth = 64

// parser turns JSON text into nodes. encoding/json's decoder does the lexing; the parser keeps the
// positions, and says what a person would want to know about an error.
type parser struct {
	file   string
	data   []byte
	lines  []int // offset of each line's first byte
	dec    *json.Decoder
	report *report
	last   int     // the end of the last token
	open   []*node // the objects and lists around the current position
}

// errSyntax says that a fault has been reported and parsing can't go on.
var errSyntax = errors.New("bad JSON")

// parse returns the file's value, nil after a syntax error. Duplicate keys are reported; the first
// one counts.
func parse(file string, data []byte, r *report) *node {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	p := &parser{file: file, data: data, lines: []int{0}, report: r}
	for i, b := range data {
		if b == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	if at := invalidUTF8(data); at >= 0 {
		p.fail(at, "", "not UTF-8: byte 0x%02x", data[at])
		return nil
	}
	p.dec = json.NewDecoder(bytes.NewReader(data))
	p.dec.UseNumber()
	root, err := p.value("", 0)
	if err != nil {
		return nil
	}
	end := int(p.dec.InputOffset())
	if rest := bytes.TrimLeft(data[end:], " \t\r\n"); len(rest) > 0 {
		p.fail(len(data)-len(rest), "", "text after the end of the configuration")
		return nil
	}
	return root
}

func (p *parser) value(path string, depth int) (*node, error) {
	at := p.next()
	token, err := p.dec.Token()
	if err != nil {
		return nil, p.syntax(at, path, err)
	}
	n := p.at(at, path)
	if depth > maxDepth {
		p.fail(at, path, "more than %d levels of nesting", maxDepth)
		return nil, errSyntax
	}
	switch t := token.(type) {
	case json.Delim:
		p.open = append(p.open, n)
		defer func() { p.open = p.open[:len(p.open)-1] }()
		if t == '{' {
			n.kind = kindObject
			return n, p.object(n, depth)
		}
		n.kind = kindArray
		return n, p.list(n, depth)
	case string:
		n.kind, n.text = kindString, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.truth = kindBool, t
	default:
		n.kind = kindNull
	}
	return n, nil
}

func (p *parser) object(n *node, depth int) error {
	for p.dec.More() {
		at := p.next()
		token, err := p.dec.Token()
		if err != nil {
			return p.syntax(at, n.path, err)
		}
		name, _ := token.(string) // the decoder lets nothing else stand there
		key := p.at(at, child(n.path, name))
		key.kind, key.text = kindString, name
		value, err := p.value(key.path, depth+1)
		if err != nil {
			return err
		}
		if first := n.get(name); first != nil {
			p.report.fault(key, "given twice: first on line %d; keep one of them", first.line)
			continue
		}
		n.members = append(n.members, member{key, value})
	}
	return p.close(n)
}

func (p *parser) list(n *node, depth int) error {
	for p.dec.More() {
		item, err := p.value(fmt.Sprintf("%s[%d]", n.path, len(n.items)), depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	return p.close(n)
}

func (p *parser) close(n *node) error {
	at := p.next()
	if _, err := p.dec.Token(); err != nil {
		return p.syntax(at, n.path, err)
	}
	return nil
}

// next returns the offset of the next token: the decoder stands behind the last one, and commas
// and colons are no tokens.
func (p *parser) next() int {
	p.last = int(p.dec.InputOffset())
	at := p.last
	for at < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[at]) >= 0 {
		at++
	}
	return at
}

// at returns a node without a value at an offset.
func (p *parser) at(offset int, path string) *node {
	line := sort.SearchInts(p.lines, offset+1)
	start := p.lines[line-1]
	return &node{file: p.file, line: line, column: 1 + utf8.RuneCount(p.data[start:offset]), path: path}
}

func (p *parser) fail(offset int, path, format string, args ...any) {
	p.report.fault(p.at(offset, path), format, args...)
}

// syntax reports why the token at an offset can't be read.
func (p *parser) syntax(at int, path string, err error) error {
	between := p.data[p.last:at] // blanks, commas and colons
	commas := bytes.Count(between, []byte(","))
	first := p.last == 0 || bytes.IndexByte([]byte("{["), p.data[p.last-1]) >= 0 // of an object or a list
	var c byte
	if at < len(p.data) {
		c = p.data[at]
	}
	switch closing := c == '}' || c == ']'; {
	case len(bytes.TrimSpace(p.data)) == 0:
		p.fail(0, "", "the file is empty; it should hold an object: {...}")
	case commas > 0 && bytes.IndexByte(between, ':') >= 0:
		p.fail(p.last+bytes.IndexByte(between, ','), path, "a value is missing before the comma")
	case commas > 1 || commas == 1 && first:
		p.fail(p.last+bytes.LastIndexByte(between, ','), path, "a comma too many; take it out")
	case c == 0 || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		open := "a string"
		if len(p.open) > 0 {
			n := p.open[len(p.open)-1]
			open = fmt.Sprintf("%s that begins on line %d, column %d", n.kind, n.line, n.column)
		}
		p.fail(len(p.data), path, "the file ends inside %s", open)
	case closing && commas > 0:
		p.fail(p.last+bytes.IndexByte(between, ','), path, "a comma before the closing %c; take it out", c)
	case c == '/' || c == '#':
		p.fail(at, path, "JSON has no comments; take it out (\"description\" holds text)")
	case c == '\'':
		p.fail(at, path, "strings stand in double quotes")
	case closing:
		p.fail(at, path, "%c closes nothing that is open here, or a value is missing before it", c)
	case !first && len(p.open) > 0 && !bytes.ContainsAny(between, ",:"):
		p.fail(at, path, "a comma or a colon is missing before this")
	default:
		p.fail(at, path, "this is not JSON: %v", err)
	}
	return errSyntax
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, -1 if there is none.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
