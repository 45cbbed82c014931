package proxmox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"phoenix-run/lab/machine"
)

// Server is one simulated Proxmox VE environment: all its nodes answer at one address.
type Server struct {
	opts   Options
	flavor flavor
	speed  Speed
	routes []*route
	count  counter
	locks  *flocks
	booted time.Time

	ctx      context.Context
	cancel   context.CancelCauseFunc
	workers  sync.WaitGroup
	http     *http.Server
	listener net.Listener
	served   chan struct{}
	cert     certificate
	key      []byte // signs tickets

	journal *journal

	mu       sync.Mutex // guards all below
	store    *store
	cluster  *Cluster
	guests   map[int]*guest
	machines map[int]machine.Machine
	agents   map[int]*agentState
	tasks    map[string]*task
	order    []*task // by start
	pid      int
	expired  time.Time // tickets older than this are refused
	closing  bool
}

// New opens the state in opts.Dir, starts the machines that ran when it was left, and serves.
// Close ends it; ctx bounds the opening alone.
func New(ctx context.Context, opts Options) (*Server, error) {
	f, err := opts.Version.flavor()
	if err != nil {
		return nil, err
	}
	if opts.Backend == nil {
		return nil, errors.New("lab: a Proxmox server needs a backend to run its machines")
	}
	s := &Server{
		opts: opts, flavor: f, speed: opts.Speed.withDefaults(), locks: newFlocks(), booted: time.Now(),
		guests: map[int]*guest{}, machines: map[int]machine.Machine{}, agents: map[int]*agentState{},
		tasks: map[string]*task{}, served: make(chan struct{}), pid: 1000,
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.routes = s.api()
	if err := s.open(ctx); err != nil {
		s.cancel(err)
		if s.journal != nil {
			err = errors.Join(err, s.journal.file.Close())
		}
		return nil, err
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) (err error) {
	if s.store, err = openStore(s.opts.Dir); err != nil {
		return err
	}
	if s.cert, err = openCertificate(s.opts.Dir, s.opts.Listen); err != nil {
		return err
	}
	if s.key, err = openKey(filepath.Join(s.opts.Dir, "authkey")); err != nil {
		return err
	}
	var left []*task
	if s.journal, left, err = openJournal(filepath.Join(s.opts.Dir, "tasks.jsonl")); err != nil {
		return err
	}
	s.cluster = &Cluster{}
	found, err := s.store.load("cluster.json", s.cluster)
	if err != nil {
		return err
	}
	if found {
		err = s.resume(ctx, left)
	} else {
		err = s.seed(ctx)
	}
	if err != nil {
		return err
	}
	return s.listen()
}

func (s *Server) listen() error {
	addr := s.opts.Listen
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("the lab's Proxmox API: %w", err)
	}
	s.listener = l
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		TLSConfig:         s.cert.config(),
		TLSNextProto:      noHTTP2,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(discard{}, "", 0),
	}
	go func() {
		defer close(s.served)
		if err := s.http.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.report(err)
		}
	}()
	return nil
}

// discard drops what net/http has to say about clients that hang up or distrust the certificate.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is the base of the API without /api2/json.
func (s *Server) URL() string { return "https://" + s.listener.Addr().String() }

// Fingerprint is the certificate's SHA-256 as Proxmox shows it: AA:BB:…
func (s *Server) Fingerprint() string { return s.cert.fingerprint }

// Close stops the workers, records which machines run, and closes the backend.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	s.mu.Unlock()
	err := s.http.Close()
	<-s.served
	s.cancel(errInterrupted)
	s.workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.guests {
		s.refresh(id)
	}
	return errors.Join(err, s.saveAll(), s.journal.file.Close(), s.opts.Backend.Close())
}

func (s *Server) saveAll() error {
	_, err := s.store.save("cluster.json", s.cluster)
	for id, g := range s.guests {
		_, saveErr := s.store.save(guestFile(id), g)
		err = errors.Join(err, saveErr)
	}
	return err
}

// refresh takes over a machine's power state: a guest may have powered off by itself. s.mu is held.
func (s *Server) refresh(id int) {
	m, g := s.machines[id], s.guests[id]
	if m == nil || g == nil {
		return
	}
	power := m.Power()
	g.Running, g.Paused = power != machine.Stopped, power == machine.Paused
}

func (s *Server) now() time.Time { return time.Now() }

// report tells of a failure that no client can be told about.
func (s *Server) report(err error) {
	if s.opts.Report != nil {
		s.opts.Report(err)
		return
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
}

// openKey reads the key that signs tickets, making it at first.
func openKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, replaceFile(path, key)
}
