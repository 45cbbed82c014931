package portainer

import (
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"pgregory.net/rapid"
)

// awkward draws from what dotenv and shells give a meaning to.
var awkward = rapid.OneOf(
	rapid.SampledFrom([]string{`"`, `'`, `\`, `$`, `${X}`, `$$`, "`", "#", " #", " ", "\t", "\n", "\r\n", `\n`, "=", ":", "é", "日本", "\u00a0", "\u0085", "-----BEGIN KEY-----\nMII+/=\n-----END KEY-----\n"}),
	rapid.StringN(0, 8, -1),
)

func TestValuesComeThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{}
		file := ""
		for _, name := range []string{"A", "B", "X"} {
			value := ""
			for _, part := range rapid.SliceOfN(awkward, 0, 6).Draw(t, name) {
				value += part
			}
			if CheckVariable(name, value) != nil {
				continue
			}
			want[name] = value
			file += name + "=" + EncodeValue(value) + "\n" // as Portainer writes stack.env
			if got, ok := DecodeValue(EncodeValue(value)); !ok || got != value {
				t.Fatalf("decoding %q: got %q, %v", value, got, ok)
			}
		}
		got, err := dotenv.UnmarshalBytesWithLookup([]byte(file), nil)
		if err != nil {
			t.Fatalf("%v in %q", err, file)
		}
		for name, value := range want {
			if got[name] != value {
				t.Fatalf("%s: got %q, want %q", name, got[name], value)
			}
		}
	})
}

func TestValues(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "8000": "8000", "a.b/c@d:e": "a.b/c@d:e", "pa$word": `"pa\$word"`, `end\`: `"end\\"`, "a b": `"a b"`,
		"two\nlines": `"two\nlines"`, `say "hi"`: `"say \"hi\""`, "it's": `"it's"`,
	} {
		if got := EncodeValue(value); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
	for encoded, want := range map[string]string{"pa$$word": "pa$word", "a #b": "a", " x ": "x", "'q'": "q", "a#b": "a#b"} {
		if got, ok := DecodeValue(encoded); !ok || got != want {
			t.Errorf("%q: got %q, %v", encoded, got, ok)
		}
	}
	for _, encoded := range []string{"pa$word", "${X:-y}", `"open`, "a\nB=c"} {
		if got, ok := DecodeValue(encoded); ok {
			t.Errorf("%q: got %q", encoded, got)
		}
	}
	if !SameEnv([]Variable{{"A", "'x y'"}, {"B", "1"}}, []Variable{{"B", "1"}, {"A", `"x y"`}}) || SameEnv(nil, []Variable{{"A", ""}}) {
		t.Error("SameEnv")
	}
	for _, bad := range [][2]string{{"", "x"}, {"A B", "x"}, {"A=", "x"}, {"A", "\x00"}, {"A", "\xff"}} {
		if CheckVariable(bad[0], bad[1]) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"My App.1_x-Y!": "myapp1_x-y", "qdrant_service": "qdrant_service", "Ü!": ""} {
		if got := NormalizeName(name); got != want {
			t.Errorf("%q: got %q", name, got)
		}
	}
	for _, name := range []string{"", "!!", "-a", "_a"} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	if err := CheckName("1app"); err != nil {
		t.Error(err)
	}
}

func TestVersions(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"2.9.0", "2.45.0", -1}, {"2.45", "2.45.0", 0}, {"v2.45.1-alpine", "2.45.0", 1}, {"3.0.0", "2.99.9", 1}} {
		if got, err := CompareVersions(test.a, test.b); err != nil || got != test.want {
			t.Errorf("%v: got %d %v", test, got, err)
		}
	}
	for _, bad := range []string{"lts", "", "2", "2.x.1", "2.1.1.1"} {
		if _, err := CompareVersions(bad, "2.45.0"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
