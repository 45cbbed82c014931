package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// headline is a change in one line: "+ file /etc/motd".
func (t *text) headline(e event.Event) string {
	return t.style.action(e.Change.Action, e.Change.Action.Symbol()) + " " + name(e)
}

// details shows what a change does: attributes from → to, texts as a unified diff.
func (t *text) details(b *bytes.Buffer, c *event.Change, by string) {
	switch c.Action {
	case op.Create:
		t.creates(b, c, by)
	case op.Delete, op.Run: // the headline says it all
	default:
		t.updates(b, c, by)
	}
}

// creates shows what is new: short values share lines.
func (t *text) creates(b *bytes.Buffer, c *event.Change, by string) {
	const width, short = 100, 40
	line := ""
	flush := func() {
		if line != "" {
			b.WriteString(by + line + "\n")
		}
		line = ""
	}
	var long []string
	for _, name := range sortedNames(c.After) {
		v := c.After[name]
		part := name + ": " + shown(v)
		switch {
		case name == "type" || empty(v): // the operation's kind says its type
		case multiline(v) || len(part) > short:
			long = append(long, name)
		case line == "":
			line = part
		case len(by)+len(line)+len(part) > width:
			flush()
			line = part
		default:
			line += ", " + part
		}
	}
	flush()
	for _, name := range long {
		t.attribute(b, by, name, nil, c.After[name], true)
	}
}

// updates shows what differs; attributes that change in the same way share a line.
func (t *text) updates(b *bytes.Buffer, c *event.Change, by string) {
	var order []string
	alike := map[string][]string{}
	for _, name := range changedNames(c) {
		way := shown(c.Before[name]) + " → " + shown(c.After[name])
		if multiline(c.Before[name]) || multiline(c.After[name]) {
			way += name
		}
		if alike[way] == nil {
			order = append(order, way)
		}
		alike[way] = append(alike[way], name)
	}
	for _, way := range order {
		first := alike[way][0]
		t.attribute(b, by, strings.Join(alike[way], ", "), c.Before[first], c.After[first], false)
	}
}

// empty reports whether a value of something new says nothing.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func multiline(v any) bool {
	s, ok := v.(string)
	return ok && strings.Contains(s, "\n")
}

func (t *text) attribute(b *bytes.Buffer, by, name string, before, after any, fresh bool) {
	old, _ := before.(string)
	text, isText := after.(string)
	switch {
	case (multiline(before) || multiline(after)) && (isText || after == nil) && printable(old) && printable(text):
		fmt.Fprintf(b, "%s%s:\n", by, name)
		t.diff(b, by+"  ", old, text)
	case fresh:
		fmt.Fprintf(b, "%s%s: %s\n", by, name, shown(after))
	default:
		fmt.Fprintf(b, "%s%s: %s → %s\n", by, name, shown(before), shown(after))
	}
}

// diff writes a unified diff with three lines of context; of a text that is all new, the lines alone.
func (t *text) diff(b *bytes.Buffer, by, old, text string) {
	for line := range strings.Lines(udiff.Unified("now", "then", old, text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case old == "" && (strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") || strings.HasPrefix(line, "@@")):
			continue
		case strings.HasPrefix(line, "+"):
			line = t.style.action(op.Create, line)
		case strings.HasPrefix(line, "-"):
			line = t.style.action(op.Delete, line)
		case strings.HasPrefix(line, "@@"):
			line = t.style.faint(line)
		}
		b.WriteString(by + line + "\n")
	}
}

// shown is a value on one line.
func shown(v any) string {
	const most = 160
	var text string
	switch v := v.(type) {
	case nil:
		return "(none)"
	case string:
		if strings.HasPrefix(v, "(") && strings.HasSuffix(v, ")") {
			return v // a placeholder
		}
		if !printable(v) {
			return fmt.Sprintf("(%d bytes, not text)", len(v))
		}
		text = fmt.Sprintf("%q", v)
	case op.Unknown:
		return op.KnownAfterApply
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = shown(e)
		}
		text = "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, k := range sortedNames(v) {
			parts = append(parts, k+": "+shown(v[k]))
		}
		text = "{" + strings.Join(parts, ", ") + "}"
	default:
		text = fmt.Sprint(v)
	}
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-1]) + "…"
	}
	return text
}

func printable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func sortedNames[M ~map[string]V, V any](m M) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// changedNames lists the attributes in which a shown change differs.
func changedNames(c *event.Change) []string {
	return op.Change{Before: c.Before, After: c.After}.Changed()
}
