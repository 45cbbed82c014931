// Package pveschema checks requests against Proxmox's own description of its API (the tree in
// pve-docs' apidata.js). It supports tests: the product never reads the description.
package pveschema

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Schema is the API of one release.
type Schema struct{ roots []node }

type node struct {
	Path     string            `json:"path"`
	Children []node            `json:"children"`
	Info     map[string]method `json:"info"`
}

type method struct {
	Parameters struct {
		Properties map[string]*property `json:"properties"`
		Additional any                  `json:"additionalProperties"`
	} `json:"parameters"`
}

type property struct {
	Type      string               `json:"type"`
	Optional  any                  `json:"optional"`
	Format    json.RawMessage      `json:"format"`
	Enum      []any                `json:"enum"`
	Minimum   any                  `json:"minimum"`
	Maximum   any                  `json:"maximum"`
	MaxLength any                  `json:"maxLength"`
	Pattern   string               `json:"pattern"`
	Items     *property            `json:"items"`
	Default   any                  `json:"default_key"`
	Alias     string               `json:"alias"`
	KeyAlias  string               `json:"keyAlias"`
	nested    map[string]*property // a property string's parts
}

// Load reads the description of one release.
func Load(path string) (*Schema, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Schema{}
	if err := json.Unmarshal(text, &s.roots); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Check says what is wrong with a request: its path (without /api2/json), method, or parameters.
func (s *Schema) Check(verb, path string, params map[string]any) error {
	n, fromPath := find(s.roots, path)
	if n == nil {
		return fmt.Errorf("%s %s: there is no such path", verb, path)
	}
	m, ok := n.Info[verb]
	if !ok {
		return fmt.Errorf("%s %s: the path has no such method", verb, path)
	}
	all := map[string]any{}
	for k, v := range params {
		all[k] = v
	}
	for k, v := range fromPath {
		all[k] = v
	}
	for name, v := range all {
		p := lookup(m.Parameters.Properties, name)
		if p == nil {
			return fmt.Errorf("%s %s: there is no parameter %s", verb, path, name)
		}
		if err := p.check(v); err != nil {
			return fmt.Errorf("%s %s: %s: %w", verb, path, name, err)
		}
	}
	for name, p := range m.Parameters.Properties {
		if _, given := all[name]; !given && !truthy(p.Optional) {
			return fmt.Errorf("%s %s: %s is missing", verb, path, name)
		}
	}
	return nil
}

// find follows a path; parts in braces of the description take anything.
func find(nodes []node, path string) (*node, map[string]any) {
	want := strings.Split(strings.Trim(path, "/"), "/")
	for i := range nodes {
		n := &nodes[i]
		have := strings.Split(strings.Trim(n.Path, "/"), "/")
		if len(have) > len(want) {
			continue
		}
		params, ok := map[string]any{}, true
		for j, part := range have {
			if strings.HasPrefix(part, "{") {
				params[strings.Trim(part, "{}")] = want[j]
			} else if part != want[j] {
				ok = false
				break
			}
		}
		if !ok {
			continue
		}
		if len(have) == len(want) {
			return n, params
		}
		if found, more := find(n.Children, path); found != nil {
			return found, more
		}
	}
	return nil, nil
}

// lookup finds a parameter; net0 is described as net[n].
func lookup(properties map[string]*property, name string) *property {
	if p, ok := properties[name]; ok {
		return p
	}
	base := strings.TrimRight(name, "0123456789")
	if base != name {
		return properties[base+"[n]"]
	}
	return nil
}

func (p *property) check(v any) error {
	if list, ok := v.([]any); ok {
		if p.Type != "array" {
			return fmt.Errorf("a list was given, want %s", p.Type)
		}
		for _, e := range list {
			if p.Items != nil {
				if err := p.Items.check(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
	text := fmt.Sprint(v)
	if f, ok := v.(float64); ok {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	switch p.Type {
	case "integer", "number":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || p.Type == "integer" && n != float64(int64(n)) {
			return fmt.Errorf("%q is no %s", text, p.Type)
		}
		if low, ok := toFloat(p.Minimum); ok && n < low {
			return fmt.Errorf("%s is less than %v", text, low)
		}
		if high, ok := toFloat(p.Maximum); ok && n > high {
			return fmt.Errorf("%s is more than %v", text, high)
		}
	case "boolean":
		if !slices.Contains([]string{"0", "1", "true", "false", "yes", "no", "on", "off"}, strings.ToLower(text)) {
			return fmt.Errorf("%q is no boolean", text)
		}
	case "string", "":
		return p.checkString(text)
	}
	return nil
}

func (p *property) checkString(text string) error {
	if most, ok := toFloat(p.MaxLength); ok && float64(len([]rune(text))) > most {
		return fmt.Errorf("longer than %v characters", most)
	}
	if len(p.Enum) > 0 && !slices.ContainsFunc(p.Enum, func(e any) bool { return fmt.Sprint(e) == text }) {
		return fmt.Errorf("%q is none of %v", text, p.Enum)
	}
	if p.Pattern != "" && !strings.Contains(p.Pattern, "(?^") {
		if re, err := regexp.Compile("^(?:" + p.Pattern + ")$"); err == nil && !re.MatchString(text) {
			return fmt.Errorf("%q does not match %s", text, p.Pattern)
		}
	}
	if len(p.Format) == 0 {
		return nil
	}
	var name string
	if json.Unmarshal(p.Format, &name) == nil {
		if check, known := formats[name]; known && !check.MatchString(text) {
			return fmt.Errorf("%q is no %s", text, name)
		}
		return nil
	}
	if p.nested == nil {
		if err := json.Unmarshal(p.Format, &p.nested); err != nil {
			return err
		}
	}
	return p.checkParts(text)
}

// checkParts checks a property string: "virtio=BC:…,bridge=vmbr0".
func (p *property) checkParts(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			value, key = part, ""
			for name, sub := range p.nested {
				if truthy(sub.Default) {
					key = name
				}
			}
			if key == "" {
				return fmt.Errorf("%q has no key", part)
			}
		}
		sub, known := p.nested[key]
		if !known {
			return fmt.Errorf("there is no part %q", key)
		}
		if sub.KeyAlias != "" { // "virtio=MAC" names model and macaddr at once
			mac := p.nested[sub.Alias]
			if sub.Alias == "" || mac == nil {
				mac = p.nested["macaddr"]
			}
			if mac != nil {
				sub = mac
			}
		} else if sub.Alias != "" && p.nested[sub.Alias] != nil {
			sub = p.nested[sub.Alias]
		}
		if err := sub.check(value); err != nil {
			return fmt.Errorf("part %s: %w", key, err)
		}
	}
	return nil
}

// formats are the named formats that are checked here.
var formats = map[string]*regexp.Regexp{
	"pve-vmid":       regexp.MustCompile(`^[1-9][0-9]{2,8}$`),
	"pve-node":       regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`),
	"pve-storage-id": regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]$`),
	"pve-configid":   regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]+$`),
	"dns-name":       regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`),
	"urlencoded":     regexp.MustCompile(`^[-%a-zA-Z0-9_.!~*'()]*$`),
	"pve-tag-list":   regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*([;, ]+[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*)*$`),
	"mac-addr":       regexp.MustCompile(`(?i)^[a-f0-9][02468ace](:[a-f0-9]{2}){5}$`),
	"disk-size":      regexp.MustCompile(`^\d+(\.\d+)?[KMGT]?$`),
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != "" && v != "0"
	}
	return false
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, false
}
