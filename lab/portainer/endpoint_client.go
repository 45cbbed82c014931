package portainer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

// agentTimeout limits the first look at an agent.
const agentTimeout = 3 * time.Second

var errPaired = errors.New("agent already paired with another Portainer instance")

// transport is how requests to an environment travel: into the mounted socket, or over the network.
func (s *Server) transport(e endpoint) (http.RoundTripper, string, error) {
	if strings.HasPrefix(e.URL, "unix://") {
		if s.Socket == nil {
			//lint:ignore ST1005 Docker's own words
			return nil, "", errors.New("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
		}
		return api.Local{Handler: s.Socket}, "http://docker", nil
	}
	scheme, address, found := strings.Cut(e.URL, "://")
	if !found {
		return nil, "", fmt.Errorf("unable to parse docker host `%s`", e.URL)
	}
	base := "https://" + address
	if e.Type == typeDocker && !e.TLSConfig.TLS && scheme != "https" {
		base = "http://" + address
	}
	key := fmt.Sprint(base, e.TLSConfig)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.transports[key]; t != nil {
		return t, base, nil
	}
	t := &http.Transport{
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: e.TLSConfig.TLS && e.TLSConfig.TLSSkipVerify}, //nolint:gosec // the environment's own choice, as in Portainer
		DialContext:           (&net.Dialer{Timeout: agentTimeout}).DialContext,
		ResponseHeaderTimeout: 15 * time.Minute,
		IdleConnTimeout:       10 * time.Second,
	}
	s.transports[key] = t
	return t, base, nil
}

// client is a Docker client of an environment.
func (s *Server) client(e endpoint) (*api.Client, error) {
	t, base, err := s.transport(e)
	if err != nil {
		return nil, err
	}
	c := &api.Client{HTTP: &http.Client{Transport: t}, Base: base, APIVersion: "1.44"}
	if s.is.OldDockerClient {
		c.APIVersion = "1.41"
	}
	if e.Type == typeAgent {
		if c.Header, err = s.sign.header(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// pingAgent asks an agent, unsigned, for its version and platform.
func (s *Server) pingAgent(ctx context.Context, e endpoint) (version string, err error) {
	t, base, err := s.transport(e)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/ping", nil)
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			//lint:ignore ST1005 net/http's own words
			err = fmt.Errorf("Get %q: %w", u.URL, u.Err)
		}
		return "", err
	}
	defer res.Body.Close()
	version = res.Header.Get(headerAgent)
	switch {
	case res.StatusCode != http.StatusNoContent:
		return "", fmt.Errorf("failed request with status %d", res.StatusCode)
	case version == "":
		return "", errors.New("no agent version found in the response headers")
	case res.Header.Get(headerPlatform) != "1":
		return "", errors.New("unsupported agent platform")
	}
	return version, nil
}

// look takes a snapshot of an environment. errPaired is an agent that refuses this server.
func (s *Server) look(ctx context.Context, e endpoint) (snapshot, error) {
	c, err := s.client(e)
	if err != nil {
		return snapshot{}, err
	}
	info, err := c.Info(ctx)
	var refused *api.Error
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return snapshot{}, errPaired
	}
	if err != nil {
		return snapshot{}, err
	}
	containers, err := c.Containers(ctx, true, nil)
	if err != nil {
		return snapshot{}, err
	}
	volumes, err := c.Volumes(ctx, nil)
	if err != nil {
		return snapshot{}, err
	}
	snap := snapshot{
		Time: s.now().Unix(), DockerVersion: info.ServerVersion, TotalCPU: info.NCPU, TotalMemory: info.MemTotal, NodeCount: 1,
		ContainerCount: len(containers), VolumeCount: len(volumes.Volumes), ImageCount: info.Images,
		DockerSnapshotRaw: map[string]any{"Containers": containers, "Volumes": volumes, "Info": info},
	}
	projects := map[string]bool{}
	for _, c := range containers {
		if c.State == "running" {
			snap.RunningContainerCount++
		} else {
			snap.StoppedContainerCount++
		}
		switch {
		case strings.Contains(c.Status, "(healthy)"):
			snap.HealthyContainerCount++
		case strings.Contains(c.Status, "(unhealthy)"):
			snap.UnhealthyContainerCount++
		}
		if p := c.Labels["com.docker.compose.project"]; p != "" {
			projects[p] = true
		}
	}
	snap.StackCount = len(projects)
	return snap, nil
}

// refresh looks at an environment and records whether it is up. It reports a changed status.
func (s *Server) refresh(ctx context.Context, id int) (changed bool, err error) {
	var e endpoint
	s.view(func(db *database) {
		if found := db.endpoint(id); found != nil {
			e = *found
		}
	})
	if e.ID == 0 {
		return false, notFound("an environment", "endpoints", id)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	snap, lookErr := s.look(ctx, e)
	agent := ""
	if e.Type == typeAgent && lookErr == nil {
		if agent, err = s.pingAgent(ctx, e); err != nil {
			lookErr = err
		}
	}
	status := 1
	if lookErr != nil {
		status = 2
	}
	s.mu.Lock()
	if lookErr == nil {
		s.snapshots[id], s.agents[id] = snap, agent
	}
	s.mu.Unlock()
	if e.Status == status {
		return false, nil
	}
	return true, s.update(func(db *database) error {
		if found := db.endpoint(id); found != nil {
			found.Status = status
		}
		return nil
	})
}

// snapshotEvery refreshes all environments at the start and then from time to time.
func (s *Server) snapshotEvery(interval time.Duration) {
	defer s.work.Done()
	for {
		var ids []int
		s.view(func(db *database) {
			for _, e := range db.Endpoints {
				ids = append(ids, e.ID)
			}
		})
		for _, id := range ids {
			if _, err := s.refresh(s.ctx, id); err != nil && s.ctx.Err() == nil {
				s.logf("ERR background schedule error (environment snapshot) | endpoint=%d error=%q", id, err)
			}
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}
