package proxmox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// certificate is the server's self-signed certificate, kept in the lab's folder.
type certificate struct {
	pair        tls.Certificate
	fingerprint string
}

// noHTTP2 keeps the server at HTTP/1.1: Proxmox speaks nothing newer, and a reason phrase exists only there.
var noHTTP2 = map[string]func(*http.Server, *tls.Conn, http.Handler){}

func (c certificate) config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.pair}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
}

func openCertificate(dir, listen string) (certificate, error) {
	certFile, keyFile := filepath.Join(dir, "pve-ssl.pem"), filepath.Join(dir, "pve-ssl.key")
	if _, err := os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(certFile, keyFile, listen); err != nil {
			return certificate{}, err
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return certificate{}, fmt.Errorf("the lab's certificate: %w", err)
	}
	sum := sha256.Sum256(pair.Certificate[0])
	return certificate{pair, strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")}, nil
}

// addresses are those that the certificate is good for: loopback, and where the server listens.
func addresses(listen string) []net.IP {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			ips = append(ips, ip)
		}
	}
	return ips
}

func makeCertificate(certFile, keyFile, listen string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	// Like a fresh Proxmox's: its names are the node's, so that a client at another address has to
	// pin the fingerprint or trust the file for that name.
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "pve.lab", Organization: []string{"PVE Cluster Node"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0),
		DNSNames: []string{"pve", "pve.lab", "localhost"}, IPAddresses: addresses(listen),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := replaceFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
		return err
	}
	return replaceFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
