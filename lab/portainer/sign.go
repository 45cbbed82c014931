package portainer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"
)

// The headers between server and agent.
const (
	headerAgent     = "Portainer-Agent"
	headerPlatform  = "Portainer-Agent-Platform"
	headerPublicKey = "X-PortainerAgent-PublicKey"
	headerSignature = "X-PortainerAgent-Signature"
	// plainMessage is what is signed where no AGENT_SECRET is set.
	plainMessage = "Portainer-App"
)

// signer signs a server's requests to agents: its public key, and a signature over the shared secret.
type signer struct {
	key    *ecdsa.PrivateKey
	secret string
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func message(secret string) []byte {
	if secret == "" {
		secret = plainMessage
	}
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func (s signer) header() (http.Header, error) {
	public, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return nil, err
	}
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, message(s.secret))
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	h.Set(headerPublicKey, hex.EncodeToString(public))
	h.Set(headerSignature, base64.RawStdEncoding.EncodeToString(signature))
	return h, nil
}

// verify checks a request's signature over the secret.
func verify(h http.Header, secret string) bool {
	public, err := hex.DecodeString(h.Get(headerPublicKey))
	if err != nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return false
	}
	signature, err := base64.RawStdEncoding.DecodeString(h.Get(headerSignature))
	if err != nil {
		return false
	}
	ec, ok := key.(*ecdsa.PublicKey)
	return ok && ecdsa.VerifyASN1(ec, message(secret), signature)
}

// certificate makes a self-signed one for five years, as Portainer and its agent do.
func certificate(key *ecdsa.PrivateKey, ips ...string) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(5, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, ip := range ips {
		parsed := net.ParseIP(ip)
		if parsed == nil {
			return nil, fmt.Errorf("portainer: certificate for %q: not an IP address", ip)
		}
		t.IPAddresses = append(t.IPAddresses, parsed)
	}
	return x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
}

func tlsConfig(cert []byte, key *ecdsa.PrivateKey) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
}
