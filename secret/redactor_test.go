package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"al.essio.dev/pkg/shellescape"
)

func TestRedactFindsEveryForm(t *testing.T) {
	const password = `pa$$ "w'o\rd/+é&x`
	asJSON, err := json.Marshal(map[string]string{"password": password})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain":          password,
		"json":           string(asJSON),
		"query":          url.Values{"p": {password}}.Encode(),
		"path":           url.PathEscape(password),
		"shell":          shellescape.Quote(password),
		"go":             fmt.Sprintf("%q", password),
		"base64":         base64.StdEncoding.EncodeToString([]byte(password)),
		"base64url":      base64.RawURLEncoding.EncodeToString([]byte(password)),
		"basic auth":     base64.StdEncoding.EncodeToString([]byte("admin:" + password)),
		"basic auth + 1": base64.StdEncoding.EncodeToString([]byte("admin1:" + password + "!")),
		"basic auth + 2": base64.StdEncoding.EncodeToString([]byte("admin12:" + password + "!!")),
	} {
		t.Run(name, func(t *testing.T) {
			var r Redactor
			if !r.Add(password) {
				t.Fatal("Add refused a long secret")
			}
			got := r.Redact("before " + text + " after")
			if !strings.Contains(got, "secret") || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("Redact = %q", got)
			}
			if strings.Contains(got, text) {
				t.Errorf("the secret's %s form is still in %q", name, got)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	tests := []struct {
		name, text, want string
		secrets          []string
	}{
		{"nothing registered", "a text", "a text", nil},
		{"no match", "a text", "a text", []string{"other"}},
		{"longest first", "x abcdefgh y", "x (secret) y", []string{"abcd", "abcdefgh"}},
		{"overlapping", "abcdefghi", "(secret)", []string{"abcdef", "defghi"}},
		{"touching", "aaaabbbb", "(secret)", []string{"aaaa", "bbbb"}},
		{"twice", "abcd-abcd", "(secret)-(secret)", []string{"abcd"}},
		{"the mask completes a secret", "hiddenend", "<secret>end", []string{"hidden", "t)end"}},
		{"the mask holds a secret", "the secret is out", "the *** is out", []string{"secret"}},
		{"multi-line", "key: line-two-of-key.", "key: (secret).", []string{"line-one-of-key\nline-two-of-key\nx"}},
		{"short line of a multi-line secret", "yes", "yes", []string{"line-one-of-key\nyes"}},
		{"frame of a PEM block", "-----BEGIN KEY-----", "-----BEGIN KEY-----", []string{"-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Redactor
			for _, s := range tt.secrets {
				r.Add(s)
			}
			if got := r.Redact(tt.text); got != tt.want {
				t.Errorf("Redact(%q) = %q, want %q", tt.text, got, tt.want)
			}
			if got := string(r.RedactBytes([]byte(tt.text))); got != tt.want {
				t.Errorf("RedactBytes(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestAddReportsShortSecrets(t *testing.T) {
	var r Redactor
	if r.Add("abc") {
		t.Error("Add took a secret of 3 bytes")
	}
	if got := r.Redact("abc"); got != "abc" {
		t.Errorf("Redact = %q", got)
	}
	if !r.AddValue(New("abcd")) {
		t.Error("AddValue refused a secret of 4 bytes")
	}
}

func TestWriterHoldsBackNoMoreThanNeeded(t *testing.T) {
	var r Redactor
	r.Add("hunter22")
	var out bytes.Buffer
	w := r.Writer(&out)
	for _, step := range []struct{ write, want string }{
		{"line one\n", "line one\n"},
		{"the hunt", "line one\nthe "},
		{"er", "line one\nthe "},
		{"22 is", "line one\nthe (secret) is"},
		{" hunt", "line one\nthe (secret) is "},
	} {
		if _, err := w.Write([]byte(step.write)); err != nil {
			t.Fatal(err)
		}
		if out.String() != step.want {
			t.Fatalf("after %q: %q, want %q", step.write, out.String(), step.want)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "line one\nthe (secret) is hunt"; got != want {
		t.Errorf("after Close: %q, want %q", got, want)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a write after Close succeeds")
	}
}

func TestWriterPassesOnErrors(t *testing.T) {
	var r Redactor
	r.Add("hunter22")
	w := r.Writer(failing{})
	if _, err := w.Write([]byte("text")); err == nil {
		t.Error("Write hides the error")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }

func TestRedactorFromManyGoroutines(t *testing.T) {
	var r Redactor
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			s := fmt.Sprintf("secret-number-%d", i)
			r.Add(s)
			if got := r.Redact("x" + s); strings.Contains(got, s) {
				t.Errorf("Redact = %q", got)
			}
		})
	}
	all.Wait()
}

// FuzzRedact checks that no registered form is left, and that a stream cut anywhere gives what the
// whole text gives.
func FuzzRedact(f *testing.F) {
	f.Add("abcdef", "defghi", "xabcdefghiy", uint8(3))
	f.Add("hidden", "t)end", "hiddenend", uint8(1))
	f.Add("aaaa", "aaab", "aaaaaaaaaaaab", uint8(2))
	f.Add("secret", "(secret)", "(secret)(secret)", uint8(4))
	f.Add("it's\\", "line one is\nline two", "it'\\''s\\line two", uint8(5))
	f.Add("****", "<<>>", "****<<>>(((", uint8(1))
	f.Fuzz(func(t *testing.T, one, two, text string, step uint8) {
		var r Redactor
		r.Add(one)
		r.Add(two)
		text = text + one + text + two
		got := r.Redact(text)
		for form := range r.forms {
			if strings.Contains(got, form) {
				t.Errorf("secrets %q, %q: Redact(%q) = %q holds %q", one, two, text, got, form)
			}
		}
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := text; rest != ""; {
			n := min(len(rest), 1+int(step)%16)
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != got {
			t.Errorf("secrets %q, %q: stream of %q in steps of %d = %q, want %q", one, two, text, 1+int(step)%16, out.String(), got)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	var r Redactor
	for i := range 20 {
		r.Add(fmt.Sprintf("a-long-password-number-%d", i))
	}
	line := strings.Repeat("an ordinary line of output, nothing to hide here. ", 20)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		r.Redact(line)
	}
}
