package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"phoenix-run/runner/event"
)

// text shows a run as lines: an apply as it goes, a plan by host when it is complete.
type text struct {
	out            io.Writer
	style          style
	verbose, quiet bool

	planning bool
	order    []string // hosts, as they appear
	hosts    map[string]*hostTally
	told     bool // a task's failure was shown in full
}

// hostTally is what the recap says of a host.
type hostTally struct {
	counts  map[event.Status]int
	seconds float64
	planned []event.Event
	// unchanged are planned steps that find nothing to do as things are, but that an earlier one may change.
	unchanged []event.Event
	deferred  *event.Event
	landmarks []string // machines, environments, stacks that are there now
}

func newText(out io.Writer, colour, verbose, quiet bool) *text {
	return &text{out: out, style: style{colour}, verbose: verbose, quiet: quiet, hosts: map[string]*hostTally{}}
}

func (t *text) host(name string) *hostTally {
	h, ok := t.hosts[name]
	if !ok {
		h = &hostTally{counts: map[event.Status]int{}}
		t.hosts[name] = h
		t.order = append(t.order, name)
	}
	return h
}

// Emit shows one event.
func (t *text) Emit(e event.Event) {
	var b bytes.Buffer
	switch e.Type {
	case event.RunStart:
		t.planning = e.Mode == "plan"
	case event.Begin:
		if t.verbose {
			fmt.Fprintf(&b, "%s %s\n", t.prefix(e.Host), t.style.faint(e.Message+" …"))
		}
	case event.Progress:
		if t.verbose {
			fmt.Fprintf(&b, "%s %s\n", t.prefix(e.Host), t.style.faint(e.Message))
		}
	case event.Log:
		if !t.quiet {
			fmt.Fprintf(&b, "%s %s\n", t.prefix(e.Host), e.Message)
		}
	case event.Warning:
		fmt.Fprintf(&b, "%s %s %s\n", t.prefix(e.Host), t.style.warn("warning:"), e.Message)
	case event.Operation:
		t.operation(&b, e)
	case event.Task:
		t.task(&b, e)
	case event.RunEnd:
		t.end(&b, e)
	}
	if _, err := t.out.Write(b.Bytes()); err != nil {
		fmt.Fprintln(os.Stderr, "phoenix-run: the report can't be written:", err)
	}
}

func (t *text) prefix(host string) string {
	if host == "" {
		return "     |"
	}
	return t.style.faint(host + " |")
}

func (t *text) operation(b *bytes.Buffer, e event.Event) {
	h := t.host(e.Host)
	h.counts[e.Status]++
	h.seconds += e.Duration
	if e.Landmark {
		h.landmarks = append(h.landmarks, name(e))
	}
	switch {
	case e.Status == event.Failed:
		fmt.Fprintf(b, "%s %s %s%s\n", t.prefix(e.Host), t.style.bad("failed "), name(e), t.took(e))
		indent(b, e.Error.Message, "    ")
	case t.planning && e.Status == event.Changed:
		h.planned = append(h.planned, e)
	case t.planning && e.Change != nil:
		h.unchanged = append(h.unchanged, e)
	case e.Status == event.Changed && !t.quiet:
		fmt.Fprintf(b, "%s %s %s%s%s\n", t.prefix(e.Host), t.style.changed("changed"), t.headline(e), t.note(e), t.took(e))
		if t.verbose {
			t.details(b, e.Change, "    ")
		}
	case t.verbose:
		fmt.Fprintf(b, "%s %s %s%s%s\n", t.prefix(e.Host), t.style.good("ok     "), name(e), t.note(e), t.took(e))
	}
}

func (t *text) note(e event.Event) string {
	if e.Message == "" {
		return ""
	}
	return t.style.faint(" (" + e.Message + ")")
}

func (t *text) took(e event.Event) string {
	d := time.Duration(e.Duration * float64(time.Second))
	if d < 100*time.Millisecond {
		return ""
	}
	return t.style.faint(" " + d.Round(10*time.Millisecond).String())
}

func (t *text) task(b *bytes.Buffer, e event.Event) {
	h := t.host(e.Host)
	switch e.Status {
	case event.Skipped:
		h.counts[event.Skipped]++
		fmt.Fprintf(b, "%s %s %s\n", t.prefix(e.Host), t.style.warn("skipped"), e.Message)
	case event.Deferred:
		h.counts[event.Deferred]++
		h.deferred = &e
	case event.Failed:
		t.told = true
		t.failure(b, e.Host+": ", e.Error)
	}
}

// name is an operation without its host: "file /etc/motd".
func name(e event.Event) string {
	_, rest, _ := strings.Cut(e.Address, "/")
	kind, id, _ := strings.Cut(rest, ":")
	if e.Host == "" {
		return e.Address
	}
	return kind + " " + id
}

func indent(b *bytes.Buffer, text, by string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		b.WriteString(by + line)
	}
}
