package portainer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRemoteCommit(t *testing.T) {
	line := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	list := line("# service=git-upload-pack\n") + "0000" + line(a+" HEAD\x00multi_ack symref=HEAD:refs/heads/main\n") +
		line(b+" refs/heads/dev\n") + line(a+" refs/heads/main\n") + "0000"
	body := list
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "topsecret" {
			w.WriteHeader(401)
			return
		}
		if r.URL.Path != "/app.git/info/refs" || r.URL.Query().Get("service") != "git-upload-pack" {
			w.WriteHeader(404)
			return
		}
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	g := GitSource{URL: server.URL + "/app.git", User: "me", Password: "topsecret"}
	for ref, want := range map[string]string{"": a, "refs/heads/dev": b, "refs/heads/main": a} {
		g.Reference = ref
		if got, err := RemoteCommit(bg(), g); err != nil || got != want {
			t.Errorf("%q: got %q, %v", ref, got, err)
		}
	}
	g.Reference = "main"
	if _, err := RemoteCommit(bg(), g); err == nil || !strings.Contains(err.Error(), "refs/heads/main") {
		t.Errorf("a short name: %v", err)
	}
	for _, body = range []string{"", "zzzz", "0002", list[:60], "<html>"} {
		if _, err := RemoteCommit(bg(), g); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: %v", body, err)
		}
	}
	g.User = ""
	if _, err := RemoteCommit(bg(), g); err == nil || !strings.Contains(err.Error(), "check the repository's user") {
		t.Errorf("no sign-in: %v", err)
	}
	if _, err := RemoteCommit(bg(), GitSource{URL: "git@host:app"}); err == nil {
		t.Error("ssh is taken")
	}
}
