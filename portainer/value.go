package portainer

import "strings"

// EncodeValue writes a variable's value so that the container gets exactly it. Portainer puts
// NAME=VALUE into a file that compose reads as dotenv, which takes $, quotes, # and newlines apart.
func EncodeValue(v string) string {
	if v == "" || strings.IndexFunc(v, special) < 0 && !strings.HasPrefix(v, "#") {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`).Replace(v) + `"`
}

// special finds what dotenv gives a meaning to. Only what surely has none passes bare.
func special(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:@,+=%", r)
}

// NormalizeName writes a stack's name as Portainer keeps it.
func NormalizeName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}
