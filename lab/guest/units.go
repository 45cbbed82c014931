package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
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
		return fmt.Errorf("Unit %s not found.", name) //nolint:staticcheck // systemd's text
	case masked:
		return fmt.Errorf("Unit %s is masked.", name) //nolint:staticcheck // systemd's text
	case u.state(name).active == "active":
		return nil
	}
	settings := u.settings(file)
	for _, required := range strings.Fields(strings.Join(append(settings["Unit.Requires"], settings["Unit.Wants"]...), " ")) {
		if _, masked, found := u.file(required); !found || masked || depth > 8 {
			continue
		}
		if err := u.startOne(ctx, required, depth+1); err != nil && slices.Contains(settings["Unit.Requires"], required) {
			return fmt.Errorf("A dependency job for %s failed. See 'journalctl -xe' for details.", name) //nolint:staticcheck // systemd's text
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

// launch does what a unit's start means: a package's own code, or the unit file's commands.
func (u *units) launch(ctx context.Context, name string, settings map[string][]string) (stop func(), sub string, err error) {
	sub = "running"
	if own, known := u.r.g.backend.catalog.unit(name); known {
		if own.Start != nil {
			if err := own.Start(ctx, u.r.g); err != nil {
				return nil, "", err
			}
		}
		if own.Stop != nil {
			stop = func() {
				if err := own.Stop(context.WithoutCancel(ctx), u.r.g); err != nil {
					u.r.g.Journal(name, err.Error())
				}
			}
		}
		if slices.Contains(settings["Service.Type"], "oneshot") {
			sub = "exited"
		}
		if path.Ext(name) == ".socket" || path.Ext(name) == ".timer" {
			sub = map[string]string{".socket": "listening", ".timer": "waiting"}[path.Ext(name)]
		}
		return stop, sub, nil
	}
	if path.Ext(name) != ".service" {
		return nil, map[string]string{".socket": "listening", ".timer": "waiting", ".target": "active", ".mount": "mounted"}[path.Ext(name)], nil
	}
	return u.execute(name, settings)
}

// execute runs the commands of a unit file.
func (u *units) execute(name string, settings map[string][]string) (stop func(), sub string, err error) {
	user := account.User{Name: "root", Home: "/root", Shell: "/bin/bash"}
	v := u.r.g.root()
	if names := settings["Service.User"]; len(names) > 0 {
		found := false
		if user, found = account.UserNamed(v, names[0]); !found {
			return nil, "", fmt.Errorf("%s: Failed to determine user credentials: No such process", name)
		}
	}
	env := map[string]string{"PATH": systemPath, "HOME": user.Home, "USER": user.Name, "LOGNAME": user.Name, "LANG": "C.UTF-8"}
	for _, file := range settings["Service.EnvironmentFile"] {
		text, err := u.r.g.ReadFile(strings.TrimPrefix(file, "-"))
		if err != nil && !strings.HasPrefix(file, "-") {
			return nil, "", fmt.Errorf("%s: Failed to load environment files: No such file or directory", name)
		}
		for line := range strings.Lines(string(text)) {
			setEnv(env, strings.TrimSpace(line))
		}
	}
	for _, line := range settings["Service.Environment"] {
		for _, word := range words(line) {
			setEnv(env, word)
		}
	}
	run := func(line string, wait bool) (int, func(), error) {
		argv := words(strings.TrimLeft(line, "-@:+!"))
		if len(argv) == 0 {
			return 0, nil, nil
		}
		out := &journalWriter{g: u.r.g, unit: name}
		p := u.r.process(user, argv, strings.NewReader(""), out, out)
		p.Env = maps.Clone(env)
		if dirs := settings["Service.WorkingDirectory"]; len(dirs) > 0 {
			p.Dir = strings.TrimPrefix(dirs[0], "-")
		}
		p.Audit = nil
		waitFor, err := u.r.start(p)
		if err != nil {
			return 0, nil, fmt.Errorf("%s: Failed to locate executable %s: %s", name, argv[0], proc.Text(err))
		}
		if !wait {
			pid := p.PID
			u.set(name, func(s *unitState) { s.pid = pid })
			done := make(chan struct{})
			u.r.work.Go(func() {
				defer close(done)
				u.ended(name, pid, waitFor(u.r.ctx))
			})
			return 0, func() {
				if err := u.r.table.Kill(pid, proc.SIGTERM, 0); err != nil && !errors.Is(err, syscall.ESRCH) {
					u.r.g.Journal(name, err.Error())
				}
				select {
				case <-done:
				case <-time.After(time.Second):
				}
			}, nil
		}
		code := waitFor(u.r.ctx)
		if code != 0 && !strings.HasPrefix(line, "-") {
			return code, nil, fmt.Errorf("%s: Control process exited, code=exited, status=%d", name, code)
		}
		return code, nil, nil
	}
	for _, line := range settings["Service.ExecStartPre"] {
		if _, _, err := run(line, true); err != nil {
			return nil, "", err
		}
	}
	oneshot := slices.Contains(settings["Service.Type"], "oneshot")
	for _, line := range settings["Service.ExecStart"] {
		_, end, err := run(line, oneshot)
		if err != nil {
			return nil, "", err
		}
		stop = end
	}
	if len(settings["Service.ExecStart"]) == 0 && !oneshot {
		return nil, "", fmt.Errorf("%s: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.", name) //nolint:staticcheck // systemd's text
	}
	sub = "running"
	if oneshot {
		sub = "dead"
		if slices.ContainsFunc(settings["Service.RemainAfterExit"], func(s string) bool { return s == "yes" || s == "true" || s == "1" }) {
			sub = "exited"
		}
	}
	return stop, sub, nil
}

func setEnv(env map[string]string, word string) {
	if key, value, ok := strings.Cut(word, "="); ok && key != "" && key[0] != '#' {
		env[key] = strings.Trim(value, `"'`)
	}
}

// words splits a unit file's command line.
func words(line string) []string {
	var out []string
	var b strings.Builder
	quote, open := rune(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if b.Len() > 0 || open {
				out = append(out, b.String())
			}
			b.Reset()
			open = false
		default:
			b.WriteRune(c)
		}
	}
	if b.Len() > 0 || open {
		out = append(out, b.String())
	}
	return out
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
		return fmt.Errorf("Failed to stop %s: Unit %s not loaded.", name, name) //nolint:staticcheck // systemd's text
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

// wants lists where a unit's links stand when it is enabled.
func (u *units) wants(settings map[string][]string, name string) (links []string) {
	for key, dir := range map[string]string{"Install.WantedBy": ".wants/", "Install.RequiredBy": ".requires/"} {
		for _, target := range strings.Fields(strings.Join(settings[key], " ")) {
			links = append(links, "/etc/systemd/system/"+target+dir+name)
		}
	}
	for _, alias := range strings.Fields(strings.Join(settings["Install.Alias"], " ")) {
		links = append(links, "/etc/systemd/system/"+alias)
	}
	slices.Sort(links)
	return links
}

// fileState is what systemctl is-enabled says.
func (u *units) fileState(name string) string {
	file, masked, found := u.file(name)
	switch {
	case !found:
		return ""
	case masked:
		return "masked"
	}
	if path.Base(file) != name {
		return "alias"
	}
	links := u.wants(u.settings(file), name)
	if len(links) == 0 {
		return "static"
	}
	for _, link := range links {
		if _, err := u.r.g.root().Lstat(link); err == nil {
			return "enabled"
		}
	}
	return "disabled"
}

// enable makes a unit's links, or takes them away. It tells which.
func (u *units) enable(name string, on bool, say io.Writer) error {
	file, masked, found := u.file(name)
	verb := map[bool]string{true: "enable", false: "disable"}[on]
	if !found {
		return fmt.Errorf("Failed to %s unit: Unit file %s does not exist.", verb, name) //nolint:staticcheck // systemd's text
	}
	if masked && on {
		return fmt.Errorf("Failed to %s unit: Unit file %s is masked.", verb, file) //nolint:staticcheck // systemd's text
	}
	v := u.r.g.root()
	for _, link := range u.wants(u.settings(file), path.Base(file)) {
		_, err := v.Lstat(link)
		there := err == nil
		switch {
		case on && !there:
			if err := errors.Join(v.MkdirAll(path.Dir(link), 0o755), v.Symlink(file, link)); err != nil {
				return err
			}
			fmt.Fprintf(say, "Created symlink %s → %s.\n", link, file) //nolint:errcheck // as systemctl
		case !on && there:
			if err := v.Unlink(link); err != nil {
				return err
			}
			fmt.Fprintf(say, "Removed %s.\n", link) //nolint:errcheck // as systemctl
		default:
			continue
		}
		u.r.g.Touch()
	}
	return nil
}

// startEnabled starts what is to be there after a boot.
func (u *units) startEnabled(ctx context.Context) {
	v := u.r.g.root()
	var names []string
	for _, target := range []string{"sysinit.target", "sockets.target", "timers.target", "multi-user.target", "cloud-init.target"} {
		list, err := v.ReadDir("/etc/systemd/system/" + target + ".wants")
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				u.r.g.Journal("systemd", err.Error())
			}
			continue
		}
		for _, f := range list {
			if !slices.Contains(names, f.Name()) {
				names = append(names, f.Name())
			}
		}
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return
		}
		if err := u.start(ctx, name); err != nil {
			u.r.g.Journal("systemd", err.Error())
		}
	}
}
