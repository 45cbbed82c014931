// Package tools are the everyday programs of a guest: GNU's core utilities, find, grep, sed, tar and
// their like, with the options that scripts use and GNU's own texts. An option that is not known is
// refused as GNU does, so that no script believes in something that did not happen.
package tools

import (
	"context"
	"fmt"
	"path"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// options are a command line taken apart as GNU's getopt does.
type options struct {
	set  map[string][]string
	seq  []string // keys as they came
	Args []string
}

func (o *options) has(key string) bool { return len(o.set[key]) > 0 }

// val is the last value given for a key.
func (o *options) val(key string) string {
	if v := o.set[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// last is which of some keys came last, "" for none.
func (o *options) last(keys string) string {
	for i := len(o.seq) - 1; i >= 0; i-- {
		if len(o.seq[i]) == 1 && strings.Contains(keys, o.seq[i]) {
			return o.seq[i]
		}
	}
	return ""
}

// parse reads p's arguments. The spec is words: "f" is a flag, "m:" takes a value, "recursive=r" is a
// long name for another word, "reference:" a long one of its own, "suffix?" may have a value after =.
// A first word "+" ends the options at the first operand. On a mistake it says so and returns nil.
func parse(p *proc.Proc, spec string) *options {
	o, err := parseArgs(p.Args[1:], spec)
	if err != nil {
		p.Errorf("%s\nTry '%s --help' for more information.", err, path.Base(p.Args[0]))
		return nil
	}
	return o
}

func parseArgs(args []string, spec string) (*options, error) {
	kinds := map[string]byte{}
	alias := map[string]string{}
	inOrder := false
	for word := range strings.FieldsSeq(spec) {
		if word == "+" {
			inOrder = true
			continue
		}
		name, to, isAlias := strings.Cut(word, "=")
		if isAlias {
			alias[name] = to
			continue
		}
		kind := byte(0)
		if last := word[len(word)-1]; last == ':' || last == '?' {
			kind, name = last, word[:len(word)-1]
		}
		kinds[name] = kind
	}
	o := &options{set: map[string][]string{}}
	add := func(key, value string) {
		o.set[key] = append(o.set[key], value)
		o.seq = append(o.seq, key)
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			o.Args = append(o.Args, args[i+1:]...)
			return o, nil
		case strings.HasPrefix(arg, "--"):
			name, value, given := strings.Cut(arg[2:], "=")
			key, err := longName(name, kinds, alias)
			if err != nil {
				return nil, err
			}
			switch {
			case kinds[key] == ':' && !given:
				if i++; i >= len(args) {
					return nil, fmt.Errorf("option '--%s' requires an argument", name)
				}
				value = args[i]
			case kinds[key] == 0 && given:
				return nil, fmt.Errorf("option '--%s' doesn't allow an argument", name)
			}
			add(key, value)
		case len(arg) > 1 && arg[0] == '-':
			for j := 1; j < len(arg); j++ {
				key := arg[j : j+1]
				if to, found := alias[key]; found {
					key = to
				}
				kind, known := kinds[key]
				if !known {
					return nil, fmt.Errorf("invalid option -- '%s'", key)
				}
				if kind == 0 {
					add(key, "")
					continue
				}
				value := arg[j+1:]
				if value == "" && kind == ':' {
					if i++; i >= len(args) {
						return nil, fmt.Errorf("option requires an argument -- '%s'", key)
					}
					value = args[i]
				}
				add(key, value)
				break
			}
		default:
			if inOrder {
				o.Args = append(o.Args, args[i:]...)
				return o, nil
			}
			o.Args = append(o.Args, arg)
		}
	}
	return o, nil
}

// longName resolves a long option, abbreviated if that is clear.
func longName(name string, kinds map[string]byte, alias map[string]string) (string, error) {
	var hits []string
	for long, to := range alias {
		if long == name {
			return to, nil
		}
		if strings.HasPrefix(long, name) && len(long) > 1 {
			hits = append(hits, to)
		}
	}
	for long := range kinds {
		if long == name {
			return long, nil
		}
		if len(long) > 1 && strings.HasPrefix(long, name) {
			hits = append(hits, long)
		}
	}
	switch len(hits) {
	case 0:
		return "", fmt.Errorf("unrecognized option '--%s'", name)
	case 1:
		return hits[0], nil
	}
	return "", fmt.Errorf("option '--%s' is ambiguous", name)
}

// missing says that operands are missing.
func missing(p *proc.Proc) int {
	p.Errorf("missing operand\nTry '%s --help' for more information.", path.Base(p.Args[0]))
	return 1
}

// status makes a program that says nothing and ends with a status.
func status(n int) proc.Program {
	return func(context.Context, *proc.Proc) int { return n }
}

// complaint is a message in another program's words, which are not Go's style.
type complaint string

func (c complaint) Error() string { return string(c) }

func complain(format string, args ...any) error { return complaint(fmt.Sprintf(format, args...)) }
