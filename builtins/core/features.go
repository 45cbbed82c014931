package core

import (
	"fmt"
	"maps"
	"slices"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
	"phoenix-run/runner/value"
)

type applyArgs struct {
	Feature starlark.Value `star:"feature" doc:"name of the feature, or a dict with name and options as the configuration has it"`
	Host    starlark.Value `star:"host" doc:"the machine to apply it to"`
	VM      starlark.Value `star:"vm" default:"None" doc:"what the configuration says of the machine"`
	Options map[string]any `star:"options" default:"{}" doc:"options of the feature; they override those of the dict"`
}

// scoped is a host that wants to know where a feature begins and ends.
type scoped interface {
	Feature(c *builtin.Call, name string, body func() (starlark.Value, error)) (starlark.Value, error)
}

// Features is the module of that name.
var Features = builtin.Module{
	Name: "features",
	Doc:  "What a machine can be given: modules features/NAME.star, in the project folder or in the binary.",
	Funcs: []*builtin.Builtin{
		builtin.Func(builtin.Spec{
			Name: "apply", Effect: builtin.Reads,
			Summary: "Applies a feature: loads features/NAME.star and calls its function NAME(host, vm, **options). Handlers that on_change collected run at its end; if the run is cut off before that, they run with the feature's next apply.",
			Returns: "what the feature's function returns",
			Errors:  []string{"No such feature, with the nearest name.", "The feature has no such option."},
			Example: "features.apply(\"docker\", host, vm, options = {\"users\": [\"deploy\"]})",
		}, apply),
	},
}

func apply(c *builtin.Call, a applyArgs) (starlark.Value, error) {
	name, options, err := featureOf(a.Feature)
	if err != nil {
		return nil, err
	}
	maps.Copy(options, a.Options)
	fn, err := Function(c, name)
	if err != nil {
		return nil, err
	}
	var kwargs []starlark.Tuple
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if err := checkOption(fn, name, key); err != nil {
			return nil, err
		}
		kwargs = append(kwargs, starlark.Tuple{starlark.String(key), value.FromGo(options[key])})
	}
	vm := a.VM
	if vm == nil {
		vm = starlark.None
	}
	body := func() (starlark.Value, error) {
		return starlark.Call(c.Thread, fn, starlark.Tuple{a.Host, vm}, kwargs)
	}
	if host, ok := a.Host.(scoped); ok {
		return host.Feature(c, name, body)
	}
	return body()
}

// featureOf reads a feature as the configuration names it.
func featureOf(v starlark.Value) (string, map[string]any, error) {
	g, err := value.ToGo(v)
	if err != nil {
		return "", nil, err
	}
	switch f := g.(type) {
	case string:
		return f, map[string]any{}, nil
	case map[string]any:
		name, _ := f["name"].(string)
		options, _ := f["options"].(map[string]any)
		if name != "" {
			return name, maps.Clone(orEmpty(options)), nil
		}
	}
	return "", nil, fmt.Errorf("features.apply: %s is no feature: want a name, or a dict with name and options", v)
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// Function gives the function of a feature's module.
func Function(c *builtin.Call, name string) (*starlark.Function, error) {
	loaded, err := c.Task.Run.Loader().Load("@features//"+name+".star", load.Module{})
	if err != nil {
		return nil, err
	}
	fn, ok := loaded.Globals[name].(*starlark.Function)
	if !ok {
		return nil, fmt.Errorf("%s has no function %s(host, vm, **options), so it is no feature", loaded.Module.Name(), name)
	}
	return fn, nil
}

func checkOption(fn *starlark.Function, feature, option string) error {
	if fn.HasKwargs() {
		return nil
	}
	var names []string
	for i := 2; i < fn.NumParams(); i++ {
		name, _ := fn.Param(i)
		names = append(names, name)
	}
	if slices.Contains(names, option) {
		return nil
	}
	text := fmt.Sprintf("feature %s has no option %s", feature, option)
	if near := lang.Nearest(option, names); near != "" {
		return fmt.Errorf("%s; did you mean %s?", text, near)
	}
	return fmt.Errorf("%s; it has: %v", text, names)
}
