package portainer

import (
	"errors"
	"net/http"
	"strings"
)

var errNotGit = fail(http.StatusBadRequest, "Stack is not created from git", errors.New("stack is not created from git"))

// gitPayload is the body of the calls about a stack's repository. Pointers tell what was given.
type gitPayload struct {
	RepositoryURL, ConfigFilePath          *string
	RepositoryReferenceName                *string
	RepositoryAuthentication               *bool
	RepositoryUsername, RepositoryPassword string
	Env                                    *[]pair
	Prune                                  *bool
	PullImage, RepullImageAndRedeploy      bool
	AutoUpdate                             *autoUpdate
	TLSSkipVerify                          bool
}

// auth is the repository's credentials after the call; an empty password means the saved one.
func (p gitPayload) auth(old *gitAuth) *gitAuth {
	if p.RepositoryAuthentication == nil || !*p.RepositoryAuthentication {
		return nil
	}
	a := &gitAuth{Username: p.RepositoryUsername, Password: p.RepositoryPassword}
	if a.Password == "" && old != nil {
		a.Password = old.Password
	}
	return a
}

// settings puts the call's fields into a stack. Until 2.39 what is absent is wiped.
func (s *Server) gitSettings(p gitPayload, st *stack, keep bool) {
	g := st.Git
	if p.RepositoryReferenceName != nil || !keep {
		g.ReferenceName = ""
		set(&g.ReferenceName, p.RepositoryReferenceName)
	}
	if p.Env != nil || !keep {
		st.Env = nil
		set(&st.Env, p.Env)
	}
	if p.Prune != nil || !keep {
		st.Prune = false
		set(&st.Prune, p.Prune)
	}
	if p.RepositoryAuthentication != nil || !keep {
		g.Authentication = p.auth(g.Authentication)
	}
}

func (s *Server) redeployGit(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	if st.Git == nil {
		return 0, nil, errNotGit
	}
	e, err := s.endpointOf(c)
	if err != nil {
		return 0, nil, fail(http.StatusNotFound, "Unable to find the environment associated to the stack", errors.New("object not found inside the database (bucket=endpoints)"))
	}
	var p gitPayload
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	next := st.clone()
	s.gitSettings(p, &next, s.is.RedeployKeeps)
	next.EndpointID, next.SettingsEdited = e.ID, false
	checkout, err := s.clone(c.Context(), *next.Git)
	if err != nil {
		return 0, nil, err
	}
	next.Files, next.Git.ConfigHash = checkout.Files, checkout.Commit
	next.EntryPoint = next.Git.ConfigFilePath
	pull := p.PullImage || p.RepullImageAndRedeploy && !s.Version.before(2, 36, 0)
	return s.redeploy(c, e, st, next, deployOptions{prune: next.Prune && s.is.Prune, pull: pull, force: true})
}

// editGit changes the settings and deploys nothing.
func (s *Server) editGit(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	if st.Git == nil {
		return 0, nil, errNotGit
	}
	if _, _, err := s.stackAndEndpoint(c); err != nil {
		return 0, nil, err
	}
	var p gitPayload
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if err := s.checkAutoUpdate(p.AutoUpdate, st.ID); err != nil {
		return 0, nil, err
	}
	err = s.update(func(db *database) error {
		found := db.stack(st.ID)
		if found == nil {
			return notFound("a stack", "stacks", st.ID)
		}
		if found.Status == statusDeploying {
			return errInProgress
		}
		next := found.clone()
		s.gitSettings(p, &next, false)
		next.AutoUpdate = p.AutoUpdate
		next.Git.TLSSkipVerify = p.TLSSkipVerify
		if s.is.GitURLEditable {
			if p.RepositoryURL != nil && *p.RepositoryURL != "" {
				next.Git.URL = s.gitURL(*p.RepositoryURL)
			}
			set(&next.Git.ConfigFilePath, p.ConfigFilePath)
		}
		next.SettingsEdited = true
		next.UpdateDate, next.UpdatedBy = s.now().Unix(), c.user.Username
		*found = next
		st = next.clone()
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, s.shownStack(st), err
}

// webhook redeploys a stack if its repository has another commit. Anybody may call it.
func (s *Server) webhook(c *call) (int, any, error) {
	id := c.PathValue("webhook")
	if !uuidShape.MatchString(id) {
		return 0, nil, fail(http.StatusBadRequest, "Invalid stack identifier route variable", errors.New("invalid UUID format"))
	}
	var st stack
	s.view(func(db *database) {
		for _, candidate := range db.Stacks {
			if candidate.AutoUpdate != nil && strings.EqualFold(candidate.AutoUpdate.Webhook, id) {
				st = candidate.clone()
			}
		}
	})
	if st.ID == 0 || st.Git == nil {
		return 0, nil, fail(http.StatusNotFound, "Unable to find the stack by webhook ID", errors.New("object not found inside the database (bucket=stacks)"))
	}
	if st.Status == statusDeploying {
		return 0, nil, errInProgress
	}
	e, err := s.endpointByID(st.EndpointID)
	if err != nil {
		return 0, nil, fail(http.StatusConflict, "Autoupdate for the stack isn't available", err)
	}
	checkout, err := s.clone(c.Context(), *st.Git)
	if err != nil {
		return 0, nil, err
	}
	if checkout.Commit == st.Git.ConfigHash && !st.AutoUpdate.ForceUpdate {
		return http.StatusNoContent, nil, nil
	}
	next := st.clone()
	next.Files, next.Git.ConfigHash, next.SettingsEdited = checkout.Files, checkout.Commit, false
	_, _, err = s.redeploy(c, e, st, next, deployOptions{force: true, pull: st.AutoUpdate.ForcePullImage})
	return http.StatusNoContent, nil, err
}

// preview returns a file of a repository.
func (s *Server) preview(c *call) (int, any, error) {
	var p struct {
		Repository, Reference, Username, Password, TargetFile string
		TLSSkipVerify                                         bool
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.TargetFile == "" {
		p.TargetFile = defaultFile
	}
	g := gitConfig{URL: p.Repository, ReferenceName: p.Reference, ConfigFilePath: p.TargetFile}
	if p.Password != "" {
		g.Authentication = &gitAuth{Username: p.Username, Password: p.Password}
	}
	checkout, err := s.clone(c.Context(), g)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"FileContent": string(checkout.Files[p.TargetFile])}, nil
}
