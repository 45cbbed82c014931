package host

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

// scope is a feature under way on a host. From its first change until its handlers have run, a file on
// the host says that it is not settled: a run that is cut off in between leaves the file behind, and the
// next one, from wherever, takes every handler of the feature as due.
type scope struct {
	name     string
	handlers []handler

	mu        sync.Mutex
	marked    bool // this run has written the file
	known     bool // whether an earlier run left one has been found out
	unsettled bool // it has
}

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
	Summary: "Collects what has to be done once at the end of the feature if something has changed: most often a restart. If the run is cut off before that, or the feature fails, all handlers of the feature run with its next apply. Outside of a feature, the function is called at once.",
	Errors:  []string{"Only an apply can tell whether there was a change: the dry run ends there."},
	Example: "conf = host.file(\"/etc/app.conf\", content = \"a = 1\\n\")\nhost.on_change(conf, \"restart app\", lambda: host.service(\"app\", restarted = True))",
}, func(c *builtin.Call, h *Host, a onChangeArgs) (starlark.Value, error) {
	due, err := anyChanged(a.Results)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	var s *scope
	if n := len(h.scopes); n > 0 {
		s = h.scopes[n-1]
	}
	h.mu.Unlock()
	if s == nil {
		if due {
			_, err = starlark.Call(c.Thread, a.Fn, nil, nil)
		}
		return starlark.None, err
	}
	if !due {
		if due, err = h.leftUnsettled(c, s); err != nil || !due {
			return starlark.None, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(s.handlers, func(known handler) bool { return known.name == a.Name }) {
		return starlark.None, nil
	}
	a.Fn.Freeze()
	s.handlers = append(s.handlers, handler{a.Name, a.Fn})
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
	obj, ok := v.(starlark.HasAttrs)
	if !ok {
		return false, fmt.Errorf("on_change: results: got %s, want what an operation returned", v.Type())
	}
	attr, err := obj.Attr("changed")
	if err != nil {
		return false, err
	}
	if attr == nil {
		return false, fmt.Errorf("on_change: results: got %s, want what an operation returned", v.Type())
	}
	if err := value.Known(attr); err != nil {
		return false, err
	}
	flag, err := builtin.FlagOf(attr)
	return flag.Value, err
}

// Feature carries out a feature: body, and then the handlers that it collected, in their order.
func (h *Host) Feature(c *builtin.Call, name string, body func() (starlark.Value, error)) (starlark.Value, error) {
	s := &scope{name: name}
	h.mu.Lock()
	h.scopes = append(h.scopes, s)
	h.mu.Unlock()
	remove := c.Task.Run.Before(h.name, func(ctx context.Context) error { return h.mark(ctx, s) })
	defer func() {
		remove()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.scopes = slices.DeleteFunc(h.scopes, func(one *scope) bool { return one == s })
	}()
	result, err := body()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	handlers := s.handlers
	s.handlers = nil
	h.mu.Unlock()
	for _, one := range handlers {
		if _, err := starlark.Call(c.Thread, one.fn, nil, nil); err != nil {
			return nil, fmt.Errorf("handler %q: %w", one.name, err)
		}
	}
	return result, h.settle(c, s)
}

// unsettledDir is where a host keeps which features are not settled. It outlives a reboot.
const unsettledDir = `d=/var/lib/phoenix-run
[ "$(id -u)" = 0 ] || d=${XDG_STATE_HOME:-$HOME/.local/state}/phoenix-run
`

func (s *scope) file() string { return `"$d/"` + quote("unsettled."+path.Base(s.name)) }

// mark has the host say that the feature is not settled, and finds out whether it said so before.
func (h *Host) mark(ctx context.Context, s *scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marked {
		return nil
	}
	r, err := h.must(ctx, "marking feature "+s.name+" as not settled", unsettledDir+
		`[ -e `+s.file()+` ] && { echo before; exit 0; }
mkdir -p -m 0755 "$d" && : > `+s.file(), nil)
	if err != nil {
		return err
	}
	s.marked = true
	if !s.known {
		s.known, s.unsettled = true, len(r.Stdout) > 0
	}
	return nil
}

// leftUnsettled reports whether an earlier run was cut off in the feature.
func (h *Host) leftUnsettled(c *builtin.Call, s *scope) (bool, error) {
	if _, missing := c.Task.Run.View.IsMissing(h.name); missing {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		r, err := h.read(c.Context(), unsettledDir+`[ ! -e `+s.file()+` ] || echo before`)
		if err != nil {
			return false, err
		}
		if r.Code != 0 {
			return false, &remote.ExitError{What: "asking whether feature " + s.name + " is settled", Result: r}
		}
		s.known, s.unsettled = true, len(r.Stdout) > 0
	}
	return s.unsettled, nil
}

// settle has the host forget what mark wrote, in this run or in one that was cut off.
func (h *Host) settle(c *builtin.Call, s *scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Task.Run.Planning() || !s.marked && !s.unsettled {
		return nil
	}
	_, err := h.must(c.Context(), "marking feature "+s.name+" as settled", unsettledDir+`rm -f -- `+s.file(), nil)
	return err
}
