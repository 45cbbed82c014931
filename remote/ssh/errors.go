package ssh

import (
	"fmt"
	"strings"
)

// UnknownHostKeyError refuses a machine whose key nobody has vouched for.
type UnknownHostKeyError struct {
	Host        string // as known_hosts would name it
	KeyType     string // "ssh-ed25519"
	Fingerprint string // "SHA256:…", as ssh-keygen -lf shows it
	File        string // where it was looked for
}

func (e *UnknownHostKeyError) Error() string {
	return fmt.Sprintf("the host key of %s is not known: %s %s is not in %s. Compare the fingerprint with "+
		"`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the machine, then add it with "+
		"`ssh-keyscan`, or accept new host keys for this run", e.Host, e.KeyType, e.Fingerprint, e.File)
}

// ChangedHostKeyError refuses a machine that shows another key than the known one: it was reinstalled,
// or somebody is in between.
type ChangedHostKeyError struct {
	Host        string
	KeyType     string
	Fingerprint string   // of the key that it showed
	Known       []string // fingerprints of the keys that it should have shown one of
	File        string   // known_hosts file and line of the first of those; "" if they were pinned
	Line        int
	Revoked     bool // the file's line says that the key is not to be trusted any more
}

func (e *ChangedHostKeyError) Error() string {
	known := strings.Join(e.Known, " or ")
	switch {
	case e.Revoked:
		return fmt.Sprintf("the host key %s of %s is marked as revoked in %s line %d", e.Fingerprint, e.Host, e.File, e.Line)
	case e.File == "":
		return fmt.Sprintf("%s shows the host key %s, but its pinned key is %s: it was reinstalled since, "+
			"or this is another machine", e.Host, e.Fingerprint, known)
	default:
		return fmt.Sprintf("the host key of %s has changed: %s line %d has %s, it shows %s %s. If it was reinstalled, "+
			"forget the old key with `ssh-keygen -f %[2]s -R '%[1]s'`; if not, somebody may be in between",
			e.Host, e.File, e.Line, known, e.KeyType, e.Fingerprint)
	}
}

// AuthError says that the machine let none of the keys in. It is final: a try again would count as
// an attack and get this address locked out.
type AuthError struct {
	User    string
	Offered []string // the keys, by file or comment and fingerprint
	Err     error
}

func (e *AuthError) Error() string {
	if len(e.Offered) == 0 {
		return fmt.Sprintf("no key to log in as %s with: name one, load one into the agent, or make ~/.ssh/id_ed25519: %v", e.User, e.Err)
	}
	return fmt.Sprintf("login as %s refused; offered %s. Is its public half in %[1]s's authorized_keys? (%v)",
		e.User, strings.Join(e.Offered, ", "), e.Err)
}

func (e *AuthError) Unwrap() error { return e.Err }

// SudoReason is why sudo gave no root shell.
type SudoReason string

const (
	SudoWrongPassword SudoReason = "the password is wrong"
	SudoNoPassword    SudoReason = "it asks for a password, and none is configured"
	SudoRefused       SudoReason = "it refused"
)

// SudoError says that the login worked and sudo did not. It is final like an AuthError.
type SudoError struct {
	User   string
	Reason SudoReason
	Said   string // what sudo wrote
}

func (e *SudoError) Error() string {
	text := fmt.Sprintf("sudo as %s: %s", e.User, e.Reason)
	if e.Said != "" {
		text += ": " + e.Said
	}
	return text
}
