package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// edit rewrites the lines of a file of fields between colons; a line for which change returns nil goes.
func edit(v *vfs.View, file string, mode uint32, change func(f []string) []string) error {
	text, err := v.ReadFile(file)
	if err != nil {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if f := change(strings.Split(strings.TrimRight(line, "\n"), ":")); f != nil {
			b.WriteString(strings.Join(f, ":") + "\n")
		}
	}
	if b.String() == string(text) {
		return nil
	}
	return v.WriteFile(file, []byte(b.String()), mode)
}

// userFlags are the options of useradd and usermod.
type userFlags struct {
	has   map[byte]bool
	value map[byte]string
	names []string
}

var longUserFlags = map[string]byte{
	"--shell": 's', "--home-dir": 'd', "--home": 'd', "--comment": 'c', "--groups": 'G', "--gid": 'g', "--uid": 'u', "--system": 'r', "--create-home": 'm',
	"--move-home": 'm', "--append": 'a', "--user-group": 'U', "--no-create-home": 'M', "--lock": 'L', "--unlock": 'l', "--password": 'p', "--remove": 'r',
	"--force": 'f', "--add": 'A', "--delete": 'D', "--login": 'l', "--expiredate": 'e', "--no-user-group": 'N',
}

func parseUserFlags(p *proc.Proc, valued string) *userFlags {
	o := &userFlags{has: map[byte]bool{}, value: map[byte]string{}}
	args := p.Args[1:]
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			o.names = append(o.names, args[i+1:]...)
			return o
		case strings.HasPrefix(a, "--"):
			name, value, given := strings.Cut(a, "=")
			c, known := longUserFlags[name]
			if !known {
				p.Errorf("unrecognized option '%s'", a)
				return nil
			}
			o.has[c] = true
			if strings.IndexByte(valued, c) >= 0 {
				if !given {
					if i++; i < len(args) {
						value = args[i]
					}
				}
				o.value[c] = value
			}
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				o.has[a[j]] = true
				if strings.IndexByte(valued, a[j]) < 0 {
					continue
				}
				value := a[j+1:]
				if value == "" {
					if i++; i < len(args) {
						value = args[i]
					}
				}
				o.value[a[j]] = value
				break
			}
		default:
			o.names = append(o.names, a)
		}
	}
	return o
}

// freeID is the lowest number that no user and no group has; system ones count down from 999.
func freeID(v *vfs.View, system bool) int {
	id, step := 1000, 1
	if system {
		id, step = 999, -1
	}
	for {
		_, user := account.UserWith(v, id)
		_, group := account.GroupWith(v, id)
		if !user && !group {
			return id
		}
		id += step
	}
}

func mayChangeUsers(p *proc.Proc) bool {
	if p.FS.Cred.UID != 0 {
		p.Errorf("Permission denied.\n%s: cannot lock /etc/passwd; try again later.", path.Base(p.Args[0]))
		return false
	}
	return true
}

