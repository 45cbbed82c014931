package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"phoenix-run/runner/event"
	"phoenix-run/runner/plan"
)

// ShowPlan shows a plan that was kept, as the dry run showed it.
func ShowPlan(p *plan.Plan, format Format, out io.Writer) error {
	if format == JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(p)
	}
	t := newText(out, format != Plain && colours(out), false, false)
	t.planning = true
	for _, s := range p.Steps {
		h := t.host(s.Address.Host)
		e := event.Event{Type: event.Operation, Status: event.Changed, Host: s.Address.Host, Address: s.Address.String(),
			Change: s.Change, Position: s.Position}
		if s.Change != nil {
			e.Message = s.Change.Note
		}
		h.planned = append(h.planned, e)
	}
	for _, d := range p.Deferred {
		t.host(d.Host).deferred = &event.Event{Host: d.Host, Position: d.Position, Message: d.Reason}
	}
	var b bytes.Buffer
	call := strings.Join(append([]string{strings.TrimPrefix(p.Playbook, "playbooks/")}, p.Words...), " ")
	fmt.Fprintf(&b, "%s, made %s by phoenix-run %s\n", call, p.Made.Local().Format("2006-01-02 15:04:05"), p.Tool)
	counts := p.Counts
	t.plan(&b, event.Event{Plan: &counts})
	_, err := out.Write(b.Bytes())
	return err
}
