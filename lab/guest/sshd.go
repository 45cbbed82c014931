package guest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

const hostKeyFile = "/etc/ssh/ssh_host_ed25519_key"

// sshServer is a machine's sshd while its unit is active.
type sshServer struct {
	r        *running
	listener net.Listener
	config   *ssh.ServerConfig

	maxSessions int32

	mu    sync.Mutex
	conns map[net.Conn]bool
	work  sync.WaitGroup
}

// startSSH listens on the machine's address. Host keys that are missing are made.
func (r *running) startSSH() error {
	signer, err := r.hostKey()
	if err != nil {
		return err
	}
	l, err := r.g.backend.opts.Listen(r.ctx, net.JoinHostPort(r.address, strconv.Itoa(r.g.backend.opts.SSHPort)))
	if err != nil {
		return fmt.Errorf("error: Bind to port %d on %s failed: %w", r.g.backend.opts.SSHPort, r.address, err)
	}
	s := &sshServer{r: r, listener: l, conns: map[net.Conn]bool{}}
	s.config = &ssh.ServerConfig{ServerVersion: "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.10", PublicKeyCallback: s.authorize, MaxAuthTries: 6}
	s.config.AddHostKey(signer)
	s.maxSessions = 10
	if set := r.units.settingsOfSSH("MaxSessions"); len(set) > 0 {
		n, err := strconv.ParseInt(set[0], 10, 32)
		if err != nil {
			return fmt.Errorf("/etc/ssh/sshd_config: invalid MaxSessions %q", set[0])
		}
		s.maxSessions = int32(n)
	}
	if slices.Contains(r.units.settingsOfSSH("PasswordAuthentication"), "yes") {
		s.config.PasswordCallback = s.password
	}
	r.mu.Lock()
	r.ssh = s
	r.mu.Unlock()
	r.work.Go(s.accept)
	r.g.Journal("ssh.service", fmt.Sprintf("Server listening on %s port %d.", r.address, r.g.backend.opts.SSHPort))
	return nil
}

// stopSSH stops listening. A machine that is switched off ends its connections too; else they live on,
// as sshd's children do.
func (r *running) stopSSH() error {
	r.mu.Lock()
	s := r.ssh
	r.ssh = nil
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.listener.Close()
}

func (r *running) hostKey() (ssh.Signer, error) {
	v := r.g.root()
	text, err := v.ReadFile(hostKeyFile)
	if err == nil {
		signer, err := ssh.ParsePrivateKey(text)
		if err != nil {
			return nil, fmt.Errorf("error: Could not load host key %s: %w", hostKeyFile, err)
		}
		return signer, nil
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "root@"+r.g.Name())
	if err != nil {
		return nil, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	line := append(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)), " root@"+r.g.Name()+"\n"...)
	if err := errors.Join(v.WriteFile(hostKeyFile, pem.EncodeToMemory(block), 0o600), v.WriteFile(hostKeyFile+".pub", line, 0o644)); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// authorize looks a key up in the user's authorized_keys.
func (s *sshServer) authorize(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	refuse := func() (*ssh.Permissions, error) {
		return nil, saidf("Permission denied (publickey).")
	}
	v := s.r.g.root()
	user, found := account.UserNamed(v, conn.User())
	if !found || strings.HasSuffix(user.Shell, "nologin") {
		return refuse()
	}
	if user.UID == 0 && slices.Contains(s.r.units.settingsOfSSH("PermitRootLogin"), "no") {
		return refuse()
	}
	text, err := v.ReadFile(user.Home + "/.ssh/authorized_keys")
	if err != nil {
		return refuse()
	}
	if st, err := v.Stat(user.Home + "/.ssh/authorized_keys"); err != nil || st.Perm()&0o022 != 0 {
		return refuse() // StrictModes
	}
	for len(text) > 0 {
		known, _, options, rest, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			break
		}
		if bytes.Equal(known.Marshal(), key.Marshal()) {
			p := &ssh.Permissions{CriticalOptions: map[string]string{}}
			for _, option := range options {
				if command, found := strings.CutPrefix(option, "command="); found {
					p.CriticalOptions["force-command"] = strings.ReplaceAll(strings.Trim(command, `"`), `\"`, `"`)
				}
			}
			return p, nil
		}
		text = rest
	}
	return refuse()
}

// password checks a password against /etc/shadow.
func (s *sshServer) password(conn ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	v := s.r.g.root()
	user, found := account.UserNamed(v, conn.User())
	if found && !strings.HasSuffix(user.Shell, "nologin") && (user.UID != 0 || slices.Contains(s.r.units.settingsOfSSH("PermitRootLogin"), "yes")) {
		for _, row := range account.Lines(v, "/etc/shadow", 2) {
			if row[0] == user.Name && account.CheckPassword(row[1], string(password)) {
				return &ssh.Permissions{}, nil
			}
		}
	}
	return nil, saidf("Permission denied.")
}

// settingsOfSSH are the values of a keyword in sshd's configuration, the first one counts.
func (u *units) settingsOfSSH(keyword string) []string {
	v := u.r.g.root()
	files := []string{}
	if list, err := v.ReadDir("/etc/ssh/sshd_config.d"); err == nil {
		for _, f := range list {
			files = append(files, "/etc/ssh/sshd_config.d/"+f.Name())
		}
	}
	for _, file := range append(files, "/etc/ssh/sshd_config") {
		text, err := v.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 && strings.EqualFold(f[0], keyword) {
				return f[1:2]
			}
		}
	}
	return nil
}

func (s *sshServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			break
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.work.Go(func() {
			s.serve(c)
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
		// Whoever is connected when the machine goes off is cut off.
		context.AfterFunc(s.r.ctx, func() { c.Close() }) //nolint:errcheck // it is meant to break
	}
	s.work.Wait()
}

// serve is one connection.
func (s *sshServer) serve(c net.Conn) {
	defer c.Close() //nolint:errcheck // the client may have closed it
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		s.r.g.Journal("ssh.service", fmt.Sprintf("Connection closed by %s [preauth]: %v", c.RemoteAddr(), err))
		return
	}
	s.r.g.Journal("ssh.service", fmt.Sprintf("Accepted publickey for %s from %s ssh2", conn.User(), c.RemoteAddr()))
	s.work.Go(func() {
		for r := range requests {
			if r.WantReply {
				if err := r.Reply(false, nil); err != nil { // keepalives want an answer, whatever it is
					return
				}
			}
		}
	})
	var work sync.WaitGroup
	var open atomic.Int32 // sessions; forwarded ports are none
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			if open.Add(1) > s.maxSessions {
				open.Add(-1)
				if err := ch.Reject(ssh.ConnectionFailed, "open failed"); err != nil {
					return
				}
				continue
			}
			work.Go(func() {
				defer open.Add(-1)
				s.session(conn, ch)
			})
		case "direct-tcpip":
			work.Go(func() { s.forward(ch) })
		default:
			if err := ch.Reject(ssh.UnknownChannelType, "unknown channel type"); err != nil {
				return
			}
		}
	}
	work.Wait()
}

// signalNamed is a signal by the name that SSH has for it.
func signalNamed(name string) proc.Signal {
	sig, err := proc.ParseSignal(name)
	if err != nil {
		return proc.SIGTERM
	}
	return sig
}

// viewOf is the tree as a user sees it.
func (r *running) viewOf(u account.User) *vfs.View {
	v := r.g.root()
	return v.As(account.Cred(v, u))
}
