package builtins_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// playbook is a random playbook, and what its making says of it.
type playbook struct {
	text string
	// settles says that no step undoes another's work: after an apply nothing is left to do.
	settles bool
	// branches says that a step is only there if an earlier one has changed something: a run that was cut
	// off between them leaves it undone.
	branches bool
	// appends says that a command does something else each time it runs: only a resumed run ends as an
	// uninterrupted one.
	appends bool
	// always says that a command runs each time.
	always bool
}

// writer writes a playbook, statement by statement.
type writer struct {
	t       *rapid.T
	lines   []string
	results []string // names of variables that hold a result
	unknown []string // expressions that only an apply can know
	used    map[string]bool
	book    playbook
}

// The small world in which random playbooks work, so that their steps meet.
var (
	folders  = []string{"/srv/a", "/srv/a/b", "/opt/d"}
	files    = []string{"/srv/a/f", "/srv/a/b/g", "/opt/f", "/etc/motd", "/etc/app.conf"}
	links    = []string{"/srv/a/l", "/opt/l"}
	contents = []string{"", "one\n", "two\nlines\n", "PORT=80\nNAME=x\n", "no newline", "tab\tand \\x 'quotes' \"double\" $HOME `id`\n"}
	accounts = []string{"ann", "bob"}
	groups   = []string{"ops", "web"}
	packages = []string{"jq", "nginx", "htop", "chrony", "tree"}
	units    = []string{"cron", "rsyslog", "nginx", "chrony"}
	keys     = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFOe2lbmwwKlDYGbe4ugf2GWty4S141ibw9e2rw8vTsE ann", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ2lbmwwKlDYGbe4ugf2GWty4S141ibw9e2rw8vTsF bob"}
)

func (w *writer) one(of []string) string { return rapid.SampledFrom(of).Draw(w.t, "which") }
func (w *writer) chance(percent int) bool {
	return rapid.IntRange(1, 100).Draw(w.t, "chance") <= percent
}

// touch notes that a step decides about a thing; a second one, or one above or below it, may undo it.
func (w *writer) touch(kind, id string) {
	if w.used[kind+id] {
		w.book.settles = false
	}
	w.used[kind+id] = true
	if kind != "path" {
		return
	}
	for other := range w.used {
		p, ok := strings.CutPrefix(other, "gone")
		if ok && (strings.HasPrefix(id, p+"/") || p == id) {
			w.book.settles = false
		}
	}
}

// remove notes that a step removes a path and all below it.
func (w *writer) remove(p string) {
	for other := range w.used {
		o, ok := strings.CutPrefix(other, "path")
		if ok && (o == p || strings.HasPrefix(o, p+"/")) {
			w.book.settles = false
		}
	}
	w.used["gone"+p] = true
}

func (w *writer) emit(format string, args ...any) {
	name := fmt.Sprintf("r%d", len(w.lines))
	w.lines = append(w.lines, name+" = "+fmt.Sprintf(format, args...))
	w.results = append(w.results, name)
}

// attributes are a mode, an owner and a group, or none.
func (w *writer) attributes() string {
	out := ""
	if w.chance(30) {
		out += fmt.Sprintf(", mode = %q", w.one([]string{"0600", "0755", "0640", "4755"}))
	}
	if w.chance(20) {
		out += fmt.Sprintf(", owner = %q", w.one([]string{"root", "daemon", "www-data"}))
	}
	if w.chance(20) {
		out += fmt.Sprintf(", group = %q", w.one([]string{"root", "adm"}))
	}
	return out
}

// text is a content: plain, secret, or known only after an apply.
func (w *writer) text() string {
	switch {
	case len(w.unknown) > 0 && w.chance(25):
		return w.one(w.unknown)
	case w.chance(10):
		return `secret_text + "\n"`
	}
	return fmt.Sprintf("%q", w.one(contents))
}

