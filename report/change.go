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
		for _, name := range sortedNames(c.After) {
			if name != "type" { // the operation's kind says it
				t.attribute(b, by, name, nil, c.After[name], true)
			}
		}
	case op.Delete, op.Run: // the headline says it all
	default:
		for _, name := range changedNames(c) {
			t.attribute(b, by, name, c.Before[name], c.After[name], false)
		}
	}
}

func (t *text) attribute(b *bytes.Buffer, by, name string, before, after any, fresh bool) {
	old, oldText := before.(string)
	text, isText := after.(string)
	multi := isText && strings.Contains(text, "\n") || oldText && strings.Contains(old, "\n")
	switch {
	case multi && (isText || after == nil) && printable(old) && printable(text):
		fmt.Fprintf(b, "%s%s:\n", by, name)
		t.diff(b, by+"  ", old, text)
	case fresh:
		fmt.Fprintf(b, "%s%s: %s\n", by, name, shown(after))
	default:
		fmt.Fprintf(b, "%s%s: %s → %s\n", by, name, shown(before), shown(after))
	}
}

// diff writes a unified diff with three lines of context.
func (t *text) diff(b *bytes.Buffer, by, old, text string) {
	unified := udiff.Unified("before", "after", old, text)
	for line := range strings.Lines(unified) {
		line = strings.TrimSuffix(line, "\n")
		switch {
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

func sortedNames[M ~map[string]any](m M) []string {
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
