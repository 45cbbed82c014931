package portainer

import (
	"net/http"
	"strings"
)

// routes is the API of this version.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		who     access
		f       route
	}{
		{"GET /status", public, s.status},
		{"GET /system/status", public, s.status},
		{"GET /system/version", signedIn, s.versionInfo},
		{"GET /settings/public", public, s.publicSettings},
		{"GET /settings", admin, s.getSettings},
		{"PUT /settings", admin, s.putSettings},

		{"POST /auth", public, s.login},
		{"POST /auth/logout", signedIn, s.logout},
		{"GET /users/admin/check", public, s.adminCheck},
		{"POST /users/admin/init", public, s.adminInit},
		{"GET /users", admin, s.listUsers},
		{"POST /users", admin, s.createUser},
		{"GET /users/me", signedIn, s.me},
		{"PUT /users/{id}/passwd", signedIn, s.changePassword},
		{"GET /users/{id}/tokens", signedIn, s.listKeys},
		{"POST /users/{id}/tokens", signedIn, s.createKey},
		{"DELETE /users/{id}/tokens/{key}", signedIn, s.deleteKey},

		{"GET /tags", signedIn, s.listTags},
		{"POST /tags", admin, s.createTag},
		{"DELETE /tags/{id}", admin, s.deleteTag},
		{"GET /endpoint_groups", signedIn, s.listGroups},
		{"POST /endpoint_groups", admin, s.createGroup},
		{"PUT /endpoint_groups/{id}", admin, s.updateGroup},
		{"DELETE /endpoint_groups/{id}", admin, s.deleteGroup},
		{"GET /registries", admin, s.listRegistries},
		{"POST /registries", admin, s.createRegistry},
		{"PUT /registries/{id}", admin, s.updateRegistry},
		{"DELETE /registries/{id}", admin, s.deleteRegistry},

		{"GET /endpoints", signedIn, s.listEndpoints},
		{"POST /endpoints", admin, s.createEndpoint},
		{"POST /endpoints/snapshot", admin, s.snapshotAll},
		{"GET /endpoints/{id}", signedIn, s.getEndpoint},
		{"PUT /endpoints/{id}", admin, s.updateEndpoint},
		{"DELETE /endpoints/{id}", admin, s.deleteEndpoint},
		{"POST /endpoints/{id}/snapshot", admin, s.snapshotEndpoint},
		{"GET /endpoints/{id}/docker/{path...}", signedIn, s.proxyDocker},
		{"HEAD /endpoints/{id}/docker/{path...}", signedIn, s.proxyDocker},
		{"POST /endpoints/{id}/docker/{path...}", signedIn, s.proxyDocker},
		{"PUT /endpoints/{id}/docker/{path...}", signedIn, s.proxyDocker},
		{"DELETE /endpoints/{id}/docker/{path...}", signedIn, s.proxyDocker},

		{"GET /stacks", signedIn, s.listStacks},
		{"POST /stacks/create/standalone/string", signedIn, s.createFromString},
		{"POST /stacks/create/standalone/file", signedIn, s.createFromFile},
		{"POST /stacks/create/standalone/repository", signedIn, s.createFromGit},
		{"GET /stacks/{id}", signedIn, s.getStack},
		{"PUT /stacks/{id}", signedIn, s.updateStack},
		{"DELETE /stacks/{id}", signedIn, s.deleteStack},
		{"GET /stacks/{id}/file", signedIn, s.getStackFile},
		{"PUT /stacks/{id}/git/redeploy", signedIn, s.redeployGit},
		{"POST /stacks/{id}/git", signedIn, s.editGit},
		{"POST /stacks/{id}/start", signedIn, s.startStack},
		{"POST /stacks/{id}/stop", signedIn, s.stopStack},
		{"POST /stacks/{id}/migrate", signedIn, s.migrate},
		{"PUT /stacks/{id}/associate", signedIn, s.associate},
		{"POST /gitops/repo/file/preview", signedIn, s.preview},

		{"POST /backup", admin, s.backup},
		{"POST /restore", public, s.restore},
	} {
		s.handle(mux, r.pattern, r.who, r.f)
	}
	if s.is.LegacyCreate {
		s.handle(mux, "POST /stacks", signedIn, s.createLegacy)
	}
	mux.HandleFunc("GET /{$}", page("<!doctype html><title>Portainer</title>"))
	mux.HandleFunc("GET /timeout.html", page("<!doctype html><title>Portainer</title>Your Portainer instance timed out for security purposes."))
	// On a mux of its own, as its path overlaps with /stacks/{id}/start and the like.
	hooks := http.NewServeMux()
	s.handle(hooks, "POST /stacks/webhooks/{webhook}", public, s.webhook)
	rest := notRouted(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/stacks/webhooks/") {
			notRouted(hooks).ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

func page(html string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(html)) // the client is gone
	}
}