// statement adds one step of a random kind.
func (w *writer) statement() {
	switch rapid.IntRange(0, 21).Draw(w.t, "kind") {
	case 0, 1, 2:
		p := w.one(files)
		w.touch("path", p)
		w.emit("host.file(%q, content = %s%s)", p, w.text(), w.attributes())
	case 3, 4:
		p := w.one(folders)
		w.touch("path", p)
		w.emit("host.directory(%q, parents = %s%s)", p, w.one([]string{"True", "True", "False"}), w.attributes())
	case 5:
		p := w.one(links)
		w.touch("path", p)
		w.emit("host.link(%q, %q)", p, w.one([]string{"/etc/hostname", "f", "/nowhere"}))
	case 6:
		p := w.one(slices.Concat(files, folders, links))
		w.remove(p)
		w.emit("host.absent(%q)", p)
	case 7:
		p := w.one(files)
		w.touch("path", p)
		w.emit("host.line(%q, %q, prefix = %q, absent = %s)", p, w.one([]string{"PORT=81", "more"}),
			w.one([]string{"", "PORT="}), w.one([]string{"False", "False", "True"}))
	case 8:
		p := w.one(files)
		w.touch("path", p)
		w.emit("host.block(%q, %q)", p, w.one([]string{"a block\n", "of\nlines\n", ""}))
	case 9, 10:
		p := w.one(packages)
		w.touch("package", p)
		w.emit("host.package([%q]%s)", p, w.one([]string{"", "", ", state = \"absent\""}))
	case 11, 12:
		u := w.one(units)
		w.touch("unit", u)
		trigger := ""
		if len(w.results) > 0 && w.chance(40) {
			trigger = ", restarted = " + w.one(w.results) + ".changed"
		}
		w.emit("host.service(%q, running = %s, enabled = %s%s)", u, w.one([]string{"True", "False"}), w.one([]string{"True", "False", "None"}), trigger)
	case 13:
		g := w.one(groups)
		w.touch("group", g)
		w.emit("host.group(%q)", g)
	case 14:
		u := w.one(accounts)
		w.touch("user", u)
		if w.chance(25) {
			w.emit("host.user(%q, state = \"absent\")", u)
			return
		}
		w.emit("host.user(%q, groups = %s, shell = %q)", u, w.one([]string{"[]", `["adm"]`, `["adm", "sudo"]`}), w.one([]string{"", "/bin/sh"}))
	case 15:
		w.touch("key", "root")
		w.emit("host.authorized_key(\"root\", %q)", w.one(keys))
	case 16:
		w.touch("sysctl", "")
		w.emit("host.sysctl(\"vm.swappiness\", %s)", w.one([]string{"10", "60"}))
	case 17:
		if w.chance(50) {
			w.touch("timezone", "")
			w.emit("host.timezone(%q)", w.one([]string{"Europe/Zurich", "Etc/UTC"}))
			return
		}
		w.touch("hostname", "")
		w.emit("host.hostname(%q)", w.one([]string{"web", "web-2"}))
	case 18:
		w.guarded()
	case 19:
		w.command()
	case 20:
		w.read()
	default:
		w.branch()
	}
}

// guarded adds a command that its guard makes idempotent.
func (w *writer) guarded() {
	p := w.one([]string{"/opt/made", "/srv/made"})
	w.touch("path", p)
	script := "echo made > " + p
	reach := w.one([]string{"", fmt.Sprintf(", changes = [%q]", p)})
	switch w.one([]string{"creates", "unless", "only_if", "other"}) {
	case "creates":
		w.emit("host.command(%q, creates = %q%s)", script, p, reach)
	case "unless":
		w.emit("host.command(%q, unless = %q%s)", script, "test -e "+p, reach)
	case "only_if":
		w.emit("host.command(%q, only_if = %q%s)", script, "test ! -e "+p, reach)
	case "other": // a guard that looks at what other steps make
		w.book.settles = false
		w.book.branches = true
		w.emit("host.script(%q, unless = %q)", script+"\n", w.one([]string{"test -e /srv/a/f", "grep -q PORT /etc/app.conf", "id ann", "command -v jq"}))
	}
}

