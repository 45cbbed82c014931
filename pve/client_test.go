package pve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"phoenix-run/secret"
)

// server answers as handle says; what it returns is written as it is, since net/http has no reason phrases.
func server(t *testing.T, handle func(r *http.Request) (status, body string)) Options {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := handle(r)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if status == "cut" {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	sum := sha256.Sum256(s.Certificate().Raw)
	return Options{URL: s.URL, Token: secret.New("a@pve!t=planted-token"), Fingerprint: hex.EncodeToString(sum[:]), LockWait: 300 * time.Millisecond}
}

func open(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestErrorsSayWhatProxmoxSaid(t *testing.T) {
	for _, tt := range []struct{ status, body, want string }{
		{"500 Configuration file 'nodes/pve/qemu-server/7.conf' does not exist", `{"data":null}`, "does not exist"},
		{"500 first line", `{"data":null,"message":"first line\nand the second\n"}`, "and the second"},
		{"403 Permission check failed (/vms/7, VM.Config.Disk)", `{"data":null}`, "VM.Config.Disk"},
		{"400 Parameter verification failed.", `{"errors":{"cores":"value must be positive"},"data":null}`, "cores: value must be positive"},
		{"401 No ticket", ``, "check proxmox_api.token"},
		{"404 Not Found", `nothing`, "404"},
		{"596 Connection timed out", ``, "596"},
		{"501 Method 'PUT /x' not implemented", ``, "not implemented"},
	} {
		c := open(t, server(t, func(*http.Request) (string, string) { return tt.status, tt.body }))
		err := c.put(t.Context(), "/nodes/pve/qemu/7/config", map[string]any{"cores": 0}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: got %v", tt.status, err)
		}
	}
}

func TestPlanNeverWrites(t *testing.T) {
	var sent atomic.Int32
	o := server(t, func(*http.Request) (string, string) { sent.Add(1); return "200 OK", `{"data":{"pid":1}}` })
	o.ReadOnly = true
	c := open(t, o)
	for name, call := range map[string]func() error{
		"config":  func() error { return c.Configure(t.Context(), "pve", 7, map[string]string{"cores": "2"}, nil, "") },
		"start":   func() error { return c.Start(t.Context(), "pve", 7, nil) },
		"destroy": func() error { return c.Destroy(t.Context(), "pve", 7, nil) },
		"exec": func() error {
			_, err := c.Agent("pve", 7).Exec(t.Context(), []string{"rm"}, nil, false)
			return err
		},
		"write": func() error { return c.Agent("pve", 7).WriteFile(t.Context(), "/x", nil) },
	} {
		if err := call(); !errors.Is(err, ErrPlanWrite) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if sent.Load() != 0 {
		t.Errorf("%d requests left the process", sent.Load())
	}
	if err := c.Agent("pve", 7).Ping(t.Context()); err != nil {
		t.Errorf("a ping is no write: %v", err)
	}
}

func TestCertificate(t *testing.T) {
	o := server(t, func(*http.Request) (string, string) { return "200 OK", `{"data":[]}` })
	right := o.Fingerprint
	o.Fingerprint = strings.Repeat("ab", 32)
	_, err := open(t, o).Nodes(t.Context())
	var cert *CertificateError
	if !errors.As(err, &cert) || strings.ToLower(strings.ReplaceAll(cert.Presented, ":", "")) != right {
		t.Errorf("got %v, want the presented fingerprint", err)
	}
	o.Fingerprint = ""
	if _, err := open(t, o).Nodes(t.Context()); !errors.As(err, &cert) {
		t.Errorf("an unknown authority was trusted: %v", err)
	}
	o.Fingerprint = "SHA256:" // no pin either
	o.Fingerprint = strings.ToUpper(right)
	if _, err := open(t, o).Nodes(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestACloneIsNeverMadeTwice: the answer to the request is lost after the work was done.
func TestACloneIsNeverMadeTwice(t *testing.T) {
	var clones atomic.Int32
	c := open(t, server(t, func(r *http.Request) (string, string) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/clone"):
			clones.Add(1)
			return "cut", ""
		case strings.HasSuffix(r.URL.Path, "/7/config"):
			if clones.Load() == 0 {
				return "500 Configuration file 'nodes/pve/qemu-server/7.conf' does not exist", ""
			}
			return "200 OK", `{"data":{"name":"web"}}`
		}
		return "500 unexpected " + r.URL.Path, ""
	}))
	if err := c.Clone(t.Context(), Clone{SourceNode: "pve", Source: 9000, ID: 7, Name: "web"}, nil); err != nil {
		t.Error(err)
	}
	err := c.Clone(t.Context(), Clone{SourceNode: "pve", Source: 9000, ID: 7, Name: "other"}, nil)
	if err == nil || !strings.Contains(err.Error(), `was taken meanwhile by "web"`) {
		t.Errorf("got %v", err)
	}
	if n := clones.Load(); n != 2 {
		t.Errorf("%d requests to clone", n)
	}
}

func TestLocksAreWaitedFor(t *testing.T) {
	var tries atomic.Int32
	c := open(t, server(t, func(r *http.Request) (string, string) {
		if tries.Add(1) < 3 {
			return "500 can't lock file '/var/lock/qemu-server/lock-7.conf' - got timeout", ""
		}
		return "200 OK", `{"data":null}`
	}))
	c.options.LockWait = time.Minute
	if err := c.Configure(t.Context(), "pve", 7, map[string]string{"cores": "2"}, nil, ""); err != nil {
		t.Error(err)
	}
}

func TestTasks(t *testing.T) {
	const upid = "UPID:pve:00000001:00000002:66000000:qmclone:9000:a@pve:"
	for _, tt := range []struct{ exit, want string }{
		{"OK", ""}, {"WARNINGS: 2", ""}, {"clone failed: disk full", "clone failed: disk full"},
	} {
		polls := 0
		c := open(t, server(t, func(r *http.Request) (string, string) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/status"):
				if polls++; polls < 3 {
					return "200 OK", `{"data":{"status":"running"}}`
				}
				return "200 OK", `{"data":{"status":"stopped","exitstatus":"` + tt.exit + `"}}`
			case strings.HasSuffix(r.URL.Path, "/log"):
				return "200 OK", `{"data":[{"n":1,"t":"working"},{"n":2,"t":"TASK ERROR: ` + tt.exit + `"}]}`
			}
			return "500 unexpected", ""
		}))
		err := c.wait(t.Context(), "cloning", upid, nil)
		if tt.want == "" && err != nil {
			t.Errorf("%s: %v", tt.exit, err)
		}
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "TASK ERROR")) {
			t.Errorf("%s: got %v", tt.exit, err)
		}
	}
}

