package host

import (
	"fmt"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
)

// handler is what is to be done once at a feature's end.
type handler struct {
	name string
	fn   starlark.Callable
}

type onChangeArgs struct {
	Results starlark.Value    `star:"results" doc:"a result, or a list of them"`
	Name    string            `star:"name" doc:"names the handler: of several with one name, the first is kept"`
	Fn      starlark.Callable `star:"fn" doc:"called without arguments at the end of the feature, if a result has changed"`
}

var onChange = builtin.Method(builtin.Spec{
	Name: "on_change", Effect: builtin.Reads,
	Summary: "Collects what has to be done once at the end of the feature if something has changed: most often a restart.",
	Errors:  []string{"Only an apply can tell whether there was a change: the dry run ends there."},
	Example: "conf = host.file(\"/etc/app.conf\", content = \"a = 1\\n\")\nhost.on_change(conf, \"restart app\", lambda: host.service(\"app\", restarted = True))",
}, func(c *builtin.Call, h *Host, a onChangeArgs) (starlark.Value, error) {
	changed, err := anyChanged(a.Results)
	if err != nil || !changed {
		return starlark.None, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, known := range h.handlers {
		if known.name == a.Name {
			return starlark.None, nil
		}
	}
	a.Fn.Freeze()
	h.handlers = append(h.handlers, handler{a.Name, a.Fn})
	return starlark.None, nil
})

func anyChanged(v starlark.Value) (bool, error) {
	if list, ok := v.(*starlark.List); ok {
		for e := range starlark.Elements(list) {
			if changed, err := anyChanged(e); changed || err != nil {
				return changed, err
			}
		}
		return false, nil
	}
	var flag builtin.Flag
	obj, ok := v.(starlark.HasAttrs)
	if !ok {
		return false, fmt.Errorf("on_change: results: got %s, want what an operation returned", v.Type())
	}
	attr, err := obj.Attr("changed")
	if err != nil {
		return false, err
	}
	if flag, err = builtin.FlagOf(attr); err != nil {
		return false, err
	}
	return flag.Value, nil
}

// Flush runs what was collected, in its order.
func (h *Host) Flush(c *builtin.Call) error {
	h.mu.Lock()
	handlers := h.handlers
	h.handlers = nil
	h.mu.Unlock()
	for _, one := range handlers {
		if _, err := starlark.Call(c.Thread, one.fn, nil, nil); err != nil {
			return fmt.Errorf("handler %q: %w", one.name, err)
		}
	}
	return nil
}
