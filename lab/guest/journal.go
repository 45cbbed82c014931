package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"phoenix-run/lab/guest/proc"
)

const (
	journalPath = "/var/log/journal/system.journal"
	journalMax  = 256 << 10 // the oldest half goes when it is larger
)

// Journal adds a line to a unit's journal.
func (g *Guest) Journal(unit, line string) {
	entry, err := json.Marshal([]string{strconv.FormatInt(time.Now().UnixMicro(), 10), unit, strings.TrimRight(line, "\n"), g.BootID()})
	if err != nil {
		return // strings can always be written
	}
	v := g.root()
	if err := v.MkdirAll("/var/log/journal", 0o755); err != nil {
		return // a machine whose disk does not take a journal has none
	}
	if st, err := v.Stat(journalPath); err == nil && st.Size() > journalMax {
		if text, err := v.ReadFile(journalPath); err == nil {
			text = text[len(text)/2:]
			text = text[bytes.IndexByte(text, '\n')+1:]
			if err := v.WriteFile(journalPath, text, 0o640); err != nil {
				return
			}
		}
	}
	f, err := v.Open(journalPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return
	}
	_, err = f.Write(append(entry, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return // as above
	}
}

// journalWriter is the output of a service.
type journalWriter struct {
	g    *Guest
	unit string
	mu   sync.Mutex
	rest []byte
}

func (w *journalWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, b...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		w.rest = rest
		w.g.Journal(w.unit, string(line))
	}
}

// journalctl shows the journal.
func journalctl(_ context.Context, p *proc.Proc) int {
	var units []string
	last, output, boot, reverse := -1, "short", false, false
	args := p.Args[1:]
	value := func(i *int, arg string) string {
		if _, v, found := strings.Cut(arg, "="); found {
			return v
		}
		if len(arg) > 2 && arg[1] != '-' {
			return arg[2:]
		}
		if *i++; *i < len(args) {
			return args[*i]
		}
		return ""
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case strings.HasPrefix(arg, "-u"), strings.HasPrefix(arg, "--unit"), strings.HasPrefix(arg, "-xeu"):
			if arg == "-xeu" {
				i++
				arg = "--unit=" + args[min(i, len(args)-1)]
			}
			units = append(units, unitName(value(&i, arg)))
		case strings.HasPrefix(arg, "-n"), strings.HasPrefix(arg, "--lines"):
			n, err := strconv.Atoi(value(&i, arg))
			if err != nil {
				p.Errorf("Failed to parse lines '%s'", arg)
				return 1
			}
			last = n
		case strings.HasPrefix(arg, "-o"), strings.HasPrefix(arg, "--output"):
			output = value(&i, arg)
		case arg == "-b", arg == "--boot", arg == "-b0":
			boot = true
		case arg == "-r", arg == "--reverse":
			reverse = true
		case arg == "--no-pager", arg == "-q", arg == "--quiet", arg == "-x", arg == "-e", arg == "-k", arg == "-a", arg == "--no-hostname":
		case strings.HasPrefix(arg, "-S"), strings.HasPrefix(arg, "--since"), strings.HasPrefix(arg, "-p"), strings.HasPrefix(arg, "-t"):
			value(&i, arg)
		default:
			p.Errorf("unrecognized option '%s'", arg)
			return 1
		}
	}
	g := guestOf(p).g
	text, err := g.ReadFile(journalPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		var e [4]string
		if json.Unmarshal([]byte(line), &e) != nil {
			continue // the half of a line that stood at the cut
		}
		if boot && e[3] != g.BootID() || !matchesUnit(units, e[1], e[2]) {
			continue
		}
		usec, err := strconv.ParseInt(e[0], 10, 64)
		if err != nil {
			continue
		}
		who := strings.TrimSuffix(e[1], ".service")
		switch output {
		case "cat":
			lines = append(lines, e[2])
		case "json":
			j, err := json.Marshal(map[string]string{"__REALTIME_TIMESTAMP": e[0], "_SYSTEMD_UNIT": e[1], "MESSAGE": e[2], "SYSLOG_IDENTIFIER": who})
			if err != nil {
				continue
			}
			lines = append(lines, string(j))
		case "short-iso":
			lines = append(lines, fmt.Sprintf("%s %s %s[1]: %s", time.UnixMicro(usec).UTC().Format("2006-01-02T15:04:05-0700"), g.Name(), who, e[2]))
		default:
			lines = append(lines, fmt.Sprintf("%s %s %s[1]: %s", time.UnixMicro(usec).UTC().Format("Jan 02 15:04:05"), g.Name(), who, e[2]))
		}
	}
	if last >= 0 && len(lines) > last {
		lines = lines[len(lines)-last:]
	}
	if len(lines) == 0 {
		p.Printf("-- No entries --\n")
		return 0
	}
	for i := range lines {
		if reverse {
			i = len(lines) - 1 - i
		}
		p.Printf("%s\n", lines[i])
	}
	return 0
}

// matchesUnit tells whether an entry belongs to one of the units: its own lines, and systemd's about it.
func matchesUnit(units []string, unit, line string) bool {
	if len(units) == 0 {
		return true
	}
	for _, u := range units {
		if unitName(unit) == u || unit == "systemd" && strings.Contains(line, u) {
			return true
		}
	}
	return false
}