// TestTickets: many callers at once sign in once, and again once when the ticket is refused.
func TestTickets(t *testing.T) {
	var signIns atomic.Int32
	o := server(t, func(r *http.Request) (string, string) {
		if strings.HasSuffix(r.URL.Path, "/access/ticket") {
			if _, err := io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
			return "200 OK", fmt.Sprintf(`{"data":{"ticket":"T%d","CSRFPreventionToken":"C"}}`, signIns.Add(1))
		}
		if r.Header.Get("Cookie") == "PVEAuthCookie=T1" && signIns.Load() > 0 && r.URL.Path == "/api2/json/version" {
			return "401 permission denied - invalid PVE ticket", ""
		}
		return "200 OK", `{"data":[]}`
	})
	o.Token, o.User, o.Password = secret.Value{}, "root@pam", secret.New("planted-password")
	c := open(t, o)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := c.Nodes(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := signIns.Load(); n != 1 {
		t.Errorf("signed in %d times", n)
	}
	if err := c.get(t.Context(), "/version", nil, new(any)); err != nil {
		t.Error(err)
	}
	if n := signIns.Load(); n != 2 {
		t.Errorf("signed in %d times", n)
	}
}

func TestAgent(t *testing.T) {
	polls := 0
	c := open(t, server(t, func(r *http.Request) (string, string) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/agent/exec"):
			return "200 OK", `{"data":{"pid":5}}`
		case strings.HasSuffix(r.URL.Path, "/exec-status"):
			if polls++; polls < 3 {
				return "200 OK", `{"data":{"exited":0}}`
			}
			if polls > 3 {
				return "500 Agent error: Invalid parameter 'pid'", ""
			}
			return "200 OK", `{"data":{"exited":1,"signal":9,"out-data":"Ã©","out-truncated":1}}`
		}
		if strings.HasSuffix(r.URL.Path, "/status/current") {
			return "200 OK", `{"data":{"status":"running","qmpstatus":"running","uptime":120}}`
		}
		return "500 QEMU guest agent is not running", ""
	}))
	r, err := c.Agent("pve", 7).Exec(t.Context(), []string{"x"}, nil, false)
	if err != nil || string(r.Stdout) != "é" || r.Code != 137 || !r.Truncated {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := c.Agent("pve", 7).Exec(t.Context(), []string{"x"}, nil, false); !errors.Is(err, ErrResultLost) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Agent("pve", 7).WaitReady(ctx, nil); err == nil || !strings.Contains(err.Error(), "it is running for 2m0s); is qemu-guest-agent installed") {
		t.Errorf("got %v", err)
	}
}
