package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Faults is what a Server does wrong. The zero Faults is a server that works, on this machine.
type Faults struct {
	RefuseKeys     bool               // no key is good enough
	RefuseChannels func(n int64) bool // whether the n-th channel, from 1 on, is refused
	MaxSessions    int                // 0: any number
	HangOnExec     bool               // commands are taken and never run
	ExitOnExec     int                // commands end at once with this status
	SayOnExec      string             // stdout before anything else: a talkative login shell
	NoSFTP         bool               //
	SlowBy         time.Duration      // before each command
	Env            []string           // for commands, after the server's own
	Deaf           bool               // keepalives are not answered
	HostKey        ssh.Signer         // nil: a new one
	Forward        bool               // direct-tcpip channels are taken: a bastion
	UserCA         ssh.PublicKey      // certificates of this authority let users in, keys don't
}

// Server is an SSH server in this process.
type Server struct {
	Port     int
	KeyFile  string
	HostKey  string // as a line of authorized_keys
	Signer   ssh.Signer
	faults   Faults
	listener net.Listener
	running  sync.WaitGroup
	Channels atomic.Int64 // that were asked for
	Logins   atomic.Int64 // that were tried: connections that came to authentication
	Accepted atomic.Int64 // TCP connections
	sessions atomic.Int64
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// StartFaulty starts a server that ends with the test.
func StartFaulty(t testing.TB, f Faults) *Server {
	t.Helper()
	s := &Server{faults: f, KeyFile: filepath.Join(t.TempDir(), "id"), Signer: f.HostKey, conns: map[net.Conn]bool{}}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(WriteKey(t, s.KeyFile)))
	if err != nil {
		t.Fatal(err)
	}
	if s.Signer == nil {
		s.Signer = NewSigner(t)
	}
	s.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.Signer.PublicKey())))
	config := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.Logins.Add(1)
			if cert, ok := key.(*ssh.Certificate); ok && f.UserCA != nil && string(cert.SignatureKey.Marshal()) == string(f.UserCA.Marshal()) {
				return nil, nil
			}
			if f.RefuseKeys || f.UserCA != nil || string(key.Marshal()) != string(public.Marshal()) {
				return nil, errors.New("not this key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(s.Signer)
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.Port = s.listener.Addr().(*net.TCPAddr).Port
	s.running.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.Accepted.Add(1)
			s.running.Go(func() { s.serve(conn, config) })
		}
	})
	t.Cleanup(func() {
		s.listener.Close()
		s.Cut()
		s.running.Wait()
	})
	return s
}

// NewSigner makes a key.
func NewSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// Connections tells how many there are now.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Cut closes all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *Server) serve(conn net.Conn, config *ssh.ServerConfig) {
	s.mu.Lock()
	s.conns[conn] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		conn.Close()
	}()
	sc, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	s.running.Go(func() {
		for req := range reqs {
			if req.WantReply && !s.faults.Deaf {
				req.Reply(false, nil)
			}
		}
	})
	for offer := range chans {
		n := s.Channels.Add(1)
		switch {
		case offer.ChannelType() == "direct-tcpip" && s.faults.Forward:
			s.running.Go(func() { s.forward(offer) })
		case offer.ChannelType() != "session":
			offer.Reject(ssh.UnknownChannelType, "no")
		case s.faults.RefuseChannels != nil && s.faults.RefuseChannels(n),
			s.faults.MaxSessions > 0 && s.sessions.Load() >= int64(s.faults.MaxSessions):
			offer.Reject(ssh.ConnectionFailed, "open failed")
		default:
			ch, requests, err := offer.Accept()
			if err != nil {
				return
			}
			s.sessions.Add(1)
			s.running.Go(func() {
				s.session(ch, requests)
				s.sessions.Add(-1)
			})
		}
	}
	sc.Wait()
}

func (s *Server) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	var kill func()
	defer func() {
		if kill != nil {
			kill()
		}
	}()
	for req := range reqs {
		switch req.Type {
		case "exec":
			var m struct{ Command string }
			if err := ssh.Unmarshal(req.Payload, &m); err != nil {
				return
			}
			if req.WantReply {
				req.Reply(true, nil)
			}
			time.Sleep(s.faults.SlowBy)
			if s.faults.HangOnExec {
				continue
			}
			if s.faults.ExitOnExec != 0 {
				io.WriteString(ch.Stderr(), "no shells today\n")
				ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(s.faults.ExitOnExec)}))
				return
			}
			kill = s.run(ch, m.Command)
		case "subsystem":
			req.Reply(!s.faults.NoSFTP, nil)
			if !s.faults.NoSFTP {
				s.running.Go(func() {
					if server, err := sftp.NewServer(ch); err == nil {
						server.Serve()
					}
					ch.Close()
				})
			}
		default:
			if req.WantReply {
				req.Reply(false, nil)
			}
		}
	}
}

// run starts a command and returns at once; kill ends it, as losing its input does to a shell.
func (s *Server) run(ch ssh.Channel, command string) (kill func()) {
	io.WriteString(ch, s.faults.SayOnExec)
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), s.faults.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		io.WriteString(ch.Stderr(), err.Error())
		return nil
	}
	s.running.Go(func() {
		io.Copy(stdin, ch)
		stdin.Close()
	})
	done := make(chan struct{})
	s.running.Go(func() {
		defer close(done)
		cmd.Wait()
		status := cmd.ProcessState.ExitCode()
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		ch.Close()
	})
	return func() {
		select {
		case <-done:
		case <-time.After(4 * time.Second): // time for the script's own end: its traps
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
	}
}

// forward makes this server a bastion.
func (s *Server) forward(offer ssh.NewChannel) {
	var m struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	if err := ssh.Unmarshal(offer.ExtraData(), &m); err != nil {
		offer.Reject(ssh.Prohibited, "what?")
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
	if err != nil {
		offer.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer target.Close()
	ch, reqs, err := offer.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	s.running.Go(func() { ssh.DiscardRequests(reqs) })
	s.running.Go(func() {
		io.Copy(target, ch)
		target.(*net.TCPConn).CloseWrite()
	})
	io.Copy(ch, target)
}
