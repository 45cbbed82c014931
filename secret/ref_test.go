package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRefJSON(t *testing.T) {
	tests := []struct {
		text string
		want Ref
		out  string
	}{
		{`"hunter22"`, Literal("hunter22"), `"(secret)"`},
		{`{"env": "PASS"}`, FromEnv("PASS"), `{"env":"PASS"}`},
		{`{"file": "a/b"}`, FromFile("a/b"), `{"file":"a/b"}`},
		{`{"command": ["pass", "show", "x"]}`, FromCommand("pass", "show", "x"), `{"command":["pass","show","x"]}`},
		{`null`, Ref{}, `null`},
	}
	for _, tt := range tests {
		var got Ref
		if err := json.Unmarshal([]byte(tt.text), &got); err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if !got.Equal(tt.want) {
			t.Errorf("%s = %v, want %v", tt.text, got, tt.want)
		}
		out, err := json.Marshal(got)
		if err != nil || string(out) != tt.out {
			t.Errorf("%s marshals to %s, %v", tt.text, out, err)
		}
	}
	for _, bad := range []string{`42`, `{}`, `{"env": ""}`, `{"env": "A", "file": "b"}`, `{"command": "hunter22"}`, `{"command": []}`, `["hunter22"]`, `{"hunter22": 1}`} {
		var got Ref
		err := json.Unmarshal([]byte(bad), &got)
		if err == nil {
			t.Errorf("%s is taken", bad)
		} else if strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: the error holds what was read: %v", bad, err)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{
			New("hunter22"), Literal("hunter22"),
			struct{ R Ref }{Literal("hunter22")}, struct{ r Ref }{Literal("hunter22")},
			struct{ V Value }{New("hunter22")}, struct{ v Value }{New("hunter22")},
			&struct{ v Value }{New("hunter22")}, []Value{New("hunter22")},
			map[Value]Ref{New("hunter22"): Literal("hunter22")},
		} {
			got := fmt.Sprintf(verb, v)
			for _, form := range []string{"hunter22", "68756e746572", "104 117 110"} {
				if strings.Contains(got, form) {
					t.Errorf("%s of a %T shows %s", verb, v, got)
				}
			}
		}
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"pass": "hunter22\n", "crlf": "hunter22\r\n", "two": "hunter22\n\n", "empty": "\n", "big": strings.Repeat("x", maxSecret+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PHOENIX_TEST_SECRET", "from the environment ")
	t.Setenv("PHOENIX_TEST_EMPTY", "")
	tests := []struct {
		ref     Ref
		want    string
		wantErr string
	}{
		{ref: Literal("as it is\n"), want: "as it is\n"},
		{ref: Literal(""), want: ""},
		{ref: FromEnv("PHOENIX_TEST_SECRET"), want: "from the environment "},
		{ref: FromEnv("PHOENIX_TEST_ABSENT"), wantErr: "secret from the environment variable PHOENIX_TEST_ABSENT: it is not set"},
		{ref: FromEnv("PHOENIX_TEST_EMPTY"), wantErr: "it is set but empty"},
		{ref: FromFile("pass"), want: "hunter22"},
		{ref: FromFile(filepath.Join(dir, "pass")), want: "hunter22"},
		{ref: FromFile("crlf"), want: "hunter22"},
		{ref: FromFile("two"), want: "hunter22\n"},
		{ref: FromFile("empty"), wantErr: "secret from the file empty: it is empty"},
		{ref: FromFile("big"), wantErr: "more than"},
		{ref: FromFile("none"), wantErr: "no such file"},
		{ref: FromFile("."), wantErr: "is a directory"},
		{ref: FromCommand("cat", "pass"), want: "hunter22"},
		{ref: FromCommand("sh", "-c", "cat pass; echo locked: hunter22 >&2; exit 3"), wantErr: "secret from the command sh: exit status 3: locked: (secret)"},
		{ref: FromCommand("no-such-program-at-all"), wantErr: "not found"},
		{ref: FromCommand("true"), wantErr: "it is empty"},
		{ref: FromCommand("head", "-c", "3000000", "/dev/zero"), wantErr: "more than"},
		{ref: Ref{}, wantErr: "no secret is given"},
	}
	for _, tt := range tests {
		got, err := tt.ref.Resolve(t.Context(), dir)
		if tt.wantErr != "" {
			var re *ResolveError
			if !errors.As(err, &re) || !strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "hunter22") {
				t.Errorf("%v: error %v, want %q", tt.ref, err, tt.wantErr)
			}
			continue
		}
		if err != nil || got.Reveal() != tt.want {
			t.Errorf("%v = %q, %v; want %q", tt.ref, got.Reveal(), err, tt.want)
		}
	}
}

func TestResolveHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := FromCommand("sleep", "30").Resolve(ctx, "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
