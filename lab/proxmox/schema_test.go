package proxmox

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// schemaNode is one path of Proxmox's own API description.
type schemaNode struct {
	Path     string                  `json:"path"`
	Children []schemaNode            `json:"children"`
	Info     map[string]schemaMethod `json:"info"`
}

type schemaMethod struct {
	Parameters struct {
		Properties map[string]schemaParam `json:"properties"`
	} `json:"parameters"`
}

type schemaParam struct {
	Type      string          `json:"type"`
	Optional  json.RawMessage `json:"optional"`
	Minimum   json.RawMessage `json:"minimum"`
	Maximum   json.RawMessage `json:"maximum"`
	MaxLength json.RawMessage `json:"maxLength"`
	Enum      []any           `json:"enum"`
}

// loadSchema reads Proxmox's description, which is not part of this project.
func loadSchema(t *testing.T, name string) map[string]schemaMethod {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "pve-api", name)
	text, err := os.ReadFile(path)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Proxmox's API schema is needed to check the lab's tables: %v", err)
		}
		t.Skipf("SKIPPED: the lab's parameter tables were not compared with Proxmox's API schema, which is not here: %v", err)
	}
	var nodes []schemaNode
	if err := json.Unmarshal(text, &nodes); err != nil {
		t.Fatal(err)
	}
	all := map[string]schemaMethod{}
	var walk func(schemaNode)
	walk = func(n schemaNode) {
		for method, info := range n.Info {
			all[method+" "+n.Path] = info
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	for _, n := range nodes {
		walk(n)
	}
	return all
}

func TestTablesAgreeWithProxmoxSchema(t *testing.T) {
	for version, file := range map[Version]string{V9: "pve-apidoc.json", V8: "pve-apidoc-8.4.json"} {
		t.Run(string(version), func(t *testing.T) {
			schema := loadSchema(t, file)
			f, err := version.flavor()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range (&Server{flavor: f}).api() {
				name := r.method + " " + r.path
				method, ok := schema[name]
				if !ok {
					t.Errorf("%s: Proxmox has no such endpoint", name)
					continue
				}
				for _, fault := range compareTables(r.params, method.Parameters.Properties) {
					t.Errorf("%s: %s", name, fault)
				}
			}
		})
	}
}

// compareTables says where a table differs from the schema in names, types, limits and values.
func compareTables(ours table, theirs map[string]schemaParam) []string {
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		p, ok := ours[name]
		if !ok {
			add("%s is missing", name)
			continue
		}
		s := theirs[name]
		if string(p.kind) != s.Type {
			add("%s is a %s, not a %s", name, s.Type, p.kind)
		}
		// What stands in the path is always there.
		_, inPath := pathParams[name]
		if required := !isSet(s.Optional); required != p.required && !(inPath && p.required) {
			add("%s: required is %v", name, required)
		}
		if got, want := limit(p.min), text(s.Minimum); got != want {
			add("%s: minimum is %q, not %q", name, want, got)
		}
		if got, want := limit(p.max), text(s.Maximum); got != want {
			add("%s: maximum is %q, not %q", name, want, got)
		}
		if want := text(s.MaxLength); want != "" && want != fmt.Sprint(p.maxLen) {
			add("%s: longest is %s, not %d", name, want, p.maxLen)
		}
		if len(s.Enum) > 0 {
			var want []string
			for _, v := range s.Enum {
				want = append(want, fmt.Sprint(v))
			}
			slices.Sort(want)
			if got := slices.Sorted(slices.Values(p.enum)); !slices.Equal(got, want) {
				add("%s: one of %v, not of %v", name, want, got)
			}
		}
	}
	for name := range ours {
		if _, ok := theirs[name]; !ok {
			add("%s is unknown to Proxmox", name)
		}
	}
	return faults
}

func isSet(raw json.RawMessage) bool { return text(raw) == "1" }

// text is a scalar of the schema, which writes numbers both with and without quotes.
func text(raw json.RawMessage) string {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil || v == nil {
		return ""
	}
	if n, ok := v.(float64); ok {
		return plain(n)
	}
	return fmt.Sprint(v)
}

func limit(n *float64) string {
	if n == nil {
		return ""
	}
	return plain(*n)
}
