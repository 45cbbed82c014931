package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"phoenix-run/lab/docker/api"
)

// reserve gives a container its host ports, or Docker's error if another one has them.
func (e *Engine) reserve(c *container) (map[string][]api.PortBinding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	used := map[string]bool{}
	for _, other := range e.containers {
		if other != c && other.rec.State.Running {
			for spec, bindings := range other.rec.NetworkSettings.Ports {
				for _, b := range bindings {
					used[portKey(spec, b)] = true
				}
			}
		}
	}
	ports := map[string][]api.PortBinding{}
	for spec := range c.rec.Config.ExposedPorts {
		ports[spec] = nil
	}
	for spec, bindings := range c.rec.HostConfig.PortBindings {
		ports[spec] = nil
		for _, b := range bindings {
			b.HostIP = orDefault(b.HostIP, "0.0.0.0")
			if b.HostPort == "" || b.HostPort == "0" {
				for port := 32768; ; port++ {
					b.HostPort = strconv.Itoa(port)
					if !used[portKey(spec, b)] {
						break
					}
				}
			}
			if used[portKey(spec, b)] {
				return nil, refuse(http.StatusInternalServerError, "failed to set up container networking: driver failed programming external connectivity on endpoint %s (%s): Bind for %s:%s failed: port is already allocated", c.rec.Name[1:], newID(), b.HostIP, b.HostPort)
			}
			used[portKey(spec, b)] = true
			ports[spec] = append(ports[spec], b)
		}
	}
	return ports, nil
}

func portKey(spec string, b api.PortBinding) string {
	_, proto, _ := strings.Cut(spec, "/")
	return orDefault(proto, "tcp") + ":" + b.HostPort
}

// outside tells whether a binding is reachable from other machines.
func outside(b api.PortBinding) bool {
	ip, err := netip.ParseAddr(b.HostIP)
	return err != nil || !ip.IsLoopback()
}

// ListenPort listens on the guest's address wherever the container's port is published. Nothing is
// returned for a port that is not published, or only on the guest's own loopback address.
func (rt *Runtime) ListenPort(ctx context.Context, port int) ([]net.Listener, error) {
	return listenPublished(ctx, rt.Host, rt.Container, strconv.Itoa(port)+"/tcp", rt.Log)
}

func listenPublished(ctx context.Context, host Host, c api.Container, spec string, out io.Writer) ([]net.Listener, error) {
	var listeners []net.Listener
	bindings := c.NetworkSettings.Ports[spec]
	if c.HostConfig.NetworkMode == "host" {
		number, _, _ := strings.Cut(spec, "/")
		bindings = []api.PortBinding{{HostIP: "0.0.0.0", HostPort: number}}
	}
	for _, b := range bindings {
		if !outside(b) || host.Address() == "" {
			continue // nobody can come from outside
		}
		address := net.JoinHostPort(host.Address(), b.HostPort)
		l, err := retryListen(ctx, address)
		switch {
		case errors.Is(err, os.ErrPermission):
			// The lab's user may not take ports below 1024; the container runs, unreachable there.
			fmt.Fprintf(out, "lab: can't listen on %s: %v\n", address, err)
		case err != nil:
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return nil, fmt.Errorf("failed to bind host port for %s:%s:%s: %w", b.HostIP, b.HostPort, spec, err)
		default:
			listeners = append(listeners, l)
		}
	}
	return listeners, nil
}

// retryListen waits a moment for a listener that is just being closed.
func retryListen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	for try := 0; ; try++ {
		l, err := config.Listen(ctx, "tcp", address)
		if err == nil || try == 5 || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// listen is what a container without a program does: answer on its published ports with its name.
func (e *Engine) listen(ctx context.Context, c *container, rec api.Container) ([]io.Closer, error) {
	specs := make([]string, 0, len(rec.NetworkSettings.Ports))
	for spec := range rec.NetworkSettings.Ports {
		if strings.HasSuffix(spec, "/tcp") || !strings.Contains(spec, "/") {
			specs = append(specs, spec)
		}
	}
	slices.Sort(specs)
	var closers []io.Closer
	for _, spec := range specs {
		if rec.HostConfig.NetworkMode == "host" {
			break // nothing says which ports it would listen on
		}
		listeners, err := listenPublished(ctx, e.host, rec, spec, &c.logs)
		if err != nil {
			for _, l := range closers {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		for _, l := range listeners {
			name := strings.TrimPrefix(rec.Name, "/")
			server := &http.Server{
				ReadHeaderTimeout: time.Minute,
				ErrorLog:          log.New(io.Discard, "", 0),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprintln(w, name) //nolint:errcheck // the client is gone
				}),
			}
			closers = append(closers, server)
			go server.Serve(l) //nolint:errcheck // ends with Close
		}
	}
	return closers, nil
}
