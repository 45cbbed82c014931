package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

const systemKnownHosts = "/etc/ssh/ssh_known_hosts"

// Question is what a person is asked about an unknown machine.
type Question struct {
	Host, KeyType, Fingerprint string
}

// hostKeys decides whether a machine is the right one.
type hostKeys struct {
	ctx     context.Context
	address string // host:port as known_hosts knows it
	pinned  []ssh.PublicKey
	db      *knownhosts.HostKeyDB
	file    string
	policy  HostKeyPolicy
	ask     func(context.Context, Question) (bool, error)
	vouch   func(context.Context) []string
	verdict error // why the key was refused
	// patience suspends the handshake's deadline while a person thinks.
	patience func(func() error) error
}

func newHostKeys(ctx context.Context, o *Options, keyAlias string) (*hostKeys, error) {
	name := o.Host
	if keyAlias != "" {
		name = keyAlias
	}
	h := &hostKeys{
		ctx: ctx, address: net.JoinHostPort(name, fmt.Sprint(o.Port)), file: o.KnownHostsFile,
		policy: o.HostKeyPolicy, ask: o.Ask, vouch: o.Vouch,
	}
	var err error
	if h.pinned, err = parseKeys(o.HostKeys); err != nil {
		return nil, err
	}
	if len(h.pinned) > 0 {
		return h, nil
	}
	db, err := openDB(h.file)
	if err != nil {
		return nil, err
	}
	h.db = db
	return h, nil
}

func openDB(file string) (*knownhosts.HostKeyDB, error) {
	var files []string
	for _, f := range []string{file, systemKnownHosts} {
		_, err := os.Stat(f)
		switch {
		case f == "" || errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("known hosts: %w", err)
		default:
			files = append(files, f)
		}
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return db, nil
}

// algorithms are those of the keys that are known, so that the machine shows one of these and not
// another of its keys, which would look like a change. nil if none is known.
func (h *hostKeys) algorithms() []string {
	if len(h.pinned) == 0 {
		return h.db.HostKeyAlgorithms(h.address)
	}
	var all []string
	for _, key := range h.pinned {
		switch t := key.Type(); t {
		case ssh.KeyAlgoRSA:
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			all = append(all, t)
		}
	}
	return slices.Compact(all)
}

// check is the ssh.HostKeyCallback.
func (h *hostKeys) check(_ string, remote net.Addr, key ssh.PublicKey) error {
	h.verdict = h.judge(remote, key)
	return h.verdict
}

func (h *hostKeys) judge(remote net.Addr, key ssh.PublicKey) error {
	shown := ssh.FingerprintSHA256(key)
	if len(h.pinned) > 0 {
		for _, want := range h.pinned {
			if string(want.Marshal()) == string(key.Marshal()) {
				return nil
			}
		}
		return &ChangedHostKeyError{Host: h.name(), KeyType: key.Type(), Fingerprint: shown, Known: fingerprints(h.pinned)}
	}
	err := h.db.HostKeyCallback()(h.address, remote, key)
	var mismatch *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	if errors.As(err, &mismatch) && h.vouch != nil {
		if done, err := h.vouched(remote, key, len(mismatch.Want) == 0); done {
			return err
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return &ChangedHostKeyError{Host: h.name(), KeyType: key.Type(), Fingerprint: shown,
			File: revoked.Revoked.Filename, Line: revoked.Revoked.Line, Revoked: true}
	case errors.As(err, &mismatch) && len(mismatch.Want) > 0:
		e := &ChangedHostKeyError{Host: h.name(), KeyType: key.Type(), Fingerprint: shown,
			File: mismatch.Want[0].Filename, Line: mismatch.Want[0].Line}
		for _, want := range mismatch.Want {
			e.Known = append(e.Known, ssh.FingerprintSHA256(want.Key))
		}
		return e
	case errors.As(err, &mismatch):
		return h.unknown(key)
	default:
		return err
	}
}

// vouched judges a key that known_hosts does not have by what a trusted source says; done is false if
// that says nothing. A key that it vouches for is remembered if the machine is new and the policy writes.
func (h *hostKeys) vouched(remote net.Addr, key ssh.PublicKey, fresh bool) (done bool, err error) {
	var lines []string
	if err := h.patience(func() error { lines = h.vouch(h.ctx); return nil }); err != nil {
		return true, err
	}
	keys, err := parseKeys(lines)
	if err != nil || len(keys) == 0 {
		return err != nil, err
	}
	h.pinned = keys
	if err := h.judge(remote, key); err != nil {
		return true, err
	}
	if fresh && h.policy == AcceptNewHostKey {
		h.pinned = nil
		err = h.remember(key)
	}
	return true, err
}

func parseKeys(lines []string) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for _, line := range lines {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("pinned host key %.40q: %w", line, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// unknown goes by the policy.
func (h *hostKeys) unknown(key ssh.PublicKey) error {
	refusal := &UnknownHostKeyError{Host: h.name(), KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), File: h.file}
	switch {
	case h.policy == AcceptNewHostKey:
		return h.remember(key)
	case h.policy == AskHostKey && h.ask != nil:
		accepted := false
		err := h.patience(func() (err error) {
			accepted, err = h.ask(h.ctx, Question{refusal.Host, refusal.KeyType, refusal.Fingerprint})
			return err
		})
		if err != nil {
			return errors.Join(refusal, err)
		}
		if accepted {
			return h.remember(key)
		}
	}
	return refusal
}

// remember adds the key to the known_hosts file, unless another run has added one meanwhile.
func (h *hostKeys) remember(key ssh.PublicKey) (err error) {
	defer func() {
		if err != nil {
			var changed *ChangedHostKeyError
			if !errors.As(err, &changed) {
				err = fmt.Errorf("write the host key of %s to %s: %w", h.name(), h.file, err)
			}
		}
	}()
	if err := os.MkdirAll(filepath.Dir(h.file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(h.file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lock := flock.New(h.file)
	if _, err := lock.TryLockContext(h.ctx, lockPoll); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()

	fresh, err := openDB(h.file)
	if err != nil {
		return err
	}
	if len(fresh.HostKeys(h.address)) > 0 {
		h.db = fresh
		return h.recheck(key)
	}
	line := knownhosts.Line([]string{h.address}, key) + "\n"
	if info, err := f.Stat(); err != nil {
		return err
	} else if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Sync()
}

// recheck judges a key by what another run has written meanwhile. An unknown one cannot come of it:
// a key of another type counts as changed.
func (h *hostKeys) recheck(key ssh.PublicKey) error {
	for _, known := range h.db.HostKeys(h.address) {
		if string(known.Marshal()) == string(key.Marshal()) {
			return nil
		}
	}
	return h.judge(&net.TCPAddr{}, key)
}

// name is the machine as known_hosts and ssh-keygen -R call it: with a port only if it is not 22.
func (h *hostKeys) name() string { return knownhosts.Normalize(h.address) }

func fingerprints(keys []ssh.PublicKey) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = ssh.FingerprintSHA256(k)
	}
	return all
}
