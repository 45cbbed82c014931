package portainer

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	good  = "services:\n  web:\n    image: good:1\n"
	newer = "services:\n  web:\n    image: good:2\n"
)

func bg() context.Context { return context.Background() }

// each runs a test against a server of every version.
func each(t *testing.T, test func(t *testing.T, f *fake, c *Client)) {
	for _, p := range profiles {
		t.Run(p.version, func(t *testing.T) {
			f := newFake(t, p).ready()
			f.pulling = 3
			test(t, f, f.open(t))
		})
	}
}

func wanted(env ...Variable) Stack { return Stack{Name: "App", Environment: 1, Env: env} }

// deployed deploys the good file and gives the stack back.
func deployed(t *testing.T, c *Client, env ...Variable) Stack {
	t.Helper()
	if err := c.CreateStack(bg(), wanted(env...), good); err != nil {
		t.Fatal(err)
	}
	return only(t, c)
}

func only(t *testing.T, c *Client) Stack {
	t.Helper()
	list, err := c.Stacks(bg())
	if err != nil || len(list) != 1 {
		t.Fatalf("want one stack: %v %v", list, err)
	}
	return list[0]
}

func images(f *fake) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.containers["1/app"] {
		out = append(out, c.service+"="+c.image+" "+c.state)
	}
	return strings.Join(out, ",")
}

func TestCreateAndUpdate(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		s := deployed(t, c, Variable{"A", EncodeValue("pa$word")})
		if s.Name != "app" || s.State != Active {
			t.Fatalf("created: %+v", s)
		}
		next := s
		next.Env = []Variable{{"A", "b"}}
		if err := c.UpdateStack(bg(), next, newer, s, good); err != nil {
			t.Fatal(err)
		}
		now := only(t, c)
		file, err := c.StackFile(bg(), s.ID)
		if err != nil || file != newer || !SameEnv(now.Env, next.Env) || images(f) != "web=good:2 running" {
			t.Fatalf("updated: %v %q %v %s", err, file, now.Env, images(f))
		}
		if err := c.DeleteStack(bg(), now); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteStack(bg(), now); err != nil {
			t.Fatalf("deleting what is gone: %v", err)
		}
	})
}

func TestFailedUpdateIsPutBack(t *testing.T) {
	for _, image := range []string{"missing", "crash", "unhealthy"} {
		t.Run(image, func(t *testing.T) {
			each(t, func(t *testing.T, f *fake, c *Client) {
				s := deployed(t, c, Variable{"A", "old"})
				next := s
				next.Env = []Variable{{"A", "new"}}
				err := c.UpdateStack(bg(), next, "services: {web: {image: "+image+"}}", s, good)
				var failed *DeployError
				if !errors.As(err, &failed) || !failed.Restored || failed.RestoreErr != nil {
					t.Fatalf("got %v", err)
				}
				if !strings.Contains(err.Error(), "brought back") {
					t.Errorf("not told: %v", err)
				}
				now := only(t, c)
				file, err := c.StackFile(bg(), s.ID)
				if err != nil || file != good || !SameEnv(now.Env, s.Env) || now.State != Active || images(f) != "web=good:1 running" {
					t.Fatalf("after: %v %q %v %v %s", err, file, now.Env, now.State, images(f))
				}
			})
		})
	}
}

func TestNothingIsPutBackWhereNothingRan(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		s := deployed(t, c)
		f.mu.Lock()
		f.containers["1/app"] = nil
		f.mu.Unlock()
		err := c.UpdateStack(bg(), s, "services: {web: {image: missing}}", s, good)
		var failed *DeployError
		if !errors.As(err, &failed) || failed.Restored || failed.RestoreErr != nil {
			t.Fatalf("got %v", err)
		}
		if n := f.count("PUT /api/stacks"); n != 1 {
			t.Errorf("%d updates were sent", n)
		}
	})
}

