package portainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// defaultFile is the name of a stack's compose file.
const defaultFile = "docker-compose.yml"

func (s *Server) createFromString(c *call) (int, any, error) {
	var p struct {
		Name, StackFileContent string
		Env                    []pair
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.StackFileContent == "" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid stack file content"))
	}
	return s.createStack(c, stack{Name: p.Name, Env: p.Env, EntryPoint: defaultFile, Files: map[string][]byte{defaultFile: []byte(p.StackFileContent)}})
}

func (s *Server) createFromFile(c *call) (int, any, error) {
	if err := c.form(); err != nil {
		return 0, nil, err
	}
	file, _, err := c.FormFile("file")
	if err != nil {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid Compose file. Ensure that the Compose file is uploaded correctly"))
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return 0, nil, err
	}
	st := stack{Name: c.FormValue("Name"), EntryPoint: defaultFile, Files: map[string][]byte{defaultFile: content}}
	if v := c.FormValue("Env"); v != "" {
		if err := json.Unmarshal([]byte(v), &st.Env); err != nil {
			return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid Env parameter"))
		}
	}
	return s.createStack(c, st)
}

var uuidShape = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

func (s *Server) createFromGit(c *call) (int, any, error) {
	var p struct {
		Name, RepositoryURL, RepositoryReferenceName, ComposeFile string
		AdditionalFiles                                           []string
		RepositoryAuthentication                                  bool
		RepositoryUsername, RepositoryPassword                    string
		Env                                                       []pair
		AutoUpdate                                                *autoUpdate
		TLSSkipVerify                                             bool
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	bad := func(text string) (int, any, error) {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New(text))
	}
	if p.Name == "" {
		return bad("invalid stack name")
	}
	if u, err := url.Parse(p.RepositoryURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return bad("invalid repository URL. Must correspond to a valid URL format")
	}
	if p.RepositoryAuthentication && p.RepositoryPassword == "" {
		return bad("invalid repository credentials. Password must be specified when authentication is enabled")
	}
	if err := s.checkAutoUpdate(p.AutoUpdate, 0); err != nil {
		return 0, nil, err
	}
	if p.ComposeFile == "" {
		p.ComposeFile = defaultFile
	}
	g := gitConfig{URL: s.gitURL(p.RepositoryURL), ReferenceName: p.RepositoryReferenceName, ConfigFilePath: p.ComposeFile, TLSSkipVerify: p.TLSSkipVerify}
	if p.RepositoryAuthentication {
		g.Authentication = &gitAuth{Username: p.RepositoryUsername, Password: p.RepositoryPassword}
	}
	return s.createStack(c, stack{Name: p.Name, Env: p.Env, EntryPoint: p.ComposeFile, Additional: p.AdditionalFiles, AutoUpdate: p.AutoUpdate, Git: &g})
}

func (s *Server) gitURL(u string) string {
	if s.is.StripGitSuffix {
		return strings.TrimSuffix(u, ".git")
	}
	return u
}

func (s *Server) checkAutoUpdate(a *autoUpdate, except int) error {
	if a == nil {
		return nil
	}
	if a.Webhook != "" && !uuidShape.MatchString(a.Webhook) {
		return fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid Webhook format"))
	}
	if a.Interval != "" {
		if _, err := time.ParseDuration(a.Interval); err != nil {
			return fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid Interval format"))
		}
	}
	taken := false
	s.view(func(db *database) {
		for _, st := range db.Stacks {
			taken = taken || a.Webhook != "" && st.ID != except && st.AutoUpdate != nil && st.AutoUpdate.Webhook == a.Webhook
		}
	})
	if taken {
		return fail(http.StatusConflict, fmt.Sprintf("Webhook ID: %s already exists", a.Webhook), errors.New("webhook ID already exists"))
	}
	return nil
}

// createLegacy is POST /stacks?type=2&method=…, which 2.27 dropped.
func (s *Server) createLegacy(c *call) (int, any, error) {
	if c.URL.Query().Get("type") != "2" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid query parameter: type", errors.New("invalid query parameter"))
	}
	switch c.URL.Query().Get("method") {
	case "string":
		return s.createFromString(c)
	case "repository":
		return s.createFromGit(c)
	case "file":
		return s.createFromFile(c)
	}
	return 0, nil, fail(http.StatusBadRequest, "Invalid query parameter: method", errors.New("invalid value for query parameter: method. Value must be one of: string, repository or file"))
}

// createStack checks, saves and deploys: before 2.41 in the order deploy, save, and the answer after
// both; since then save, answer, deploy.
func (s *Server) createStack(c *call, st stack) (int, any, error) {
	e, err := s.endpointOf(c)
	if err != nil {
		return 0, nil, err
	}
	if st.Name == "" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid stack name"))
	}
	st.Name = Normalize(st.Name)
	if err := s.collides(c.Context(), e, st.Name); err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Unable to check for name collision", err)
	}
	err = s.update(func(db *database) error {
		if err := nameCollision(db, e.ID, st.Name); err != nil {
			return err
		}
		st.ID = db.next("stack")
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	if st.Git != nil {
		checkout, err := s.clone(c.Context(), *st.Git)
		if err != nil {
			return 0, nil, err
		}
		st.Files, st.Git.ConfigHash = checkout.Files, checkout.Commit
	}
	st.EndpointID, st.Status, st.CreatedBy, st.CreationDate = e.ID, statusActive, c.user.Username, s.now().Unix()
	st.UpdatedBy, st.UpdateDate = "", 0
	c.changed = true
	if s.is.Async {
		st.Status = statusDeploying
		st.Deployment = []deployment{{Status: statusDeploying, Time: s.now().Unix()}}
		if err := s.insert(st); err != nil {
			return 0, nil, err
		}
		s.inBackground(st.ID, func(ctx context.Context) error { return s.bringUp(ctx, e, st, deployOptions{}) }, nil)
		return http.StatusOK, s.shownStack(st), nil
	}
	// The work goes on when the client has gone, as the real server's does.
	ctx := s.ctx
	if err := s.lockDeploys(ctx); err != nil {
		return 0, nil, err
	}
	err = s.bringUp(ctx, e, st, deployOptions{})
	if err != nil {
		if downErr := s.down(ctx, e, st); downErr != nil {
			s.logf("WRN failed to clean up after a failed deploy | stack=%s error=%q", st.Name, downErr)
		}
	}
	s.unlockDeploys()
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, err.Error(), err)
	}
	return http.StatusOK, s.shownStack(st), s.insert(st)
}

func nameCollision(db *database, endpoint int, name string) error {
	for _, other := range db.Stacks {
		if other.EndpointID == endpoint && strings.EqualFold(other.Name, name) && name != "" {
			text := fmt.Sprintf("A stack with the normalized name '%s' already exists", name)
			return fail(http.StatusConflict, text, errors.New(text))
		}
	}
	return nil
}

// insert saves a new stack, unless another of the name got there first.
func (s *Server) insert(st stack) error {
	return s.update(func(db *database) error {
		if err := nameCollision(db, st.EndpointID, st.Name); err != nil {
			return err
		}
		db.Stacks = append(db.Stacks, st.clone())
		return nil
	})
}
