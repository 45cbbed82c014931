package report

import (
	"bytes"
	"fmt"
	"slices"
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

// plan shows every planned change, by host, with a number that others refer to.
func (t *text) plan(b *bytes.Buffer, e event.Event) {
	slices.Sort(t.order) // hosts are planned at the same time, and are shown in the same order
	actions := map[op.Action]int{}
	numbers := map[string]int{}
	for _, name := range t.order {
		for _, p := range t.hosts[name].planned {
			numbers[p.Address] = len(numbers) + 1
		}
	}
	for _, name := range t.order {
		h := t.hosts[name]
		if len(h.planned) == 0 && h.deferred == nil {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", t.style.bold(label(name)))
		for _, p := range h.planned {
			actions[p.Change.Action]++
			fmt.Fprintf(b, "%4d %s%s%s%s\n", numbers[p.Address], t.headline(p), t.note(p), t.sureness(p.Change, numbers), t.style.faint("  "+p.Position))
			t.details(b, p.Change, "       ")
		}
		if h.deferred != nil {
			t.deferred(b, h.deferred)
		}
		t.expected(b, h.unchanged, numbers)
	}
	t.causes(b, numbers)
	t.footer(b, e.Plan, actions, e.Error != nil)
}

// deferred shows where the plan of a host ends, and why.
func (t *text) deferred(b *bytes.Buffer, e *event.Event) {
	fmt.Fprintf(b, "   %s %s\n", t.style.warn("…"), e.Message)
	fmt.Fprintf(b, "       at %s\n", e.Position)
	if e.Error != nil && e.Error.Excerpt != "" {
		indent(b, e.Error.Excerpt, "     ")
	}
	b.WriteString("       known(x) asks whether a value is known, x.or_plan(value) gives the plan one to go on with\n")
}

// expected tells of steps that find nothing to do as things are, but come after one that may change that.
func (t *text) expected(b *bytes.Buffer, unchanged []event.Event, numbers map[string]int) {
	byCause := map[string][]string{}
	for _, e := range unchanged {
		byCause[e.Change.Cause.Address.String()] = append(byCause[e.Change.Cause.Address.String()], name(e))
	}
	for _, cause := range sortedNames(byCause) {
		fmt.Fprintf(b, "   %s\n", t.style.faint(fmt.Sprintf("= nothing to do as things are, unless %s changes that: %s", step(cause, numbers), some(byCause[cause], 6))))
	}
}

// some lists the first of names, and how many more there are.
func some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// causes says once of each step that others depend on why they do.
func (t *text) causes(b *bytes.Buffer, numbers map[string]int) {
	seen := map[string]bool{}
	for _, name := range t.order {
		h := t.hosts[name]
		for _, p := range append(h.planned, h.unchanged...) {
			c := p.Change.Cause
			if c == nil || seen[c.Address.String()] {
				continue
			}
			if len(seen) == 0 {
				b.WriteString("\nWhat is likely depends on steps whose whole effect nobody can list:\n")
			}
			seen[c.Address.String()] = true
			fmt.Fprintf(b, "  %s: %s %s\n", step(c.Address.String(), numbers), c.Address, c.Why)
		}
	}
}

// step names a step by its number, or by its address if the plan does not show it.
func step(address string, numbers map[string]int) string {
	if n := numbers[address]; n > 0 {
		return fmt.Sprintf("step %d", n)
	}
	return address
}

// footer counts the plan's changes, by what they do and by how sure they are.
func (t *text) footer(b *bytes.Buffer, n *event.Counts, actions map[op.Action]int, failed bool) {
	if n == nil {
		return
	}
	if failed {
		fmt.Fprintf(b, "\n%s it failed, and holds only what came before; the reason is below.\n", t.style.bad("The plan is not complete:"))
	}
	if n.Certain+n.Likely+n.Unknown+n.Deferred+n.Unchanged == 0 {
		if !failed {
			fmt.Fprintf(b, "\n%s nothing would change.\n", t.style.good("Plan:"))
		}
		return
	}
	var parts []string
	for _, a := range []op.Action{op.Create, op.Update, op.Replace, op.Delete, op.Run} {
		if n := actions[a]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, a))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing would change as far as it is known"}
	}
	fmt.Fprintf(b, "\n%s %s. %d certain, %d likely, %d unknown", t.style.bold("Plan:"),
		strings.Join(parts, ", "), n.Certain, n.Likely, n.Unknown)
	if n.Unchanged > 0 {
		fmt.Fprintf(b, "; %d likely to find nothing to do", n.Unchanged)
	}
	if n.Deferred > 0 {
		fmt.Fprintf(b, "; %d planned only in part", n.Deferred)
	}
	b.WriteString(".\n")
}

// sureness says how sure a change is, where it is not certain, and why.
func (t *text) sureness(c *event.Change, numbers map[string]int) string {
	text := ""
	switch {
	case c.Confidence == op.Likely && c.Cause != nil:
		text = "likely, after " + step(c.Cause.Address.String(), numbers)
	case c.Confidence == op.Uncertain && len(c.Unknown) > 0:
		text = "unknown: " + strings.Join(c.Unknown, ", ") + " decides"
	case c.Confidence == op.Uncertain:
		text = "unknown"
	default:
		return ""
	}
	return t.style.faint("  [" + text + "]")
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
	fmt.Fprintln(w, strings.TrimSuffix("host\tok\tchanged\tfailed\tskipped\ttime\t"+t.landmarkHeading(), "\t"))
	total := map[event.Status]int{}
	for _, name := range t.order {
		h := t.hosts[name]
		for s, n := range h.counts {
			total[s] += n
		}
		row(w, label(name), h)
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

func row(w *tabwriter.Writer, name string, h *hostTally) {
	line := fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%s\t%s", name, h.counts[event.OK], h.counts[event.Changed],
		h.counts[event.Failed], h.counts[event.Skipped], seconds(h.seconds), strings.Join(h.landmarks, ", "))
	fmt.Fprintln(w, strings.TrimSuffix(line, "\t"))
}

// landmarkHeading heads the column of what is there now, if there is any to be shown.
func (t *text) landmarkHeading() string {
	for _, h := range t.hosts {
		if len(h.landmarks) > 0 {
			return "there"
		}
	}
	return ""
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