func TestFailedRestoreIsTold(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		s := deployed(t, c)
		err := c.UpdateStack(bg(), s, "services: {web: {image: missing:new}}", s, "services: {web: {image: missing:old}}")
		var failed *DeployError
		if !errors.As(err, &failed) || failed.Restored || failed.RestoreErr == nil {
			t.Fatalf("got %v", err)
		}
		for _, part := range []string{"missing:new", "could not be brought back", "missing:old"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in %v", part, err)
			}
		}
	})
}

func TestCreateFailures(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		err := c.CreateStack(bg(), wanted(), "services: {web: {image: missing}}")
		if err == nil || !strings.Contains(err.Error(), "manifest unknown") {
			t.Fatalf("got %v", err)
		}
		if err := c.CreateStack(bg(), Stack{Name: "!!", Environment: 1}, good); err == nil {
			t.Error("a name of which nothing is left was sent")
		}
		list, err := c.Stacks(bg())
		if err != nil || (len(list) != 0) != f.p.async {
			t.Fatalf("left behind: %v %v", list, err)
		}
		if !f.p.async {
			return
		}
		if list[0].State != Broken || !strings.Contains(list[0].Message, "manifest unknown") {
			t.Fatalf("got %+v", list[0])
		}
		if err := c.UpdateStack(bg(), list[0], good, list[0], ""); err != nil {
			t.Fatalf("a broken stack can't be repaired: %v", err)
		}
	})
}

func TestConflictAndForeignProject(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		f.containers["1/app"] = []fakeContainer{{service: "web", state: "running", status: "Up", folder: "/home/me/app"}}
		err := c.CreateStack(bg(), wanted(), good)
		var foreign *ForeignProjectError
		if !errors.As(err, &foreign) || f.count("POST /api/stacks") != 0 {
			t.Fatalf("got %v", err)
		}
		s := wanted()
		s.Adopt = true
		if err := c.CreateStack(bg(), s, good); err != nil {
			t.Fatal(err)
		}
		if err := c.CreateStack(bg(), s, good); !IsConflict(err) || IsInProgress(err) {
			t.Fatalf("got %v", err)
		}
	})
}

// once makes a fault of the first request of a method below a path.
func once(method, path string, before, after http.HandlerFunc) func(*http.Request) (http.HandlerFunc, http.HandlerFunc) {
	var done atomic.Bool
	return func(r *http.Request) (http.HandlerFunc, http.HandlerFunc) {
		if r.Method == method && strings.HasPrefix(r.URL.Path, "/api"+path) && done.CompareAndSwap(false, true) {
			return before, after
		}
		return nil, nil
	}
}

func TestAnswersThatAreLost(t *testing.T) {
	faults := map[string]http.HandlerFunc{
		"hang up": hangUp, "500": status(500, "disk I/O error"), "502": status(502, "Bad Gateway"), "524": status(524, ""),
		"web page": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(504)
			w.Write([]byte("<html><title>Gateway Time-out</title></html>"))
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, f *fake, c *Client) {
				f.fault = once("POST", "/stacks", nil, fault)
				s := deployed(t, c)
				f.fault = once("PUT", "/stacks", nil, fault)
				next := s
				next.Env = []Variable{{"A", "b"}}
				if err := c.UpdateStack(bg(), next, newer, s, good); err != nil {
					t.Fatalf("update: %v", err)
				}
				if now := only(t, c); !SameEnv(now.Env, next.Env) || images(f) != "web=good:2 running" {
					t.Fatalf("after: %v %s", now, images(f))
				}
				f.mu.Lock()
				if n := f.nextID; n > 5 { // one stack, one container, that one made anew
					t.Errorf("something was made twice: next id %d", n)
				}
				f.mu.Unlock()
			})
		})
	}
}

