package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/record"
)

// session is one session channel: a command, a shell, or the SFTP subsystem.
func (s *sshServer) session(conn *ssh.ServerConn, nc ssh.NewChannel) {
	userName := conn.User()
	user, found := account.UserNamed(s.r.g.root(), userName)
	if !found {
		nc.Reject(ssh.Prohibited, "no such user") //nolint:errcheck // the client is going
		return
	}
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	env := map[string]string{}
	var work sync.WaitGroup
	defer work.Wait()
	started := false
	var pid int
	for req := range requests {
		ok := false
		answered := func() {} // what may end the channel waits until the request has its answer
		switch req.Type {
		case "env":
			var m struct{ Name, Value string }
			if ok = ssh.Unmarshal(req.Payload, &m) == nil; ok {
				env[m.Name] = m.Value
			}
		case "pty-req", "window-change":
			ok = true
		case "exec", "shell":
			var m struct{ Command string }
			if started || req.Type == "exec" && ssh.Unmarshal(req.Payload, &m) != nil {
				break
			}
			if forced := conn.Permissions.CriticalOptions["force-command"]; forced != "" {
				m.Command = forced
			}
			wait, id, err := s.command(user, m.Command, env, ch)
			if err != nil {
				fmt.Fprintf(ch.Stderr(), "%v\n", err) //nolint:errcheck // the client may be gone
				break
			}
			ok, started, pid = true, true, id
			answered = func() { work.Go(func() { finish(ch, wait()) }) }
		case "subsystem":
			var m struct{ Name string }
			if ssh.Unmarshal(req.Payload, &m) == nil && m.Name == "sftp" && !started {
				ok, started = true, true
				answered = func() {
					work.Go(func() {
						s.sftp(user, ch)
						finish(ch, 0)
					})
				}
			}
		case "signal":
			var m struct{ Name string }
			if ok = ssh.Unmarshal(req.Payload, &m) == nil && pid != 0; ok {
				if err := s.r.table.Kill(-pid, signalNamed(m.Name), user.UID); err != nil {
					ok = false
				}
			}
		}
		var gone error
		if req.WantReply {
			gone = req.Reply(ok, nil)
		}
		answered()
		if gone != nil {
			break
		}
	}
	// A client that hangs up leaves its processes running, as without a terminal they do under OpenSSH.
	// They find their stdin at its end, and SIGPIPE when they write.
}

// pipeTo is a client's stream as a process sees it: one that is gone is a broken pipe.
type pipeTo struct{ io.Writer }

func (w pipeTo) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		err = syscall.EPIPE
	}
	return n, err
}

// command starts a user's shell with a command, or without one. wait returns its exit status.
func (s *sshServer) command(user account.User, command string, env map[string]string, ch ssh.Channel) (wait func() int, pid int, err error) {
	args := []string{path.Base(user.Shell)}
	if command != "" {
		args = append(args, "-c", command)
	}
	in, into := vfs.NewPipe()
	p := s.r.process(user, args, in, pipeTo{ch}, pipeTo{ch.Stderr()})
	p.Set(0, proc.NewDesc(in, nil, in))
	p.Dir = "/"
	if st, err := p.FS.Stat(user.Home); err == nil && st.IsDir() {
		p.Dir = user.Home
	}
	for name, value := range env {
		p.Env[name] = value
	}
	p.Env["HOME"], p.Env["USER"], p.Env["LOGNAME"], p.Env["SHELL"] = user.Home, user.Name, user.Name, user.Shell
	p.Env["SSH_CONNECTION"] = fmt.Sprintf("127.0.0.1 50000 %s %d", s.r.address, s.r.g.backend.opts.SSHPort)
	p.Audit = s.r.g.auditCommands(record.SSH)
	end := func(int, error) {}
	if command != "" {
		p.FS.Trace, end = s.r.g.audit(record.SSH, "exec", command)
	}
	waitFor, err := s.r.start(p)
	if err != nil {
		end(127, err)
		return nil, 0, errors.Join(err, in.Close(), into.Close())
	}
	s.work.Go(func() {
		_, err := io.Copy(into, ch) // ends with the client's stdin, or when nobody reads it any more
		if closeErr := into.Close(); err == nil {
			err = closeErr
		}
		if err != nil && s.r.ctx.Err() == nil {
			drain(ch)
		}
	})
	return func() int {
		status := waitFor(context.Background())
		end(status, nil)
		return status
	}, p.PID, nil
}

// drain takes what a client still sends to a command that does not read it.
func drain(r io.Reader) {
	_, _ = io.Copy(io.Discard, r) //nolint:errcheck // it ends with the channel
}

// finish tells the client how its command ended.
func finish(ch ssh.Channel, status int) {
	_, err := ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	if err == nil {
		err = ch.CloseWrite()
	}
	if closeErr := ch.Close(); err == nil {
		err = closeErr
	}
	_ = err // a client that hung up needs no answer
}

// forward connects a client to a port of the machine.
func (s *sshServer) forward(nc ssh.NewChannel) {
	var m struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(nc.ExtraData(), &m); err != nil {
		nc.Reject(ssh.ConnectionFailed, "malformed request") //nolint:errcheck // the client is going
		return
	}
	host := m.Host
	if host == "localhost" || host == "127.0.0.1" || host == s.r.g.Name() {
		host = s.r.address
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		nc.Reject(ssh.ConnectionFailed, "Connection refused: the lab's machines reach each other only") //nolint:errcheck // the client is going
		return
	}
	var d net.Dialer
	c, err := d.DialContext(s.r.ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(m.Port))))
	if err != nil {
		nc.Reject(ssh.ConnectionFailed, "Connection refused") //nolint:errcheck // the client is going
		return
	}
	defer c.Close() //nolint:errcheck // both sides are done with it
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	var work sync.WaitGroup
	work.Go(func() { ssh.DiscardRequests(requests) })
	work.Go(func() {
		_, err := io.Copy(ch, c)
		if err = errors.Join(err, ch.CloseWrite()); err != nil {
			c.Close() //nolint:errcheck // the other direction is to end too
		}
	})
	if _, err := io.Copy(c, ch); err == nil {
		if tcp, ok := c.(*net.TCPConn); ok {
			err = tcp.CloseWrite()
		}
		if err != nil {
			c.Close() //nolint:errcheck // broken already
		}
	} else {
		c.Close() //nolint:errcheck // broken already
	}
	work.Wait()
}
