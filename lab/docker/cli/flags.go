package cli

import (
	"strings"
)

// flags are a command's parsed options by their long name.
type flags map[string][]string

func (f flags) on(name string) bool {
	v := f[name]
	return len(v) > 0 && v[len(v)-1] != "false"
}

func (f flags) value(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// parse splits args into options and the rest. spec lists the options by their names, shortest first,
// "p|publish=" with a value, "d|detach" without. Unless mixed, the first other argument ends the options.
func parse(spec string, args []string, mixed bool) (flags, []string, error) {
	long := map[string]string{} // any name to the last one
	valued := map[string]bool{}
	for _, option := range strings.Fields(spec) {
		names, takesValue := strings.CutSuffix(option, "=")
		all := strings.Split(names, "|")
		canonical := all[0]
		if len(canonical) == 1 && len(all) > 1 {
			canonical = all[1]
		}
		for _, n := range all {
			long[n] = canonical
		}
		valued[canonical] = takesValue
	}
	f := flags{}
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return f, append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			name, value, given := strings.Cut(arg[2:], "=")
			canonical, known := long[name]
			if !known || len(name) == 1 {
				return nil, nil, usage("unknown flag: --%s\n\nRun 'docker --help' for more information", name)
			}
			if valued[canonical] && !given {
				if len(args) == 0 {
					return nil, nil, usage("flag needs an argument: --%s", name)
				}
				value, args = args[0], args[1:]
			}
			f[canonical] = append(f[canonical], value)
		case strings.HasPrefix(arg, "-") && arg != "-":
			for short := arg[1:]; short != ""; {
				canonical, known := long[short[:1]]
				if !known {
					return nil, nil, usage("unknown shorthand flag: '%s' in %s\n\nRun 'docker --help' for more information", short[:1], arg)
				}
				if !valued[canonical] {
					f[canonical] = append(f[canonical], "")
					short = short[1:]
					continue
				}
				value := strings.TrimPrefix(short[1:], "=")
				if value == "" {
					if len(args) == 0 {
						return nil, nil, usage("flag needs an argument: '%s' in %s", short[:1], arg)
					}
					value, args = args[0], args[1:]
				}
				f[canonical] = append(f[canonical], value)
				break
			}
		default:
			rest = append(rest, arg)
			if !mixed {
				return f, append(rest, args...), nil
			}
		}
	}
	return f, rest, nil
}
