package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"strconv"
	"strings"
)

const (
	minLine = 8 // shorter lines of a multi-line secret ("}", "yes") are not secrets of their own
	minCore = 8 // shorter pieces of base64 would match by chance
)

// formsOf returns text in every shape in which it may come back: as it is, and as the encodings on
// its way (HTTP, JSON, shells, URLs, dotenv, HTML) make it.
func formsOf(text string) []string {
	forms := []string{
		text,
		base64.StdEncoding.EncodeToString([]byte(text)),
		base64.RawStdEncoding.EncodeToString([]byte(text)),
		base64.URLEncoding.EncodeToString([]byte(text)),
		base64.RawURLEncoding.EncodeToString([]byte(text)),
	}
	forms = append(forms, cores(text, base64.RawStdEncoding)...)
	forms = append(forms, cores(text, base64.RawURLEncoding)...)
	forms = append(forms, escapes(text)...)
	if lines := strings.Split(text, "\n"); len(lines) > 1 {
		for _, line := range lines {
			line = strings.TrimSuffix(line, "\r")
			// The frame of a PEM block is no secret, and stands in many other texts.
			if len(line) >= minLine && !strings.HasPrefix(line, "-----") {
				forms = append(forms, line)
				forms = append(forms, escapes(line)...)
			}
		}
	}
	return forms
}

// escapes returns text as JSON, URLs, shells, Go, HTML and Compose write it.
func escapes(text string) []string {
	quoted := strconv.Quote(text)
	ascii := strconv.QuoteToASCII(text)
	inDouble := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")
	dotenv := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`)
	return []string{
		jsonText(text, true),
		jsonText(text, false),
		url.QueryEscape(text),
		url.PathEscape(text),
		strings.ReplaceAll(text, `'`, `'\''`),
		strings.ReplaceAll(text, `'`, `'"'"'`),
		inDouble.Replace(text),
		dotenv.Replace(text),
		strings.ReplaceAll(text, `$`, `$$`),
		quoted[1 : len(quoted)-1],
		ascii[1 : len(ascii)-1],
		html.EscapeString(text),
	}
}

// jsonText returns text as it stands between the quotes of a JSON string.
func jsonText(text string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if err := e.Encode(text); err != nil {
		return text // a string always encodes; the plain form is registered anyway
	}
	s := strings.TrimSuffix(b.String(), "\n")
	return s[1 : len(s)-1]
}

// cores returns the characters that text gives inside the base64 of a longer text, one core for
// each of the three alignments: the password in "Authorization: Basic" is found so.
func cores(text string, enc *base64.Encoding) []string {
	var out []string
	for pad := range 3 {
		s := enc.EncodeToString(append(make([]byte, pad), text...))
		first := (pad*8 + 5) / 6          // characters that hold bits of what stands before
		last := (pad + len(text)) * 8 / 6 // characters that hold no bits of what comes after
		if last-first >= minCore {
			out = append(out, s[first:last])
		}
	}
	return out
}
