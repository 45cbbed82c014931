package portainer

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Git has the repositories that stacks are cloned from.
type Git interface {
	// Clone returns a repository's files at a reference ("refs/heads/main"; "" is HEAD). Its errors are
	// ErrGitCredentials, a *RefError, or any other text.
	Clone(ctx context.Context, url, ref, user, password string) (Checkout, error)
}

// Checkout is a repository at one commit.
type Checkout struct {
	Commit string
	Files  map[string][]byte // by path from the root
}

// ErrGitCredentials is a repository that wants other credentials.
var ErrGitCredentials = errors.New("authentication required")

// RefError is a reference that a repository does not have.
type RefError struct{ Ref string }

func (e *RefError) Error() string {
	return fmt.Sprintf("could not find ref %q in the repository", e.Ref)
}

// Repositories is a Git in memory.
type Repositories struct {
	mu   sync.Mutex
	list map[string]*repository
}

type repository struct {
	user, password string
	branches       map[string]Checkout // by full reference
	head           string
}

// Commit puts files into a branch ("main") of a repository, made if it isn't there, and returns the
// commit. The first branch is HEAD.
func (r *Repositories) Commit(url, branch string, files map[string]string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = map[string]*repository{}
	}
	key := strings.TrimSuffix(url, ".git")
	repo := r.list[key]
	ref := "refs/heads/" + branch
	if repo == nil {
		repo = &repository{branches: map[string]Checkout{}, head: ref}
		r.list[key] = repo
	}
	c := Checkout{Files: map[string][]byte{}}
	hash := sha1.New() //nolint:gosec // git's own
	fmt.Fprint(hash, repo.branches[ref].Commit)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c.Files[name] = []byte(files[name])
		fmt.Fprintf(hash, "%s\x00%s\x00", name, files[name])
	}
	c.Commit = fmt.Sprintf("%x", hash.Sum(nil))
	repo.branches[ref] = c
	return c.Commit
}

// Protect makes a repository ask for credentials.
func (r *Repositories) Protect(url, user, password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if repo := r.list[strings.TrimSuffix(url, ".git")]; repo != nil {
		repo.user, repo.password = user, password
	}
}

// Clone implements Git.
func (r *Repositories) Clone(ctx context.Context, url, ref, user, password string) (Checkout, error) {
	if err := ctx.Err(); err != nil {
		return Checkout{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.list[strings.TrimSuffix(url, ".git")]
	if repo == nil {
		return Checkout{}, errors.New("repository not found")
	}
	if repo.password != "" && (user != repo.user || password != repo.password) {
		return Checkout{}, ErrGitCredentials
	}
	if ref == "" || ref == "HEAD" {
		ref = repo.head
	}
	c, found := repo.branches[ref]
	if !found {
		return Checkout{}, &RefError{ref}
	}
	return c, nil
}

// gitConfig is where a stack's files come from.
type gitConfig struct {
	URL            string   `json:"URL"`
	ReferenceName  string   `json:"ReferenceName"`
	ConfigFilePath string   `json:"ConfigFilePath"`
	Authentication *gitAuth `json:"Authentication"`
	ConfigHash     string   `json:"ConfigHash"`
	TLSSkipVerify  bool     `json:"TLSSkipVerify"`
}

type gitAuth struct {
	Username        string `json:"Username"`
	Password        string `json:"Password"`
	GitCredentialID int    `json:"GitCredentialID"`
}

// clone fetches a stack's repository, with this version's error texts.
func (s *Server) clone(ctx context.Context, g gitConfig) (Checkout, error) {
	if s.Git == nil {
		return Checkout{}, s.cloneError(fmt.Errorf("failed to clone git repository: Get %q: dial tcp: lookup: no such host", g.URL))
	}
	user, password := "", ""
	if g.Authentication != nil {
		user, password = g.Authentication.Username, g.Authentication.Password
	}
	c, err := s.Git.Clone(ctx, g.URL, g.ReferenceName, user, password)
	if errors.Is(err, ErrGitCredentials) && s.is.OldGitCredential {
		//lint:ignore ST1005 Portainer's own words
		err = errors.New("Invalid git credential")
	}
	if err != nil {
		return c, s.cloneError(fmt.Errorf("failed to clone git repository: %w", err))
	}
	if _, found := c.Files[strings.TrimPrefix(g.ConfigFilePath, "./")]; !found {
		return c, s.cloneError(fmt.Errorf("failed to read file %s: no such file or directory", g.ConfigFilePath))
	}
	return c, nil
}

func (s *Server) cloneError(cause error) error {
	if s.is.GitDetails {
		return fail(500, "Failed to prepare stack", cause)
	}
	return fail(500, cause.Error(), cause)
}
