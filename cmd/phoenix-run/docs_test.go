package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"phoenix-run/examples"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^```(python|sh)\n(.*?)^```$")
	fileName  = regexp.MustCompile(`^# ((?:playbooks|features)/\S+\.star)\n`)
)

// TestWritingGuide writes the files that the guide shows into the guide's own environment, and runs its
// commands one after the other: what people copy from there works.
func TestWritingGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/writing.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, mustSub(t, examples.FS, "guide")); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Dir(program(t))
	files, commands := 0, 0
	for _, block := range codeBlock.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "python" {
			name := fileName.FindStringSubmatch(block[2])
			if name == nil {
				t.Fatalf("this block does not begin with its file's name:\n%s", block[2])
			}
			path := filepath.Join(dir, filepath.FromSlash(name[1]))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.TrimPrefix(block[2], name[0])), 0o644); err != nil {
				t.Fatal(err)
			}
			files++
			continue
		}
		for line := range strings.Lines(block[2]) {
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			t.Logf("$ %s%s", line, out)
			if err != nil {
				t.Fatalf("%s: %v", strings.TrimSpace(line), err)
			}
			commands++
		}
	}
	if files < 5 || commands < 10 {
		t.Fatalf("found %d files and %d commands in the guide", files, commands)
	}
}

func mustSub(t *testing.T, root fs.FS, dir string) fs.FS {
	t.Helper()
	sub, err := fs.Sub(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}
