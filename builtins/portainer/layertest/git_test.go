package layertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"phoenix-run/lab"
	"phoenix-run/lab/portainer"
)

// A stack from a Git repository is deployed anew when its branch has another commit, and only then:
// the server would make its containers anew each time.
func TestGitStack(t *testing.T) {
	for _, v := range []string{versions[0], versions[len(versions)-1]} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			var commit atomic.Value
			asked := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/app.git/info/refs" {
					http.NotFound(rw, r)
					return
				}
				// As git's own server lists its references.
				line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
				io.WriteString(rw, line("# service=git-upload-pack\n")+"0000"+ //nolint:errcheck // the client tells
					line(fmt.Sprintf("%s HEAD\x00multi_ack\n", commit.Load()))+line(fmt.Sprintf("%s refs/heads/main\n", commit.Load()))+"0000")
			}))
			defer asked.Close()
			repositories := &portainer.Repositories{}
			push := func(image string) {
				commit.Store(repositories.Commit(asked.URL+"/app.git", "main", map[string]string{
					"docker-compose.yml": "services:\n  web:\n    image: " + image + "\n    ports: [\"8123:80\"]\n    environment: {WORD: \"${WORD}\"}\n"}))
			}
			push("nginx:1")
			w := newWorld(t, lab.Options{Portainer: portainer.Options{Git: repositories}})
			w.version(v)
			w.change("phoenix_stacks_config.json", `"plain": {`, `"app": { "git": { "url": "`+asked.URL+`/app.git", "reference": "refs/heads/main" },
				"variables": [{ "name": "WORD", "value": "a $b" }], "expect": [{ "port": 8123 }] }, "plain": {`)
			w.change("phoenix_vm_configs.json", `"shop", "plain"`, `"app"`)
			w.must("sync", "portainer")
			w.runs("1002", "app-web-1", "nginx:1")
			if env := w.environ("1002", "app-web-1"); env["WORD"] != "a $b" {
				t.Errorf("variables: %q", env)
			}
			before := w.container("1002", "app-web-1").ID
			w.quiet("sync", "portainer")
			if w.container("1002", "app-web-1").ID != before {
				t.Error("a sync for nothing has made the container anew")
			}
			push("nginx:2")
			r := w.plan("sync", "portainer")
			if !slices.Equal(r.changed(), []string{"update apps/stack:app"}) {
				t.Errorf("planned %v %v", r.changed(), r.err)
			}
			w.must("sync", "portainer")
			w.runs("1002", "app-web-1", "nginx:2")
			w.quiet("sync", "portainer")
		})
	}
}
