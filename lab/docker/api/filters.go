package api

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Filters are a list's filters: all keys must match, any value of a key does.
type Filters map[string][]string

// ParseFilters reads the filters parameter: {"label":["a=b"]}, or the older {"label":{"a=b":true}}.
func ParseFilters(s string) (Filters, error) {
	if s == "" {
		return nil, nil
	}
	var f Filters
	if err := json.Unmarshal([]byte(s), &f); err == nil {
		return f, nil
	}
	var old map[string]map[string]bool
	if err := json.Unmarshal([]byte(s), &old); err != nil {
		return nil, fmt.Errorf("invalid filter: %w", err)
	}
	f = Filters{}
	for key, values := range old {
		for value, on := range values {
			if on {
				f[key] = append(f[key], value)
			}
		}
	}
	return f, nil
}

// String is the parameter's text.
func (f Filters) String() string {
	if len(f) == 0 {
		return ""
	}
	b, err := json.Marshal(map[string][]string(f))
	if err != nil { // a map of strings always marshals
		panic(err)
	}
	return string(b)
}

// Any tells whether key is absent or one of its values makes match true.
func (f Filters) Any(key string, match func(value string) bool) bool {
	values, present := f[key]
	if !present {
		return true
	}
	for _, v := range values {
		if match(v) {
			return true
		}
	}
	return false
}

// Labels tells whether labels satisfy every value of the label filter: key, or key=value.
func (f Filters) Labels(labels map[string]string) bool {
	for _, want := range f["label"] {
		key, value, exact := strings.Cut(want, "=")
		got, present := labels[key]
		if !present || exact && got != value {
			return false
		}
	}
	return true
}

// Known returns an error for a key that is not among keys.
func (f Filters) Known(keys ...string) error {
next:
	for key := range f {
		for _, k := range keys {
			if k == key {
				continue next
			}
		}
		return fmt.Errorf("invalid filter '%s'", key)
	}
	return nil
}
