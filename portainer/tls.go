package portainer

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// CertificateError says that the server's certificate is not trusted, and which one it presented, so
// that people can compare it and pin it.
type CertificateError struct {
	Presented string // sha256 of the certificate, in hex with colons
	Err       error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("the server's certificate is not trusted: %v; it presented the sha256 fingerprint %s: compare it with the certificate on the server (certs/cert.pem in Portainer's data volume), then pin it", e.Err, e.Presented)
}
func (e *CertificateError) Unwrap() error { return e.Err }

// tlsConfig checks certificates itself, so that a refusal can say what was presented.
func tlsConfig(o Options) (*tls.Config, error) {
	if o.CAFile != "" && o.Fingerprint != "" {
		return nil, errors.New("portainer: give a CA file or a fingerprint, not both")
	}
	var roots *x509.CertPool // nil: the system's
	var pinned []string
	switch {
	case o.Fingerprint != "":
		pin := strings.ToLower(strings.ReplaceAll(o.Fingerprint, ":", ""))
		pin = strings.TrimPrefix(strings.TrimPrefix(pin, "sha256="), "sha256")
		if raw, err := hex.DecodeString(pin); err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("portainer: the fingerprint %q is not a sha256 in hex", o.Fingerprint)
		}
		pinned = []string{pin}
	case o.CAFile != "":
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("portainer: CA file: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("portainer: CA file: %s holds no certificate", o.CAFile)
		}
		// The certificate that Portainer makes for itself names localhost only. One that stands in
		// the file itself is trusted under any name.
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			pinned = append(pinned, fingerprint(block.Bytes))
		}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			presented := fingerprint(leaf.Raw)
			if slices.Contains(pinned, presented) {
				return nil
			}
			if o.Fingerprint != "" {
				return &CertificateError{colons(presented), errors.New("it is not the pinned one")}
			}
			intermediates := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				intermediates.AddCert(c)
			}
			_, err := leaf.Verify(x509.VerifyOptions{DNSName: state.ServerName, Roots: roots, Intermediates: intermediates})
			if err != nil {
				return &CertificateError{colons(presented), err}
			}
			return nil
		},
	}, nil
}

// fingerprint returns the sha256 of a certificate in hex.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func colons(hexText string) string {
	var parts []string
	for pair := range slices.Chunk([]byte(hexText), 2) {
		parts = append(parts, string(pair))
	}
	return strings.ToUpper(strings.Join(parts, ":"))
}
