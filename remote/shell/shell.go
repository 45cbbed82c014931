// Package shell writes text into POSIX shell scripts so that the shell reads back the same bytes.
package shell

import "strings"

// Quote makes one shell word that means exactly s: any bytes but NUL, newlines and bytes that are no
// UTF-8 included. (No file name, argument or variable can hold a NUL; the shell drops it.)
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Join quotes each word and puts spaces between them: an argument list as a command line.
func Join(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// special tells what a shell may take for more than itself. Only what surely isn't passes bare, so
// that scripts stay readable. A leading ~ or # and any = (an assignment) are quoted too.
func special(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("/._-+:@,", r)
}
