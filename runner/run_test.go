package runner_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"

	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/event"
	"phoenix-run/runner/load"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
	"phoenix-run/secret"
)

// world is what the tests' operation works on: names to values.
type world struct {
	mu     sync.Mutex
	things map[string]string
	writes int
}

type setting struct {
	w           *world
	host, name  string
	value       any
	ignoreWrite bool
}

func (s *setting) key() op.Key         { return op.Key{Host: s.host, Space: "setting", ID: s.name} }
func (s *setting) Address() op.Address { return op.Address{Host: s.host, Kind: "setting", ID: s.name} }

func (s *setting) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, s.key(), func(context.Context) (op.Attrs, error) {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		have, ok := s.w.things[s.host+"/"+s.name]
		if !ok {
			return nil, nil
		}
		return op.Attrs{"value": have}, nil
	})
}

func (s *setting) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"value": s.value}), nil
}

func (s *setting) Predict(v *op.View, change op.Change) { v.Put(s.key(), change) }

func (s *setting) Apply(_ context.Context, change op.Change) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.writes++
	if s.ignoreWrite {
		return nil
	}
	text, _ := change.After["value"].(string)
	if sec, ok := change.After["value"].(secret.Value); ok {
		text = sec.Reveal()
	}
	s.w.things[s.host+"/"+s.name] = text
	return nil
}

type setArgs struct {
	Host   string       `star:"host" doc:"whose setting"`
	Name   string       `star:"name" doc:"which setting"`
	Value  builtin.Text `star:"value" doc:"what it is to be"`
	Broken bool         `star:"broken" default:"False" doc:"applies nothing, and says it did"`
}

func (w *world) builtins() starlark.StringDict {
	set := builtin.Func(builtin.Spec{Name: "set", Effect: builtin.Operation}, func(c *builtin.Call, a setArgs) (starlark.Value, error) {
		return c.Do(&setting{w: w, host: a.Host, name: a.Name, value: a.Value.Attr(), ignoreWrite: a.Broken})
	})
	type eachArgs struct {
		Items    starlark.Value    `star:"items" doc:""`
		Fn       starlark.Callable `star:"fn" doc:""`
		Parallel int               `star:"parallel" default:"0" doc:""`
		After    starlark.Value    `star:"after" default:"None" doc:""`
	}
	each := builtin.Func(builtin.Spec{Name: "each", Effect: builtin.Reads}, func(c *builtin.Call, a eachArgs) (starlark.Value, error) {
		var items []runner.Item
		for v := range starlark.Elements(a.Items.(starlark.Iterable)) {
			label, _ := starlark.AsString(v)
			it := runner.Item{Label: label, Value: v}
			if d, ok := a.After.(*starlark.Dict); ok {
				if dep, found, _ := d.Get(v); found {
					s, _ := starlark.AsString(dep)
					it.After = []string{s}
				}
			}
			items = append(items, it)
		}
		values, err := c.Task.Each(c.Thread, a.Fn, items, a.Parallel)
		return starlark.NewList(values), err
	})
	return starlark.StringDict{
		"set": set.Value("", nil), "each": each.Value("", nil),
		"u": value.NewUnknown(op.Address{Host: "web", Kind: "vm", ID: "101"}, "address"),
		"s": value.NewSecret(secret.New("hunter22")),
	}
}

// play runs main of the text and gives the events, the result and the error.
func play(t *testing.T, w *world, mode runner.Mode, text string, words ...string) ([]event.Event, starlark.Value, error) {
	t.Helper()
	var events []event.Event
	src := load.Source{Embedded: fstest.MapFS{"playbooks/p.star": {Data: []byte(text)}}}
	r := runner.New(runner.Options{Mode: mode, Source: src, Builtins: w.builtins(),
		Sink: event.SinkFunc(func(e event.Event) { events = append(events, e) })})
	m, rest, err := runner.FindPlaybook(src, append([]string{"p"}, words...))
	if err != nil {
		t.Fatal(err)
	}
	call, err := r.Prepare(m, rest)
	var v starlark.Value
	if err == nil {
		v, err = r.Playbook(t.Context(), call)
	}
	r.End(err, 0)
	return events, v, err
}

