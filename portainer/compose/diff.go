package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Diff tells people how one compose file differs from another in what it means, service by service:
//
//	service web: changed
//	  - image: nginx:1.26
//	  + image: nginx:1.27
//	service db: added
//	  + image: postgres:17
//
// It is "" where they are Equal. Where one can't be read, all of the new text is the difference.
func Diff(before, after string) string {
	if Equal(before, after) {
		return ""
	}
	x, errX := model(before)
	y, errY := model(after)
	var b strings.Builder
	if errX != nil || errY != nil {
		for line := range strings.Lines(after) {
			b.WriteString("  + " + strings.TrimRight(line, "\n") + "\n")
		}
		return b.String()
	}
	section(&b, "service ", child(x, "services"), child(y, "services"))
	for _, key := range keys(x, y) {
		switch key {
		case "services":
		case "volumes", "networks", "secrets", "configs":
			section(&b, strings.TrimSuffix(key, "s")+" ", child(x, key), child(y, key))
		default:
			section(&b, "", only(x, key), only(y, key))
		}
	}
	return b.String()
}

func child(m map[string]any, key string) map[string]any {
	c, _ := m[key].(map[string]any)
	return c
}

// only gives a mapping with one of the entries of another, or none.
func only(m map[string]any, key string) map[string]any {
	if v, ok := m[key]; ok {
		return map[string]any{key: v}
	}
	return nil
}

func keys(x, y map[string]any) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(x)), maps.Keys(y))
	slices.Sort(all)
	return slices.Compact(all)
}

func section(b *strings.Builder, what string, x, y map[string]any) {
	for _, name := range keys(x, y) {
		before, had := x[name]
		after, has := y[name]
		var old, now []string
		if had {
			old = flat("", before)
		}
		if has {
			now = flat("", after)
		}
		word := "changed"
		switch {
		case !had:
			word = "added"
		case !has:
			word = "removed"
		case slices.Equal(old, now):
			continue
		}
		fmt.Fprintf(b, "%s%s: %s\n", what, name, word)
		lines(b, old, now)
	}
}

// lines writes what is in one list only, in the order of the paths, old before new.
func lines(b *strings.Builder, old, now []string) {
	type line struct{ path, text string }
	var all []line
	for _, l := range old {
		if !slices.Contains(now, l) {
			all = append(all, line{l, "  - " + l})
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			all = append(all, line{l, "  + " + l})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int {
		x, _, _ := strings.Cut(a.path, ": ")
		y, _, _ := strings.Cut(b.path, ": ")
		return strings.Compare(x, y)
	})
	for _, l := range all {
		b.WriteString(l.text + "\n")
	}
}

// flat writes a value as lines of path and value; the items of a list each on one line.
func flat(path string, v any) []string {
	switch v := v.(type) {
	case map[string]any:
		var out []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = append(out, flat(strings.TrimPrefix(path+"."+key, "."), v[key])...)
		}
		return out
	case []any:
		var out []string
		for _, one := range v {
			out = append(out, path+": "+item(one))
		}
		return out
	case nil:
		if path == "" {
			return nil
		}
		return []string{path + ":"}
	}
	return []string{path + ": " + shown(v)}
}

// item writes an item of a list, ports and mounts in the short notation that people know.
func item(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return shown(v)
	}
	target := m["target"]
	if source, ok := m["source"]; ok && target != nil {
		text := fmt.Sprintf("%v:%v", source, target)
		if m["read_only"] == true {
			text += ":ro"
		}
		return text
	}
	if published, ok := m["published"]; ok && target != nil {
		text := fmt.Sprintf("%v:%v", published, target)
		if protocol, ok := m["protocol"].(string); ok && protocol != "tcp" {
			text += "/" + protocol
		}
		return text
	}
	return shown(v)
}
