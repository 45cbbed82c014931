package shell_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"phoenix-run/remote/shell"
)

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":               "''",
		"/etc/hosts":     "/etc/hosts",
		"a b":            "'a b'",
		"it's":           `'it'\''s'`,
		"two\nlines":     "'two\nlines'",
		"\xff\xfe":       "'\xff\xfe'",
		"$HOME`id`\\!":   "'$HOME`id`\\!'",
		"~root":          "'~root'",
		"a=b":            "'a=b'",
		"--flag":         "--flag",
		"ünïcödé":        "'ünïcödé'",
		"user@host:22,1": "user@host:22,1",
	} {
		if got := shell.Quote(in); got != want {
			t.Errorf("Quote(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := shell.Join("mv", "-f", "a b", ""), "mv -f 'a b' ''"; got != want {
		t.Errorf("Join = %q, want %q", got, want)
	}
}

// FuzzQuote asks the real shell: what it prints for a quoted word is the word.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "''", "\n\n", "\\", "$(id)", "\xff\xc3", "~", "*", "a\rb", "!x", "'\\''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			t.Skip("no NUL can be in a shell word")
		}
		cmd := exec.Command("/bin/sh")
		cmd.Stdin = strings.NewReader("printf %s " + shell.Quote(s) + "\nprintf '|%s' " + shell.Join(s, s) + "\n")
		cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
		got, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := s + "|" + s + "|" + s; !bytes.Equal(got, []byte(want)) {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}