func newWorld() *world { return &world{things: map[string]string{}} }

func addresses(events []event.Event, status event.Status) string {
	var list []string
	for _, e := range events {
		if e.Type == event.Operation && e.Status == status {
			list = append(list, string(e.Change.Action)+" "+e.Address)
		}
	}
	return strings.Join(list, ", ")
}

func TestPlanPredictsAndApplyAgrees(t *testing.T) {
	const text = `
def main():
    set("web", "a", "1")
    set("web", "a", "1")
    r = set("web", "b", "2")
    if r.changed:
        set("web", "c", "3")
`
	w := newWorld()
	planned, _, err := play(t, w, runner.Plan, text)
	if err != nil {
		t.Fatal(err)
	}
	if w.writes != 0 {
		t.Fatalf("the plan wrote %d times", w.writes)
	}
	applied, _, err := play(t, w, runner.Apply, text)
	if err != nil {
		t.Fatal(err)
	}
	want := "create web/setting:a, create web/setting:b, create web/setting:c"
	if got := addresses(planned, event.Changed); got != want {
		t.Errorf("plan: %s, want %s", got, want)
	}
	if got := addresses(applied, event.Changed); got != want {
		t.Errorf("apply: %s, want %s", got, want)
	}
	again, _, err := play(t, w, runner.Apply, text)
	if err != nil {
		t.Fatal(err)
	}
	if got := addresses(again, event.Changed); got != "" {
		t.Errorf("second apply changed %s", got)
	}
}

func TestApplyComparesWithWhatWasPredicted(t *testing.T) {
	_, _, err := play(t, newWorld(), runner.Apply, "def main():\n    set('web', 'a', '1', broken = True)\n")
	var mismatch *runner.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("got %v, want a MismatchError", err)
	}
	if !strings.Contains(err.Error(), "is not there afterwards") {
		t.Errorf("got %q", err)
	}
}

