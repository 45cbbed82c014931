package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"phoenix-run/examples"
	"phoenix-run/lab"
	"phoenix-run/lab/record"
	"phoenix-run/pve/pveschema"
	"phoenix-run/runner/event"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(execute(context.Background(), append([]string{"phoenix-run"}, os.Args[1:]...)))
	}
	testscript.Main(m, map[string]func(){
		"phoenix-run": func() { os.Exit(execute(context.Background(), os.Args)) },
	})
}

var update = flag.Bool("update", false, "write the expected outputs of the scripts anew")

// TestScripts plays whole sessions on the built program, against the lab.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"example":  copyExample,
			"requests": countRequests,
			"clear":    clearRequests,
			"changes":  listChanges,
			"leaks":    findText,
			"token":    writeToken,
			"schema":   checkSchema,
			"replace":  replaceText,
			"check":    checkPlays,
			"refused":  refused,

			"resume-newest": resumeNewest,
			"cut-off":       cutOff,
		},
	})
}

// copyExample NAME copies a shipped example into the script's folder.
func copyExample(ts *testscript.TestScript, _ bool, args []string) {
	sub, err := fs.Sub(examples.FS, args[0])
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs("."), sub))
}

// countRequests LABDIR [SERVICE] N: exactly N requests of the log changed something.
func countRequests(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[len(args)-1])
	ts.Check(err)
	service := ""
	if len(args) == 3 {
		service = args[1]
	}
	f, err := os.Open(filepath.Join(ts.MkAbs(args[0]), "requests.jsonl"))
	ts.Check(err)
	defer f.Close()
	var changing []string
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var e record.Entry
		ts.Check(json.Unmarshal(scanner.Bytes(), &e))
		if e.Changed && (service == "" || e.Service == service) {
			changing = append(changing, fmt.Sprintf("%s %s %s %s", e.Service, e.Host, e.Method, e.Path))
		}
	}
	ts.Check(scanner.Err())
	if len(changing) != want {
		ts.Fatalf("%d requests changed something, want %d:\n%s", len(changing), want, strings.Join(changing, "\n"))
	}
}

// clearRequests LABDIR: forgets the requests so far.
func clearRequests(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Truncate(filepath.Join(ts.MkAbs(args[0]), "requests.jsonl"), 0))
}

// listChanges EVENTS OUT: writes the changes that a run's JSON events hold, one "action address" a line, sorted.
func listChanges(ts *testscript.TestScript, _ bool, args []string) {
	var lines []string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var e event.Event
		ts.Check(json.Unmarshal([]byte(line), &e))
		if e.Type == event.Operation && e.Status == event.Changed {
			lines = append(lines, fmt.Sprintf("%s %s", e.Change.Action, e.Address))
		}
	}
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}

// writeToken LABDIR FILE: writes the secret part of the lab's API token.
func writeToken(ts *testscript.TestScript, _ bool, args []string) {
	var info lab.Info
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0]+"/lab.json")), &info))
	_, token, ok := strings.Cut(info.Token, "=")
	if !ok {
		ts.Fatalf("the lab's token has no secret")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(token), 0o600))
}

// findText TEXT PATH…: the text, or with @FILE that file's, stands in one of the files or folders; with
// ! in none.
func findText(ts *testscript.TestScript, neg bool, args []string) {
	var found []string
	own := ""
	if name, ok := strings.CutPrefix(args[0], "@"); ok {
		args[0], own = strings.TrimSpace(ts.ReadFile(name)), ts.MkAbs(name)
	}
	for _, root := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil && path != own && strings.Contains(string(text), args[0]) {
				found = append(found, path)
			}
			return err
		}))
	}
	if neg && len(found) > 0 {
		ts.Fatalf("%q stands in %s", args[0], strings.Join(found, ", "))
	}
	if !neg && len(found) == 0 {
		ts.Fatalf("%q stands nowhere", args[0])
	}
}

// replaceText OLD NEW FILE: replaces the first OLD of a file.
func replaceText(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%q does not stand in %s", args[0], args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.Replace(text, args[0], args[1], 1)), 0o600))
}

