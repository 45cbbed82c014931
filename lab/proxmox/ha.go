package proxmox

import (
	"context"
	"fmt"
	"strings"
)

// managed hands a request to the HA manager, which acts on it later: the task's OK says only that it
// was asked.
func (c *call) managed(kind, state string, act func(ctx context.Context) error) (any, error) {
	s := c.server
	id := c.vmid()
	return upid(c.fork(kind, idText(id), 0, func(ctx context.Context, t *task) error {
		t.logf("Requesting HA %s for VM %d", strings.TrimPrefix(kind, "ha"), id)
		if err := c.editCluster(func(cl *Cluster) error { cl.HA[id] = state; return nil }); err != nil {
			return err
		}
		s.workers.Go(func() {
			if sleep(s.ctx, s.speed.HA) != nil {
				return
			}
			if err := c.locked(s.ctx, id, func() error { return act(s.ctx) }); err != nil && s.ctx.Err() == nil {
				s.report(fmt.Errorf("HA manager: VM %d: %w", id, err))
			}
		})
		return nil
	}))
}

func (c *call) isManaged() bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	_, ok := c.server.cluster.HA[c.vmid()]
	return ok
}