func TestLostAndNotDone(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		f.fault = once("POST", "/stacks", hangUp, nil)
		err := c.CreateStack(bg(), wanted(), good)
		if !MaybeDone(err) || f.count("POST /api/stacks") != 1 {
			t.Fatalf("got %v after %d tries", err, f.count("POST /api/stacks"))
		}
		s := deployed(t, c)
		f.fault = once("PUT", "/stacks", hangUp, nil)
		if err := c.UpdateStack(bg(), s, newer, s, good); err != nil {
			t.Fatalf("an update whose answer was lost is not asked for again: %v", err)
		}
		if images(f) != "web=good:2 running" {
			t.Error(images(f))
		}
	})
}

func TestUpdateWaitsForTheOneUnderWay(t *testing.T) {
	f := newFake(t, profiles[4]).ready()
	c := f.open(t)
	s := deployed(t, c)
	f.mu.Lock()
	f.stacks[0].start(4, func() error { return nil }, nil)
	f.mu.Unlock()
	if err := c.UpdateStack(bg(), s, newer, s, good); err != nil {
		t.Fatal(err)
	}
	if n := f.count("PUT /api/stacks"); n != 2 {
		t.Errorf("%d updates were sent", n)
	}
}

func TestDeploymentThatNeverEnds(t *testing.T) {
	f := newFake(t, profiles[4]).ready()
	f.pulling = 1 << 30
	c := f.open(t, func(o *Options) { o.DeployTimeout = 40 * time.Millisecond })
	err := c.CreateStack(bg(), wanted(), good)
	if err == nil || !strings.Contains(err.Error(), "removing the stack helps") {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(bg(), 20*time.Millisecond)
	defer cancel()
	patient := f.open(t)
	s := only(t, patient)
	if err := patient.UpdateStack(ctx, s, newer, s, good); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the context is not honoured: %v", err)
	}
}

func TestOrphansOneShotsAndPrune(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		two := good + "  old: {image: good:1}\n  migrate: {image: once, restart: \"no\"}\n"
		if err := c.CreateStack(bg(), wanted(), two); err != nil {
			t.Fatal(err)
		}
		s := only(t, c)
		if err := c.UpdateStack(bg(), s, good, s, two); err != nil {
			t.Fatal(err)
		}
		if images(f) != "web=good:1 running" {
			t.Error(images(f))
		}
	})
}

func TestStopAndStart(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		s := deployed(t, c)
		for range 2 {
			if err := c.StopStack(bg(), s); err != nil {
				t.Fatal(err)
			}
		}
		if only(t, c).State != Inactive || f.count("/stop") != 1 {
			t.Errorf("stopped: %v", only(t, c).State)
		}
		f.fault = once("POST", "/stacks", nil, hangUp)
		if err := c.StartStack(bg(), s); err != nil || only(t, c).State != Active {
			t.Errorf("started: %v %v", err, only(t, c).State)
		}
	})
}

func TestGitStacks(t *testing.T) {
	each(t, func(t *testing.T, f *fake, c *Client) {
		f.gitFile = good
		s := wanted(Variable{"A", "1"})
		s.Git = &GitSource{URL: "https://git.example/app.git", Reference: "refs/heads/main", Password: "hunter22"}
		if err := c.CreateStack(bg(), s, ""); err != nil {
			t.Fatal(err)
		}
		now := only(t, c)
		if now.Git == nil || now.Git.Commit != "c1" {
			t.Fatalf("got %v", now)
		}
		f.gitFile, f.commit = newer, "c2"
		s.ID = now.ID
		if err := c.UpdateStack(bg(), s, "", now, good); err != nil {
			t.Fatal(err)
		}
		if now = only(t, c); now.Git.Commit != "c2" || !SameEnv(now.Env, s.Env) || images(f) != "web=good:2 running" {
			t.Fatalf("got %v %s", now, images(f))
		}
		s.Git = &GitSource{URL: "https://git.example/other"}
		if err := c.UpdateStack(bg(), s, "", now, good); !errors.Is(err, ErrOtherRepository) {
			t.Fatalf("got %v", err)
		}
	})
}
