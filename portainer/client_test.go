package portainer

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"phoenix-run/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBootstrap(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.version, func(t *testing.T) {
			f := newFake(t, p)
			c := f.open(t)
			s, err := c.Wait(bg())
			if err != nil || s.Version != p.version {
				t.Fatalf("got %v %v", s, err)
			}
			if there, err := c.AdminExists(bg()); err != nil || there {
				t.Fatalf("got %v %v", there, err)
			}
			for range 2 {
				if err := c.InitAdmin(bg()); err != nil {
					t.Fatal(err)
				}
			}
			if n := f.count("admin/init"); n != 1 {
				t.Errorf("%d administrators were made", n)
			}
			key, err := c.CreateAPIKey(bg(), "test")
			if err != nil || key.Reveal() != "ptr_good" {
				t.Fatal(err)
			}
			byKey := f.open(t, func(o *Options) { o.APIKey, o.Password = key, secret.Value{} })
			if _, err := byKey.Stacks(bg()); err != nil {
				t.Fatal(err)
			}
			var backup bytes.Buffer
			if err := c.Backup(bg(), &backup, ""); err != nil || backup.String() != "tar and gzip" {
				t.Fatalf("%v %q", err, backup.String())
			}
		})
	}
}

func TestInitAdminTrouble(t *testing.T) {
	f := newFake(t, profiles[4])
	err := f.open(t, func(o *Options) { o.SetupToken = secret.Value{} }).InitAdmin(bg())
	if !IsSetupToken(err) || IsBanned(err) || !strings.Contains(err.Error(), "PORTAINER_SETUP_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	f.fault = once("POST", "/users/admin/init", nil, hangUp)
	if err := f.open(t).InitAdmin(bg()); err != nil {
		t.Errorf("answer lost: %v", err)
	}
	// A wrong token no longer matters once there is an administrator.
	if err := f.open(t, func(o *Options) { o.SetupToken = secret.Value{} }).InitAdmin(bg()); err != nil {
		t.Errorf("with an administrator: %v", err)
	}
}

func TestLockedServer(t *testing.T) {
	f := newFake(t, profiles[1])
	f.locked = true
	c := f.open(t)
	for name, call := range map[string]func() error{
		"wait":  func() error { _, err := c.Wait(bg()); return err },
		"check": func() error { _, err := c.AdminExists(bg()); return err },
		"init":  func() error { return c.InitAdmin(bg()) },
	} {
		if err := call(); !IsInitTimeout(err) || !strings.Contains(err.Error(), "restart its container") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWait(t *testing.T) {
	f := newFake(t, profiles[0])
	tries := 0
	f.fault = func(*http.Request) (http.HandlerFunc, http.HandlerFunc) {
		if tries++; tries < 4 {
			return status(503, "starting"), nil
		}
		return nil, nil
	}
	var told []string
	c := f.open(t, func(o *Options) { o.Progress = func(_, text string) { told = append(told, text) } })
	if _, err := c.Wait(bg()); err != nil || len(told) != 3 {
		t.Errorf("%v, told %q", err, told)
	}
	f.fault = func(*http.Request) (http.HandlerFunc, http.HandlerFunc) { return hangUp, nil }
	_, err := f.open(t, func(o *Options) { o.StartTimeout = 20 * time.Millisecond }).Wait(bg())
	if err == nil || !strings.Contains(err.Error(), "did not come up in 20ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(bg())
	cancel(errors.New("the user pressed Ctrl-C"))
	if _, err := c.Wait(ctx); err == nil || !strings.Contains(err.Error(), "Ctrl-C") {
		t.Errorf("got %v", err)
	}
	f.fault = func(*http.Request) (http.HandlerFunc, http.HandlerFunc) {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }, nil
	}
	if _, err := c.Wait(bg()); err == nil || !strings.Contains(err.Error(), "is not Portainer's") {
		t.Errorf("another program: %v", err)
	}
	plain := f.open(t, func(o *Options) { o.URL = strings.Replace(f.URL, "https", "http", 1); o.Fingerprint = "" })
	if _, err := plain.Wait(bg()); err == nil || !strings.Contains(err.Error(), "use https://") {
		t.Errorf("http: %v", err)
	}
}

func TestSignIn(t *testing.T) {
	f := newFake(t, profiles[1]).ready()
	c := f.open(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := c.Stacks(bg()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if f.signIns != 1 {
		t.Errorf("%d sign-ins for 30 parallel requests", f.signIns)
	}
	f.mu.Lock()
	f.session++ // a restart
	f.mu.Unlock()
	for range 30 {
		wg.Go(func() {
			if _, err := c.Stacks(bg()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if f.signIns != 2 {
		t.Errorf("%d sign-ins after a restart", f.signIns)
	}
	for _, h := range f.headers {
		for _, name := range []string{"Cookie", "Origin", "Referer", "Sec-Fetch-Site"} {
			if h.Get(name) != "" {
				t.Fatalf("%s was sent", name)
			}
		}
	}
}

func TestSignInRefused(t *testing.T) {
	tests := map[string]struct {
		prepare func(*fake)
		is      func(error) bool
		says    string
	}{
		"wrong password": {func(f *fake) { f.admin = "another one, quite long" }, func(err error) bool { return as(err).Status == 422 }, "check user and password"},
		"banned":         {func(f *fake) { f.banned = true }, IsBanned, "for an hour"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, profiles[0]).ready()
			test.prepare(f)
			c := f.open(t)
			for range 20 {
				_, err := c.Stacks(bg())
				if !test.is(err) || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("got %v", err)
				}
				if strings.Contains(err.Error(), testPassword) {
					t.Fatal("the password is shown")
				}
			}
			if f.signIns != 1 {
				t.Errorf("%d sign-ins", f.signIns)
			}
		})
	}
}

func TestServerThatForgetsEverySession(t *testing.T) {
	f := newFake(t, profiles[0]).ready()
	f.fault = func(r *http.Request) (http.HandlerFunc, http.HandlerFunc) {
		if r.URL.Path == "/api/stacks" {
			return func(w http.ResponseWriter, _ *http.Request) { refuse(w, 401, "Invalid JWT token", "") }, nil
		}
		return nil, nil
	}
	c := f.open(t)
	for range 20 {
		if _, err := c.Stacks(bg()); err == nil {
			t.Fatal("no error")
		}
	}
	if f.signIns > maxSignIns {
		t.Errorf("%d sign-ins", f.signIns)
	}
}

func TestPlanWritesNothing(t *testing.T) {
	f := newFake(t, profiles[1]).ready()
	s := deployed(t, f.open(t))
	f.log = nil
	c := f.open(t, func(o *Options) { o.ReadOnly = true })
	e := Environment{Name: "x", URL: "tcp://10.0.0.2:9001", Kind: DockerAgent}
	_, tags := c.EnsureTags(bg(), []string{"new"})
	_, created := c.CreateEnvironment(bg(), e)
	for name, err := range map[string]error{
		"tags": tags, "create environment": created, "update environment": c.UpdateEnvironment(bg(), 1, e),
		"delete environment": c.DeleteEnvironment(bg(), 1), "create stack": c.CreateStack(bg(), wanted(), good),
		"update stack": c.UpdateStack(bg(), s, newer, s, good), "delete stack": c.DeleteStack(bg(), s),
		"stop": c.StopStack(bg(), s), "backup": c.Backup(bg(), &bytes.Buffer{}, ""),
	} {
		if !errors.Is(err, ErrPlanWrite) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, line := range f.log {
		if !strings.HasPrefix(line, "GET ") && line != "POST /api/auth" {
			t.Errorf("sent: %s", line)
		}
	}
}

func TestReadsAreRepeatedAndWritesAreNot(t *testing.T) {
	f := newFake(t, profiles[1]).ready()
	c := f.open(t)
	f.fault = once("GET", "/stacks", status(503, "not now"), nil)
	if _, err := c.Stacks(bg()); err != nil {
		t.Errorf("read: %v", err)
	}
	f.fault = once("POST", "/tags", hangUp, nil)
	if _, err := c.EnsureTags(bg(), []string{"a"}); !MaybeDone(err) || f.count("POST /api/tags") != 1 {
		t.Errorf("write: %v", err)
	}
	f.fault = once("POST", "/tags", nil, hangUp)
	if ids, err := c.EnsureTags(bg(), []string{"a", "a"}); err != nil || len(ids) != 1 {
		t.Errorf("write that was done: %v %v", ids, err)
	}
	if n := len(f.log); int64(n) != c.Requests() {
		t.Errorf("%d requests counted, %d came", c.Requests(), n)
	}
	refused := f.open(t, func(o *Options) {
		o.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	})
	if err := refused.InitAdmin(bg()); err == nil || MaybeDone(err) {
		t.Errorf("never connected: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	f := newFake(t, profiles[0])
	raw := f.Certificate().Raw
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*Options)
		ok     bool
	}{
		"pinned":              {func(*Options) {}, true},
		"pinned, with colons": {func(o *Options) { o.Fingerprint = "sha256:" + colons(o.Fingerprint) }, true},
		"another one pinned":  {func(o *Options) { o.Fingerprint = strings.Repeat("0", 64) }, false},
		"nothing said":        {func(o *Options) { o.Fingerprint = "" }, false},
		"its own file":        {func(o *Options) { o.Fingerprint, o.CAFile = "", ca }, true},
		"file, under any name": {func(o *Options) {
			o.Fingerprint, o.CAFile, o.URL = "", ca, strings.Replace(f.URL, "127.0.0.1", "localhost", 1)
		}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := f.open(t, test.change).Wait(bg())
			if test.ok != (err == nil) {
				t.Fatalf("got %v", err)
			}
			var refused *CertificateError
			if err != nil && (!errors.As(err, &refused) || !strings.Contains(err.Error(), colons(fingerprint(raw)))) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, o := range []Options{
		{URL: "portainer:9443"}, {URL: "https://me:secret@host"}, {URL: f.URL, Fingerprint: "abc"}, {URL: f.URL, CAFile: "none.pem"}, {URL: f.URL, CAFile: ca, Fingerprint: strings.Repeat("0", 64)},
	} {
		if _, err := Open(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", o.URL, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	progress := strings.Repeat(" web Pulling \n", 50) + "Error response from daemon: no space left on device\n"
	tests := []struct {
		err  Error
		want string
	}{
		{Error{Op: "deploying", Method: "POST", Path: "/api/stacks", Status: 500, Message: progress, Details: progress},
			"deploying: Portainer says 500: … (47 lines before) | web Pulling | web Pulling | web Pulling | Error response from daemon: no space left on device (POST /api/stacks)"},
		{Error{Op: "x", Method: "GET", Path: "/api/y", Status: 405}, "x: Portainer says 405: method not allowed (GET /api/y)"},
		{Error{Op: "x", Method: "GET", Path: "/api/y", Status: 404, Message: "404 page not found"}, "x: Portainer says 404: 404 page not found (GET /api/y)"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, test.err.Error()); diff != "" {
			t.Error(diff)
		}
	}
	if tests[0].err.Message != progress {
		t.Error("the whole text is not kept")
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	f := newFake(t, profiles[4])
	var log bytes.Buffer
	c := f.open(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	if err := c.InitAdmin(bg()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stacks(bg()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{testPassword, testToken, "jwt0", "hash"} {
		if strings.Contains(log.String(), s) {
			t.Errorf("%s is logged", s)
		}
	}
	if !strings.Contains(log.String(), "/api/auth") {
		t.Error("nothing is logged")
	}
	if text := fmt.Sprintf("%v %+v %#v", c.options, c.options, Stack{Env: []Variable{{"A", "topsecret"}}, Git: &GitSource{Password: "topsecret"}}); strings.Contains(text, "topsecret") || strings.Contains(text, testPassword) {
		t.Errorf("shown: %s", text)
	}
}

func TestAgentPing(t *testing.T) {
	f := newFake(t, profiles[0])
	agent := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Portainer-Agent", "2.23.0")
		w.WriteHeader(204)
	}))
	defer agent.Close()
	c := f.open(t)
	info, err := c.AgentPing(bg(), agent.Listener.Addr().String())
	if err != nil || info.Version != "2.23.0" {
		t.Errorf("%v %v", info, err)
	}
	if _, err := c.AgentPing(bg(), f.Listener.Addr().String()); err == nil {
		t.Error("a server is taken for an agent")
	}
}
