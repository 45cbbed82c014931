package qga

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"phoenix-run/lab/machine"
)

// agent serves one connection after the other with answer, which gives a line without its end.
func agent(t *testing.T, answer func(command string, arguments json.RawMessage) string) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// What is left of a conversation that nobody waited for.
			fmt.Fprint(conn, "{\"return\": {\"pid\": 1}}\n")
			serve(conn, answer)
			conn.Close()
		}
	}()
	return New(path)
}

func serve(conn net.Conn, answer func(string, json.RawMessage) string) {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var request struct {
			Execute   string          `json:"execute"`
			Arguments json.RawMessage `json:"arguments"`
		}
		if json.Unmarshal(bytes.TrimLeft(line, "\xff"), &request) != nil {
			continue
		}
		if request.Execute == "guest-sync-delimited" {
			var id struct{ ID int64 }
			json.Unmarshal(request.Arguments, &id)
			fmt.Fprintf(conn, "\xff{\"return\": %d}\n", id.ID)
			continue
		}
		fmt.Fprintf(conn, "%s\n", answer(request.Execute, request.Arguments))
	}
}

func TestExec(t *testing.T) {
	c := agent(t, func(command string, arguments json.RawMessage) string {
		if command == "guest-exec" {
			var a struct {
				Path  string   `json:"path"`
				Arg   []string `json:"arg"`
				Input []byte   `json:"input-data"`
			}
			json.Unmarshal(arguments, &a)
			if a.Path != "/bin/cat" || len(a.Arg) != 1 || string(a.Input) != "in\x00put" {
				t.Errorf("arguments %s", arguments)
			}
			return `{"return": {"pid": 4711}}`
		}
		return `{"return": {"exited": true, "signal": 9, "out-data": "b3V0", "out-truncated": true}}`
	})
	pid, err := c.Exec(context.Background(), []string{"/bin/cat", "-"}, []byte("in\x00put"))
	if err != nil || pid != 4711 {
		t.Fatalf("pid %d, error %v", pid, err)
	}
	s, err := c.ExecStatus(context.Background(), pid)
	if err != nil || !s.Exited || s.Signal != 9 || string(s.Stdout) != "out" || !s.StdoutTruncated {
		t.Errorf("status %+v, error %v", s, err)
	}
}

func TestErrorsAreTheAgents(t *testing.T) {
	c := agent(t, func(string, json.RawMessage) string {
		return `{"error": {"class": "GenericError", "desc": "Invalid parameter 'pid'"}}`
	})
	_, err := c.ExecStatus(context.Background(), 1)
	var fault *machine.ErrAgent
	if !errors.As(err, &fault) || fault.Class != "GenericError" || fault.Desc != "Invalid parameter 'pid'" {
		t.Errorf("error %v", err)
	}
}

func TestReadFileAsksUntilTheEnd(t *testing.T) {
	reads := 0
	c := agent(t, func(command string, _ json.RawMessage) string {
		switch command {
		case "guest-file-open":
			return `{"return": 1000}`
		case "guest-file-read":
			if reads++; reads == 1 {
				return `{"return": {"count": 3, "buf-b64": "YWJj", "eof": false}}`
			}
			return `{"return": {"count": 1, "buf-b64": "ZA==", "eof": true}}`
		}
		return `{"return": {}}`
	})
	content, eof, err := c.ReadFile(context.Background(), "/etc/x", 0, 1<<20)
	if err != nil || string(content) != "abcd" || !eof {
		t.Errorf("content %q, end %v, error %v", content, eof, err)
	}
}

func TestSilenceEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := New(path).Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
