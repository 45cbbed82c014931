package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table is what was measured, in the order of the rows.
type table struct {
	machine string
	turns   int
	groups  []group
}

// titles are the groups in the order of the page.
var titles = []string{noopTitle, changesTitle, treeTitle, fileTitle, sizeTitle}

const (
	noopTitle    = "50 steps with nothing to do, on one machine"
	changesTitle = "20 steps that change something, on 20 machines at once"
	treeTitle    = "A tree of 500 files of 1 KiB"
	fileTitle    = "One file of 256 MiB"
	sizeTitle    = "Memory and start"
)

// group is the rows that one heading is for.
type group struct {
	title, note  string
	began, ended string // load
	turns        int
	rows         []line
}

// line is one row: what was done by whom, how long it took, and what must hold of it.
type line struct {
	what, who string
	median    string
	ratio     string // against phoenix-run, from the same turns
	goal      string
	holds     string // yes, no, or "" for a row that is only reported
}

func (t *table) group(title, note string) *group {
	t.groups = append(t.groups, group{title: title, note: note, began: loadAverage(), turns: t.turns})
	return &t.groups[len(t.groups)-1]
}

func (g *group) add(l line) {
	g.rows, g.ended = append(g.rows, l), loadAverage()
	fmt.Fprintf(os.Stderr, "bench:   %s, %s: %s %s %s %s\n", l.what, l.who, l.median, l.ratio, l.goal, l.holds)
}

// markdown writes the page. Groups of an earlier page that were not measured now are kept, with the
// date and load that they were measured at.
func (t *table) markdown(earlier string) string {
	var b strings.Builder
	b.WriteString(`# Benchmarks

Made by ` + "`make bench`" + `. Each program takes its turn in the same loop, as a process of its own from its start to its end, login included; a figure is the median of its turns, and a ratio the median of the ratios of each turn, so that a loaded machine changes both sides of it. The server is OpenSSH's sshd. "20 ms" is a proxy in the benchmark's process that delays each direction by 10 ms. Ansible is Debian's, with pipelining, ControlPersist (its master connection stays up between turns), a named interpreter and no gathering of facts.
`)
	old := strings.Split(earlier, "\n## ")[1:]
	for _, title := range titles {
		for _, g := range t.groups {
			if g.title == title {
				g.write(&b, t.machine)
			}
		}
		for _, text := range old {
			if strings.HasPrefix(text, title+"\n") && !t.has(title) {
				fmt.Fprintf(&b, "\n## %s\n", strings.TrimSpace(text))
			}
		}
	}
	return b.String()
}

func (t *table) has(title string) bool {
	return slices.ContainsFunc(t.groups, func(g group) bool { return g.title == title })
}

func (g group) write(b *strings.Builder, machine string) {
	fmt.Fprintf(b, "\n## %s\n\n", g.title)
	if g.note != "" {
		fmt.Fprintf(b, "%s\n\n", g.note)
	}
	fmt.Fprintf(b, "%s. %s. Load (1, 5, 15 minutes): %s at the beginning, %s at the end; %d turns.\n\n",
		time.Now().UTC().Format("2 January 2006"), machine, g.began, g.ended, g.turns)
	b.WriteString("| what | who | median | ratio | goal | holds |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range g.rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", r.what, r.who, r.median, r.ratio, r.goal, r.holds)
	}
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "**no**"
}

func median[T int64 | float64 | time.Duration](all []T) T {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// describe tells what the machine is.
func describe() string {
	cpu := ""
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if name, ok := strings.CutPrefix(s.Text(), "model name"); ok {
				cpu = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	version := func(name string, args ...string) string {
		text, _ := exec.Command(name, args...).CombinedOutput() // only shown
		first, _, _ := strings.Cut(string(text), "\n")
		return first
	}
	return fmt.Sprintf("Machine: %d cores of %s; %s; %s; %s; %s", runtime.NumCPU(), cpu, runtime.Version(),
		version("ssh", "-V"), version("ansible", "--version"), version("rsync", "--version"))
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
