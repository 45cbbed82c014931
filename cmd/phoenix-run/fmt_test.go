package main

import (
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"phoenix-run/builtins"
)

// TestEmbeddedIsFormatted: what comes with the binary is written as fmt writes it.
func TestEmbeddedIsFormatted(t *testing.T) {
	for _, folder := range []string{"features", "playbooks"} {
		entries, err := fs.ReadDir(builtins.Modules(), folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := folder + "/" + e.Name()
			text, err := fs.ReadFile(builtins.Modules(), name)
			if err != nil {
				t.Fatal(err)
			}
			formatted, err := formatText(name, text)
			if err != nil {
				t.Error(err)
			} else if string(formatted) != string(text) {
				t.Errorf("%s is not formatted: phoenix-run fmt %[1]s", name)
			}
		}
	}
}

// TestStubsAreComplete: every declaration is in the stubs, and Python takes them where there is one.
func TestStubsAreComplete(t *testing.T) {
	stubs := builtins.Stubs()
	modules, types := builtins.Documented()
	for _, m := range modules {
		for _, f := range m.Funcs {
			if m.Name != "assert" && !strings.Contains(stubs, "def "+f.Name+"(") {
				t.Errorf("%s.%s is missing", m.Name, f.Name)
			}
		}
	}
	for _, typ := range types {
		for _, m := range typ.Methods {
			if !strings.Contains(stubs, "    def "+m.Name+"(self") {
				t.Errorf("%s.%s is missing", typ.Name, m.Name)
			}
		}
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("no python3 here, so its own opinion is not asked")
		return
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
	cmd.Stdin = strings.NewReader(stubs)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
