package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxOffers is how many keys are shown to a server. OpenSSH hangs up at the sixth failure, and newer
// versions lock the address out after a few such connections.
const maxOffers = 5

// keyring is the keys to log in with, in the order of their offer.
type keyring struct {
	signers []ssh.Signer
	names   []string // for people, as the signers
	agent   io.Closer
	skipped []error // keys that could not be used, and why
}

func (k *keyring) add(name string, s ssh.Signer) {
	if len(k.signers) < maxOffers {
		k.signers = append(k.signers, s)
		k.names = append(k.names, name+" "+ssh.FingerprintSHA256(s.PublicKey()))
	}
}

// close ends the connection to the agent. Signatures are only needed to log in.
func (k *keyring) close() error {
	if k.agent == nil {
		return nil
	}
	return k.agent.Close()
}

// keys gathers them by the rules that Options tell.
func (o *Options) keys(file *hostConfig) (*keyring, error) {
	ring := &keyring{}
	var held []ssh.Signer
	if o.Agent {
		var err error
		if held, err = ring.openAgent(); err != nil {
			return nil, err
		}
	}
	switch {
	case !o.KeyData.IsZero():
		signer, err := o.parse([]byte(o.KeyData.Reveal()))
		if err != nil {
			return ring, fmt.Errorf("the given private key: %w", err)
		}
		ring.add("the given key", signer)
	case o.KeyFile != "":
		if err := o.addFile(ring, o.KeyFile, o.Certificate, held); err != nil {
			return ring, err
		}
	default:
		files, only := file.identities, file.identitiesOnly
		if len(files) == 0 && file.home != "" {
			for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
				path := filepath.Join(file.home, ".ssh", name)
				if _, err := os.Stat(path); err == nil {
					files = append(files, path)
				}
			}
		}
		if !only {
			for _, s := range held {
				ring.add("agent's", s)
			}
		}
		for _, path := range files {
			if err := o.addFile(ring, path, file.certificate, held); err != nil {
				ring.skipped = append(ring.skipped, err)
			}
		}
	}
	return ring, nil
}

func (k *keyring) openAgent() ([]ssh.Signer, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, errors.New("the ssh agent is asked for, but SSH_AUTH_SOCK is not set")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ssh agent: %w", err)
	}
	k.agent = conn
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, fmt.Errorf("ssh agent at %s: %w", socket, err)
	}
	return held, nil
}

// addFile adds a key file, with its certificate first if it has one. The agent signs for it if it
// holds that key.
func (o *Options) addFile(ring *keyring, path, certificate string, held []ssh.Signer) error {
	signer, err := o.signer(path, held)
	if err != nil {
		return fmt.Errorf("key %s: %w", path, err)
	}
	explicit := certificate != ""
	if !explicit {
		certificate = path + "-cert.pub"
	}
	text, err := os.ReadFile(certificate)
	switch {
	case err == nil:
		withCert, err := certSigner(text, signer)
		if err != nil {
			return fmt.Errorf("certificate %s: %w", certificate, err)
		}
		ring.add(certificate, withCert)
	case explicit || !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("certificate: %w", err)
	}
	ring.add(path, signer)
	return nil
}

func (o *Options) signer(path string, held []ssh.Signer) (ssh.Signer, error) {
	public, pubErr := os.ReadFile(strings.TrimSuffix(path, ".pub") + ".pub")
	if pubErr == nil {
		key, _, _, _, err := ssh.ParseAuthorizedKey(public)
		if err == nil {
			for _, s := range held {
				if bytes.Equal(s.PublicKey().Marshal(), key.Marshal()) {
					return s, nil
				}
			}
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := o.parse(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		for _, s := range held {
			if bytes.Equal(s.PublicKey().Marshal(), locked.PublicKey.Marshal()) {
				return s, nil
			}
		}
	}
	return signer, err
}

func (o *Options) parse(pem []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return signer, err
	}
	if o.Passphrase.IsZero() {
		return nil, fmt.Errorf("%w: load it into the ssh agent, or give its passphrase", err)
	}
	return ssh.ParsePrivateKeyWithPassphrase(pem, []byte(o.Passphrase.Reveal()))
}

func certSigner(text []byte, signer ssh.Signer) (ssh.Signer, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, err
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("it is a %s key, not a certificate", key.Type())
	}
	return ssh.NewCertSigner(cert, signer)
}
