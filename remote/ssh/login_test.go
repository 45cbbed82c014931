package ssh

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/sshtest"
	"phoenix-run/secret"
)

var rsaKey = func() func(t testing.TB) *rsa.PrivateKey {
	make := sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	return func(t testing.TB) *rsa.PrivateKey {
		t.Helper()
		key, err := make()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}()

// ok runs a script over a new connection.
func ok(t *testing.T, o Options) error {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		return err
	}
	r, err := c.Run(t.Context(), remote.Command{Script: "echo ok"})
	if err == nil && string(r.Stdout) != "ok\n" {
		t.Errorf("got %q", r.Stdout)
	}
	return errors.Join(err, c.Close())
}

func writeFile(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestKeys(t *testing.T) {
	s := sshtest.StartFaulty(t, sshtest.Faults{})
	base := Options{Host: "127.0.0.1", Port: s.Port, User: "somebody", HostKeys: []string{s.HostKey}, ConfigFile: "none"}
	text, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("pass phrase"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lockedFile := writeFile(t, filepath.Join(dir, "locked"), string(pem.EncodeToMemory(locked)))
	socket := serveAgent(t, key)
	for _, tt := range []struct {
		name   string
		change func(o *Options)
		say    string // "": it works
		auth   string // SSH_AUTH_SOCK
	}{
		{name: "file", change: func(o *Options) { o.KeyFile = s.KeyFile }},
		{name: "data", change: func(o *Options) { o.KeyData = secret.New(string(text)) }},
		{name: "file with a passphrase", change: func(o *Options) { o.KeyFile, o.Passphrase = lockedFile, secret.New("pass phrase") }},
		{name: "without its passphrase", change: func(o *Options) { o.KeyFile = lockedFile }, say: "load it into the ssh agent"},
		{name: "wrong passphrase", change: func(o *Options) { o.KeyFile, o.Passphrase = lockedFile, secret.New("guess") }, say: lockedFile},
		{name: "agent", change: func(o *Options) { o.Agent = true }, auth: socket},
		{name: "agent for a locked file", change: func(o *Options) { o.Agent, o.KeyFile = true, lockedFile }, auth: socket},
		{name: "agent for a file that only has its public half here", auth: socket, change: func(o *Options) {
			o.Agent, o.KeyFile = true, filepath.Join(dir, "away")
			public, err := os.ReadFile(s.KeyFile + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, o.KeyFile+".pub", string(public))
		}},
		{name: "no agent", change: func(o *Options) { o.Agent = true }, say: "SSH_AUTH_SOCK is not set"},
		{name: "an agent that is gone", change: func(o *Options) { o.Agent = true }, auth: "/nowhere/agent", say: "/nowhere/agent"},
		{name: "another key", change: func(o *Options) {
			o.KeyFile = filepath.Join(dir, "other")
			sshtest.WriteKey(t, o.KeyFile)
		}, say: "login as somebody refused; offered " + filepath.Join(dir, "other") + " SHA256:"},
		{name: "no key", change: func(o *Options) {}, say: "no key to log in as somebody with"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("HOME", dir)
			t.Setenv("SSH_AUTH_SOCK", tt.auth)
			o := base
			tt.change(&o)
			err := ok(t, o)
			var auth *AuthError
			switch {
			case tt.say == "" && err != nil:
				t.Error(err)
			case tt.say != "" && (!errors.As(err, &auth) || !strings.Contains(err.Error(), tt.say)):
				t.Errorf("got %v", err)
			}
		})
	}
}

// serveAgent is an agent that holds one key.
func serveAgent(t *testing.T, key any) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "phx-agent-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_ = agent.ServeAgent(ring, conn) //nolint:errcheck // ends with its client
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	return socket
}