// TestConstructs is the table of the language's constructs, on an unknown value in plain and nested form:
// none may look at it in silence.
func TestConstructs(t *testing.T) {
	stops := map[string]string{ // expression or statement: column of the operand that stops it
		"if u: pass":                           "8",
		"if not u: pass":                       "12",
		"x = u or 1":                           "9",
		"x = u and 1":                          "9",
		"if 1 and u: pass":                     "8",
		"x = 1 if u else 2":                    "14",
		"x = [y for y in [1] if u]":            "28",
		"x = u == 'a'":                         "9",
		"x = 'a' == u":                         "16",
		"x = u != 'a'":                         "9",
		"x = u < 1":                            "9",
		"x = u in ['x']":                       "9",
		"x = 'x' in u":                         "16",
		"x = 'x' in [u]":                       "16",
		"x = u in {}":                          "9",
		"x = u not in ['x']":                   "9",
		"x = [u] == ['x']":                     "9",
		"x = {'a': u} == {}":                   "9",
		"x = struct(a = u) == struct(a = 1)":   "9",
		"x = (1, [u]) == (1, ['x'])":           "9",
		"x = '%s' % u":                         "16",
		"x = '%s-%s' % ('a', u)":               "19",
		"x = 'a'; x %= u":                      "19",
		"x = u; x %= 'a'":                      "",
		"x = 'ip={}'.format(u)":                "24",
		"x = 'ip={ip}'.format(ip = u)":         "31",
		"x = 'ip={}'.format(*[u])":             "25",
		"x = ','.join([u])":                    "18",
		"x = ['a'].index(u)":                   "21",
		"x = [u].index('a')":                   "9",
		"x = {}.get(u)":                        "16",
		"x = 'a'.startswith(u)":                "24",
		"x = 'a'.replace(u, 'b')":              "21",
		"x = str(u)":                           "",
		"x = str([u])":                         "",
		"x = repr(u)":                          "",
		"x = len(u)":                           "",
		"x = bool(u)":                          "",
		"x = any([u])":                         "",
		"x = all([u])":                         "",
		"x = sorted([u, 'a'])":                 "",
		"x = max(u, 1)":                        "",
		"x = min([u])":                         "",
		"x = int(u)":                           "",
		"x = list(u)":                          "",
		"x = type(u)":                          "",
		"x = hasattr(u, 'a')":                  "",
		"x = range(u)":                         "",
		"x = {u: 1}":                           "10",
		"x = {k: 1 for k in [u]}":              "10",
		"x = {}; x[u] = 1":                     "",
		"x = set([u])":                         "",
		"x = [1, 2][u]":                        "16",
		"x = {'a': 1}[u]":                      "18",
		"x = 'abc'[u:]":                        "15",
		"x = u[1:]":                            "9",
		"for x in u: pass":                     "14",
		"x = [y for y in u]":                   "21",
		"x, y = u":                             "12",
		"x = max(*u)":                          "14",
		"x = dict(**u)":                        "16",
		"x = u()":                              "",
		"x = u.method()":                       "",
		"x = u.ip == 'a'":                      "9",
		"x = (u + ':80') == 'a'":               "9",
		"x = json.encode([u]) == '[]'":         "9",
		"set('web', u, 'v')":                   "",
		"fn = lambda v: v == 'a'; fn(u)":       "20",
		"x = [1 for a in [u] if a == 'x']":     "28",
		"x = sorted(['a'], key = lambda v: u)": "",
		"x = '{}'.format; y = x(u)":            "",
		"x = ['a'].index; y = x(u)":            "",
		"x = getattr('{}', 'format')(u)":       "",
		"x = [f(u) for f in [','.join]]":       "",
		"x = '{}'.format([u])":                 "21",
		"x = '{}'.format({'a': [u]})":          "21",
		"x = ','.join([y for y in [u]])":       "18",
		"x = math.floor(u)":                    "",
		"x = math.pow(2, u)":                   "",
		"x = [1]; x.extend(u)":                 "23",
		"x = {}; x.update(u)":                  "22",
		"x = dict([(u, 1)])":                   "",
		"x = {'a': {'b': u}} == {'a': {}}":     "9",
		"x = [struct(a = [u])] != []":          "9",
		"x = (u,) < ('a',)":                    "9",
		"x = [[u]] in [[['a']]]":               "9",
		"x = '%d' % (u,)":                      "16",
		"x = '%s' % [u]":                       "16",
		"x = '%(a)s' % {'a': u}":               "19",
		"x = 'a' if [] == [u] else 'b'":        "22",
		"x = max([u, 1])":                      "",
		"x = set([[1], u])":                    "",
		"x = [1, 2][u:]":                       "16",
		"x = u[0][1] == 'a'":                   "9",
		"x = (u.ip + ':' + u.port) == 'a'":     "9",
		"x = not u.changed":                    "13",
		"x = u.or_plan(u) == 'a'":              "9",
		"if known(u) or u: pass":               "8",
	}
	flows := []string{
		"x = u", "x = [u, 1]", "x = {'a': u}", "x = struct(a = u)", "x = u + ':80'", "x = 'ip=' + u",
		"x = 'a'; x += u", "x = u.ip", "x = u['a']", "x = -u", "x = u * 2", "x = json.encode({'a': u})",
		"x = json.encode_indent({'a': u})", "set('web', 'a', u)", "set('web', 'a', 'http://' + u + '/')",
		"x = known(u)", "x = u.or_plan('192.0.2.1') == 'a'", "print(u)", "x = getattr(u, 'a')", "x = [u] + [1]",
		"x = len([u])", "x = list([u])", "x = 1 if [u] else 2", "x, y = [u, 1]", "x = dict(a = u)",
		"x = known(u) == False", "x = [known(u), known([u]), known({'a': u}), known('a')] == [False, False, False, True]",
		"x = u.or_plan(1) + 1 == 2", "x = known(u.or_plan(1))", "x = u.a.or_plan(['x'])[0] == 'x'", "x = u if known(u) else 'a'",
		"x = '{}'.format; y = x('a')", "x = 'a'.upper; y = x()", "x = [1]; x.append(u); x.insert(0, u); x.extend([u])",
		"x = {}; x.update({'a': u})", "x = {'a': u} | {'b': 1}", "x = [u] * 2", "x = math.floor(1.5)", "x = getattr({'a': u}, 'values')()",
		"x = u\n    set('web', 'b', x[0].name + 'x')", "x = {'a': u}; x['a'] = 1", "x = [] or [u]", "x = json.decode(u)",
		"x = {'a': u}['a']", "x = enumerate([u])", "x = zip([u], [1])", "x = not [u]",
	}
	for code, column := range stops {
		t.Run("stops/"+code, func(t *testing.T) {
			events, _, err := play(t, newWorld(), runner.Plan, "def main():\n    "+code+"\n    set('web', 'never', 'x')\n")
			if err != nil {
				t.Fatalf("the plan failed, it should only end: %v", err)
			}
			var stop *event.Event
			for i, e := range events {
				if e.Type == event.Operation {
					t.Errorf("%s was planned after looking at an unknown value", e.Address)
				}
				if e.Status == event.Deferred && e.Type == event.Task {
					stop = &events[i]
				}
			}
			if stop == nil {
				t.Fatal("it went on in silence")
			}
			if !strings.Contains(stop.Message, "of web/vm:101") {
				t.Errorf("the message does not name value and step: %q", stop.Message)
			}
			if want := "@playbooks/p.star:2:" + column; column != "" && stop.Position != want {
				t.Errorf("stopped at %s, want %s", stop.Position, want)
			}
			if !strings.HasPrefix(stop.Position, "@playbooks/p.star:2:") {
				t.Errorf("stopped at %s, want line 2", stop.Position)
			}
		})
	}
	for _, code := range flows {
		t.Run("flows/"+code, func(t *testing.T) {
			events, _, err := play(t, newWorld(), runner.Plan, "def main():\n    "+code+"\n    set('web', 'after', 'x')\n")
			if err != nil {
				t.Fatal(err)
			}
			if got := addresses(events, event.Changed); !strings.HasSuffix(got, "create web/setting:after") {
				t.Errorf("it did not flow; planned: %s", got)
			}
		})
	}
}

