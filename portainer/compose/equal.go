package compose

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/transform"
)

// Equal reports whether two compose files mean the same, whatever their comments, their order and the
// notation that they use of several. Variables are compared as they are written.
func Equal(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := model(a)
	y, errY := model(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// unordered are the lists of services whose order means nothing.
var unordered = []string{"ports", "volumes", "expose", "cap_add", "cap_drop", "security_opt", "devices", "secrets", "configs", "profiles", "group_add"}

// model reads a file into one form of several that mean the same.
func model(text string) (map[string]any, error) {
	_, values, err := parse(text)
	if err != nil {
		return nil, err
	}
	delete(values, "version")
	for key := range values {
		if strings.HasPrefix(key, "x-") {
			delete(values, key)
		}
	}
	values, err = long(values)
	if err != nil {
		return nil, err
	}
	services, _ := values["services"].(map[string]any)
	for _, v := range services {
		service, _ := v.(map[string]any)
		for _, key := range []string{"environment", "labels", "sysctls", "annotations"} {
			if v, ok := service[key]; ok {
				service[key] = pairs(v)
			}
		}
		for _, key := range unordered {
			if list, ok := service[key].([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return cmp.Compare(shown(a), shown(b)) })
			}
		}
	}
	// Numbers of all kinds become one.
	text2, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	var plain map[string]any
	return plain, json.Unmarshal(text2, &plain)
}

// long writes short notations out, where the library can read them: a variable in them may keep it
// from that. It must not see the values that it may have half changed before it gave up.
func long(values map[string]any) (map[string]any, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	var spare map[string]any
	if err := json.Unmarshal(text, &spare); err != nil {
		return nil, err
	}
	if changed, err := transform.Canonical(values, true); err == nil {
		return changed, nil
	}
	return spare, nil
}

// pairs makes text of the values of a mapping, or a mapping of a list of KEY=VALUE.
func pairs(v any) any {
	out := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value != nil {
				value = shown(value)
			}
			out[key] = value
		}
	case []any:
		for _, one := range v {
			key, value, ok := strings.Cut(shown(one), "=")
			if out[key] = value; !ok {
				out[key] = nil
			}
		}
	default:
		return v
	}
	return out
}

// shown writes a value on one line.
func shown(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(text)
}
