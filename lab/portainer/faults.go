package portainer

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Faults decides what goes wrong. It is asked for each API request, maybe from several goroutines.
type Faults interface {
	Request(r *http.Request) Fault
}

// Fault is what goes wrong with one request; the zero value is nothing.
type Fault struct {
	// After does the request's work first and then goes wrong, as a gateway before the server does.
	After bool
	// Delay holds the answer back.
	Delay time.Duration
	// Status is answered, as text, instead of the server's own.
	Status int
	// Drop closes the connection without an answer.
	Drop bool
	// Restart ends the server's process, and the connection with it.
	Restart bool
}

func (s *Server) withFault(w http.ResponseWriter, r *http.Request, next http.Handler) {
	var f Fault
	if s.Faults != nil {
		f = s.Faults.Request(r)
	}
	if f == (Fault{}) {
		next.ServeHTTP(w, r)
		return
	}
	wrong := f.Status != 0 || f.Drop || f.Restart
	if f.After && wrong {
		next.ServeHTTP(&memory{header: http.Header{}}, r)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	}
	switch {
	case !wrong:
		next.ServeHTTP(w, r)
		return
	case f.Restart && s.Exit != nil:
		s.Exit(1)
	case f.Status != 0 && !f.Drop:
		http.Error(w, http.StatusText(f.Status), f.Status)
		return
	}
	panic(http.ErrAbortHandler)
}

// Seeded makes faults that depend only on a seed and on the order of requests: status 500 and 502,
// dropped connections and restarts, before or after the work. Signing in is left alone, as a second
// try there can get a client banned.
type Seeded struct {
	mu     sync.Mutex
	random *rand.Rand
	rate   float64
	left   int
}

// NewSeeded makes faults with the given probability per request, at most most of them.
func NewSeeded(seed uint64, rate float64, most int) *Seeded {
	return &Seeded{random: rand.New(rand.NewPCG(seed, 5)), rate: rate, left: most}
}

// Request implements Faults.
func (f *Seeded) Request(r *http.Request) Fault {
	if strings.HasPrefix(r.URL.Path, "/api/auth") || !strings.HasPrefix(r.URL.Path, "/api/") {
		return Fault{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 || f.random.Float64() >= f.rate {
		return Fault{}
	}
	f.left--
	fault := Fault{After: f.random.IntN(2) == 0}
	switch f.random.IntN(4) {
	case 0:
		fault.Status = http.StatusInternalServerError
	case 1:
		fault.Status = http.StatusBadGateway
	case 2:
		fault.Drop = true
	default:
		fault.Restart = true
	}
	return fault
}
