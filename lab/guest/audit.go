package guest

import (
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/record"
)

// audit begins an entry of the lab's log: a command, or another thing that a client does to the
// machine. It returns the trace for the views through which that is done, and what to call at its end.
func (g *Guest) audit(service, method, text string) (*vfs.Trace, func(status int, failed error)) {
	trace := &vfs.Trace{}
	g.mu.Lock()
	tree, before := g.fs, g.meta.Changes
	g.mu.Unlock()
	host := g.Name()
	return trace, func(status int, failed error) {
		log := g.backend.opts.Log
		if log == nil {
			return
		}
		e := record.Entry{Service: service, Host: host, Method: method, Path: text, Status: status,
			Changed: tree.Changed(trace) || g.changes() != before}
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