func useradd(_ context.Context, p *proc.Proc) int {
	o := parseUserFlags(p, "sdcGgupekKb")
	if o == nil || len(o.names) != 1 {
		fmt.Fprintln(p.Stderr, "Usage: useradd [options] LOGIN") //nolint:errcheck // nobody left to tell
		return 2
	}
	if !mayChangeUsers(p) {
		return 1
	}
	v, name := p.FS, o.names[0]
	if _, there := account.UserNamed(v, name); there {
		p.Errorf("user '%s' already exists", name)
		return 9
	}
	groups := strings.FieldsFunc(o.value['G'], func(r rune) bool { return r == ',' })
	for _, g := range groups {
		if _, there := account.GroupNamed(v, g); !there {
			p.Errorf("group '%s' does not exist", g)
			return 6
		}
	}
	uid := freeID(v, o.has['r'])
	if text := o.value['u']; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			p.Errorf("invalid user ID '%s'", text)
			return 3
		}
		uid = n
	}
	gid := uid
	if text := o.value['g']; text != "" {
		n, there := account.ParseGroup(v, text)
		if !there {
			p.Errorf("group '%s' does not exist", text)
			return 6
		}
		gid = n
	} else if g, there := account.GroupNamed(v, name); there {
		if o.has['U'] {
			p.Errorf("group %s exists - if you want to add this user to that group, use -g.", name)
			return 9
		}
		gid = g.GID
	} else if err := appendLine(v, "/etc/group", fmt.Sprintf("%s:x:%d:", name, gid), 0o644); err != nil {
		p.Errorf("cannot open /etc/group: %s", proc.Text(err))
		return 10
	}
	home, shell := orDefault(o.value['d'], "/home/"+name), orDefault(o.value['s'], "/bin/sh")
	errs := []error{
		appendLine(v, "/etc/passwd", fmt.Sprintf("%s:x:%d:%d:%s:%s:%s", name, uid, gid, o.value['c'], home, shell), 0o644),
		appendLine(v, "/etc/shadow", name+":"+orDefault(o.value['p'], "!")+":19700:0:99999:7:::", 0o640),
		joinGroups(v, name, groups...),
	}
	if o.has['m'] && !exists(v, home) {
		errs = append(errs, v.MkdirAll(home, 0o750), v.Chmod(home, 0o750), v.Chown(home, uid, gid, true))
		if list, err := v.ReadDir("/etc/skel"); err == nil {
			for _, f := range list {
				text, err := v.ReadFile("/etc/skel/" + f.Name())
				if err == nil {
					err = errors.Join(v.WriteFile(home+"/"+f.Name(), text, 0o644), v.Chown(home+"/"+f.Name(), uid, gid, true))
				}
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.Errorf("%v", err)
		return 12
	}
	return 0
}

func usermod(_ context.Context, p *proc.Proc) int {
	o := parseUserFlags(p, "sdcGgupe")
	if o == nil || len(o.names) != 1 {
		fmt.Fprintln(p.Stderr, "Usage: usermod [options] LOGIN") //nolint:errcheck // nobody left to tell
		return 2
	}
	if !mayChangeUsers(p) {
		return 1
	}
	v, name := p.FS, o.names[0]
	user, there := account.UserNamed(v, name)
	if !there {
		p.Errorf("user '%s' does not exist", name)
		return 6
	}
	groups := strings.FieldsFunc(o.value['G'], func(r rune) bool { return r == ',' })
	for _, g := range groups {
		if _, there := account.GroupNamed(v, g); !there {
			p.Errorf("group '%s' does not exist", g)
			return 6
		}
	}
	errs := []error{edit(v, "/etc/passwd", 0o644, func(f []string) []string {
		if f[0] == name && len(f) == 7 {
			for flag, i := range map[byte]int{'c': 4, 'd': 5, 's': 6, 'u': 2} {
				if o.has[flag] {
					f[i] = o.value[flag]
				}
			}
			if gid, ok := account.ParseGroup(v, o.value['g']); ok {
				f[3] = strconv.Itoa(gid)
			}
		}
		return f
	})}
	if o.has['m'] && o.value['d'] != "" && exists(v, user.Home) && user.Home != o.value['d'] {
		errs = append(errs, v.Rename(user.Home, o.value['d']))
	}
	if o.has['G'] {
		errs = append(errs, edit(v, "/etc/group", 0o644, func(f []string) []string {
			if len(f) != 4 {
				return f
			}
			members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			in, wanted := slices.Contains(members, name), slices.Contains(groups, f[0])
			switch {
			case wanted && !in:
				members = append(members, name)
			case in && !wanted && !o.has['a']:
				members = slices.DeleteFunc(members, func(m string) bool { return m == name })
			}
			f[3] = strings.Join(members, ",")
			return f
		}))
	}
	if o.has['p'] {
		errs = append(errs, setPassword(v, name, o.value['p']))
	}
	if o.has['L'] {
		errs = append(errs, edit(v, "/etc/shadow", 0o640, func(f []string) []string {
			if f[0] == name && !strings.HasPrefix(f[1], "!") {
				f[1] = "!" + f[1]
			}
			return f
		}))
	}
	if err := errors.Join(errs...); err != nil {
		p.Errorf("%v", err)
		return 12
	}
	return 0
}

func userdel(_ context.Context, p *proc.Proc) int {
	o := parseUserFlags(p, "")
	if o == nil || len(o.names) != 1 {
		return 2
	}
	if !mayChangeUsers(p) {
		return 1
	}
	v, name := p.FS, o.names[0]
	user, there := account.UserNamed(v, name)
	if !there {
		p.Errorf("user '%s' does not exist", name)
		return 6
	}
	drop := func(f []string) []string {
		if f[0] == name {
			return nil
		}
		return f
	}
	errs := []error{edit(v, "/etc/passwd", 0o644, drop), edit(v, "/etc/shadow", 0o640, drop),
		edit(v, "/etc/group", 0o644, func(f []string) []string {
			if f[0] == name && len(f) == 4 && f[2] == strconv.Itoa(user.GID) {
				return nil
			}
			if len(f) == 4 {
				f[3] = strings.Join(slices.DeleteFunc(strings.Split(f[3], ","), func(m string) bool { return m == name || m == "" }), ",")
			}
			return f
		})}
	if o.has['r'] {
		errs = append(errs, v.RemoveAll(user.Home))
	}
	if err := errors.Join(errs...); err != nil {
		p.Errorf("%v", err)
		return 12
	}
	return 0
}

func groupadd(_ context.Context, p *proc.Proc) int {
	o := parseUserFlags(p, "gp")
	if o == nil || len(o.names) != 1 {
		return 2
	}
	if !mayChangeUsers(p) {
		return 10
	}
	name := o.names[0]
	if _, there := account.GroupNamed(p.FS, name); there {
		if o.has['f'] {
			return 0
		}
		p.Errorf("group '%s' already exists", name)
		return 9
	}
	gid := freeID(p.FS, o.has['r'])
	if n, err := strconv.Atoi(o.value['g']); err == nil {
		gid = n
	}
	if err := appendLine(p.FS, "/etc/group", fmt.Sprintf("%s:x:%d:", name, gid), 0o644); err != nil {
		p.Errorf("%s", proc.Text(err))
		return 10
	}
	return 0
}

func groupdel(_ context.Context, p *proc.Proc) int {
	o := parseUserFlags(p, "")
	if o == nil || len(o.names) != 1 {
		return 2
	}
	g, there := account.GroupNamed(p.FS, o.names[0])
	if !there {
		p.Errorf("group '%s' does not exist", o.names[0])
		return 6
	}
	for _, u := range account.Users(p.FS) {
		if u.GID == g.GID {
			p.Errorf("cannot remove the primary group of user '%s'", u.Name)
			return 8
		}
	}
	err := edit(p.FS, "/etc/group", 0o644, func(f []string) []string {
		if f[0] == g.Name {
			return nil
		}
		return f
	})
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 10
	}
	return 0
}

