package proxmox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// verify checks all parameters and returns them typed: booleans as "0" or "1", arrays as lists.
func (t table) verify(in values) (values, error) {
	faults := map[string]string{}
	out := values{}
	for name, v := range in {
		p, ok := t.lookup(name)
		if !ok {
			faults[name] = errUnknownProperty
			continue
		}
		typed, fault := p.check(name, v)
		if fault != "" {
			faults[name] = fault
			continue
		}
		out[name] = typed
	}
	for name, p := range t {
		if _, given := in[name]; p.required && !given {
			faults[name] = errMissingProperty
		}
	}
	if len(faults) > 0 {
		return nil, paramError(faults)
	}
	return out, nil
}

// check returns the typed value, or what Proxmox says is wrong with it.
func (p param) check(name string, v value) (value, string) {
	failed := func(got string) (value, string) {
		return value{}, fmt.Sprintf("type check ('%s') failed%s", p.kind, got)
	}
	if p.kind == kindArray {
		if v.ref == "" {
			return value{list: []string{v.text}, ref: "ARRAY"}, ""
		}
		if v.ref != "ARRAY" {
			return failed("")
		}
		return v, ""
	}
	if v.ref != "" && (p.kind != kindBoolean || v.ref != "JSON::PP::Boolean") {
		return failed(" - got " + v.ref)
	}
	switch p.kind {
	case kindBoolean:
		if v.text != "0" && v.text != "1" {
			return failed(" - got '" + v.text + "'")
		}
	case kindInteger:
		if !integerText.MatchString(v.text) {
			return failed(" - got '" + v.text + "'")
		}
	case kindNumber:
		if v.text == "" || !numberText.MatchString(v.text) {
			return failed(" - got '" + v.text + "'")
		}
	}
	if fault := p.constrain(name, v.text); fault != "" {
		return value{}, fault
	}
	return value{text: v.text}, ""
}

func (p param) constrain(name, text string) string {
	if p.props != nil {
		if _, err := p.props.parse(name, text); err != nil {
			return "invalid format - " + err.Error() + "\n"
		}
	}
	if p.format != nil {
		if err := p.format(text); err != nil {
			return "invalid format - " + err.Error() + "\n"
		}
	}
	if n := len([]rune(text)); p.kind == kindString {
		switch {
		case p.maxLen > 0 && n > p.maxLen:
			return fmt.Sprintf("value may only be %d characters long", p.maxLen)
		case p.pattern != nil && !p.pattern.MatchString(text):
			return "value does not match the regex pattern"
		}
	}
	if p.kind == kindInteger || p.kind == kindNumber {
		n, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
			return fmt.Sprintf("type check ('%s') failed - got '%s'", p.kind, text)
		case p.min != nil && n < *p.min:
			return fmt.Sprintf("value must have a minimum value of %s", plain(*p.min))
		case p.max != nil && n > *p.max:
			return fmt.Sprintf("value must have a maximum value of %s", plain(*p.max))
		}
	}
	if len(p.enum) > 0 && !slices.Contains(p.enum, text) {
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", text, strings.Join(p.enum, ", "))
	}
	return ""
}

func plain(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
