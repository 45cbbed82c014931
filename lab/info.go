package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"

	"phoenix-run/lab/proxmox"
)

// Info is how to reach a lab; lab.json in its folder holds the same.
type Info struct {
	PID         int    `json:"pid"`
	URL         string `json:"url"` // of Proxmox, without /api2/json
	Node        string `json:"node"`
	User        string `json:"user"` // for a login by ticket
	Password    string `json:"password"`
	Token       string `json:"token"`       // user@realm!id=secret
	Fingerprint string `json:"fingerprint"` // SHA-256 of Proxmox's certificate, AA:BB:…
	CAFile      string `json:"ca_file"`     // the certificate itself

	SSHPort      int    `json:"ssh_port"`     // of every guest, on its own address
	SSHKeyFile   string `json:"ssh_key_file"` // a private key to give to guests; nothing trusts it by itself
	SSHPublicKey string `json:"ssh_public_key"`
	KnownHosts   string `json:"known_hosts"` // a file for the guests' host keys, empty at first

	// PortainerPort is where Portainer's HTTPS is, on the address of the guest that runs its container.
	PortainerPort     int    `json:"portainer_port"`
	PortainerPassword string `json:"portainer_password"` // one to give its administrator

	Network     string `json:"network"`      // the lab's block of loopback addresses
	GuestsFile  string `json:"guests_file"`  // addresses by VM id, kept up to date
	RequestsLog string `json:"requests_log"` // every request, one JSON object a line
}

func (l *Lab) describe() error {
	server := l.proxmox.Load()
	info := Info{
		PID: os.Getpid(), URL: server.URL(), Fingerprint: server.Fingerprint(), CAFile: filepath.Join(l.dir, "proxmox", "pve-ssl.pem"),
		SSHPort: l.sshPort, SSHKeyFile: filepath.Join(l.dir, "id_ed25519"), KnownHosts: filepath.Join(l.dir, "known_hosts"),
		PortainerPort: 9443, Network: l.network.Block, GuestsFile: filepath.Join(l.dir, "guests.json"),
		RequestsLog: filepath.Join(l.dir, "requests.jsonl"),
	}
	err := server.Cluster(func(c *proxmox.Cluster) {
		info.Node = c.Nodes[0].Name
		for _, u := range c.Users {
			if info.Password == "" {
				info.User, info.Password = u.ID, u.Password
			}
			if len(u.Tokens) > 0 && info.Token == "" {
				info.Token = u.ID + "!" + u.Tokens[0].ID + "=" + u.Tokens[0].Secret
			}
		}
	})
	if err != nil {
		return err
	}
	info.PortainerPassword = info.Password
	if info.SSHPublicKey, err = openKey(info.SSHKeyFile); err != nil {
		return err
	}
	if err := touch(info.KnownHosts); err != nil {
		return err
	}
	if err := l.noteGuests(); err != nil {
		return err
	}
	l.info = info
	return writeJSON(filepath.Join(l.dir, "lab.json"), info)
}

// noteGuests writes which address each guest has.
func (l *Lab) noteGuests() error {
	return writeJSON(filepath.Join(l.dir, "guests.json"), l.network.leases())
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o600)
}

// openKey returns the public half of the lab's SSH key, making the pair at first.
func openKey(path string) (public string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = newKey(path)
	}
	if err != nil {
		return "", err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return "", fmt.Errorf("the lab's SSH key %s: %w", path, err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " lab", nil
}

func newKey(path string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "lab")
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(block)
	return text, renameio.WriteFile(path, text, 0o600)
}

func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// newSecret is a password nobody has to type.
func newSecret() string { return hex.EncodeToString(random(16)) }

// newUUID has the form of the secrets that Proxmox gives to tokens.
func newUUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, says its documentation
	return b
}
