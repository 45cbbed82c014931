package proxmox

import (
	"context"
	"io"
	"time"

	"phoenix-run/lab/machine"
	"phoenix-run/lab/record"
)

// Options make a Server.
type Options struct {
	Dir     string          // its state, made if needed
	Listen  string          // address and port; default 127.0.0.1:0
	Version Version         // default V9
	Backend machine.Backend // runs the machines; the Server closes it
	Log     *record.Log     // of requests; nil for none
	Faults  Faults          // nil for none
	Latency time.Duration   // added to each request
	// AuthDelay is how long a refusal with 401 takes, 3 s in Proxmox. 0 is no delay.
	AuthDelay time.Duration
	Speed     Speed // zero fields take the default, see Speed
	// Seed is what the state starts as in an empty Dir; nil is DefaultSeed.
	Seed *Seed
	// Fetch gets what download-url names; nil is HTTP from this machine.
	Fetch func(ctx context.Context, url string, verify bool) (io.ReadCloser, error)
	// Report hears of failures that no request can be told about; nil drops them to standard error.
	Report func(error)
}

// Speed is how long tasks take, and how long Proxmox waits for locks. A zero field takes its default;
// a negative one means none.
type Speed struct {
	Clone    time.Duration // linked, and per full one before the copy; 300 ms
	Copy     time.Duration // of a disk, for full clones and moves; 300 ms
	Create   time.Duration // 100 ms
	Start    time.Duration // 200 ms
	Stop     time.Duration // 100 ms
	Config   time.Duration // of POST config; 20 ms
	Resize   time.Duration // 50 ms
	Destroy  time.Duration // 100 ms
	Snapshot time.Duration // and rollback; 100 ms
	Migrate  time.Duration // 300 ms
	Template time.Duration // 100 ms
	HA       time.Duration // until the HA manager acts on a request; 300 ms

	ConfigLock  time.Duration // wait for a configuration's lock; 10 s
	CreateLock  time.Duration // 5 s
	CloneLock   time.Duration // 1 s
	StorageLock time.Duration // 10 s
	AgentPing   time.Duration // wait for the agent's answer before a command; 3 s
	AgentReply  time.Duration // wait for the answer to the command; 5 s
	Shutdown    time.Duration // wait for a guest to power off if the request names no timeout; 180 s
}

func (s Speed) withDefaults() Speed {
	for _, d := range []struct {
		field    *time.Duration
		fallback time.Duration
	}{
		{&s.Clone, 300 * time.Millisecond},
		{&s.Copy, 300 * time.Millisecond},
		{&s.Create, 100 * time.Millisecond},
		{&s.Start, 200 * time.Millisecond},
		{&s.Stop, 100 * time.Millisecond},
		{&s.Config, 20 * time.Millisecond},
		{&s.Resize, 50 * time.Millisecond},
		{&s.Destroy, 100 * time.Millisecond},
		{&s.Snapshot, 100 * time.Millisecond},
		{&s.Migrate, 300 * time.Millisecond},
		{&s.Template, 100 * time.Millisecond},
		{&s.HA, 300 * time.Millisecond},
		{&s.ConfigLock, 10 * time.Second},
		{&s.CreateLock, 5 * time.Second},
		{&s.CloneLock, time.Second},
		{&s.StorageLock, 10 * time.Second},
		{&s.AgentPing, 3 * time.Second},
		{&s.AgentReply, 5 * time.Second},
		{&s.Shutdown, 180 * time.Second},
	} {
		switch {
		case *d.field == 0:
			*d.field = d.fallback
		case *d.field < 0:
			*d.field = 0
		}
	}
	return s
}
