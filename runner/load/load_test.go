package load_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"

	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
)

func loader(t *testing.T, project map[string]string, embedded map[string]string) *load.Loader {
	t.Helper()
	src := load.Source{Embedded: fstest.MapFS{}}
	for name, text := range embedded {
		src.Embedded.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(text)}
	}
	if project != nil {
		src.Project = t.TempDir()
		for name, text := range project {
			path := filepath.Join(src.Project, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return load.New(src, lang.Universe(), func(name string) *starlark.Thread { return &starlark.Thread{Name: name} })
}

func value(t *testing.T, l *load.Loader, name string) string {
	t.Helper()
	m, err := l.Load(name, load.Module{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Globals["x"].String()
}

func TestProjectBeforeBinary(t *testing.T) {
	embedded := map[string]string{"features/a.star": "x = 'embedded'", "features/b.star": "load('./a.star', 'x')\nload('@features//a.star', y = 'x')\n"}
	if got := value(t, loader(t, nil, embedded), "@features//a.star"); got != `"embedded"` {
		t.Error(got)
	}
	l := loader(t, map[string]string{"features/a.star": "x = 'project'"}, embedded)
	if got := value(t, l, "@features//a.star"); got != `"project"` {
		t.Error(got)
	}
	l = loader(t, map[string]string{"features/c.star": "load('./a.star', y = 'x')\nx = y", "lib/d.star": "load('//features/c.star', y = 'x')\nx = y"}, embedded)
	if got := value(t, l, "//lib/d.star"); got != `"embedded"` {
		t.Error("a project's module reaches the embedded one beside it: ", got)
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string
	}{
		{"cycle", "load('./b.star', 'x')", "features/a.star → features/b.star → features/a.star"},
		{"self", "load('./a.star', 'x')", "features/a.star → features/a.star"},
		{"escape", "load('../../etc/x.star', 'x')", "leads out of the project"},
		{"absolute", "load('/etc/x.star', 'x')", "leads out of the project"},
		{"label escape", "load('@features//../playbooks/x.star', 'x')", "leads out of the project"},
		{"root escape", "load('//../x.star', 'x')", "leads out of the project"},
		{"label", "load('@other//x.star', 'x')", "a label is @features// or @playbooks//"},
		{"ending", "load('./x', 'x')", "a module's name ends in .star"},
		{"missing", "load('@features//dcker.star', 'x')", `did you mean "docker.star"?`},
		{"private", "load('./docker.star', '_hidden')", "_hidden"},
		{"undefined", "x = frue(1)\ndef free(a):\n    pass\n", "did you mean free?"},
		{"f-string", `x = f"a{1}"`, "there are no f-strings"},
		{"try", "def f():\n    try:\n        pass\n", "there is no try"},
		{"import", "import os", "there is no import"},
		{"class", "class A:\n    pass\n", "there are no classes"},
		{"is", "x = 1 is 2", `there is no "is"`},
		{"while", "def f():\n    while True:\n        pass\n", "while"},
		{"recursion", "def f():\n    f()\nf()\n", "called recursively"},
		{"frozen", "load('./docker.star', 'table')\ntable.append(1)", "frozen"},
		{"top-level if", "if True:\n    x = 1\n", "not within a function"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := loader(t, map[string]string{"features/a.star": tt.text, "features/b.star": "load('./a.star', 'x')",
				"features/docker.star": "_hidden = 1\ntable = []"}, nil)
			_, err := l.Load("@features//a.star", load.Module{})
			if err == nil || !strings.Contains(err.Error()+chain(err), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// chain gives the texts of all errors below err.
func chain(err error) string {
	text := ""
	for ; err != nil; err = errors.Unwrap(err) {
		text += "\n" + err.Error()
	}
	return text
}

func TestNoWayOutByALink(t *testing.T) {
	l := loader(t, map[string]string{"features/a.star": "x = 1"}, nil)
	outside := filepath.Join(t.TempDir(), "o.star")
	if err := os.WriteFile(outside, []byte("x = 'outside'"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(l.Source().Project, "features", "o.star")); err != nil {
		t.Fatal(err)
	}
	if m, err := l.Load("@features//o.star", load.Module{}); err == nil {
		t.Errorf("a link led out: %v", m.Globals)
	}
}

func TestModulesAreSingleAcrossThreads(t *testing.T) {
	l := loader(t, map[string]string{"features/a.star": "load('./b.star', 'table')\nx = table", "features/b.star": "table = []", "features/c.star": "load('./b.star', 'table')\nx = table"}, nil)
	var all sync.WaitGroup
	values := make([]starlark.Value, 16)
	for i := range values {
		all.Go(func() {
			name := "@features//" + string("ac"[i%2]) + ".star"
			m, err := l.Load(name, load.Module{})
			if err != nil {
				t.Error(err)
				return
			}
			values[i] = m.Globals["x"]
		})
	}
	all.Wait()
	for _, v := range values {
		if v != values[0] {
			t.Fatal("a module was executed twice")
		}
	}
}
