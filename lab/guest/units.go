package guest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// unitDirs are where unit files are looked for; the first wins.
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"}

// units are a running machine's services: what systemd knows of them. That a unit is enabled stands in
// the tree, as links.
type units struct {
	r *running

	mu   sync.Mutex
	list map[string]*unitState
	op   sync.Mutex // one job at a time, as systemd's queue
}

// unitState is what is known of a unit since the boot.
type unitState struct {
	active string // active, inactive, failed
	sub    string // running, exited, dead, failed
	since  time.Time
	pid    int
	result string // success, exit-code
	stop   func()
	order  int
}

func newUnits(r *running) *units { return &units{r: r, list: map[string]*unitState{}} }

// unitName adds what systemctl lets one leave out.
func unitName(name string) string {
	if slices.Contains([]string{".service", ".socket", ".timer", ".target", ".mount", ".path", ".slice", ".swap"}, path.Ext(name)) {
		return name
	}
	return name + ".service"
}

// file finds a unit's file, and tells if the unit is masked.
func (u *units) file(name string) (file string, masked, found bool) {
	v := u.r.g.root()
	for _, dir := range unitDirs {
		file := dir + "/" + name
		st, err := v.Lstat(file)
		if err != nil {
			continue
		}
		if st.IsLink() {
			target, err := v.Readlink(file)
			if err == nil && target == "/dev/null" {
				return file, true, true
			}
			real, err := v.RealPath(file, false)
			if err != nil {
				continue
			}
			return real, false, true
		}
		return file, false, true
	}
	return "", false, false
}

// settings reads a unit file's assignments, "Section.Key" to the values in their order.
func (u *units) settings(file string) map[string][]string {
	out := map[string][]string{}
	text, err := u.r.g.ReadFile(file)
	if err != nil {
		return out
	}
	section := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			key = section + "." + strings.TrimSpace(key)
			out[key] = append(out[key], strings.TrimSpace(value))
		}
	}
	return out
}

// state is a copy of what is known of a unit.
func (u *units) state(name string) unitState {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.list[name]; s != nil {
		return *s
	}
	return unitState{active: "inactive", sub: "dead", result: "success"}
}

func (u *units) set(name string, change func(*unitState)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.list[name]
	if s == nil {
		s = &unitState{active: "inactive", sub: "dead", result: "success"}
		u.list[name] = s
	}
	change(s)
}

// active lists the active units by name.
func (u *units) active() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var names []string
	for name, s := range u.list {
		if s.active == "active" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// UnitActive tells whether a unit is active.
func (g *Guest) UnitActive(name string) bool {
	run := g.current()
	return run != nil && run.units.state(unitName(name)).active == "active"
}

// errFailed is that a unit did not start; the text is for systemctl's users.
type errFailed struct {
	unit   string
	reason string
}

func (e *errFailed) Error() string { return e.reason }

// start starts a unit and what it requires. One that is active stays as it is.
func (u *units) start(ctx context.Context, name string) error {
	u.op.Lock()
	defer u.op.Unlock()
	return u.startOne(ctx, name, 0)
}

func (u *units) startOne(ctx context.Context, name string, depth int) error {
	file, masked, found := u.file(name)
	switch {
	case !found:
		return saidf("Unit %s not found.", name)
	case masked:
		return saidf("Unit %s is masked.", name)
	case u.state(name).active == "active":
		return nil
	}
	settings := u.settings(file)
	for _, required := range strings.Fields(strings.Join(append(settings["Unit.Requires"], settings["Unit.Wants"]...), " ")) {
		if _, masked, found := u.file(required); !found || masked || depth > 8 {
			continue
		}
		if err := u.startOne(ctx, required, depth+1); err != nil && slices.Contains(settings["Unit.Requires"], required) {
			return saidf("A dependency job for %s failed. See 'journalctl -xe' for details.", name)
		}
	}
	g := u.r.g
	g.Journal("systemd", "Starting "+describeUnit(name, settings)+"...")
	stop, sub, err := u.launch(ctx, name, settings)
	g.Touch()
	if err != nil {
		g.Journal(name, err.Error())
		g.Journal("systemd", name+": Failed with result 'exit-code'.")
		u.set(name, func(s *unitState) { s.active, s.sub, s.since, s.result = "failed", "failed", time.Now(), "exit-code" })
		return &errFailed{name, fmt.Sprintf("Job for %s failed because the control process exited with error code.\nSee \"systemctl status %s\" and \"journalctl -xeu %s\" for details.", name, name, name)}
	}
	if sub == "dead" {
		u.set(name, func(s *unitState) { s.active, s.sub, s.since, s.result = "inactive", "dead", time.Now(), "success" })
		return nil
	}
	u.set(name, func(s *unitState) {
		s.active, s.sub, s.since, s.result, s.stop, s.order = "active", sub, time.Now(), "success", stop, len(u.list)
		if s.pid == 0 && sub == "running" {
			s.pid = firstPID - 200 + s.order
		}
	})
	g.Journal("systemd", "Started "+describeUnit(name, settings)+".")
	return nil
}

func describeUnit(name string, settings map[string][]string) string {
	if d := settings["Unit.Description"]; len(d) > 0 {
		return name + " - " + d[0]
	}
	return name
}

// ended is the end of a service's process by itself.
func (u *units) ended(name string, pid, code int) {
	if u.r.ctx.Err() != nil {
		return
	}
	u.set(name, func(s *unitState) {
		if s.pid != pid || s.active != "active" && s.active != "inactive" {
			return
		}
		s.pid, s.since = 0, time.Now()
		if code == 0 || code == 143 {
			s.active, s.sub, s.result = "inactive", "dead", "success"
			return
		}
		s.active, s.sub, s.result = "failed", "failed", "exit-code"
	})
	u.r.g.Touch()
	if code != 0 && code != 143 {
		u.r.g.Journal("systemd", fmt.Sprintf("%s: Main process exited, code=exited, status=%d", name, code))
	}
}

// stop stops a unit; one that is not active stays as it is.
func (u *units) stop(name string) error {
	u.op.Lock()
	defer u.op.Unlock()
	if _, _, found := u.file(name); !found && u.state(name).active == "inactive" {
		return saidf("Failed to stop %s: Unit %s not loaded.", name, name)
	}
	u.stopOne(name)
	return nil
}

func (u *units) stopOne(name string) {
	s := u.state(name)
	if s.active == "inactive" {
		return
	}
	if s.active == "active" {
		u.r.g.Journal("systemd", "Stopping "+name+"...")
		if s.stop != nil {
			s.stop()
		}
		u.r.g.Journal("systemd", "Stopped "+name+".")
	}
	u.set(name, func(s *unitState) {
		s.active, s.sub, s.pid, s.stop, s.since, s.result = "inactive", "dead", 0, nil, time.Now(), "success"
	})
	u.r.g.Touch()
}

// stopAll stops what is active, the last started first.
func (u *units) stopAll() {
	u.op.Lock()
	defer u.op.Unlock()
	names := u.active()
	slices.SortFunc(names, func(a, b string) int { return u.state(b).order - u.state(a).order })
	for _, name := range names {
		u.stopOne(name)
	}
}
