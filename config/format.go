package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"
)

// format is a rule for a string. An empty string is refused by all of them.
type format struct {
	pattern string // for the JSON Schema; "" if there is none
	check   func(string) error
	quiet   bool // the fault does not show the string: people put secrets there by mistake
}

func byPattern(pattern, want string) format {
	re := regexp.MustCompile(pattern)
	return format{pattern: pattern, check: func(s string) error {
		if !re.MatchString(s) {
			return errors.New(want)
		}
		return nil
	}}
}

// formats are the rules that format tags name. Those for Proxmox's own names follow its API schema.
var formats = map[string]format{
	"not-empty": byPattern(`.`, "it can't be empty"),
	"dns-label": {pattern: labelPattern, check: dnsLabel},
	"tag":       {pattern: tagPattern, check: tag},
	"feature":   byPattern(`^[A-Za-z_][A-Za-z0-9_]*$`, "a feature's name has letters, digits and _ (it is a function's name)"),
	"storage-id": byPattern(`^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]$`,
		"a storage's name starts with a letter, ends with a letter or digit, and has letters, digits, _ . and -"),
	"bridge":       byPattern(`^[A-Za-z0-9_.-]{1,15}$`, "a bridge's name has at most 15 letters, digits, _ . and -"),
	"node":         byPattern(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`, "a node's name has letters, digits and -, not at its ends"),
	"user":         byPattern(`^[a-z_][a-z0-9_-]{0,31}$`, "a user's name has at most 32 lower-case letters, digits, _ and -"),
	"version":      byPattern(`^[0-9]+\.[0-9]+\.[0-9]+([.-][A-Za-z0-9.-]+)?$`, "a version is like "+DefaultPortainerVersion),
	"variable":     variable,
	"env-variable": {pattern: variablePattern, check: variable.check, quiet: true},
	"path":         {check: filePath, quiet: true},
	"file-mode":    byPattern(`^0?[0-7]{3}$`, "a mode is three octal digits, such as 0640"),
	"git-reference": byPattern(`^refs/(heads|tags)/\S+$`,
		"a reference is written in full, such as refs/heads/main or refs/tags/v1.0"),
	"absolute-path": byPattern(`^/`, "an absolute path is needed: it starts with /"),
	"proxmox-user":  {pattern: userPattern, check: proxmoxUser, quiet: true},
	"fingerprint":   {pattern: `^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$`, check: fingerprint},
	"checksum":      {pattern: `^(sha256:[0-9A-Fa-f]{64}|sha512:[0-9A-Fa-f]{128})$`, check: checksum},
	"cidr":          {check: cidr},
	"ip":            {check: ip},
	"ip-list":       {check: ipList},
	"url":           {pattern: `^https?://`, check: func(s string) error { return webURL(s, "https", "http") }, quiet: true},
	"https-url":     {pattern: `^https://`, check: func(s string) error { return webURL(s, "https") }, quiet: true},

	"ssh-public-key": {check: publicKey, quiet: true},
}

var variable = byPattern(variablePattern, "a variable's name has letters, digits and _, and does not start with a digit")

const (
	variablePattern = `^[A-Za-z_][A-Za-z0-9_]*$`
	labelPattern    = `^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`
	tagPattern      = `^[a-z0-9_][a-z0-9_+.-]*$`
	userPattern     = `^[^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]+$`
)

var (
	labelRE  = regexp.MustCompile(labelPattern)
	tagRE    = regexp.MustCompile(tagPattern)
	userRE   = regexp.MustCompile(userPattern)
	digitsRE = regexp.MustCompile(`^[0-9]+$`)
)

// checkFormat returns what is wrong with s, as the end of a fault's message; "" if nothing is.
func checkFormat(name, s string) string {
	f, has := formats[name]
	switch {
	case !has:
		return ""
	case s == "":
		return "is empty; leave the key out if there is nothing to say"
	}
	err := f.check(s)
	switch {
	case err == nil:
		return ""
	case f.quiet:
		return "can't be used: " + err.Error()
	}
	const enough = 60
	if r := []rune(s); len(r) > enough {
		s = string(r[:enough]) + "…"
	}
	return fmt.Sprintf("is %q: %v", s, err)
}

func dnsLabel(s string) error {
	if !labelRE.MatchString(s) {
		return errors.New("a name has 1 to 63 letters, digits and -, and no - at its ends (it becomes the host name)")
	}
	if digitsRE.MatchString(s) {
		return errors.New("a name of digits alone reads as an id; begin it with a letter")
	}
	return nil
}

func tag(s string) error {
	switch {
	case tagRE.MatchString(s):
		return nil
	case tagRE.MatchString(strings.ToLower(s)):
		return fmt.Errorf("tags are kept in lower case by Proxmox; write %q", strings.ToLower(s))
	}
	return errors.New("a tag has lower-case letters, digits, _ - + and ., and starts with a letter, a digit or _")
}

func cidr(s string) error {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil && !strings.Contains(s, "/"):
		return errors.New("the prefix length is missing; an address is written like 10.0.0.5/24")
	case err != nil:
		return errors.New("an address is written like 10.0.0.5/24")
	case p.Addr() == p.Masked().Addr() && p.Bits() < p.Addr().BitLen()-1:
		return errors.New("that is the network's own address; a machine needs one of the others")
	}
	return nil
}

func ip(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return errors.New("an address is written like 10.0.0.1, without a prefix length")
	}
	return nil
}

func ipList(s string) error {
	for _, part := range strings.Fields(s) {
		if _, err := netip.ParseAddr(part); err != nil {
			return errors.New("addresses are needed, with spaces between them, such as 10.0.0.1 10.0.0.2")
		}
	}
	if len(strings.Fields(s)) == 0 {
		return errors.New("it can't be empty")
	}
	return nil
}

func webURL(s string, schemes ...string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return fmt.Errorf("an address is written like %s://host.example.net:8006", schemes[0])
	}
	if u.User != nil {
		return errors.New("user and password don't belong in the address; they have keys of their own")
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme {
			return nil
		}
	}
	return fmt.Errorf("it must start with %s://", strings.Join(schemes, ":// or "))
}

func fingerprint(s string) error {
	if raw, err := hex.DecodeString(strings.ReplaceAll(s, ":", "")); err != nil || len(raw) != 32 {
		return errors.New("a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons")
	}
	return nil
}

func checksum(s string) error {
	name, digest, _ := strings.Cut(s, ":")
	want := map[string]int{"sha256": 32, "sha512": 64}[name] // bytes
	if raw, err := hex.DecodeString(digest); err != nil || want == 0 || len(raw) != want {
		return errors.New("a checksum is sha256: and 64 hexadecimal digits, or sha512: and 128")
	}
	return nil
}

func proxmoxUser(s string) error {
	if strings.Contains(s, "!") {
		return errors.New("this is a token; it belongs in the key token")
	}
	if !userRE.MatchString(s) {
		return errors.New("a user is name@realm, such as root@pam")
	}
	return nil
}

func filePath(s string) error {
	if strings.IndexFunc(s, unicode.IsControl) >= 0 || strings.Contains(s, "PRIVATE KEY") {
		return errors.New("a file's path is needed, not its content")
	}
	return nil
}

func publicKey(s string) error {
	if strings.Contains(s, "PRIVATE KEY") {
		return errors.New("this is a private key; the public one belongs here")
	}
	if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(s)); err != nil || len(strings.TrimSpace(string(rest))) > 0 {
		return errors.New("one public key is needed, as in authorized_keys: ssh-ed25519 AAAA... comment")
	}
	return nil
}
