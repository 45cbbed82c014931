package runner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
)

// arguments makes the words of a command line the arguments of main: --name value and --name=value,
// --flag and --no-flag for a parameter whose default is a bool, "name value" for a parameter that has
// not been given yet (as in "qdrant to 1002"), and the others in order. The type of a default is the
// type of its value; a parameter without one takes a string, or a number where it is one. A parameter
// that a reserved word would name ends in _ and is given without it: "from" is from_.
func arguments(main *starlark.Function, words []string) (starlark.Tuple, []starlark.Tuple, error) {
	given := map[string]starlark.Value{}
	var rest starlark.Tuple
	set := func(name, text string) error {
		v, err := argument(main, name, text)
		if err != nil {
			return err
		}
		if list, ok := given[name].(*starlark.List); ok { // repeated: one list
			more, isList := v.(*starlark.List)
			if isList {
				for e := range starlark.Elements(more) {
					if err := list.Append(e); err != nil {
						return err
					}
				}
				return nil
			}
		}
		if _, twice := given[name]; twice {
			return fmt.Errorf("%s is given twice", name)
		}
		given[name] = v
		return nil
	}
	params := parameters(main)
	for i := 0; i < len(words); i++ {
		word := words[i]
		if option, ok := strings.CutPrefix(word, "--"); ok && option != "" {
			name, text, hasText := strings.Cut(option, "=")
			name = parameter(params, strings.ReplaceAll(name, "-", "_"))
			positive, negated := strings.CutPrefix(name, "no_")
			switch {
			case slices.Contains(params, name):
				if _, isBool := defaultOf(main, name).(starlark.Bool); isBool && !hasText {
					text, hasText = "true", true
				}
				if !hasText {
					if i++; i == len(words) {
						return nil, nil, fmt.Errorf("--%s needs a value", option)
					}
					text = words[i]
				}
			case negated && slices.Contains(params, positive) && !hasText:
				name, text = positive, "false"
			default:
				return nil, nil, unknownOption(name, params)
			}
			if err := set(name, text); err != nil {
				return nil, nil, err
			}
			continue
		}
		if name := parameter(params, word); slices.Contains(params, name) && given[name] == nil && i+1 < len(words) {
			i++
			if err := set(name, words[i]); err != nil {
				return nil, nil, err
			}
			continue
		}
		next := slices.IndexFunc(params, func(p string) bool { _, done := given[p]; return !done })
		switch {
		case next >= 0 && next < main.NumParams()-main.NumKwonlyParams()-variadic(main):
			if err := set(params[next], word); err != nil {
				return nil, nil, err
			}
		case main.HasVarargs():
			rest = append(rest, plainArgument(word))
		default:
			return nil, nil, fmt.Errorf("%q is one argument too many", word)
		}
	}
	var kwargs []starlark.Tuple
	var missing []string
	for _, name := range params {
		if v, ok := given[name]; ok {
			kwargs = append(kwargs, starlark.Tuple{starlark.String(name), v})
		} else if defaultOf(main, name) == nil {
			missing = append(missing, strings.ToUpper(strings.TrimSuffix(name, "_")))
		}
	}
	if len(missing) > 0 {
		return nil, nil, fmt.Errorf("missing: %s", strings.Join(missing, ", "))
	}
	return rest, kwargs, nil
}

// parameter gives the name of the parameter that a word of the command line names.
func parameter(params []string, word string) string {
	if !slices.Contains(params, word) && slices.Contains(params, word+"_") {
		return word + "_"
	}
	return word
}

// asksForHelp reports whether the words ask for the playbook's usage instead of running it. A
// playbook may have a parameter of that name.
func asksForHelp(main *starlark.Function, words []string) bool {
	return (slices.Contains(words, "--help") || slices.Contains(words, "-h")) && !slices.Contains(parameters(main), "help")
}

func variadic(fn *starlark.Function) int {
	n := 0
	if fn.HasVarargs() {
		n++
	}
	if fn.HasKwargs() {
		n++
	}
	return n
}

// parameters names main's parameters, without *args and **kwargs.
func parameters(fn *starlark.Function) []string {
	names := make([]string, 0, fn.NumParams())
	for i := range fn.NumParams() - variadic(fn) {
		name, _ := fn.Param(i)
		names = append(names, name)
	}
	return names
}

func defaultOf(fn *starlark.Function, name string) starlark.Value {
	for i := range fn.NumParams() - variadic(fn) {
		if n, _ := fn.Param(i); n == name {
			return fn.ParamDefault(i)
		}
	}
	return nil
}

func argument(fn *starlark.Function, name, text string) (starlark.Value, error) {
	switch defaultOf(fn, name).(type) {
	case starlark.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("--%s takes true or false, not %q", name, text)
		}
		return starlark.Bool(b), nil
	case starlark.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("--%s takes a whole number, not %q", name, text)
		}
		return starlark.MakeInt64(n), nil
	case starlark.Float:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("--%s takes a number, not %q", name, text)
		}
		return starlark.Float(f), nil
	case starlark.String:
		return starlark.String(text), nil
	case *starlark.List, starlark.Tuple:
		var list []starlark.Value
		for part := range strings.SplitSeq(text, ",") {
			list = append(list, plainArgument(part))
		}
		return starlark.NewList(list), nil
	}
	return plainArgument(text), nil
}

// plainArgument is a word whose parameter gives no type: a number where it is one.
func plainArgument(text string) starlark.Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return starlark.MakeInt64(n)
	}
	return starlark.String(text)
}

func unknownOption(name string, params []string) error {
	text := "there is no option --" + name
	if near := lang.Nearest(name, params); near != "" {
		text += "; did you mean --" + near + "?"
	}
	return fmt.Errorf("%s", text)
}

// Usage is a playbook's own help, made from its docstring and the signature of main.
func Usage(m load.Module, doc string, main *starlark.Function) string {
	name := strings.TrimSuffix(m.Path[strings.LastIndexByte(m.Path, '/')+1:], ".star")
	var line, list strings.Builder
	fmt.Fprintf(&line, "usage: phoenix-run %s", name)
	for _, p := range parameters(main) {
		def := defaultOf(main, p)
		p = strings.TrimSuffix(p, "_")
		switch def.(type) {
		case nil:
			fmt.Fprintf(&line, " %s", strings.ToUpper(p))
			fmt.Fprintf(&list, "  %-24s required\n", strings.ToUpper(p))
		case starlark.Bool:
			fmt.Fprintf(&line, " [--%s]", p)
			fmt.Fprintf(&list, "  --%-22s default %s\n", p, def)
		default:
			fmt.Fprintf(&line, " [--%s %s]", p, strings.ToUpper(p))
			fmt.Fprintf(&list, "  --%-22s default %s\n", p, def)
		}
	}
	if main.HasVarargs() {
		line.WriteString(" …")
	}
	text := line.String() + "\n"
	if doc != "" {
		text += "\n" + doc + "\n"
	}
	if d := main.Doc(); d != "" && d != doc {
		text += "\n" + strings.TrimSpace(d) + "\n"
	}
	if list.Len() > 0 {
		text += "\n" + list.String()
	}
	return text
}
