package portainer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Config is one server's.
type Config struct {
	Options
	Version Version
	Host    string // the guest's name, for the request log
	Store   Store
	// Socket is the Docker Engine whose socket is mounted; nil for none.
	Socket http.Handler
	// Secret is AGENT_SECRET.
	Secret string
	// SetupToken is the token for the first administrator; "" makes one. NoSetupToken asks for none.
	SetupToken   string
	NoSetupToken bool
	// AdminHash is the bcrypt hash of a first administrator's password; "" leaves it to the API.
	AdminHash string
	Env       []string // shown by system/version
	Output    io.Writer
	// Exit ends the server's process, for faults and after a restore; nil ignores it.
	Exit func(code int)
}

// Server is a Portainer server's process: what it keeps only in memory is lost with it.
type Server struct {
	Config
	is      behaviour
	started time.Time
	ctx     context.Context // ends with the process
	cancel  context.CancelFunc
	work    sync.WaitGroup // deploys and snapshots under way
	jwtKey  []byte
	sign    signer
	handler http.Handler
	limit   limiter
	// deploys has room for one: all deploys of a server follow one another.
	deploys chan struct{}

	mu        sync.Mutex // guards all below
	db        *database
	locked    bool // no administrator within five minutes
	token     string
	snapshots map[int]snapshot
	agents    map[int]string // version by environment
	// transports keep the connections to agents, by address and TLS options.
	transports map[string]*http.Transport
}

// adminTimeout is how long after its start a server takes a first administrator.
const adminTimeout = 5 * time.Minute

// New starts a server's process; its owner calls Close.
func New(c Config) (*Server, error) {
	db, err := open(c.Store, c.Version)
	if err != nil {
		return nil, err
	}
	if c.Output == nil {
		c.Output = io.Discard
	}
	s := &Server{
		Config: c, is: c.Version.behaviour(), started: c.now(), jwtKey: make([]byte, 32), db: db,
		deploys: make(chan struct{}, 1), snapshots: map[int]snapshot{}, agents: map[int]string{}, transports: map[string]*http.Transport{},
	}
	s.limit.now = c.now
	if _, err := rand.Read(s.jwtKey); err != nil {
		return nil, err
	}
	key, err := db.key(db.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("portainer: the key for agents: %w", err)
	}
	s.sign = signer{key, c.Secret}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.firstAdmin(); err != nil {
		return nil, err
	}
	if err := s.interrupted(); err != nil {
		return nil, err
	}
	s.handler = s.middleware(s.routes())
	interval := c.SnapshotInterval
	if interval <= 0 {
		interval = 5 * time.Minute
	}
	s.work.Add(1)
	go s.snapshotEvery(interval)
	s.logf("INF starting Portainer | version=%s", c.Version)
	return s, nil
}

// firstAdmin makes the administrator of the flags, and the setup token where there is none.
func (s *Server) firstAdmin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.db.hasAdmin() && s.AdminHash != "":
		s.logf("INF instance already has an administrator user defined, skipping admin password related flags.")
	case s.AdminHash != "":
		s.logf("INF created admin user with the given password.")
		s.db.Users = append(s.db.Users, user{ID: s.db.next("user"), Username: "admin", Password: s.AdminHash, Role: 1})
		return s.Store.Save(s.db)
	case !s.db.hasAdmin() && s.is.SetupToken && !s.NoSetupToken:
		s.token = s.SetupToken
		if s.token == "" {
			b := make([]byte, 32)
			if _, err := rand.Read(b); err != nil {
				return err
			}
			s.token = hex.EncodeToString(b)
			// As the real log has it: the value follows an escape sequence.
			fmt.Fprintf(s.Output, "\x1b[90m%s\x1b[0m \x1b[32mINF\x1b[0m \x1b[1mmain.go:412\x1b[0m\x1b[36m >\x1b[0m a setup token is required to create the first administrator or to restore a backup | \x1b[36msetup_token=\x1b[0m%s\n", s.now().Format("2006/01/02 03:04PM"), s.token) //nolint:errcheck // the log is all there is
		}
	}
	return nil
}

func (s *Server) logf(format string, args ...any) {
	fmt.Fprintf(s.Output, s.now().Format("2006/01/02 03:04PM ")+format+"\n", args...) //nolint:errcheck // the log is all there is
}

// Close ends the process and waits for its deploys to give up.
func (s *Server) Close() error {
	s.end()
	s.work.Wait()
	return nil
}

// end tells everything to stop, and waits for nothing.
func (s *Server) end() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// view calls f with the data, which f must not keep or change.
func (s *Server) view(f func(db *database)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.db)
}

// update calls f, which changes the data or returns an error before it does, and saves.
func (s *Server) update(f func(db *database) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := f(s.db); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return errors.New("the server is shutting down")
	}
	return s.Store.Save(s.db)
}

// lockedOut tells whether the five minutes for a first administrator are over. It stays so until the
// process ends.
func (s *Server) lockedOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.locked && !s.db.hasAdmin() && s.now().Sub(s.started) > adminTimeout {
		s.locked = true
	}
	return s.locked
}
