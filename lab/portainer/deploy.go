package portainer

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
	"phoenix-run/lab/docker/compose"
)

// deployLimit is how long an asynchronous deploy may take.
const deployLimit = 15 * time.Minute

// deployOptions are how a stack is brought up.
type deployOptions struct{ prune, pull, force bool }

// stackEnv is the file that a stack's variables become: each value as it is, which compose then reads
// as dotenv. That is why $, quotes, # and line breaks in values go wrong.
func stackEnv(st stack) []byte {
	var b bytes.Buffer
	if repo, found := st.Files[path.Join(path.Dir(st.EntryPoint), ".env")]; found && st.Git != nil {
		b.Write(repo)
		b.WriteByte('\n')
	}
	for _, v := range st.Env {
		fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Value)
	}
	return b.Bytes()
}

// lockDeploys waits for its turn: a server does one deploy at a time.
func (s *Server) lockDeploys(ctx context.Context) error {
	select {
	case s.deploys <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *Server) unlockDeploys() { <-s.deploys }

// bringUp deploys a stack's files. The error's text has compose's progress before it, as the real one.
func (s *Server) bringUp(ctx context.Context, e endpoint, st stack, o deployOptions) error {
	client, err := s.client(e)
	if err != nil {
		return fmt.Errorf("failed to deploy a stack: %w", err)
	}
	env := compose.File{Path: path.Join(st.dir(), "stack.env"), Content: stackEnv(st)}
	files := maps.Clone(st.Files)
	files["stack.env"] = env.Content
	source := compose.Source{Name: st.project(), Dir: path.Join(st.dir(), path.Dir(st.EntryPoint)), EnvFiles: []compose.File{env},
		Read: func(name string) ([]byte, error) {
			content, found := files[strings.TrimPrefix(name, st.dir()+"/")]
			if !found && path.Base(name) == "stack.env" {
				content, found = env.Content, true
			}
			if !found {
				return nil, fs.ErrNotExist
			}
			return content, nil
		}}
	for _, name := range append([]string{st.EntryPoint}, st.Additional...) {
		source.Files = append(source.Files, compose.File{Path: path.Join(st.dir(), name), Content: files[name]})
	}
	project, err := compose.Load(ctx, source)
	if err != nil {
		return fmt.Errorf("failed to deploy a stack: failed to load the compose file: %w", err)
	}
	if s.is.OrphansVariable && truthy(project.Environment["COMPOSE_REMOVE_ORPHANS"]) {
		o.prune = true
	}
	var progress bytes.Buffer
	err = compose.Up(ctx, client, project, compose.UpOptions{Pull: o.pull, ForceRecreate: o.force, RemoveOrphans: o.prune}, &progress)
	if err != nil {
		return fmt.Errorf("failed to deploy a stack: %s%s", progress.String(), plain(err))
	}
	return nil
}

func truthy(v string) bool {
	switch strings.ToLower(v) {
	case "1", "true", "yes", "y", "t":
		return true
	}
	return false
}

// takeDown removes a stack's containers and networks; its volumes stay.
func (s *Server) takeDown(ctx context.Context, e endpoint, st stack) error {
	if err := s.lockDeploys(ctx); err != nil {
		return err
	}
	defer s.unlockDeploys()
	return s.down(ctx, e, st)
}

// down is takeDown for who has the lock.
func (s *Server) down(ctx context.Context, e endpoint, st stack) error {
	client, err := s.client(e)
	if err != nil {
		return err
	}
	var progress bytes.Buffer
	if err := compose.Down(ctx, client, st.project(), compose.DownOptions{}, &progress); err != nil {
		return fmt.Errorf("failed to remove a stack: %s%s", progress.String(), plain(err))
	}
	return nil
}

// collides tells whether an environment can be asked for containers of a project; an external project
// of that name is no obstacle, it is taken over.
func (s *Server) collides(ctx context.Context, e endpoint, project string) error {
	client, err := s.client(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = client.Containers(ctx, true, api.Filters{"label": {"com.docker.compose.project=" + project}})
	return err
}

// interrupted gives deploys that the last process left under way their end.
func (s *Server) interrupted() error {
	if s.StuckDeploys {
		return nil
	}
	return s.update(func(db *database) error {
		for i := range db.Stacks {
			if st := &db.Stacks[i]; st.Status == statusDeploying {
				st.Status = statusFailed
				st.Deployment = append(st.Deployment, deployment{statusFailed, s.now().Unix(), "deployment interrupted by a restart of the server"})
			}
		}
		return nil
	})
}

// finish records the end of an asynchronous deploy; a stack deleted meanwhile stays deleted. rollback
// is applied to a stack whose deploy failed.
func (s *Server) finish(id int, err error, rollback func(*stack)) {
	saveErr := s.update(func(db *database) error {
		st := db.stack(id)
		if st == nil {
			return nil
		}
		d := deployment{Status: statusActive, Time: s.now().Unix()}
		if err != nil {
			d.Status, d.Message = statusFailed, err.Error()
			if rollback != nil {
				rollback(st)
			}
		}
		st.Status, st.Deployment = d.Status, append(st.Deployment, d)
		return nil
	})
	if err != nil {
		s.logf("ERR failed to deploy stack | stack=%d error=%q", id, err)
	}
	if saveErr != nil && s.ctx.Err() == nil {
		s.logf("ERR saving the stack | stack=%d error=%q", id, saveErr)
	}
}

// inBackground runs a deploy after its answer has been given.
func (s *Server) inBackground(id int, work func(ctx context.Context) error, rollback func(*stack)) {
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		ctx, cancel := context.WithTimeout(s.ctx, deployLimit)
		defer cancel()
		err := s.lockDeploys(ctx)
		if err == nil {
			if _, gone := s.stackByID(id); gone == nil {
				err = work(ctx)
			}
			s.unlockDeploys()
		}
		s.finish(id, err, rollback)
	}()
}
