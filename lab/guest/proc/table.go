package proc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Signal is a signal's number. As an error it is why a process ended.
type Signal int

// The signals that programs here have to do with.
const (
	SIGHUP  Signal = 1
	SIGINT  Signal = 2
	SIGQUIT Signal = 3
	SIGKILL Signal = 9
	SIGUSR1 Signal = 10
	SIGUSR2 Signal = 12
	SIGPIPE Signal = 13
	SIGALRM Signal = 14
	SIGTERM Signal = 15
	SIGCHLD Signal = 17
	SIGCONT Signal = 18
	SIGSTOP Signal = 19
)

var signalNames = map[string]Signal{
	"HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "KILL": SIGKILL, "USR1": SIGUSR1, "USR2": SIGUSR2,
	"PIPE": SIGPIPE, "ALRM": SIGALRM, "TERM": SIGTERM, "CHLD": SIGCHLD, "CONT": SIGCONT, "STOP": SIGSTOP,
}

func (s Signal) Error() string { return "killed by signal " + strconv.Itoa(int(s)) }

// Name is the signal's name without SIG.
func (s Signal) Name() string {
	for name, n := range signalNames {
		if n == s {
			return name
		}
	}
	return strconv.Itoa(int(s))
}

// ParseSignal reads a signal's name, with or without SIG, or its number.
func ParseSignal(s string) (Signal, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 65 {
		return Signal(n), nil
	}
	if n, found := signalNames[strings.TrimPrefix(strings.ToUpper(s), "SIG")]; found {
		return n, nil
	}
	return 0, fmt.Errorf("invalid signal %q", s)
}

// Table is the list of running processes.
type Table struct {
	mu   sync.Mutex
	last int
	list map[int]*entry
	idle *sync.Cond
}

type entry struct {
	p       *Proc
	started time.Time
	catch   func(Signal) bool
}

// NewTable makes a table whose first process gets an id above first.
func NewTable(first int) *Table {
	t := &Table{last: first, list: map[int]*entry{}}
	t.idle = sync.NewCond(&t.mu)
	return t
}

func (t *Table) add(p *Proc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	p.PID = t.last
	t.list[p.PID] = &entry{p: p, started: time.Now()}
}

func (t *Table) remove(pid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.list, pid)
	t.idle.Broadcast()
}

// Catch has a process's signals given to f, which reports whether it took one; nil ends that.
func (t *Table) Catch(pid int, f func(Signal) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.list[pid]; e != nil {
		e.catch = f
	}
}

// Kill sends a signal to a process, or to a group if pid is negative, with a user's rights.
func (t *Table) Kill(pid int, sig Signal, uid int) error {
	t.mu.Lock()
	var hit []*entry
	for id, e := range t.list {
		if id == pid || pid < 0 && e.p.Group == -pid {
			hit = append(hit, e)
		}
	}
	t.mu.Unlock()
	if pid == 1 {
		if uid != 0 {
			return syscall.EPERM
		}
		return nil // init takes no harm
	}
	if len(hit) == 0 {
		return syscall.ESRCH
	}
	allowed := false
	for _, e := range hit {
		if uid != 0 && e.p.FS.Cred.UID != uid {
			continue
		}
		allowed = true
		if sig == 0 || sig == SIGCHLD || sig == SIGCONT || sig != SIGKILL && e.p.Ignored[sig] {
			continue
		}
		if sig != SIGKILL && e.catch != nil && e.catch(sig) {
			continue
		}
		e.p.kill(sig)
	}
	if !allowed {
		return syscall.EPERM
	}
	return nil
}

// Listing is one line of the list of processes.
type Listing struct {
	PID, PPID int
	User      string
	Args      []string
	Started   time.Time
}

// List returns all processes, by id.
func (t *Table) List() []Listing {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Listing
	for id, e := range t.list {
		list = append(list, Listing{PID: id, PPID: e.p.PPID, User: e.p.User, Args: e.p.Args, Started: e.started})
	}
	slices.SortFunc(list, func(a, b Listing) int { return a.PID - b.PID })
	return list
}

// Wait waits until no process is left.
func (t *Table) Wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.list) > 0 {
		t.idle.Wait()
	}
}
