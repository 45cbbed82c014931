package proxmox

import (
	"maps"
	"regexp"
	"strconv"
)

// kind is a JSON schema type as Proxmox uses them.
type kind string

const (
	kindString  kind = "string"
	kindInteger kind = "integer"
	kindNumber  kind = "number"
	kindBoolean kind = "boolean"
	kindArray   kind = "array"
)

// param is what one parameter may be.
type param struct {
	kind     kind
	required bool
	min, max *float64
	maxLen   int // 0: no limit
	enum     []string
	pattern  *regexp.Regexp
	// format checks the text further; what it returns follows "invalid format - ".
	format func(string) error
	props  *propFormat // set for property strings
}

// table is the parameters of an endpoint by name; "net[n]" stands for net0, net1, …
type table map[string]param

func str() param { return param{kind: kindString} }

func boolean() param { return param{kind: kindBoolean} }

func integer() param { return param{kind: kindInteger} }

func number() param { return param{kind: kindNumber} }

func array() param { return param{kind: kindArray} }

func oneOf(values ...string) param { return param{kind: kindString, enum: values} }

func matching(pattern string) param {
	return param{kind: kindString, pattern: regexp.MustCompile(`^(?:` + pattern + `)$`)}
}

func formatted(check func(string) error) param { return param{kind: kindString, format: check} }

func (p param) req() param { p.required = true; return p }

func (p param) atLeast(n float64) param { p.min = &n; return p }

func (p param) atMost(n float64) param { p.max = &n; return p }

func (p param) chars(n int) param { p.maxLen = n; return p }

// with returns the union of tables; later ones win.
func with(tables ...table) table {
	all := table{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// value is one parameter as it came in.
type value struct {
	text string
	list []string
	ref  string // Perl's name for what is no plain value: "ARRAY", "HASH", "JSON::PP::Boolean"; "" for text
}

type values map[string]value

// get is the text of a parameter, "" where it is absent.
func (v values) get(name string) string { return v[name].text }

func (v values) has(name string) bool { _, ok := v[name]; return ok }

func (v values) flag(name string) bool { return v[name].text == "1" }

func (v values) number(name string, fallback int) int {
	if n, err := strconv.Atoi(v[name].text); err == nil {
		return n
	}
	return fallback
}

var indexed = regexp.MustCompile(`^([a-z]+)(0|[1-9][0-9]*)$`)

// limits of the numbered keys, as many as QEMU takes of each.
var indexLimits = map[string]int{
	"net": 32, "scsi": 31, "ide": 4, "sata": 6, "virtio": 16, "ipconfig": 32, "unused": 256, "serial": 4,
	"parallel": 3, "usb": 14, "hostpci": 16, "numa": 8, "virtiofs": 10,
}

// lookup finds the parameter that name stands for.
func (t table) lookup(name string) (param, bool) {
	if p, ok := t[name]; ok {
		return p, true
	}
	m := indexed.FindStringSubmatch(name)
	if m == nil {
		return param{}, false
	}
	p, ok := t[m[1]+"[n]"]
	if !ok {
		return param{}, false
	}
	n, err := strconv.Atoi(m[2])
	return p, err == nil && n < indexLimits[m[1]]
}

const (
	errUnknownProperty = "property is not defined in schema and the schema does not allow additional properties"
	errMissingProperty = "property is missing and it is not optional"
)

var (
	integerText = regexp.MustCompile(`^[+-]?[0-9]+$`)
	numberText  = regexp.MustCompile(`^[+-]?[0-9]*(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)