func gpasswd(_ context.Context, p *proc.Proc) int {
	o := parseUserFlags(p, "adAD")
	if o == nil || len(o.names) != 1 || !o.has['a'] && !o.has['d'] {
		return 2
	}
	user, group := o.value['a']+o.value['d'], o.names[0]
	_, there := account.GroupNamed(p.FS, group)
	if _, known := account.UserNamed(p.FS, user); !known || !there {
		p.Errorf("user '%s' or group '%s' does not exist", user, group)
		return 3
	}
	err := edit(p.FS, "/etc/group", 0o644, func(f []string) []string {
		if f[0] == group && len(f) == 4 {
			members := slices.DeleteFunc(strings.Split(f[3], ","), func(m string) bool { return m == user || m == "" })
			if o.has['a'] {
				members = append(members, user)
			}
			f[3] = strings.Join(members, ",")
		}
		return f
	})
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	p.Printf("%s user %s %s group %s\n", map[bool]string{true: "Adding", false: "Removing"}[o.has['a']], user, map[bool]string{true: "to", false: "from"}[o.has['a']], group)
	return 0
}

func chpasswd(_ context.Context, p *proc.Proc) int {
	text, err := io.ReadAll(p.Stdin)
	for line := range strings.Lines(string(text)) {
		name, password, _ := strings.Cut(strings.TrimSpace(line), ":")
		if _, there := account.UserNamed(p.FS, name); !there {
			p.Errorf("(user %s) pam_chauthtok() failed, error:\nAuthentication token manipulation error", name)
			return 1
		}
		if !slices.Contains(p.Args, "-e") {
			password = "$6$lab$" + password
		}
		err = errors.Join(err, setPassword(p.FS, name, password))
	}
	if err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return 0
}

