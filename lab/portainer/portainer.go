// Package portainer is a simulated Portainer: the server and its agent, as programs of the lab's Docker
// containers, behind Portainer's own HTTP API. It behaves as the version in the image's tag does, with
// the faults of that version; what differs is in version.go. The server reaches its agents only over
// the network, and keeps its data in what is mounted at /data, so that it survives and is lost as the
// real one's.
package portainer

import (
	"time"

	"phoenix-run/lab/docker"
	"phoenix-run/lab/record"
)

// Options are the same for all servers and agents of a lab. The zero value is usable.
type Options struct {
	// Version overrides the one in the image's tag ("2.39.0").
	Version string
	// Log gets every request to a server; nil logs none.
	Log *record.Log
	// Faults makes requests go wrong; nil never does.
	Faults Faults
	// Git has the repositories that stacks are cloned from; nil has none.
	Git Git
	// Now is the clock of the five-minute lock, of sessions and of the sign-in ban; nil is time.Now.
	Now func() time.Time
	// SnapshotInterval is how often environments are looked at; default 5 minutes.
	SnapshotInterval time.Duration
	// StuckDeploys leaves a deploy that a restart interrupted at Status 3 for ever, so that updates
	// get 409 and only deleting the stack helps. By default it becomes Status 4 with a message. What
	// real servers do is not known; a client should bear both.
	StuckDeploys bool
}

func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Programs are the images of Portainer, for docker.Options.
func Programs(o Options) map[string]docker.Program {
	return map[string]docker.Program{
		"portainer/portainer-ce": serverProgram{o, "CE"},
		"portainer/portainer-ee": serverProgram{o, "EE"},
		"portainer/agent":        agentProgram{o},
	}
}
