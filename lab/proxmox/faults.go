package proxmox

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Faults decides what goes wrong. It is asked once for each request that reaches the API, before
// anything else is done, and possibly by several goroutines at once.
type Faults interface {
	Fault(Request) Fault
}

// FaultFunc is a function as Faults.
type FaultFunc func(Request) Fault

// Fault calls the function.
func (f FaultFunc) Fault(r Request) Fault { return f(r) }

// Request is what a fault script can look at.
type Request struct {
	Seq    int    // of all requests, from 1
	Nth    int    // of the requests with this method and path, from 1
	Method string // as in the request
	Path   string // without /api2/json
}

// Reply is an answer that a fault gives: status and reason phrase, and Proxmox's empty data.
type Reply struct {
	Status int
	Reason string
}

// Fault is what goes wrong with one request. The zero Fault is: nothing.
type Fault struct {
	Delay     time.Duration // before anything is done
	Refuse    *Reply        // answered instead of doing the work
	CutBefore bool          // the connection ends with nothing done
	Replace   *Reply        // the work is done, and this is answered
	CutAfter  bool          // the work is done, and the connection ends without an answer
	Expire    bool          // all tickets given out so far have expired
	AgentGone bool          // the guest agent does not answer this request
	Task      TaskFault     // for the task that the request starts
}

// TaskFault is what goes wrong with a task.
type TaskFault struct {
	Slow     time.Duration // added to its duration
	Fail     string        // it fails with this exit status, having done nothing
	Warnings []string      // it ends well, with these warnings
}

// The faults that Proxmox is known for.
var (
	// ConnectionTimedOut is what a front end answers when the daemon or node behind it takes over 30
	// seconds: the work may still be carried out.
	ConnectionTimedOut = Reply{596, "Connection timed out"}
	// NodeUnreachable is the answer for a node that is off.
	NodeUnreachable = Reply{595, "No route to host"}
	// TooManyRedirections is seen while a node's services restart.
	TooManyRedirections = Reply{599, "Too many redirections"}
)

// LockTimeout is the answer when someone else holds the configuration of VM id.
func LockTimeout(id string) Reply {
	return Reply{http.StatusInternalServerError, "can't lock file '/var/lock/qemu-server/lock-" + id + ".conf' - got timeout"}
}

// Random makes a share of the requests go wrong: rate of them, between 0 and 1, each in one of the
// ways that suit it. The same seed gives the same fault to the nth request of a method and path,
// whatever order concurrent requests come in.
func Random(seed uint64, rate float64) Faults {
	return FaultFunc(func(r Request) Fault {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %s %d", r.Method, r.Path, r.Nth)
		rng := rand.New(rand.NewPCG(seed, h.Sum64()))
		if rng.Float64() >= rate {
			return Fault{}
		}
		ways := faultsFor(r)
		return ways[rng.IntN(len(ways))]
	})
}

// faultsFor are the ways in which a request can go wrong.
func faultsFor(r Request) []Fault {
	ways := []Fault{
		{Refuse: &NodeUnreachable}, {Replace: &ConnectionTimedOut}, {Refuse: &TooManyRedirections},
		{CutBefore: true}, {CutAfter: true}, {Delay: 50 * time.Millisecond}, {Expire: true},
	}
	parts := strings.Split(strings.Trim(r.Path, "/"), "/")
	if len(parts) < 4 || parts[2] != "qemu" {
		return ways
	}
	id := parts[3]
	if len(parts) > 4 && parts[4] == "agent" {
		return append(ways, Fault{AgentGone: true})
	}
	if r.Method == http.MethodGet {
		return ways
	}
	lock := LockTimeout(id)
	ways = append(ways, Fault{Refuse: &lock})
	if r.Method == http.MethodPut && !slices.Contains(parts, "resize") {
		return ways
	}
	return append(ways,
		Fault{Task: TaskFault{Fail: lock.Reason}},
		Fault{Task: TaskFault{Slow: 300 * time.Millisecond}},
		Fault{Task: TaskFault{Warnings: []string{"the lab's fault script asked for this warning"}}})
}

// counter numbers requests for fault scripts.
type counter struct {
	mu   sync.Mutex
	all  int
	each map[string]int
}

func (n *counter) next(method, path string) Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.each == nil {
		n.each = map[string]int{}
	}
	n.all++
	n.each[method+" "+path]++
	return Request{Seq: n.all, Nth: n.each[method+" "+path], Method: method, Path: path}
}
