package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"phoenix-run/builtins"
	"phoenix-run/examples"
	"phoenix-run/runner/builtin"
)

// example is one of the reference.
type example struct{ name, text string }

// referenceExamples gives the examples of everything that the reference describes, in its order.
func referenceExamples(t *testing.T) []example {
	t.Helper()
	var list []example
	modules, types := builtins.Documented()
	add := func(prefix string, all []*builtin.Builtin) {
		for _, b := range all {
			name := strings.TrimPrefix(prefix+"."+b.Name, ".")
			if b.Example == "" {
				t.Errorf("%s has no example", name)
			}
			list = append(list, example{name, b.Example})
		}
	}
	for _, m := range modules {
		add(m.Name, m.Funcs)
	}
	for _, typ := range types {
		add(typ.Name, typ.Methods)
	}
	return list
}

// givens are what an example of the reference may use without making it.
var givens = []struct{ name, code string }{
	{"vm", "vm = proxmox.find(1002)\n    vm.start()\n    vm.wait_for_agent()"},
	{"host", "host = proxmox.find(1001).host()"},
	{"api", "api = portainer.server(proxmox.find(1001))"},
}

// playbook makes an example a module with a function main.
func (e example) playbook() string {
	if strings.Contains("\n"+e.text, "\ndef main(") {
		return e.text + "\n"
	}
	code := "def main():\n"
	for _, g := range givens {
		uses := regexp.MustCompile(`(^|[^\w."])` + g.name + `\b`)
		makes := regexp.MustCompile(`(?m)^(for )?` + g.name + ` (=|in) `)
		if uses.MatchString(e.text) && !makes.MatchString(e.text) {
			code += "    " + g.code + "\n"
		}
	}
	return code + "    " + strings.ReplaceAll(e.text, "\n", "\n    ") + "\n"
}

// TestReferenceExamples runs the examples of the reference: those of playbooks one after the other in
// a rehearsal of the guide's environment, as a dry run and for good; those of tests as tests. The
// operations on hosts have a test of their own.
func TestReferenceExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, mustSub(t, examples.FS, "guide")); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Remove("/tmp/greeting") }) // of the example of localhost
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write("secrets/app_key", "abracadabra\n")
	// What examples download is here; its content is nobody's concern.
	images := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(qcow2(2<<30, 1)) //nolint:errcheck // the client tells
	}))
	defer images.Close()
	var loads, calls, tests strings.Builder
	var alone []string
	played, tested := 0, 0
	list := referenceExamples(t)
	// What is destroyed is of no use to the others.
	slices.SortStableFunc(list, func(a, b example) int {
		return strings.Count(a.name, "destroy") - strings.Count(b.name, "destroy")
	})
	for _, e := range list {
		module, _, _ := strings.Cut(e.name, ".")
		switch {
		case module == "host":
		case strings.HasPrefix(e.text, "def test_"):
			tests.WriteString(e.text + "\n\n")
			tested++
		case module == "assert":
			fmt.Fprintf(&tests, "def test_assert_%s():\n    %s\n\n", strings.TrimPrefix(e.name, "assert."), strings.ReplaceAll(e.text, "\n", "\n    "))
			tested++
		default:
			id := strings.ReplaceAll(e.name, ".", "_")
			write("playbooks/ex_"+id+".star", strings.ReplaceAll(e.playbook(), "https://images.example", images.URL))
			if e.name == "vm.make_template" {
				alone = append(alone, "ex_"+id) // of a machine that another example has started
				continue
			}
			fmt.Fprintf(&loads, "load(\"./ex_%s.star\", ex_%[1]s = \"main\")\n", id)
			fmt.Fprintf(&calls, "    print(\"example of %s\")\n    ex_%s()\n", e.name, id)
			played++
		}
	}
	if played < 30 || tested < 15 {
		t.Fatalf("found only %d examples of playbooks and %d of tests", played, tested)
	}
	write("playbooks/examples.star", loads.String()+"\ndef main():\n"+calls.String())
	write("features/examples_test.star", tests.String())

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program(t), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "APP_TOKEN=open sesame")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("phoenix-run %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := run("test", "features"); !strings.Contains(out, fmt.Sprintf("%d passed, 0 failed", tested)) {
		t.Errorf("of %d tests:\n%s", tested, out)
	}
	for _, playbook := range alone {
		run("--lab", "--dry-run", playbook)
		run("--lab", playbook)
	}
	run("--lab", "letsgo")
	write("playbooks/ex_proxmox_from_image.star", strings.ReplaceAll(read("playbooks/ex_proxmox_from_image.star"), "debian-12-v1", "debian-12-v2"))
	if out := run("--lab", "--dry-run", "examples"); strings.Count(out, "example of ") != played {
		t.Errorf("the dry run ended early:\n%s", out)
	}
	if out := run("--lab", "examples"); strings.Count(out, "example of ") != played {
		t.Errorf("not every example ran:\n%s", out)
	}
}

// program gives the path of phoenix-run: a link to the test's own program.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "phoenix-run")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return link
}
