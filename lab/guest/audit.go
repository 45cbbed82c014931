package guest

import (
	"context"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/record"
)

// audit begins an entry of the lab's log: a command, or another thing that a client does to the
// machine. It returns the trace for the views through which that is done, and what to call at its end.
func (g *Guest) audit(service, method, text string) (*vfs.Trace, func(status int, failed error)) {
	trace := &vfs.Trace{}
	g.mu.Lock()
	tree := g.fs
	g.mu.Unlock()
	host := g.Name()
	return trace, func(status int, failed error) {
		log := g.backend.opts.Log
		if log == nil {
			return
		}
		e := record.Entry{Service: service, Host: host, Method: method, Path: text, Status: status,
			Changed: tree.Changed(trace)}
		if failed != nil {
			e.Params = map[string]any{"error": failed.Error()}
		}
		if err := log.Add(e); err != nil {
			g.Journal("lab", "writing the request log: "+err.Error())
		}
	}
}

// auditCommands has every command that a session's shell takes from its client written down.
func (g *Guest) auditCommands(service string) func(*proc.Proc, string) func(int) {
	return func(p *proc.Proc, command string) func(int) {
		trace, end := g.audit(service, "exec", command)
		p.FS.Trace = trace
		return func(status int) { end(status, nil) }
	}
}

// touching lets Touch know of a program that may change more than files: what is touched while it runs
// is its doing, and not that of the commands that only happen to run at the same time.
func (r *running) touching(prog proc.Program) proc.Program {
	return func(ctx context.Context, p *proc.Proc) int {
		trace := p.FS.Trace
		r.mu.Lock()
		r.active[trace]++
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.active[trace]--; r.active[trace] == 0 {
				delete(r.active, trace)
			}
		}()
		return prog(ctx, p)
	}
}

// mayTouch is touching for a program of this package.
func mayTouch(prog proc.Program) proc.Program {
	return func(ctx context.Context, p *proc.Proc) int { return guestOf(p).touching(prog)(ctx, p) }
}

// Touch says that something changed that is no file: a service, a container.
func (g *Guest) Touch() {
	run := g.current()
	if run == nil {
		return
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	for trace := range run.active {
		trace.Mark()
	}
}
