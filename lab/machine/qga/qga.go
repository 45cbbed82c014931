// Package qga speaks qemu-guest-agent's own protocol: JSON over a socket that takes one client at a time.
package qga

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"phoenix-run/lab/machine"
)

// Client is the agent behind a unix socket. Its methods may be called from several goroutines; they
// wait for each other.
type Client struct {
	path string
	turn sync.Mutex
}

// New makes a client of the agent at a socket's path. Nothing is opened yet.
func New(path string) *Client { return &Client{path: path} }

// call connects, makes sure that both sides are at the beginning of a message, and runs one command.
// As the agent may still be busy with a command that nobody waits for any more, each call has a
// connection of its own.
func (c *Client) call(ctx context.Context, command string, arguments, result any) error {
	return c.session(ctx, func(s *session) error { return s.do(command, arguments, result) })
}

// session is one connection.
type session struct {
	conn net.Conn
	in   *bufio.Reader
}

func (c *Client) session(ctx context.Context, use func(*session) error) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be written
	stop := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // the connection ends either way
	})
	defer stop()
	s := &session{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	if err = s.sync(); err == nil {
		err = use(s)
	}
	if ctx.Err() != nil && err != nil {
		return context.Cause(ctx)
	}
	return err
}

// sync skips what is left of earlier conversations: 0xFF makes the agent drop half a message, and marks
// its answer.
func (s *session) sync() error {
	id := rand.Int64N(1 << 31)
	if _, err := fmt.Fprintf(s.conn, "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%d}}\n", id); err != nil {
		return err
	}
	for {
		if _, err := s.in.ReadBytes(0xff); err != nil {
			return err
		}
		line, err := s.in.ReadBytes('\n')
		if err != nil {
			return err
		}
		var reply struct {
			Return *int64 `json:"return"`
		}
		if json.Unmarshal(line, &reply) == nil && reply.Return != nil && *reply.Return == id {
			return nil
		}
	}
}

func (s *session) do(command string, arguments, result any) error {
	text, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(append(text, '\n')); err != nil {
		return err
	}
	var line []byte
	for len(bytes.TrimSpace(line)) == 0 { // some versions send empty lines between
		if line, err = s.in.ReadBytes('\n'); err != nil {
			return err
		}
	}
	var reply struct {
		Return json.RawMessage `json:"return"`
		Error  *struct {
			Class string `json:"class"`
			Desc  string `json:"desc"`
		} `json:"error"`
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return fmt.Errorf("the guest agent's answer to %s: %w", command, err)
	}
	if reply.Error != nil {
		return &machine.ErrAgent{Class: reply.Error.Class, Desc: reply.Error.Desc}
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply.Return, result)
}

// Ping implements machine.Agent.
func (c *Client) Ping(ctx context.Context) error { return c.call(ctx, "guest-ping", nil, nil) }

// Exec implements machine.Agent.
func (c *Client) Exec(ctx context.Context, argv []string, input []byte) (int, error) {
	if len(argv) == 0 {
		return 0, errors.New("no command")
	}
	arguments := map[string]any{"path": argv[0], "arg": argv[1:], "capture-output": true}
	if len(input) > 0 {
		arguments["input-data"] = input
	}
	var reply struct {
		PID int `json:"pid"`
	}
	err := c.call(ctx, "guest-exec", arguments, &reply)
	return reply.PID, err
}

// ExecStatus implements machine.Agent.
func (c *Client) ExecStatus(ctx context.Context, pid int) (machine.ExecStatus, error) {
	var reply struct {
		Exited       bool   `json:"exited"`
		Code         int    `json:"exitcode"`
		Signal       int    `json:"signal"`
		Out          []byte `json:"out-data"`
		Err          []byte `json:"err-data"`
		OutTruncated bool   `json:"out-truncated"`
		ErrTruncated bool   `json:"err-truncated"`
	}
	err := c.call(ctx, "guest-exec-status", map[string]any{"pid": pid}, &reply)
	return machine.ExecStatus{Exited: reply.Exited, Code: reply.Code, Signal: reply.Signal, Stdout: reply.Out, Stderr: reply.Err,
		StdoutTruncated: reply.OutTruncated, StderrTruncated: reply.ErrTruncated}, err
}

// chunk is how much is asked for at once: what Proxmox asks for.
const chunk = 1 << 20

// withFile opens a file in the guest for the time of use.
func (c *Client) withFile(ctx context.Context, path, mode string, use func(s *session, handle int) error) error {
	return c.session(ctx, func(s *session) error {
		var handle int
		if err := s.do("guest-file-open", map[string]any{"path": path, "mode": mode}, &handle); err != nil {
			return err
		}
		err := use(s, handle)
		return errors.Join(err, s.do("guest-file-close", map[string]any{"handle": handle}, nil))
	})
}

// ReadFile implements machine.Agent.
func (c *Client) ReadFile(ctx context.Context, path string, offset int64, count int) (content []byte, eof bool, err error) {
	err = c.withFile(ctx, path, "r", func(s *session, handle int) error {
		if offset > 0 {
			if err := s.do("guest-file-seek", map[string]any{"handle": handle, "offset": offset, "whence": 0}, nil); err != nil {
				return err
			}
		}
		for len(content) < count && !eof {
			var part struct {
				Content []byte `json:"buf-b64"`
				EOF     bool   `json:"eof"`
			}
			if err := s.do("guest-file-read", map[string]any{"handle": handle, "count": min(chunk, count-len(content))}, &part); err != nil {
				return err
			}
			content, eof = append(content, part.Content...), part.EOF
		}
		return nil
	})
	return content, eof, err
}

// WriteFile implements machine.Agent.
func (c *Client) WriteFile(ctx context.Context, path string, content []byte) error {
	return c.withFile(ctx, path, "wb", func(s *session, handle int) error {
		return s.do("guest-file-write", map[string]any{"handle": handle, "buf-b64": content}, nil)
	})
}

// Interfaces implements machine.Agent.
func (c *Client) Interfaces(ctx context.Context) ([]machine.Interface, error) {
	var reply []struct {
		Name      string `json:"name"`
		MAC       string `json:"hardware-address"`
		Addresses []struct {
			IP     string `json:"ip-address"`
			Type   string `json:"ip-address-type"`
			Prefix int    `json:"prefix"`
		} `json:"ip-addresses"`
	}
	err := c.call(ctx, "guest-network-get-interfaces", nil, &reply)
	list := make([]machine.Interface, len(reply))
	for n, r := range reply {
		list[n] = machine.Interface{Name: r.Name, MAC: r.MAC}
		for _, a := range r.Addresses {
			list[n].Addresses = append(list[n].Addresses, machine.Address(a))
		}
	}
	return list, err
}

// OSInfo implements machine.Agent.
func (c *Client) OSInfo(ctx context.Context) (map[string]string, error) {
	var reply map[string]string
	err := c.call(ctx, "guest-get-osinfo", nil, &reply)
	return reply, err
}

// HostName implements machine.Agent.
func (c *Client) HostName(ctx context.Context) (string, error) {
	var reply struct {
		Name string `json:"host-name"`
	}
	err := c.call(ctx, "guest-get-host-name", nil, &reply)
	return reply.Name, err
}

// Shutdown asks the guest to power off ("powerdown") or to restart ("reboot"). The agent does not answer.
func (c *Client) Shutdown(ctx context.Context, mode string) error {
	return c.session(ctx, func(s *session) error {
		_, err := fmt.Fprintf(s.conn, "{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":%q}}\n", mode)
		return err
	})
}

var _ machine.Agent = (*Client)(nil)
