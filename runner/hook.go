package runner

import (
	"context"
	"slices"
)

// hook is what is called before changes on a host.
type hook struct {
	host string
	fn   func(ctx context.Context) error
}

// Before has fn called before each change that an apply makes on the host, until remove is called. An
// error of fn keeps the change from being made.
func (r *Run) Before(host string, fn func(ctx context.Context) error) (remove func()) {
	h := &hook{host, fn}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(r.hooks, h)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hooks = slices.DeleteFunc(r.hooks, func(one *hook) bool { return one == h })
	}
}

// before calls the hooks for a host.
func (r *Run) before(ctx context.Context, host string) error {
	r.mu.Lock()
	hooks := slices.Clone(r.hooks)
	r.mu.Unlock()
	for _, h := range hooks {
		if h.host != host {
			continue
		}
		if err := h.fn(ctx); err != nil {
			return err
		}
	}
	return nil
}