// command adds a command that runs each time.
func (w *writer) command() {
	w.book.always = true
	script := "echo always > /var/tmp/always"
	if w.chance(30) {
		w.book.appends = true
		script = appending
	}
	w.emit("host.command(%q%s)", script+" && echo said", w.one([]string{"", `, changes = ["/var/tmp"]`}))
	if script != appending { // what it said may be lost with a run that is cut off
		w.unknown = append(w.unknown, w.results[len(w.results)-1]+".stdout")
	}
}

// appending is a command that must not be run once more than it was meant to.
const appending = "echo more >> /var/tmp/count"

// read adds a command that changes nothing.
func (w *writer) read() {
	w.emit("host.command(%q, read_only = True, ok_codes = [0, 1, 2])", w.one([]string{"uname -r", "cat /etc/motd", "cat /srv/a/f", "id -u ann"}))
	name := w.results[len(w.results)-1]
	w.unknown = append(w.unknown, name+".stdout")
	w.results = w.results[:len(w.results)-1] // its changed is always False
}

// branch adds a step that is there only under a condition.
func (w *writer) branch() {
	p := w.one(files)
	var cond string
	switch {
	case len(w.unknown) > 0 && w.chance(40):
		cond = w.one(w.unknown) + " == \"said\\n\""
	case len(w.results) > 0:
		cond = w.one(w.results) + ".changed"
	default:
		return
	}
	w.touch("path", p)
	w.book.branches, w.book.settles = true, false
	w.lines = append(w.lines, "if "+cond+":", fmt.Sprintf("    host.file(%q, content = %q)", p, w.one(contents)))
}

// genPlaybook makes a random playbook of the given number of steps. A calm one settles and has no
// branches: steps that would not do are left out.
func genPlaybook(t *rapid.T, least, most int, calm bool) playbook {
	w := &writer{t: t, used: map[string]bool{}, book: playbook{settles: true}}
	for range rapid.IntRange(least, most).Draw(t, "steps") {
		before := *w
		before.used = maps.Clone(w.used)
		w.statement()
		if calm && (!w.book.settles || w.book.branches) {
			*w = before
		}
	}
	if w.book.always { // what depends on what runs each time is done each time
		for _, line := range w.lines {
			if strings.Contains(line, "restarted = ") {
				w.book.settles = false
			}
		}
	}
	w.book.text = "def main():\n    host = web\n    " + strings.Join(append(w.lines, "pass"), "\n    ") + "\n"
	return w.book
}

// genState makes a script that brings a machine into a random state, as people and other tools leave it.
func genState(t *rapid.T) string {
	var b strings.Builder
	for range rapid.IntRange(0, 5).Draw(t, "leftovers") {
		one := func(of []string) string { return rapid.SampledFrom(of).Draw(t, "left") }
		switch rapid.IntRange(0, 8).Draw(t, "leftover") {
		case 0, 1:
			p := one(files)
			fmt.Fprintf(&b, "mkdir -p $(dirname %[1]s); [ -d %[1]s ] || printf '%%s\\n' %[2]s > %[1]s\n", p, one([]string{"one", "PORT=80", "else"}))
		case 2:
			fmt.Fprintf(&b, "[ -e %[1]s ] || mkdir -p -m %[2]s %[1]s\n", one(folders), one([]string{"0755", "0700"}))
		case 3:
			fmt.Fprintf(&b, "mkdir -p /srv/a; ln -sfn %s %s\n", one([]string{"/etc/hostname", "g"}), one(links))
		case 4:
			fmt.Fprintf(&b, "apt-get -q -y install %s >/dev/null\n", one(packages))
		case 5:
			fmt.Fprintf(&b, "id %[1]s >/dev/null 2>&1 || useradd -m %[1]s\n", one(accounts))
		case 6:
			fmt.Fprintf(&b, "systemctl %s %s\n", one([]string{"stop", "disable"}), one([]string{"cron", "rsyslog"}))
		case 7:
			fmt.Fprintf(&b, "mkdir -p /srv; echo made > %s\n", one([]string{"/opt/made", "/srv/made"}))
		case 8:
			fmt.Fprintf(&b, "getent group %[1]s >/dev/null || groupadd %[1]s\n", one(groups))
		}
	}
	return b.String() + ":"
}
