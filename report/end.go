package report

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// end closes the report: the plan if there was one, the failure in full, and the recap.
func (t *text) end(b *bytes.Buffer, e event.Event) {
	if t.planning && !t.quiet {
		t.plan(b, e)
	}
	if e.Error != nil && !t.told {
		t.failure(b, "", e.Error)
	}
	if t.quiet {
		return
	}
	if !t.planning {
		t.recap(b, e)
	}
}

// plan shows every planned change, by host.
func (t *text) plan(b *bytes.Buffer, e event.Event) {
	actions := map[op.Action]int{}
	for _, name := range t.order {
		h := t.hosts[name]
		if len(h.planned) == 0 && h.deferred == nil {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", t.style.bold(label(name)))
		for _, p := range h.planned {
			actions[p.Change.Action]++
			fmt.Fprintf(b, "  %s%s%s%s\n", t.headline(p), t.note(p), t.sureness(p.Change), t.style.faint("  "+p.Position))
			t.details(b, p.Change, "      ")
		}
		if h.deferred != nil {
			fmt.Fprintf(b, "  %s %s\n", t.style.warn("…"), h.deferred.Message)
			fmt.Fprintf(b, "      at %s\n", h.deferred.Position)
		}
	}
	if e.Plan == nil {
		return
	}
	if e.Plan.Certain+e.Plan.Likely+e.Plan.Unknown+e.Plan.Deferred == 0 {
		fmt.Fprintf(b, "\n%s nothing would change.\n", t.style.good("Plan:"))
		return
	}
	var parts []string
	for _, a := range []op.Action{op.Create, op.Update, op.Replace, op.Delete, op.Run} {
		if n := actions[a]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, a))
		}
	}
	fmt.Fprintf(b, "\n%s %s. %d certain, %d likely, %d unknown", t.style.bold("Plan:"),
		strings.Join(parts, ", "), e.Plan.Certain, e.Plan.Likely, e.Plan.Unknown)
	if e.Plan.Deferred > 0 {
		fmt.Fprintf(b, "; %d planned only in part", e.Plan.Deferred)
	}
	b.WriteString(".\n")
}

// sureness says how sure a change is, where it is not certain, and why.
func (t *text) sureness(c *event.Change) string {
	switch {
	case c.Confidence == op.Likely && c.Cause != nil:
		return t.style.faint(fmt.Sprintf("  [likely: %s %s]", c.Cause.Address, c.Cause.Why))
	case c.Confidence == op.Uncertain:
		return t.style.faint(fmt.Sprintf("  [unknown: %s decides]", strings.Join(c.Unknown, ", ")))
	}
	return ""
}

// failure shows an error with its way through the playbook.
func (t *text) failure(b *bytes.Buffer, who string, e *event.Error) {
	fmt.Fprintf(b, "\n%s %s%s\n", t.style.bad("error:"), who, e.Message)
	for _, frame := range e.Backtrace {
		fmt.Fprintf(b, "  %s\n", frame)
	}
	if e.Excerpt != "" {
		indent(b, e.Excerpt, "")
	}
}

// recap is a table of the hosts and how their operations ended.
func (t *text) recap(b *bytes.Buffer, e event.Event) {
	b.WriteString("\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "host\tok\tchanged\tfailed\tskipped\ttime")
	total := map[event.Status]int{}
	for _, name := range t.order {
		h := t.hosts[name]
		for s, n := range h.counts {
			total[s] += n
		}
		row(w, label(name), h.counts, h.seconds)
	}
	if err := w.Flush(); err != nil {
		fmt.Fprintln(b, err)
	}
	word := fmt.Sprintf("%d changed", total[event.Changed])
	if total[event.Failed] > 0 || e.Status == event.Failed {
		fmt.Fprintf(b, "\n%s %s, %d failed", t.style.bad("Failed:"), word, max(1, total[event.Failed]))
	} else {
		fmt.Fprintf(b, "\n%s %s", t.style.good("Done:"), word)
	}
	fmt.Fprintf(b, " in %s.\n", seconds(e.Duration))
}

func row(w *tabwriter.Writer, name string, counts map[event.Status]int, took float64) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", name, counts[event.OK], counts[event.Changed],
		counts[event.Failed], counts[event.Skipped], seconds(took))
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}

func label(host string) string {
	if host == "" {
		return "(playbook)"
	}
	return host
}
