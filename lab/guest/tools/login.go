package tools

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// sudoPath is the PATH that sudo gives.
const sudoPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"

// Become makes a process another user's.
func Become(p *proc.Proc, u account.User) {
	p.FS = p.FS.As(account.Cred(p.FS, u))
	p.User = u.Name
}

// rule is a line of sudoers: who may run what as whom.
type rule struct {
	who       string
	runAs     []string
	free      bool // no password
	commands  []string
	forbidden []string
}

// sudoers reads /etc/sudoers and what it includes. A mistake makes sudo refuse everything.
func sudoers(v *vfs.View) ([]rule, error) {
	content, err := v.ReadFile("/etc/sudoers")
	if err != nil {
		return nil, err
	}
	rules, err := parseSudoers("/etc/sudoers", string(content))
	if err != nil {
		return nil, err
	}
	list, err := v.ReadDir("/etc/sudoers.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !strings.Contains(string(content), "includedir /etc/sudoers.d") {
		list = nil
	}
	for _, st := range list {
		// Names with a dot or a tilde at the end are left out, and so are files that others may write.
		if strings.Contains(st.Name(), ".") || strings.HasSuffix(st.Name(), "~") || !st.IsRegular() || st.UserID != 0 || st.Perm()&0o022 != 0 {
			continue
		}
		file := "/etc/sudoers.d/" + st.Name()
		content, err := v.ReadFile(file)
		if err != nil {
			return nil, err
		}
		more, err := parseSudoers(file, string(content))
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	return rules, nil
}

// syntaxError is where a sudoers file is wrong.
type syntaxError struct {
	file string
	line int
	text string
}

func (e *syntaxError) Error() string {
	return e.file + ":" + strconv.Itoa(e.line) + ": syntax error\n" + e.text
}

func parseSudoers(file, content string) ([]rule, error) {
	var rules []rule
	number := 0
	joined := ""
	for line := range strings.Lines(content) {
		number++
		line = strings.TrimRight(line, "\n")
		if rest, more := strings.CutSuffix(line, `\`); more {
			joined += rest
			continue
		}
		line = strings.TrimSpace(joined + line)
		joined = ""
		switch {
		case strings.HasPrefix(line, "#include"), strings.HasPrefix(line, "@include"), line == "", strings.HasPrefix(line, "#"):
			continue
		}
		line, _, _ = strings.Cut(line, " #")
		first, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(first, "Defaults") {
			continue
		}
		if strings.HasSuffix(first, "_Alias") {
			if !strings.Contains(line, "=") {
				return nil, &syntaxError{file, number, line}
			}
			continue
		}
		r, ok := parseRule(line)
		if !ok {
			return nil, &syntaxError{file, number, line}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(line string) (rule, bool) {
	left, right, found := strings.Cut(line, "=")
	who := strings.Fields(left)
	if !found || len(who) != 2 {
		return rule{}, false
	}
	r := rule{who: who[0], runAs: []string{"root"}}
	right = strings.TrimSpace(right)
	if strings.HasPrefix(right, "(") {
		inside, rest, closed := strings.Cut(right[1:], ")")
		if !closed {
			return rule{}, false
		}
		users, _, _ := strings.Cut(inside, ":")
		r.runAs = nil
		for u := range strings.SplitSeq(users, ",") {
			r.runAs = append(r.runAs, strings.TrimSpace(u))
		}
		right = strings.TrimSpace(rest)
	}
	for {
		tag, rest, tagged := strings.Cut(right, ":")
		tag = strings.TrimSpace(tag)
		if !tagged || tag == "" || strings.ToUpper(tag) != tag || strings.ContainsAny(tag, "/, ") {
			break
		}
		if !slices.Contains([]string{"NOPASSWD", "PASSWD", "SETENV", "NOSETENV", "EXEC", "NOEXEC", "LOG_INPUT", "LOG_OUTPUT", "NOLOG_INPUT", "NOLOG_OUTPUT"}, tag) {
			return rule{}, false
		}
		if tag == "NOPASSWD" {
			r.free = true
		}
		right = strings.TrimSpace(rest)
	}
	for c := range strings.SplitSeq(right, ",") {
		c = strings.TrimSpace(c)
		plain := strings.TrimPrefix(c, "!")
		if plain != "ALL" && !strings.HasPrefix(plain, "/") && plain != "sudoedit" || plain == "" {
			return rule{}, false
		}
		if plain != c {
			r.forbidden = append(r.forbidden, plain)
		} else {
			r.commands = append(r.commands, c)
		}
	}
	return r, true
}

// permits tells whether a rule is about a user and lets it run a command.
func (r rule) permits(u account.User, groups []string, target, command string) bool {
	switch {
	case r.who == "ALL", r.who == u.Name, r.who == "#"+strconv.Itoa(u.UID):
	case strings.HasPrefix(r.who, "%") && slices.Contains(groups, r.who[1:]):
	default:
		return false
	}
	if !slices.Contains(r.runAs, "ALL") && !slices.Contains(r.runAs, target) {
		return false
	}
	is := func(c string) bool {
		program, args, limited := strings.Cut(c, " ")
		runs, given, _ := strings.Cut(command, " ")
		if c == "ALL" {
			return true
		}
		ok, err := path.Match(program, runs)
		return err == nil && ok && (!limited || args == given || args == "*")
	}
	return slices.ContainsFunc(r.commands, is) && !slices.ContainsFunc(r.forbidden, is)
}

func sudo(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "+ n S p: u: g: H E i s k K v l b A B P e C: D: non-interactive=n stdin=S prompt=p user=u group=g set-home=H preserve-env? login=i shell=s reset-timestamp=k remove-timestamp=K validate=v list=l background=b askpass=A preserve-groups=P chdir=D")
	if o == nil {
		return 1
	}
	args := o.Args
	extra := map[string]string{}
	for len(args) > 0 {
		name, value, found := strings.Cut(args[0], "=")
		if !found || strings.ContainsAny(name, "/ ") {
			break
		}
		extra[name] = value
		args = args[1:]
	}
	target := "root"
	if o.has("u") {
		target = o.val("u")
	}
	to, found := account.UserNamed(p.FS, target)
	if id, isID := strings.CutPrefix(target, "#"); isID && !found {
		if n, err := strconv.Atoi(id); err == nil {
			to, found = account.UserWith(p.FS, n)
		}
	}
	if !found {
		p.Errorf("unknown user %s", target)
		return 1
	}
	me, _ := account.UserWith(p.FS, p.FS.Cred.UID)
	if len(args) == 0 && !o.has("s") && !o.has("i") && !o.has("v") && !o.has("l") {
		if o.has("k") || o.has("K") {
			return 0
		}
		p.Errorf("usage: sudo [-AbEHnPS] [-p prompt] [-u user] [VAR=value] [-i|-s] [<command>]")
		return 1
	}
	root := p.FS.As(vfs.Root)
	rules, err := sudoers(root)
	if err != nil {
		p.Errorf("%v\nsudo: error initializing audit plugin sudoers_audit", err)
		return 1
	}
	shell := to.Shell
	if o.has("s") && p.Env["SHELL"] != "" {
		shell = p.Env["SHELL"]
	}
	command := args
	if o.has("s") || o.has("i") {
		command = []string{shell}
		if len(args) > 0 {
			quoted := make([]string, len(args))
			for i, a := range args {
				quoted[i] = shellEscape(a)
			}
			command = []string{shell, "-c", strings.Join(quoted, " ")}
		}
	}
	full := ""
	var lookErr error
	if len(command) > 0 {
		finder := p.Child()
		finder.CloseFiles()
		finder.Env["PATH"] = sudoPath
		finder.FS = root
		full, lookErr = finder.LookPath(command[0])
	}
	if code, ok := authorize(ctx, p, o, rules, me, to.Name, strings.Join(append([]string{full}, command[min(1, len(command)):]...), " ")); !ok {
		return code
	}
	switch {
	case o.has("l"):
		p.Printf("User %s may run the following commands on %s:\n    (ALL : ALL) ALL\n", me.Name, kernel(p, "kernel/hostname"))
		return 0
	case o.has("v"):
		return 0
	case lookErr != nil && errors.Is(lookErr, fs.ErrPermission):
		p.Errorf("%s: command not found", command[0])
		return 1
	case lookErr != nil:
		p.Errorf("%s: command not found", command[0])
		return 1
	}
	child := p.Child(command...)
	child.Args[0] = command[0]
	sudoEnv(child, p, o, me, to, full, extra)
	if o.has("D") {
		child.Dir = p.Path(o.val("D"))
	}
	if o.has("i") {
		child.Dir = to.Home
	}
	Become(child, to)
	child.FS.Umask |= 0o022
	code, err := p.Spawn(ctx, child)
	if err != nil {
		p.Errorf("unable to execute %s: %s", full, proc.Text(err))
		return 1
	}
	return code
}

// sudoEnv makes the environment of what sudo runs.
func sudoEnv(child, p *proc.Proc, o *options, me, to account.User, full string, extra map[string]string) {
	env := map[string]string{}
	keep := []string{"TERM", "LANG", "LANGUAGE", "COLORS", "DISPLAY", "XAUTHORITY"}
	if o.has("E") || o.has("preserve-env") && o.val("preserve-env") == "" {
		keep = slices.Collect(maps.Keys(p.Env))
	}
	if v := o.val("preserve-env"); v != "" {
		keep = append(keep, strings.Split(v, ",")...)
	}
	for name, value := range p.Env {
		if slices.Contains(keep, name) || strings.HasPrefix(name, "LC_") {
			env[name] = value
		}
	}
	maps.Copy(env, map[string]string{
		"PATH": sudoPath, "HOME": to.Home, "USER": to.Name, "LOGNAME": to.Name, "SHELL": to.Shell, "MAIL": "/var/mail/" + to.Name,
		"SUDO_USER": me.Name, "SUDO_UID": strconv.Itoa(me.UID), "SUDO_GID": strconv.Itoa(me.GID),
		"SUDO_COMMAND": strings.Join(append([]string{full}, child.Args[1:]...), " "),
	})
	if env["TERM"] == "" {
		env["TERM"] = "unknown"
	}
	maps.Copy(env, extra)
	child.Env = env
}

// authorize finds the rule, and asks for the password if it wants one.
func authorize(ctx context.Context, p *proc.Proc, o *options, rules []rule, me account.User, target, command string) (int, bool) {
	if p.FS.Cred.UID == 0 {
		return 0, true
	}
	var groups []string
	for _, gid := range append([]int{p.FS.Cred.GID}, p.FS.Cred.Groups...) {
		groups = append(groups, account.GroupName(p.FS, gid))
	}
	var match *rule
	for i := range rules {
		if rules[i].permits(me, groups, target, command) {
			match = &rules[i] // the last one counts
		}
	}
	if match == nil && (o.has("v") || o.has("l")) {
		for i := range rules {
			if rules[i].who == me.Name {
				match = &rules[i]
			}
		}
	}
	if match != nil && match.free {
		return 0, true
	}
	if o.has("n") {
		p.Errorf("a password is required")
		return 1, false
	}
	if !o.has("S") {
		p.Errorf("a terminal is required to read the password; either use the -S option to read from standard input or configure an askpass helper\nsudo: a password is required")
		return 1, false
	}
	hashed := ""
	for _, r := range account.Lines(p.FS, "/etc/shadow", 2) {
		if r[0] == me.Name {
			hashed = r[1]
		}
	}
	prompt := "[sudo] password for " + me.Name + ": "
	if o.has("p") {
		prompt = strings.NewReplacer("%p", me.Name, "%u", me.Name, "%U", target, "%h", kernel(p, "kernel/hostname"), "%%", "%").Replace(o.val("p"))
	}
	for try := 1; ; try++ {
		if _, err := p.Stderr.Write([]byte(prompt)); err != nil {
			return 1, false
		}
		password, ok := readPassword(ctx, p)
		switch {
		case !ok && try == 1:
			p.Stderr.Write([]byte("\n")) //nolint:errcheck // nobody left to tell
			p.Errorf("no password was provided\nsudo: a password is required")
			return 1, false
		case ok && account.CheckPassword(hashed, password):
			if match == nil {
				p.Stderr.Write([]byte(me.Name + " is not in the sudoers file.  This incident will be reported.\n")) //nolint:errcheck // nobody left to tell
				return 1, false
			}
			return 0, true
		case !ok || try == 3:
			n := try
			if !ok {
				n = try - 1
			}
			p.Errorf("%d incorrect password attempt%s", n, map[bool]string{true: "s", false: ""}[n > 1])
			return 1, false
		}
		p.Stderr.Write([]byte("Sorry, try again.\n")) //nolint:errcheck // nobody left to tell
	}
}

// readPassword reads one line and no byte more: what follows is for the command.
func readPassword(ctx context.Context, p *proc.Proc) (string, bool) {
	var line []byte
	var b [1]byte
	for ctx.Err() == nil {
		n, err := p.Stdin.Read(b[:])
		if n > 0 {
			if b[0] == '\n' {
				return string(line), true
			}
			line = append(line, b[0])
		}
		if err != nil {
			return string(line), len(line) > 0
		}
	}
	return "", false
}

// shellEscape puts a backslash before what a shell would take for more than itself, as sudo -s does.
func shellEscape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$", r) {
			b.WriteRune(r)
		} else {
			b.WriteString(`\` + string(r))
		}
	}
	return b.String()
}

// su is su and runuser.
func su(ctx context.Context, p *proc.Proc) int {
	args := p.Args
	login := false
	for i, a := range args {
		if a == "-" {
			login = true
			args = slices.Delete(slices.Clone(args), i, i+1)
			break
		}
	}
	p.Args = args
	o := parse(p, "c: s: l m p f u: g: command=c shell=s login=l preserve-environment=m session-command=c user=u")
	if o == nil {
		return 1
	}
	login = login || o.has("l")
	rest := o.Args
	name := "root"
	switch {
	case o.has("u"):
		name = o.val("u")
	case len(rest) > 0:
		name, rest = rest[0], rest[1:]
	}
	u, found := account.UserNamed(p.FS, name)
	if !found {
		p.Errorf("user %s does not exist or the user entry does not contain all the required fields", name)
		return 1
	}
	if p.FS.Cred.UID != 0 {
		p.Errorf("Authentication failure")
		return 1
	}
	child := p.Child()
	if o.has("u") {
		child.Args = rest // runuser -u USER COMMAND
	} else {
		shell := u.Shell
		if o.has("s") {
			shell = o.val("s")
		}
		child.Args = []string{shell}
		if login {
			child.Args[0] = shell
		}
		if o.has("c") {
			child.Args = append(child.Args, "-c", o.val("c"))
		}
		child.Args = append(child.Args, rest...)
	}
	if len(child.Args) == 0 {
		child.CloseFiles()
		return missing(p)
	}
	if login {
		child.Env = map[string]string{"TERM": p.Env["TERM"], "PATH": sudoPath}
		child.Dir = u.Home
	}
	if !o.has("m") && !o.has("p") && !o.has("u") {
		maps.Copy(child.Env, map[string]string{"HOME": u.Home, "SHELL": u.Shell})
		if u.UID != 0 || login {
			maps.Copy(child.Env, map[string]string{"USER": u.Name, "LOGNAME": u.Name})
		}
	}
	Become(child, u)
	code, err := p.Spawn(ctx, child)
	if err != nil {
		p.Errorf("failed to execute %s: %s", child.Args[0], proc.Text(err))
		return 127
	}
	return code
}

// visudo checks sudoers; it has no editor.
func visudo(_ context.Context, p *proc.Proc) int {
	o := parse(p, "c f: q s x: O P I check=c file=f quiet=q strict=s owner=O perms=P")
	if o == nil {
		return 1
	}
	if !o.has("c") {
		p.Errorf("no editor found (editor path = /usr/bin/editor)")
		return 1
	}
	file := "/etc/sudoers"
	if o.has("f") {
		file = o.val("f")
	} else if len(o.Args) > 0 {
		file = o.Args[0]
	}
	content, err := readInput(p, file)
	if err != nil {
		p.Errorf("unable to open %s: %s", file, proc.Text(err))
		return 1
	}
	if _, err := parseSudoers(file, string(content)); err != nil {
		var at *syntaxError
		if !o.has("q") && errors.As(err, &at) {
			p.Stderr.Write([]byte(at.file + ":" + strconv.Itoa(at.line) + ":" + strconv.Itoa(len(at.text)) + ": syntax error\n" + at.text + "\n" + strings.Repeat(" ", max(0, len(at.text)-1)) + "^\n")) //nolint:errcheck // nobody left to tell
		}
		return 1
	}
	if !o.has("q") {
		p.Printf("%s: parsed OK\n", file)
	}
	return 0
}