func id(_ context.Context, p *proc.Proc) int {
	flags, names := flagsOf(p)
	u, found := account.UserWith(p.FS, p.FS.Cred.UID)
	cred := p.FS.Cred
	if len(names) > 0 {
		if u, found = account.UserNamed(p.FS, names[0]); !found {
			p.Errorf("'%s': no such user", names[0])
			return 1
		}
		cred = account.Cred(p.FS, u)
	}
	groups := append([]int{cred.GID}, slices.DeleteFunc(slices.Clone(cred.Groups), func(g int) bool { return g == cred.GID })...)
	byName := strings.Contains(flags, "n")
	show := func(n int, name string) string {
		if byName {
			return name
		}
		return strconv.Itoa(n)
	}
	var words []string
	switch {
	case strings.Contains(flags, "u"):
		words = []string{show(cred.UID, u.Name)}
	case strings.Contains(flags, "g"):
		words = []string{show(cred.GID, account.GroupName(p.FS, cred.GID))}
	case strings.Contains(flags, "G"):
		for _, g := range groups {
			words = append(words, show(g, account.GroupName(p.FS, g)))
		}
	default:
		var list []string
		for _, g := range groups {
			list = append(list, fmt.Sprintf("%d(%s)", g, account.GroupName(p.FS, g)))
		}
		words = []string{fmt.Sprintf("uid=%d(%s) gid=%s groups=%s", cred.UID, u.Name, list[0], strings.Join(list, ","))}
	}
	p.Printf("%s\n", strings.Join(words, " "))
	return 0
}

func whoami(_ context.Context, p *proc.Proc) int {
	p.Printf("%s\n", account.UserName(p.FS, p.FS.Cred.UID))
	return 0
}

func getent(_ context.Context, p *proc.Proc) int {
	if len(p.Args) < 2 {
		p.Errorf("wrong number of arguments")
		return 1
	}
	file, known := map[string]string{"passwd": "/etc/passwd", "group": "/etc/group", "shadow": "/etc/shadow", "hosts": "/etc/hosts"}[p.Args[1]]
	if !known {
		fmt.Fprintf(p.Stderr, "Unknown database: %s\n", p.Args[1]) //nolint:errcheck // nobody left to tell
		return 1
	}
	text, err := p.FS.ReadFile(file)
	if err != nil {
		return 2
	}
	keys, hits := p.Args[2:], 0
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if p.Args[1] == "hosts" {
			f = strings.Fields(line)
		}
		match := len(keys) == 0
		for _, k := range keys {
			match = match || len(f) > 0 && f[0] == k || p.Args[1] != "hosts" && len(f) > 2 && f[2] == k || p.Args[1] == "hosts" && slices.Contains(f, k)
		}
		if match && len(f) > 1 {
			p.Printf("%s", line)
			hits++
		}
	}
	if hits < len(keys) {
		return 2
	}
	return 0
}

// become runs a command as another user, in the session's own process group.
func become(ctx context.Context, p *proc.Proc, user account.User, env map[string]string, args []string) int {
	child := p.Child(args...)
	child.FS.Cred = account.Cred(p.FS, user)
	child.User = user.Name
	child.Env = env
	status, err := p.Spawn(ctx, child)
	if err != nil {
		if errors.Is(err, proc.ErrNotFound) {
			p.Errorf("%s: command not found", args[0])
			return 1
		}
		p.Errorf("%s: %s", args[0], proc.Text(err))
		return 1
	}
	return status
}

