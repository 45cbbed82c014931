package portainer

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// Variable is one variable of a stack.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"` // as EncodeValue writes it
}

// String leaves the value out: it may be a secret.
func (v Variable) String() string { return v.Name + "=(not shown)" }

// GoString leaves the value out, too.
func (v Variable) GoString() string { return v.String() }

// escaper writes what dotenv gives a meaning to so that it loses it; measured on real servers, the
// only form that brings every value through.
var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`)

// EncodeValue writes a variable's value so that containers get exactly it. Portainer puts NAME=VALUE
// into a file that compose reads as dotenv, which takes $, quotes, #, outer spaces and newlines apart.
// Values that hold nothing of the kind stay as they are.
func EncodeValue(v string) string {
	if strings.IndexFunc(v, special) < 0 {
		return v
	}
	return `"` + escaper.Replace(v) + `"`
}

// special finds what may have a meaning in dotenv. Only what surely has none passes bare.
func special(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:@,+=%", r)
}

// DecodeValue gives the value that containers get of an encoded one, also of one that people typed in
// Portainer's own pages. It is false where that can't be said of the value alone: it names another
// variable, or breaks the file.
func DecodeValue(encoded string) (value string, ok bool) {
	refers := false
	values, err := dotenv.UnmarshalBytesWithLookup([]byte("X="+encoded+"\n"), func(string) (string, bool) {
		refers = true
		return "", true // told that there is none, the library would print a warning
	})
	if err != nil || refers || len(values) != 1 {
		return "", false
	}
	return values["X"], true
}

// canonical writes a value that the server holds as EncodeValue would, so that the same value in
// another notation is no difference.
func canonical(encoded string) string {
	if value, ok := DecodeValue(encoded); ok {
		return EncodeValue(value)
	}
	return encoded
}

// CheckVariable refuses what can't reach a container unchanged: a name that dotenv would not take, and
// values that are no UTF-8 text.
func CheckVariable(name, value string) error {
	if name == "" || strings.IndexFunc(name, func(r rune) bool {
		return !(r == '_' || r == '.' || r == '-' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}) >= 0 {
		return fmt.Errorf("variable %q: the name may hold letters, digits, _, . and - only", name)
	}
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		return fmt.Errorf("variable %s: the value is no UTF-8 text, or holds a zero byte; put it into a file of the stack, or encode it", name)
	}
	return nil
}
