package config

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseKeepsPositions(t *testing.T) {
	r := &report{}
	root := parse("f", []byte("\xef\xbb\xbf{\n  \"é\": [1, {\"a b\": \"x\"},\n\ttrue]}"), r)
	if len(r.faults) > 0 {
		t.Fatal(r.faults)
	}
	type at struct {
		Line, Column int
		Path         string
		Kind         kind
	}
	var got []at
	var walk func(n *node)
	walk = func(n *node) {
		got = append(got, at{n.line, n.column, n.path, n.kind})
		for _, m := range n.members {
			got = append(got, at{m.key.line, m.key.column, m.key.path, "key"})
			walk(m.value)
		}
		for _, item := range n.items {
			walk(item)
		}
	}
	walk(root)
	want := []at{
		{1, 1, "", kindObject},
		{2, 3, `["é"]`, "key"},
		{2, 8, `["é"]`, kindArray},
		{2, 9, `["é"][0]`, kindNumber},
		{2, 12, `["é"][1]`, kindObject},
		{2, 13, `["é"][1]["a b"]`, "key"},
		{2, 20, `["é"][1]["a b"]`, kindString},
		{3, 2, `["é"][2]`, kindBool},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"é": []any{int64(1), map[string]any{"a b": "x"}, true}}, root.free()); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
}

// FuzzParse checks that what is JSON for encoding/json is JSON here and the other way round, and
// that decoding survives whatever was parsed.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"vm_defaults": {"cpu_cores": 2}, "virtual_machines": [{"vm_id": 1001, "vm_name": "a", "ip_config": "dhcp"}]}`,
		`{"docker_stacks": {"a": {"git": {"url": "https://x/y", "password": {"env": "A"}}}}}`,
		`{"proxmox_api": {"token": 5}, "settings": {"a": [null, 1e9, -0.5]}}`,
		`{"a": 1,}`, `[,]`, `{"a" 1}`, `{"a": "`, `nul`, ``, `{}{}`, `"\ud800"`, `[1 2]`, `{,}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &report{}
		root := parse("f", data, r)
		text := data
		if len(text) >= 3 && string(text[:3]) == "\xef\xbb\xbf" {
			text = text[3:]
		}
		if !utf8.Valid(text) {
			if root != nil {
				t.Error("not UTF-8, and taken")
			}
			return
		}
		if valid := json.Valid(text); valid != (root != nil) && !tooDeep(r) {
			t.Fatalf("%q: valid %v, faults %v", data, valid, r.faults)
		}
		if root == nil {
			if len(r.faults) == 0 {
				t.Error("no fault tells why")
			}
			return
		}
		for _, f := range files {
			decoder{report: r}.decode(root, reflect.New(f.typ).Elem(), field{})
		}
	})
}

func tooDeep(r *report) bool {
	for _, f := range r.faults {
		if f.Message == "more than 64 levels of nesting" {
			return true
		}
	}
	return false
}
