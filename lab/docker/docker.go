// Package docker is a simulated Docker Engine, one per guest: containers, images, networks and
// volumes that survive the guest's reboot, behind the Engine's own HTTP API, and the packages that
// bring it to a guest with its docker command.
//
// A container runs no foreign code: an image that has a Program runs that; any other listens on its
// published ports and answers HTTP requests with its name.
package docker

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"time"

	"phoenix-run/lab/docker/api"
)

// Host is what an engine needs of the machine it runs on.
type Host interface {
	Name() string
	Address() string // the IP address that published ports listen on
	ReadFile(path string) ([]byte, error)
	WriteFile(path string, content []byte, mode fs.FileMode) error
	MkdirAll(path string, mode fs.FileMode) error
	Stat(path string) (fs.FileInfo, error)
	// LoadState decodes what SaveState kept under key; a key that was never saved leaves into alone.
	LoadState(key string, into any) error
	SaveState(key string, v any) error
	// Touch says that the machine's state has changed.
	Touch()
	// Journal adds a line to a unit's journal.
	Journal(unit, line string)
	// BootID changes with each boot of the machine.
	BootID() string
}

// Program is the code of an image.
type Program interface {
	// Start begins the program and returns when it listens. The program ends when ctx does or the
	// returned Closer is closed, which must not wait for requests in flight. An error that wraps
	// syscall.EADDRINUSE makes the container's start fail as Docker does; any other one is a program
	// that wrote the error to its log and exited with 1.
	Start(ctx context.Context, rt *Runtime) (io.Closer, error)
}

// Runtime is what a running container sees.
type Runtime struct {
	Host      Host
	Container api.Container
	// Socket is the engine, if /var/run/docker.sock is mounted; nil otherwise.
	Socket http.Handler
	// Log is the container's output.
	Log io.Writer
	// Exit ends the container's process with a code, as if it had exited by itself; its restart
	// policy decides what comes next. It returns at once.
	Exit func(code int)
	// Engine is the version of the daemon, for programs that depend on it.
	Engine api.Version
}

// Options are the same for all engines of a lab. The zero value is usable.
type Options struct {
	// Programs are run by containers of these repositories ("portainer/agent").
	Programs map[string]Program
	// Missing lists images ("nginx:9.9"), or whole repositories, that no registry has.
	Missing []string
	// Resolve gives the image behind a name, or the registry's error; nil takes any name.
	Resolve func(ref api.Reference) (api.Image, error)
	Faults  Faults
	// Version of the engine; default 28.5.2. From 29 on it refuses clients older than API 1.44.
	Version string
	// PullTime is how long fetching an image takes; default 20 ms.
	PullTime time.Duration
	// HealthTime is how long a health check needs to say healthy; default 100 ms.
	HealthTime time.Duration
}

// Faults are what goes wrong; a nil function is never.
type Faults struct {
	// Pull, Create and Start return the error that the daemon reports instead of doing its work.
	Pull   func(host, image string) error
	Create func(host string, r api.CreateRequest) error
	Start  func(host string, c api.Container) error
	// Unhealthy tells whether a container's health check fails.
	Unhealthy func(host string, c api.Container) bool
}

func (o Options) version() string { return orDefault(o.Version, "28.5.2") }

func orDefault[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