// A certificate beside the key is offered before the key itself.
func TestUserCertificate(t *testing.T) {
	authority := sshtest.NewSigner(t)
	s := sshtest.StartFaulty(t, sshtest.Faults{UserCA: authority.PublicKey()})
	text, err := os.ReadFile(s.KeyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: key, CertType: ssh.UserCert, KeyId: "somebody", ValidPrincipals: []string{"somebody"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	line := string(ssh.MarshalAuthorizedKey(cert))
	o := Options{Host: "127.0.0.1", Port: s.Port, User: "somebody", HostKeys: []string{s.HostKey}, ConfigFile: "none", KeyFile: s.KeyFile}
	var auth *AuthError
	if err := ok(t, o); !errors.As(err, &auth) {
		t.Errorf("without it: %v", err)
	}
	explicit := o
	explicit.Certificate = writeFile(t, filepath.Join(t.TempDir(), "cert"), line)
	if err := ok(t, explicit); err != nil {
		t.Errorf("named: %v", err)
	}
	writeFile(t, s.KeyFile+"-cert.pub", line)
	if err := ok(t, o); err != nil {
		t.Errorf("beside the key: %v", err)
	}
}

// Ten machines behind one bastion: one login there, whatever order they come in; and it ends with
// the last of them.
func TestOneBastionConnection(t *testing.T) {
	bastion := sshtest.StartFaulty(t, sshtest.Faults{Forward: true})
	machine := sshtest.StartFaulty(t, sshtest.Faults{})
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "config"), strings.NewReplacer("B_PORT", port(bastion), "B_KEY", bastion.KeyFile, "M_PORT", port(machine),
		"M_KEY", machine.KeyFile, "KNOWN", writeFile(t, filepath.Join(dir, "known_hosts"),
			"[127.0.0.1]:"+port(bastion)+" "+bastion.HostKey+"\n[127.0.0.1]:"+port(machine)+" "+machine.HostKey+"\n")).Replace(`
Host bastion
  HostName 127.0.0.1
  Port B_PORT
  User jumper
  IdentityFile B_KEY
Host vm*
  HostName 127.0.0.1
  Port M_PORT
  User somebody
  IdentityFile M_KEY
  ProxyJump bastion
Host *
  IdentitiesOnly yes
  UserKnownHostsFile KNOWN
`))
	jumps := &Jumps{}
	var conns []remote.Conn
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			c, err := Dial(t.Context(), Options{Host: "vm1", ConfigFile: config, Jumps: jumps})
			if err != nil {
				t.Error(err)
				return
			}
			if r, err := c.Run(t.Context(), remote.Command{Script: "echo ok"}); err != nil || string(r.Stdout) != "ok\n" {
				t.Errorf("got %q, %v", r.Stdout, err)
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		})
	}
	all.Wait()
	if got := bastion.Connections(); got != 1 {
		t.Errorf("%d connections to the bastion for 10 machines", got)
	}
	if len(conns) == 0 {
		return
	}
	// The bastion is lost: the next script finds its way anew, once for all.
	bastion.Cut()
	for _, c := range conns {
		if r, err := c.Run(t.Context(), remote.Command{Script: "echo again", ReadOnly: true}); err != nil || string(r.Stdout) != "again\n" {
			t.Errorf("got %q, %v", r.Stdout, err)
		}
	}
	if got := bastion.Accepted.Load(); got != 2 {
		t.Errorf("%d connections were made to the bastion, want 2", got)
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for end := time.Now().Add(time.Minute); bastion.Connections() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := bastion.Connections(); got != 0 {
		t.Errorf("%d connections to the bastion are left", got)
	}
}

func port(s *sshtest.Server) string { return (&net.TCPAddr{Port: s.Port}).String()[1:] }

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	file := writeFile(t, filepath.Join(dir, "config"), `
Host web
  HostName 10.0.0.7
  Port 2222
  User deploy
  IdentityFile ~/.ssh/%n_key
  IdentityFile /keys/%h
  CertificateFile ~/cert
  HostKeyAlias web-alias
  StrictHostKeyChecking accept-new
  ConnectTimeout 7
Host off
  StrictHostKeyChecking no
Host bad
  Port none
Host command
  ProxyCommand nc %h %p
Host *
  User everyone
`)
	o, c, err := Options{Host: "web", ConfigFile: file}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	if o.Host != "10.0.0.7" || o.Port != 2222 || o.User != "deploy" || o.HostKeyPolicy != AcceptNewHostKey || o.ConnectTimeout != 7*time.Second {
		t.Errorf("got %+v", o)
	}
	if got, want := strings.Join(c.identities, " "), dir+"/.ssh/web_key /keys/10.0.0.7"; got != want {
		t.Errorf("identities %s, want %s", got, want)
	}
	if c.certificate != dir+"/cert" || c.keyAlias != "web-alias" {
		t.Errorf("got %+v", c)
	}
	// What the caller says goes before the file.
	o, _, err = Options{Host: "web", ConfigFile: file, Port: 22, User: "root", HostKeyPolicy: RefuseHostKey}.resolve()
	if err != nil || o.Port != 22 || o.User != "root" || o.HostKeyPolicy != RefuseHostKey {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, _, err = (Options{Host: "off", ConfigFile: file}).resolve(); err != nil || o.HostKeyPolicy != RefuseHostKey || o.User != "everyone" {
		t.Errorf("StrictHostKeyChecking no: %+v, %v", o, err)
	}
	for host, say := range map[string]string{"bad": "Port", "command": "ProxyCommand is not supported"} {
		if _, _, err := (Options{Host: host, ConfigFile: file}).resolve(); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, _, err := (Options{Host: "web", ConfigFile: filepath.Join(dir, "none.there")}).resolve(); err == nil {
		t.Error("a file that was named and is not there was taken for none")
	}
}