// checkSchema LABDIR: every request to Proxmox in the log is one that Proxmox's own descriptions allow.
func checkSchema(ts *testscript.TestScript, _ bool, args []string) {
	for _, release := range pveschema.Releases {
		schema, err := pveschema.Find(release)
		if errors.Is(err, pveschema.ErrNotThere) && os.Getenv("CI") == "" {
			ts.Logf("NOT CHECKED: %v", err)
			continue
		}
		ts.Check(err)
		checked := 0
		for line := range strings.Lines(ts.ReadFile(args[0] + "/requests.jsonl")) {
			var e record.Entry
			ts.Check(json.Unmarshal([]byte(line), &e))
			if e.Service != record.Proxmox {
				continue
			}
			if err := schema.Check(e.Method, strings.TrimPrefix(e.Path, "/api2/json"), e.Params); err != nil {
				ts.Fatalf("%s: %v", release, err)
			}
			checked++
		}
		if checked == 0 {
			ts.Fatalf("no request to Proxmox in %s", args[0])
		}
	}
}

// checkPlays PLAYBOOK…: each is planned, which changes nothing in the lab, and applied, which does what was
// planned, all of it and nothing else; then it is planned again, and at most a command is left to do.
func checkPlays(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		run := func(mode ...string) []string {
			ts.Check(ts.Exec("phoenix-run", append(append([]string{"--lab", "--lab-dir", "lab", "--output", "json"}, mode...), name)...))
			ts.Check(os.WriteFile(ts.MkAbs("events.jsonl"), []byte(ts.ReadFile("stdout")), 0o644))
			listChanges(ts, false, []string{"events.jsonl", "changes"})
			return strings.Fields(ts.ReadFile("changes"))
		}
		clearRequests(ts, false, []string{"lab"})
		planned := run("--dry-run")
		countRequests(ts, false, []string{"lab", "0"})
		if applied := run(); !slices.Equal(planned, applied) {
			ts.Fatalf("%s: planned %v, done %v", name, planned, applied)
		}
		if left := run("--dry-run"); slices.ContainsFunc(left, func(word string) bool {
			return word == "create" || word == "update" || word == "delete" || word == "replace"
		}) {
			ts.Fatalf("%s: after the apply it would still do %v", name, left)
		}
		ts.Logf("%s: %v", name, planned)
	}
}

// newestRun gives the id of the run that began last.
func newestRun(ts *testscript.TestScript) string {
	entries, err := os.ReadDir(ts.MkAbs(".phoenix/runs"))
	ts.Check(err)
	if len(entries) == 0 {
		ts.Fatalf("there is no run")
	}
	return entries[len(entries)-1].Name()
}

// resumeNewest OPTION…: resumes the run that began last.
func resumeNewest(ts *testscript.TestScript, neg bool, args []string) {
	if err := ts.Exec("phoenix-run", append(args, "resume", newestRun(ts))...); (err != nil) != neg {
		ts.Fatalf("resume: %v", err)
	}
}

// cutOff PLAYBOOK: leaves the journal of a run of the playbook that was killed while its first command ran.
func cutOff(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("phoenix-run", "--lab", "--lab-dir", "lab", args[0]))
	path := ts.MkAbs(".phoenix/runs/" + newestRun(ts) + "/journal.jsonl")
	text, err := os.ReadFile(path)
	ts.Check(err)
	_, intent, ok := strings.Cut(string(text), `"kind":"intent"`)
	if !ok {
		ts.Fatalf("no step was begun:\n%s", text)
	}
	line, _, _ := strings.Cut(intent, "\n")
	keep := len(text) - len(intent) + len(line) + 1
	ts.Check(os.WriteFile(path, text[:keep], 0o600))
}

// refused ARG…: phoenix-run with these arguments ends with exit status 1, and nothing in the lab has changed.
func refused(ts *testscript.TestScript, _ bool, args []string) {
	clearRequests(ts, false, []string{"lab"})
	err := ts.Exec("phoenix-run", append([]string{"--lab", "--lab-dir", "lab"}, args...)...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		ts.Fatalf("it ended with %v, want exit status %d", err, exitFailed)
	}
	countRequests(ts, false, []string{"lab", "0"})
}
