package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"phoenix-run/remote/internal/sshtest"
)

func publicKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	return sshtest.NewSigner(t).PublicKey()
}

func lineOf(hosts string, key ssh.PublicKey) string {
	return hosts + " " + string(ssh.MarshalAuthorizedKey(key))
}

func TestHostKeyPolicies(t *testing.T) {
	right, other := publicKey(t), publicKey(t)
	signer, err := ssh.NewSignerFromKey(rsaKey(t))
	if err != nil {
		t.Fatal(err)
	}
	rsa := signer.PublicKey()
	yes := func(context.Context, Question) (bool, error) { return true, nil }
	no := func(context.Context, Question) (bool, error) { return false, nil }
	as := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	unknown, changed := as(new(*UnknownHostKeyError)), as(new(*ChangedHostKeyError))
	for _, tt := range []struct {
		name   string
		file   string // known_hosts; "-": there is none
		policy HostKeyPolicy
		ask    func(context.Context, Question) (bool, error)
		is     func(error) bool // nil: accepted
		say    string
		adds   bool // the key to known_hosts
	}{
		{name: "known", file: lineOf("10.0.0.1", right)},
		{name: "known under a pattern", file: lineOf("10.0.0.*", right)},
		{name: "known among others", file: "# comment\n\n" + lineOf("10.0.0.1", other) + lineOf("10.0.0.1", right)},
		{name: "refused", file: "-", is: unknown, say: "is not in"},
		{name: "refused though another machine has it", file: lineOf("10.0.0.2", right), is: unknown},
		{name: "a port of its own is another machine", file: lineOf("[10.0.0.1]:2222", right), is: unknown},
		{name: "asked and accepted", file: "-", policy: AskHostKey, ask: yes, adds: true},
		{name: "asked and not accepted", file: "-", policy: AskHostKey, ask: no, is: unknown},
		{name: "to be asked, with nobody there", file: "-", policy: AskHostKey, is: unknown},
		{name: "a new one is accepted", file: "-", policy: AcceptNewHostKey, adds: true},
		{name: "a file without a newline at its end", file: strings.TrimSpace(lineOf("10.0.0.2", other)), policy: AcceptNewHostKey, adds: true},
		{name: "changed", file: "# one\n" + lineOf("10.0.0.1", other), is: changed, say: "line 2 has " + ssh.FingerprintSHA256(other)},
		{name: "changed is never accepted", file: lineOf("10.0.0.1", other), policy: AcceptNewHostKey, is: changed, say: "ssh-keygen -f"},
		{name: "changed is never asked about", file: lineOf("10.0.0.1", other), policy: AskHostKey, ask: yes, is: changed},
		{name: "a key of another type is a change too", file: lineOf("10.0.0.1", rsa), policy: AcceptNewHostKey, is: changed},
		{name: "revoked", file: "@revoked " + lineOf("10.0.0.1", right), policy: AcceptNewHostKey, is: changed, say: "revoked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ssh", "known_hosts")
			if tt.file != "-" {
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := &Options{Host: "10.0.0.1", Port: 22, KnownHostsFile: file, HostKeyPolicy: tt.policy, Ask: tt.ask}
			h, err := newHostKeys(t.Context(), o, "")
			if err != nil {
				t.Fatal(err)
			}
			h.patience = func(ask func() error) error { return ask() }
			err = h.check("", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 22}, right)
			switch {
			case tt.is == nil && err != nil, tt.is != nil && (err == nil || !tt.is(err)):
				t.Fatalf("got %T: %v", err, err)
			case tt.is != nil && !strings.Contains(err.Error(), tt.say):
				t.Errorf("%v does not say %q", err, tt.say)
			}
			after, _ := os.ReadFile(file)
			before := strings.TrimPrefix(tt.file, "-")
			if !tt.adds {
				if string(after) != before {
					t.Errorf("known_hosts became %q", after)
				}
				return
			}
			if want := strings.TrimSuffix(lineOf("10.0.0.1", right), "\n"); !strings.HasPrefix(string(after), before) ||
				!strings.Contains("\n"+string(after), "\n"+want) {
				t.Errorf("known_hosts became %q", after)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("its mode is %v, %v", info.Mode(), err)
			}
			again, err := newHostKeys(t.Context(), &Options{Host: "10.0.0.1", Port: 22, KnownHostsFile: file}, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := again.check("", &net.TCPAddr{}, right); err != nil {
				t.Errorf("the next time: %v", err)
			}
		})
	}
}

