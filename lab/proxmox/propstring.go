package proxmox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// props is a property string: "value,key=value,…", where value belongs to the default key.
type props map[string]string

// propFormat says what a property string may hold.
type propFormat struct {
	main    string            // the key that needs no name
	keys    table             // by name
	aliases map[string]string // other names of keys
	// models are keys that stand for main=KEY and whose value is that of modelValue: "virtio=MAC".
	models     []string
	modelValue string
}

// parse reads s; its errors are Proxmox's, without the "invalid format - " before them.
func (f propFormat) parse(name, s string) (props, error) {
	out := props{}
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, text, named := strings.Cut(part, "=")
		if !named {
			if f.main == "" {
				return nil, fmt.Errorf("value without key, but schema does not define a default key")
			}
			if _, dup := out[f.main]; dup {
				return nil, fmt.Errorf("duplicate key in comma-separated list property: %s", f.main)
			}
			out[f.main] = part
			continue
		}
		if slices.Contains(f.models, key) {
			out[f.main], key = key, f.modelValue
		}
		if to, ok := f.aliases[key]; ok {
			key = to
		}
		if _, dup := out[key]; dup {
			return nil, fmt.Errorf("duplicate key in comma-separated list property: %s", key)
		}
		out[key] = text
	}
	in := values{}
	for k, text := range out {
		in[k] = value{text: text}
		if p := f.keys[k]; p.kind == kindBoolean {
			in[k] = value{text: propBool(text)}
		}
	}
	if _, err := f.keys.verify(in); err != nil {
		return nil, formatFault(name, err)
	}
	return out, nil
}

// propBool reads the words that stand for a boolean inside property strings.
func propBool(text string) string {
	switch strings.ToLower(text) {
	case "1", "on", "yes", "true":
		return "1"
	case "0", "off", "no", "false":
		return "0"
	}
	return text
}

func formatFault(name string, err error) error {
	fault, ok := err.(*apiError)
	if !ok {
		return err
	}
	lines := []string{"format error"}
	for _, key := range slices.Sorted(maps.Keys(fault.fields)) {
		lines = append(lines, fmt.Sprintf("%s.%s: %s", name, key, strings.TrimSuffix(fault.fields[key], "\n")))
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}

// String prints the default key first and the others by name, as Proxmox stores them.
func (f propFormat) String(p props) string {
	var parts []string
	if v, ok := p[f.main]; ok {
		if slices.Contains(f.models, v) && p[f.modelValue] != "" {
			v += "=" + p[f.modelValue]
		}
		parts = append(parts, v)
	}
	for _, key := range slices.Sorted(maps.Keys(p)) {
		if key == f.main || len(f.models) > 0 && key == f.modelValue {
			continue
		}
		parts = append(parts, key+"="+p[key])
	}
	return strings.Join(parts, ",")
}
