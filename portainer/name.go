package portainer

import (
	"fmt"
	"strings"
)

// NormalizeName writes a stack's name as Portainer keeps it and compose uses it for the project:
// lower case, with everything but a-z, 0-9, - and _ left out.
func NormalizeName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// CheckName refuses a stack's name that Portainer would take and make junk of: nothing left of it, or
// something that compose refuses as a project's name only after the stack was saved.
func CheckName(name string) error {
	n := NormalizeName(name)
	switch {
	case n == "":
		return fmt.Errorf("stack %q: the name holds no letter or digit that Portainer would keep", name)
	case n[0] == '-' || n[0] == '_':
		return fmt.Errorf("stack %q: the name becomes %q, and must begin with a letter or a digit", name, n)
	}
	return nil
}