// sudo lets root, and those whom /etc/sudoers.d gives it without a password, be others.
func sudo(ctx context.Context, p *proc.Proc) int {
	target, shell, keep, setHome := "root", false, false, false
	args := p.Args[1:]
	extra := map[string]string{}
	for len(args) > 0 {
		a := args[0]
		if name, value, found := strings.Cut(a, "="); found && a[0] != '-' {
			extra[name] = value
			args = args[1:]
			continue
		}
		if a == "" || a[0] != '-' {
			break
		}
		args = args[1:]
		if a == "--" {
			break
		}
		switch {
		case (a == "-u" || a == "--user" || a == "-g" || a == "-p" || a == "--prompt" || a == "-C") && len(args) > 0:
			if a == "-u" || a == "--user" {
				target = args[0]
			}
			args = args[1:]
		case strings.HasPrefix(a, "--user="):
			target = a[7:]
		case a == "-E" || strings.HasPrefix(a, "--preserve-env"):
			keep = true
		case a == "-i" || a == "-s" || a == "--login":
			shell = true
		case a == "-H":
			setHome = true
		case a == "-v" || a == "-k" || a == "-K":
			return 0
		}
	}
	self := account.UserName(p.FS, p.FS.Cred.UID)
	if p.FS.Cred.UID != 0 && !mayBeRoot(p, self) {
		p.Errorf("a password is required")
		return 1
	}
	user, found := account.UserNamed(p.FS, target)
	if !found {
		p.Errorf("unknown user: %s\nsudo: error initializing audit plugin sudoers_audit", target)
		return 1
	}
	if shell {
		if len(args) > 0 {
			args = []string{user.Shell, "-c", strings.Join(args, " ")}
		} else {
			args = []string{user.Shell}
		}
	}
	if len(args) == 0 {
		fmt.Fprintln(p.Stderr, "usage: sudo -h | -K | -k | -V") //nolint:errcheck // nobody left to tell
		return 1
	}
	env := map[string]string{"PATH": systemPath + ":/snap/bin", "HOME": user.Home, "USER": user.Name, "LOGNAME": user.Name, "SHELL": user.Shell,
		"SUDO_USER": self, "SUDO_UID": strconv.Itoa(p.FS.Cred.UID), "SUDO_COMMAND": strings.Join(args, " ")}
	if keep {
		merged := maps.Clone(p.Env)
		maps.Copy(merged, map[string]string{"SUDO_USER": self})
		env = merged
		if setHome {
			env["HOME"] = user.Home
		}
	} else if lang := p.Env["LANG"]; lang != "" {
		env["LANG"] = lang
	}
	maps.Copy(env, extra)
	return become(ctx, p, user, env, args)
}

// mayBeRoot looks for a rule that gives a user sudo without a password.
func mayBeRoot(p *proc.Proc, name string) bool {
	v := p.FS.As(vfs.Root)
	files := []string{"/etc/sudoers"}
	if list, err := v.ReadDir("/etc/sudoers.d"); err == nil {
		for _, f := range list {
			files = append(files, "/etc/sudoers.d/"+f.Name())
		}
	}
	subjects := []string{name, "ALL"}
	for _, g := range p.FS.Cred.Groups {
		subjects = append(subjects, "%"+account.GroupName(v, g))
	}
	for _, file := range files {
		text, err := v.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 1 && slices.Contains(subjects, f[0]) && strings.Contains(line, "NOPASSWD:") && strings.HasSuffix(strings.TrimSpace(line), "ALL") {
				return true
			}
		}
	}
	return false
}

func su(ctx context.Context, p *proc.Proc) int {
	target, command := "root", ""
	args := p.Args[1:]
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case (a == "-c" || a == "--command" || a == "-s" || a == "--shell") && i+1 < len(args):
			i++
			if a == "-c" || a == "--command" {
				command = args[i]
			}
		case strings.HasPrefix(a, "-"):
		default:
			target = a
		}
	}
	user, found := account.UserNamed(p.FS, target)
	if !found {
		p.Errorf("user %s does not exist or the user entry does not contain all the required fields", target)
		return 1
	}
	if p.FS.Cred.UID != 0 {
		p.Errorf("Authentication failure")
		return 1
	}
	argv := []string{user.Shell}
	if command != "" {
		argv = append(argv, "-c", command)
	}
	env := map[string]string{"PATH": systemPath, "HOME": user.Home, "USER": user.Name, "LOGNAME": user.Name, "SHELL": user.Shell}
	return become(ctx, p, user, env, argv)
}

// crontab keeps users' tables; nothing runs them.
func crontab(_ context.Context, p *proc.Proc) int {
	flags, names := flagsOf(p)
	user := account.UserName(p.FS, p.FS.Cred.UID)
	if strings.Contains(flags, "u") && len(names) > 0 {
		user, names = names[0], names[1:]
	}
	v := p.FS.As(vfs.Root)
	file := "/var/spool/cron/crontabs/" + user
	switch {
	case strings.Contains(flags, "l"):
		text, err := v.ReadFile(file)
		if err != nil {
			fmt.Fprintf(p.Stderr, "no crontab for %s\n", user) //nolint:errcheck // nobody left to tell
			return 1
		}
		p.Printf("%s", text)
		return 0
	case strings.Contains(flags, "r"):
		return statusOf(v.RemoveAll(file))
	}
	var text []byte
	var err error
	if len(names) > 0 && names[0] != "-" {
		text, err = p.FS.ReadFile(p.Path(names[0]))
	} else {
		text, err = io.ReadAll(p.Stdin)
	}
	if err == nil {
		err = v.WriteFile(file, text, 0o600)
	}
	if err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	return 0
}
