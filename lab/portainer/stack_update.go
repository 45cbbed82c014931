package portainer

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

var errInProgress = fail(http.StatusConflict, "Unable to update stack", errors.New("stack deployment is already in progress"))

// updateStack replaces a stack's file and variables, and deploys. A stack from git is one no more.
func (s *Server) updateStack(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	e, err := s.endpointOf(c)
	if err != nil {
		return 0, nil, err
	}
	var p struct {
		StackFileContent                         string
		Env                                      []pair
		Prune, PullImage, RepullImageAndRedeploy bool
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.StackFileContent == "" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid stack file content"))
	}
	next := st.clone()
	next.Env, next.Git, next.AutoUpdate, next.SettingsEdited = p.Env, nil, nil, false
	next.EndpointID, next.Prune = e.ID, p.Prune
	if next.Files == nil {
		next.Files = map[string][]byte{}
	}
	next.Files[next.EntryPoint] = []byte(p.StackFileContent)
	pull := p.PullImage || p.RepullImageAndRedeploy && !s.Version.before(2, 36, 0)
	o := deployOptions{prune: p.Prune && s.is.Prune, pull: pull, force: pull}
	return s.redeploy(c, e, st, next, o)
}

// redeploy brings a stack from old to next.
func (s *Server) redeploy(c *call, e endpoint, old, next stack, o deployOptions) (int, any, error) {
	next.UpdateDate, next.UpdatedBy = s.now().Unix(), c.user.Username
	if s.is.Async {
		next.Status = statusDeploying
		err := s.update(func(db *database) error {
			st := db.stack(old.ID)
			if st == nil {
				return notFound("a stack", "stacks", old.ID)
			}
			if st.Status == statusDeploying {
				return errInProgress
			}
			next.Deployment = []deployment{{Status: statusDeploying, Time: s.now().Unix()}}
			*st = next.clone()
			return nil
		})
		if err != nil {
			return 0, nil, err
		}
		c.changed = true
		s.inBackground(old.ID, func(ctx context.Context) error { return s.bringUp(ctx, e, next, o) },
			func(st *stack) { st.Files = old.clone().Files }) // the file goes back, the variables stay new
		return http.StatusOK, s.shownStack(next), nil
	}
	c.changed = true
	ctx := s.ctx
	if err := s.lockDeploys(ctx); err != nil {
		return 0, nil, err
	}
	err := s.bringUp(ctx, e, next, o)
	if err != nil && s.is.DownOnFailedUpdate {
		// portainer#8181: the clean-up meant for a failed creation takes the running services down too.
		if downErr := s.down(ctx, e, next); downErr != nil {
			s.logf("WRN failed to clean up after a failed deploy | stack=%s error=%q", next.Name, downErr)
		}
	}
	s.unlockDeploys()
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, err.Error(), err)
	}
	next.Status = statusActive
	err = s.update(func(db *database) error {
		st := db.stack(old.ID)
		if st == nil {
			return notFound("a stack", "stacks", old.ID)
		}
		*st = next.clone()
		return nil
	})
	return http.StatusOK, s.shownStack(next), err
}

func (s *Server) startStack(c *call) (int, any, error) {
	st, e, err := s.stackAndEndpoint(c)
	if err != nil {
		return 0, nil, err
	}
	if st.Status == statusActive {
		return 0, nil, fail(http.StatusBadRequest, "Stack is already active", errors.New("stack is already active"))
	}
	return s.redeploy(c, e, st, st.clone(), deployOptions{})
}

func (s *Server) stopStack(c *call) (int, any, error) {
	st, e, err := s.stackAndEndpoint(c)
	if err != nil {
		return 0, nil, err
	}
	if st.Status == statusInactive {
		return 0, nil, fail(http.StatusBadRequest, "Stack is already inactive", errors.New("stack is already inactive"))
	}
	if err := s.takeDown(s.ctx, e, st); err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Unable to stop stack", err)
	}
	c.changed = true
	err = s.update(func(db *database) error {
		if found := db.stack(st.ID); found != nil {
			found.Status = statusInactive
			st = found.clone()
		}
		return nil
	})
	return http.StatusOK, s.shownStack(st), err
}

// stackAndEndpoint is for calls where endpointId may be left out.
func (s *Server) stackAndEndpoint(c *call) (stack, endpoint, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return st, endpoint{}, err
	}
	id := st.EndpointID
	if v := c.URL.Query().Get("endpointId"); v != "" {
		if id, err = strconv.Atoi(v); err != nil {
			return st, endpoint{}, fail(http.StatusBadRequest, "Invalid query parameter: endpointId", err)
		}
	}
	e, err := s.endpointByID(id)
	return st, e, err
}

// associate gives an orphaned stack another environment.
func (s *Server) associate(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	e, err := s.endpointOf(c)
	if err != nil {
		return 0, nil, err
	}
	err = s.update(func(db *database) error {
		found := db.stack(st.ID)
		if found == nil {
			return notFound("a stack", "stacks", st.ID)
		}
		if db.endpoint(found.EndpointID) != nil {
			return fail(http.StatusBadRequest, "Stack is not orphaned", errors.New("stack is not orphaned"))
		}
		found.EndpointID, found.CreatedBy = e.ID, c.user.Username
		found.Status = statusInactive
		if c.URL.Query().Get("orphanedRunning") == "true" {
			found.Status = statusActive
		}
		st = found.clone()
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, s.shownStack(st), err
}

// migrate moves a stack to another environment, maybe under another name.
func (s *Server) migrate(c *call) (int, any, error) {
	st, from, err := s.stackAndEndpoint(c)
	if err != nil {
		return 0, nil, err
	}
	var p struct {
		EndpointID int
		Name       string
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	to, err := s.endpointByID(p.EndpointID)
	if err != nil {
		return 0, nil, err
	}
	next := st.clone()
	next.EndpointID = to.ID
	if p.Name != "" {
		next.Name = Normalize(p.Name)
	}
	var taken error
	s.view(func(db *database) { taken = nameCollision(db, to.ID, next.Name) })
	if taken != nil {
		return 0, nil, taken
	}
	if err := s.lockDeploys(s.ctx); err != nil {
		return 0, nil, err
	}
	err = s.bringUp(s.ctx, to, next, deployOptions{})
	if err == nil {
		err = s.down(s.ctx, from, st)
	}
	s.unlockDeploys()
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, err.Error(), err)
	}
	c.changed = true
	return http.StatusOK, s.shownStack(next), s.update(func(db *database) error {
		if found := db.stack(st.ID); found != nil {
			*found = next.clone()
		}
		return nil
	})
}