// Two runs that meet a machine at the same time: the second goes by what the first has written.
func TestRememberedMeanwhile(t *testing.T) {
	right, other := publicKey(t), publicKey(t)
	for _, shown := range []ssh.PublicKey{right, other} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		h, err := newHostKeys(t.Context(), &Options{Host: "vm", Port: 2200, KnownHostsFile: file, HostKeyPolicy: AcceptNewHostKey}, "")
		if err != nil {
			t.Fatal(err)
		}
		line := []byte(lineOf("[vm]:2200", right))
		if err := os.WriteFile(file, line, 0o600); err != nil {
			t.Fatal(err)
		}
		err = h.check("", &net.TCPAddr{}, shown)
		var changed *ChangedHostKeyError
		if shown.Type() == right.Type() && bytes.Equal(shown.Marshal(), right.Marshal()) {
			if err != nil {
				t.Error(err)
			}
		} else if !errors.As(err, &changed) {
			t.Errorf("got %v", err)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, line) {
			t.Errorf("known_hosts became %q, %v", after, err)
		}
	}
}

func TestPinnedKeys(t *testing.T) {
	right, other := publicKey(t), publicKey(t)
	o := &Options{Host: "vm", Port: 22, KnownHostsFile: "/nowhere/known_hosts", HostKeyPolicy: AcceptNewHostKey,
		HostKeys: []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(right))) + " root@vm"}}
	h, err := newHostKeys(t.Context(), o, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.check("", &net.TCPAddr{}, right); err != nil {
		t.Error(err)
	}
	var changed *ChangedHostKeyError
	if err := h.check("", &net.TCPAddr{}, other); !errors.As(err, &changed) || !strings.Contains(err.Error(), "pinned key is") {
		t.Errorf("got %v", err)
	}
	o.HostKeys = []string{"ssh-ed25519 nonsense"}
	if _, err := newHostKeys(t.Context(), o, ""); err == nil {
		t.Error("a key that is none was taken")
	}
}

// A server's host certificate counts by its authority's line.
func TestHostCertificate(t *testing.T) {
	authority, host := sshtest.NewSigner(t), publicKey(t)
	cert := &ssh.Certificate{Key: host, CertType: ssh.HostCert, ValidPrincipals: []string{"vm"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(bytes.NewReader(bytes.Repeat([]byte{7}, 1024)), authority); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("@cert-authority "+lineOf("vm", authority.PublicKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := newHostKeys(t.Context(), &Options{Host: "vm", Port: 22, KnownHostsFile: file}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.check("", &net.TCPAddr{}, cert); err != nil {
		t.Error(err)
	}
	if algorithms := fmt.Sprint(h.algorithms()); !strings.Contains(algorithms, "cert-v01") {
		t.Errorf("asks for %s", algorithms)
	}
}

// FuzzKnownHosts: whatever known_hosts holds, a machine is let in only if a line of it says so; what
// is refused adds nothing to it, and what is accepted is known from then on.
func FuzzKnownHosts(f *testing.F) {
	right, other := publicKey(f), publicKey(f)
	const host = "10.0.0.1"
	f.Add([]byte(lineOf(host, right)), true)
	f.Add([]byte(lineOf(host, other)), true)
	f.Add([]byte(lineOf("!10.0.0.1,10.0.0.*", right)), true)
	f.Add([]byte("@revoked "+lineOf("*", right)), true)
	f.Add([]byte("@cert-authority "+lineOf("*", other)), false)
	f.Add([]byte("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= "+lineOf("", right)), true)
	f.Add([]byte("# x\r\n\x00 ,[::1]:22 ssh-rsa A\n10.0.0.1"), true)
	f.Fuzz(func(t *testing.T, known []byte, acceptNew bool) {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, known, 0o600); err != nil {
			t.Fatal(err)
		}
		o := &Options{Host: host, Port: 22, KnownHostsFile: file, HostKeyPolicy: RefuseHostKey}
		if acceptNew {
			o.HostKeyPolicy = AcceptNewHostKey
		}
		// A key that was made here for this input alone: no line can name it.
		stranger := sshtest.NewSigner(t).PublicKey()
		h, err := newHostKeys(t.Context(), o, "")
		if err != nil {
			return // it can't be read as known_hosts, and says so
		}
		_ = h.algorithms()
		err = h.check("", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 22}, stranger)
		after, readErr := os.ReadFile(file)
		if readErr != nil || !bytes.HasPrefix(after, known) {
			t.Fatalf("known_hosts became %q, %v", after, readErr)
		}
		if err != nil {
			if len(after) != len(known) {
				t.Errorf("refused (%v), but written down: %q", err, after[len(known):])
			}
			return
		}
		if !acceptNew || len(after) == len(known) {
			t.Fatalf("a stranger was let in by %q", known)
		}
		again, err := newHostKeys(t.Context(), &Options{Host: host, Port: 22, KnownHostsFile: file}, "")
		if err != nil {
			t.Fatalf("after it was added to %q: %v", known, err)
		}
		if err := again.check("", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 22}, stranger); err != nil {
			t.Errorf("accepted, but the next time: %v", err)
		}
	})
}
