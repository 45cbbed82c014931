package portainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"phoenix-run/portainer/compose"
)

// DeployError is a deployment that failed. Restored tells that what ran before runs again; RestoreErr
// why it could not be brought back. Where neither is set, nothing was tried: nothing ran before,
// nothing was touched, or nobody knows how the deployment ended.
type DeployError struct {
	Stack      string
	Err        error
	Restored   bool
	RestoreErr error
}

func (e *DeployError) Error() string {
	text := fmt.Sprintf("stack %s: %v", e.Stack, e.Err)
	switch {
	case e.Restored:
		text += "\nwhat ran before was brought back and runs"
	case e.RestoreErr != nil:
		text += fmt.Sprintf("\nand what ran before could not be brought back: %v", e.RestoreErr)
	}
	return text
}

// Unwrap gives both errors to errors.Is and errors.As.
func (e *DeployError) Unwrap() []error { return []error{e.Err, e.RestoreErr} }

// ErrOtherRepository is returned for an update that would give a stack another repository, or another
// compose file of it, or a repository instead of a text. Most versions can't do that.
var ErrOtherRepository = errors.New("a deployed stack can't be given another repository: remove it (its volumes stay), then deploy it again")

// Working is a stack as it ran: what an update that fails is to bring back.
type Working struct {
	Stack Stack
	Text  string // the compose file; of a repository's stack too
}

// UpdateStack deploys a stack anew, with a compose file's text or from the repository of s.Git, and
// waits until its containers run. All variables are given each time: those that s.Env does not hold go.
//
// old and oldText are what is deployed now. Where the update fails and what was there before ran, that
// is put back, as UpdateOver does.
func (c *Client) UpdateStack(ctx context.Context, s Stack, text string, old Stack, oldText string) error {
	var back *Working
	if c.Works(ctx, old, oldText) {
		back = &Working{old, oldText}
	}
	return c.UpdateOver(ctx, s, text, old, back)
}

// UpdateOver is UpdateStack for those who know what ran last, which need not be what is deployed now: an
// update may have failed, and whoever was to repair it may have been cut off. back is nil where nothing
// is to be brought back.
//
// Versions before 2.41 take the whole project down when an update fails, later ones leave it half
// updated. Both errors are told, as a DeployError. A deployment that is under way already is waited for.
func (c *Client) UpdateOver(ctx context.Context, s Stack, text string, now Stack, back *Working) error {
	if s.Git != nil {
		text = ""
		if now.Git == nil || !s.Git.same(now.Git) {
			return &DeployError{Stack: s.Name, Err: ErrOtherRepository}
		}
	}
	if c.options.ReadOnly {
		return fmt.Errorf("updating the stack %s: %w", s.Name, ErrPlanWrite)
	}
	c.options.Progress("stack "+now.Name, "deploying")
	err := c.put(ctx, s, text)
	if err == nil {
		return nil
	}
	failure := &DeployError{Stack: s.Name, Err: err}
	if back == nil || ctx.Err() != nil || MaybeDone(err) || untouched(err) {
		return failure
	}
	c.options.Progress("stack "+now.Name, "the update failed; putting back what ran before")
	old := back.Stack
	old.ID, old.Name, old.Environment = now.ID, now.Name, now.Environment
	if s.Git == nil {
		old.Git = nil // the update has cut it off from its repository
	} else if old.Git != nil {
		git := *old.Git
		git.User, git.Password = s.Git.User, s.Git.Password
		old.Git = &git
	}
	failure.RestoreErr = c.restore(ctx, old, back.Text)
	failure.Restored = failure.RestoreErr == nil
	return failure
}

// Works reports whether a stack with that compose file runs now.
func (c *Client) Works(ctx context.Context, s Stack, text string) bool {
	services, err := compose.Services(text)
	if err != nil || s.State != Active {
		return false
	}
	containers, err := c.Containers(ctx, s.Environment, s.Name)
	if err != nil || len(containers) == 0 {
		return false
	}
	_, bad := Judge(containers, services...)
	return bad == ""
}

// untouched reports whether the server has refused a deployment before it did anything.
func untouched(err error) bool {
	e := as(err)
	return e.Status >= 300 && e.Status < 500
}

// restore puts an earlier compose file and variables back. Of a stack of a repository it can put back
// the variables and the branch alone: a server deploys the newest commit, whatever ran before.
func (c *Client) restore(ctx context.Context, old Stack, oldText string) error {
	if old.Git == nil {
		return c.put(ctx, old, oldText)
	}
	if err := c.put(ctx, old, ""); err != nil {
		return err
	}
	now, err := c.Stack(ctx, old.ID)
	if err == nil && now.Git != nil && old.Git.Commit != "" && now.Git.Commit != old.Git.Commit {
		err = fmt.Errorf("with the variables of before it runs, but as commit %s: a server can't be asked for %s again", now.Git.Commit, old.Git.Commit)
	}
	return err
}

// putTries is how often an update is sent whose answer does not come. The second waits, in the server,
// for the first to end, and finds nothing to do if that came through.
const putTries = 3

// put sends an update and waits for its end.
func (c *Client) put(ctx context.Context, s Stack, text string) error {
	before, err := patiently(ctx, c, func(ctx context.Context) (Stack, error) { return c.Stack(ctx, s.ID) })
	if err != nil {
		return err
	}
	for try := 1; ; {
		err := c.do(ctx, update(s, text, c.options))
		switch {
		case err == nil:
			return c.settled(ctx, s.ID, text)
		case IsInProgress(err):
			if _, err := c.finished(ctx, s.ID); err != nil {
				return err
			}
			if err := pause(ctx, c.options.Poll); err != nil {
				return err
			}
			continue
		case !MaybeDone(err) && as(err).Status < 500:
			return err
		}
		now, lookErr := c.finished(ctx, s.ID)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		done := c.carriedOut(ctx, before, now, s, text)
		switch {
		case done && (s.Git != nil || !MaybeDone(err)):
			return c.settled(ctx, s.ID, text)
		case !MaybeDone(err), try == putTries:
			return err
		}
		try++
		c.options.Progress("stack "+before.Name, "no answer came; asking once more")
		if err := pause(ctx, c.options.Poll); err != nil {
			return err
		}
	}
}

// update is the request for a deployment of what s and text say.
func update(s Stack, text string, o Options) call {
	q := call{
		op: "updating the stack " + s.Name, method: http.MethodPut, path: stackPath(s.ID),
		query: inEnvironment(s), timeout: o.DeployTimeout,
		body: map[string]any{"StackFileContent": text, "Env": env(s.Env), "Prune": true},
	}
	if g := s.Git; g != nil {
		// Without these, versions before 2.41 forget variables, branch and sign-in.
		body := map[string]any{"Env": env(s.Env), "RepositoryReferenceName": g.Reference, "Prune": true}
		authenticate(body, g)
		q.path, q.body = q.path+"/git/redeploy", body
	}
	return q
}

// carriedOut reports whether the stack, as the server has it now, is what an update with a fault for an
// answer was to make of it, and runs.
func (c *Client) carriedOut(ctx context.Context, before, now Stack, s Stack, text string) bool {
	if now.State != Active || !SameEnv(now.Env, s.Env) {
		return false
	}
	file, err := c.StackFile(ctx, s.ID)
	if err != nil {
		return false
	}
	switch {
	case s.Git == nil:
		if now.Git != nil || file != text {
			return false
		}
	case now.Git == nil || now.Updated == before.Updated && now.Git.Commit == before.Git.Commit:
		return false
	}
	return c.Works(ctx, now, file)
}
