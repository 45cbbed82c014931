package config

import (
	"reflect"
	"strconv"
	"strings"
)

// shorthand says in what other ways than as an object a struct may be written.
type shorthand struct {
	text   string // the key that a plain string stands for
	word   string // if set, the only plain string there is; it sets the key to true
	number string // the key that a plain number stands for
	only   bool   // there is no object form
}

type shorthander interface{ shorthand() shorthand }

// shorthandOf returns the shorthand of t; false if t is written as an object only, or is no struct.
func shorthandOf(t reflect.Type) (shorthand, bool) {
	s, ok := reflect.Zero(t).Interface().(shorthander)
	if !ok {
		return shorthand{}, false
	}
	return s.shorthand(), true
}

// words tells the short forms.
func (s shorthand) words() string {
	var forms []string
	switch {
	case s.word != "":
		forms = append(forms, strconv.Quote(s.word))
	case s.text != "":
		forms = append(forms, "a string ("+s.text+")")
	}
	if s.number != "" {
		forms = append(forms, "a number ("+s.number+")")
	}
	if !s.only {
		forms = append(forms, "an object")
	}
	return strings.Join(forms, " or ")
}

func (d decoder) short(n *node, v reflect.Value, s shorthand) {
	key := ""
	switch {
	case n.kind == kindString && s.word != "" && n.text != s.word:
		d.report.fault(n, "is %q; %s is allowed", n.text, s.words())
		return
	case n.kind == kindString:
		key = s.text
	case n.kind == kindNumber:
		key = s.number
	}
	if key == "" {
		d.report.fault(n, "is %s; %s is allowed", n.kind, s.words())
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		if f.key != key {
			continue
		}
		if s.word != "" && n.kind == kindString {
			v.Field(f.index).SetBool(true)
			return
		}
		d.decode(n, v.Field(f.index), f)
	}
}