// A stand-in is for plans alone: in an apply, values are what they are.
func TestOrPlan(t *testing.T) {
	for _, c := range []struct {
		mode runner.Mode
		code string
		want string
	}{
		{runner.Plan, "u.or_plan('x')", `"x"`},
		{runner.Plan, "[u].or_plan(value = 'x')", `"x"`},
		{runner.Plan, "(u.ip + ':80').or_plan('x')", `"x"`},
		{runner.Plan, "'known'.or_plan('x')", `"known"`},
		{runner.Apply, "'known'.or_plan('x')", `"known"`},
		{runner.Apply, "['a', 1].or_plan('x')", `["a", 1]`},
		{runner.Apply, "None.or_plan('x')", `None`},
	} {
		_, v, err := play(t, newWorld(), c.mode, "def main():\n    return "+c.code+"\n")
		if err != nil || v.String() != c.want {
			t.Errorf("%s, %s: got %v, %v, want %s", c.mode, c.code, v, err, c.want)
		}
	}
	_, _, err := play(t, newWorld(), runner.Apply, "def main():\n    return 'a'.or_plan()\n")
	if err == nil || !strings.Contains(err.Error(), "or_plan: missing argument for value") {
		t.Errorf("without a stand-in: %v", err)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	for code, column := range map[string]string{"x = '%s' % s": "16", "x = str(s)": "12", "x = '{}'.format(s)": "21", "x = s == 'a'": "9", "x = 'a' == s": "16",
		"x = ','.join([s])": "18", "x = {s: 1}": "10", "x = s in ['a']": "9", "x = 'a' in [s]": "16", "x = s != 'a'": "9", "x = s < 'a'": "9",
		"x = [s] == ['a']": "9", "x = {'a': [s]} == {}": "9", "x = struct(a = s) == struct(a = 1)": "9", "x = '%s' % [s]": "16",
		"x = '{}'.format({'a': s})": "21", "x = 'a'; x %= s": "19", "x = repr([s])": "13", "x = sorted([s, 'a'])": "15", "x = max(s, 'a')": "12",
		"x = 'a'.replace(s, 'b')": "21", "x = 'a'.startswith(s)": "24", "x = ['a'].index(s)": "21", "x = {'a': 1}[s]": "18", "x = set([s])": "12",
		"x = '{}'.format; y = x(s)": "27", "x = getattr('{}', 'format')(s)": "32", "x = s * 2": "11", "x = s % 'a'": "9", "x = hash(s)": "13"} {
		for _, mode := range []runner.Mode{runner.Plan, runner.Apply} {
			events, _, err := play(t, newWorld(), mode, "def main():\n    "+code+"\n")
			if !errors.Is(err, value.ErrSecret) {
				t.Errorf("%s: %s: got %v", mode, code, err)
				continue
			}
			trace := events[len(events)-1].Error.Backtrace
			if want := "@playbooks/p.star:2:" + column + " in main"; len(trace) == 0 || trace[len(trace)-1] != want {
				t.Errorf("%s: stopped at %v, want %s", code, trace, want)
			}
		}
	}
	for _, code := range []string{"len(s)", "s[0]", "[c for c in s]", "s.upper()", "int(s)", "list(s)", "s()", "-s", "s[1:]"} {
		if _, _, err := play(t, newWorld(), runner.Apply, "def main():\n    x = "+code+"\n"); err == nil {
			t.Errorf("%s: it was done in silence", code)
		}
	}
	events, _, err := play(t, newWorld(), runner.Apply, "def main():\n    set('web', 'dsn', 'pg://u:' + s + '@db')\n    x = 'a'; x += s; set('web', 'x', x)\n    set('web', 'j', json.encode({'p': s}))\n    print(s, [s], x)\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if strings.Contains(e.Message, "hunter22") || (e.Change != nil && strings.Contains(e.Change.After["value"].(string), "hunter22")) {
			t.Errorf("an event shows the secret: %+v", e)
		}
	}
}

