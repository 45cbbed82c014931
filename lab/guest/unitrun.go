package guest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
)

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
		return nil, "", saidf("%s: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.", name)
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