func TestEach(t *testing.T) {
	const text = `
def one(name):
    if name == "b":
        fail("no")
    set(name, "x", "1")
    return name + "!"

def main(names = ["a", "b", "c"]):
    return each(names, one, after = {"c": "b"})
`
	events, _, err := play(t, newWorld(), runner.Apply, text)
	var each *runner.EachError
	if !errors.As(err, &each) || len(each.Failed) != 1 || len(each.Skipped) != 1 {
		t.Fatalf("got %v", err)
	}
	last := events[len(events)-1]
	if got := strings.Join(last.Error.Backtrace, "; "); !strings.Contains(got, "9:16 in main") || !strings.Contains(got, "4:13 in one") {
		t.Errorf("the backtrace misses a thread: %s", got)
	}
	if last.Counts[event.Skipped] != 1 || last.Counts[event.Failed] != 1 || last.Counts[event.Changed] != 1 {
		t.Errorf("counts %v", last.Counts)
	}
	_, v, err := play(t, newWorld(), runner.Apply, text, "a,c")
	if err != nil || v.String() != `["a!", "c!"]` {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestEachFreezesWhatItSharesAndNeverRunsAtTopLevel(t *testing.T) {
	_, _, err := play(t, newWorld(), runner.Apply, "def main():\n    acc = []\n    def f(x):\n        acc.append(x)\n    each(['a'], f)\n")
	if err == nil || !strings.Contains(err.Error(), "frozen list") {
		t.Errorf("got %v", err)
	}
	_, _, err = play(t, newWorld(), runner.Apply, "each([], len)\ndef main():\n    pass\n")
	if err == nil || !strings.Contains(err.Error(), "top level") {
		t.Errorf("got %v", err)
	}
}

func TestDeferralEndsOnlyThatTask(t *testing.T) {
	const text = `
def one(name):
    set(name, "x", "1")
    if name == "a" and u == "10.0.0.1":
        set(name, "y", "1")
    return name

def main():
    return each(["a", "b"], one)
`
	events, v, err := play(t, newWorld(), runner.Plan, text)
	if err != nil {
		t.Fatal(err)
	}
	if v.String() != `[(known after apply), "b"]` {
		t.Errorf("got %s", v)
	}
	end := events[len(events)-1]
	if end.Plan.Deferred != 1 || end.Plan.Certain != 2 {
		t.Errorf("plan counts %+v", end.Plan)
	}
}

func TestArguments(t *testing.T) {
	const text = "\"\"\"Says.\"\"\"\ndef main(name, to = '', loud = False, times = 1):\n    return [name, to, loud, times]\n"
	for _, tt := range []struct{ words, want, err string }{
		{"x", `["x", "", False, 1]`, ""},
		{"x to 1002", `["x", "1002", False, 1]`, ""},
		{"x --loud --times 3", `["x", "", True, 3]`, ""},
		{"--name=x --no-loud", `["x", "", False, 1]`, ""},
		{"", "", "missing: NAME"},
		{"x --tmies 2", "", "did you mean --times?"},
		{"x --times two", "", "takes a whole number"},
		{"x y z 4 5", "", "takes true or false"},
		{"x y true 4 5", "", "one argument too many"},
		{"x --to", "", "needs a value"},
	} {
		_, v, err := play(t, newWorld(), runner.Apply, text, strings.Fields(tt.words)...)
		var usage *runner.UsageError
		switch {
		case tt.err == "" && (err != nil || v.String() != tt.want):
			t.Errorf("%q: got %v, %v, want %s", tt.words, v, err, tt.want)
		case tt.err != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%q: got %v, want %s", tt.words, err, tt.err)
		}
	}
}

func TestFindPlaybook(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"playbooks/mine.star", "tools/x.star"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("def main():\n    pass\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	src := load.Source{Project: dir, Embedded: fstest.MapFS{
		"playbooks/letsgo.star": {}, "playbooks/create_vm.star": {}, "playbooks/sync_portainer.star": {}, "playbooks/sync_stack.star": {}}}
	for _, tt := range []struct{ words, want, rest string }{
		{"letsgo", "@playbooks/letsgo.star", ""},
		{"LetsGo", "@playbooks/letsgo.star", ""},
		{"letsgo.star", "@playbooks/letsgo.star", ""},
		{"create 1001", "@playbooks/create_vm.star", "1001"},
		{"create_vm.star 1001", "@playbooks/create_vm.star", "1001"},
		{"sync portainer", "@playbooks/sync_portainer.star", ""},
		{"sync stack qdrant_service to 1002", "@playbooks/sync_stack.star", "qdrant_service to 1002"},
		{"sync_stack.star qdrant_service to 1002", "@playbooks/sync_stack.star", "qdrant_service to 1002"},
		{"mine", "playbooks/mine.star", ""},
		{"./tools/x.star a", "tools/x.star", "a"},
	} {
		m, rest, err := runner.FindPlaybook(src, strings.Fields(tt.words))
		if err != nil || m.Name() != tt.want || strings.Join(rest, " ") != tt.rest {
			t.Errorf("%s: got %s, %v, %v", tt.words, m.Name(), rest, err)
		}
	}
	_, _, err := runner.FindPlaybook(src, []string{"letgo"})
	if err == nil || !strings.Contains(err.Error(), "did you mean letsgo?") {
		t.Errorf("got %v", err)
	}
}
