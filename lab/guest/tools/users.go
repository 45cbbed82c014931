package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// database edits one of the files of accounts: lines of fields between colons.
func database(p *proc.Proc, file string, edit func(rows [][]string) [][]string) error {
	old, err := p.FS.ReadFile(file)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, row := range edit(account.Lines(p.FS, file, 1)) {
		b.WriteString(strings.Join(row, ":") + "\n")
	}
	if b.String() == string(old) {
		return nil
	}
	st, err := p.FS.Stat(file)
	if err != nil {
		return err
	}
	// The new file takes the old one's name when it is whole, as shadow's tools do.
	tmp := file + "+"
	if err := p.FS.WriteFile(tmp, []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := p.FS.Chown(tmp, st.UserID, st.GroupID, true); err != nil {
		return err
	}
	if err := p.FS.Chmod(tmp, st.Perm()); err != nil {
		return err
	}
	return p.FS.Rename(tmp, file)
}

func add(row ...string) func([][]string) [][]string {
	return func(rows [][]string) [][]string { return append(rows, row) }
}

func drop(name string) func([][]string) [][]string {
	return func(rows [][]string) [][]string {
		return slices.DeleteFunc(rows, func(r []string) bool { return r[0] == name })
	}
}

func change(name string, f func(row []string)) func([][]string) [][]string {
	return func(rows [][]string) [][]string {
		for _, r := range rows {
			if r[0] == name {
				f(r)
			}
		}
		return rows
	}
}

// asRoot refuses everybody else in the words of shadow's tools.
func asRoot(p *proc.Proc, file string) bool {
	if p.FS.Cred.UID == 0 {
		return true
	}
	p.Errorf("Permission denied.\n%s: cannot lock %s; try again later.", path.Base(p.Args[0]), file)
	return false
}

var goodName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}\$?$`)

// freeID finds an unused number.
func freeID(used map[int]bool, system bool) int {
	if system {
		for id := 999; id >= 100; id-- {
			if !used[id] {
				return id
			}
		}
	}
	for id := 1000; ; id++ {
		if !used[id] {
			return id
		}
	}
}

func usedIDs(p *proc.Proc) map[int]bool {
	used := map[int]bool{}
	for _, u := range account.Users(p.FS) {
		used[u.UID] = true
	}
	for _, g := range account.Groups(p.FS) {
		used[g.GID] = true
	}
	return used
}

func addGroup(p *proc.Proc, name string, gid int) error {
	return errors.Join(
		database(p, "/etc/group", add(name, "x", strconv.Itoa(gid), "")),
		database(p, "/etc/gshadow", add(name, "!", "", "")),
	)
}

// joinGroups sets which groups have a user as a member.
func joinGroups(p *proc.Proc, user string, is func(group string, member bool) bool) error {
	for _, file := range []string{"/etc/group", "/etc/gshadow"} {
		err := database(p, file, func(rows [][]string) [][]string {
			for _, r := range rows {
				if len(r) < 4 {
					continue
				}
				members := slices.DeleteFunc(strings.Split(r[3], ","), func(s string) bool { return s == "" })
				member := slices.Contains(members, user)
				switch want := is(r[0], member); {
				case want && !member:
					members = append(members, user)
				case !want && member:
					members = slices.DeleteFunc(members, func(s string) bool { return s == user })
				}
				r[3] = strings.Join(members, ",")
			}
			return rows
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// groupList checks a list of groups.
func groupList(p *proc.Proc, list string) ([]string, bool) {
	var names []string
	ok := true
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		if g, found := account.GroupNamed(p.FS, name); found {
			names = append(names, g.Name)
			continue
		}
		if gid, err := strconv.Atoi(name); err == nil {
			if g, found := account.GroupWith(p.FS, gid); found {
				names = append(names, g.Name)
				continue
			}
		}
		p.Errorf("group '%s' does not exist", name)
		ok = false
	}
	return names, ok
}

func today() string { return strconv.Itoa(int(time.Now().Unix() / 86400)) }

func useradd(_ context.Context, p *proc.Proc) int {
	o := parse(p, "m M d: s: u: g: G: c: r U N p: e: f: k: o b: l D K: home-dir=d create-home=m no-create-home=M shell=s uid=u gid=g groups=G comment=c system=r user-group=U no-user-group=N password=p expiredate=e inactive=f skel=k non-unique=o base-dir=b no-log-init=l")
	if o == nil {
		return 2
	}
	if len(o.Args) != 1 {
		p.Errorf("usage: useradd [options] LOGIN")
		return 2
	}
	if !asRoot(p, "/etc/passwd") {
		return 1
	}
	name := o.Args[0]
	if !goodName.MatchString(name) {
		p.Errorf("invalid user name '%s': use --badname to ignore", name)
		return 3
	}
	if _, found := account.UserNamed(p.FS, name); found {
		p.Errorf("user '%s' already exists", name)
		return 9
	}
	used := usedIDs(p)
	uid := -1
	if o.has("u") {
		n, err := strconv.Atoi(o.val("u"))
		if err != nil || n < 0 {
			p.Errorf("invalid user ID '%s'", o.val("u"))
			return 3
		}
		if _, taken := account.UserWith(p.FS, n); taken && !o.has("o") {
			p.Errorf("UID %d is not unique", n)
			return 4
		}
		uid = n
	} else {
		uid = freeID(used, o.has("r"))
	}
	groups, ok := groupList(p, o.val("G"))
	if !ok {
		return 6
	}
	gid := 100
	ownGroup := !o.has("g") && !o.has("N")
	switch {
	case o.has("g"):
		id, found := account.ParseGroup(p.FS, o.val("g"))
		if _, known := account.GroupWith(p.FS, id); !found || !known {
			p.Errorf("group '%s' does not exist", o.val("g"))
			return 6
		}
		gid = id
	case ownGroup:
		if _, found := account.GroupNamed(p.FS, name); found {
			p.Errorf("group %s exists - if you want to add this user to that group, use -g.", name)
			return 9
		}
		gid = uid
		if _, taken := account.GroupWith(p.FS, gid); taken {
			gid = freeID(used, o.has("r"))
		}
	}
	home := "/home/" + name
	if o.has("b") {
		home = o.val("b") + "/" + name
	}
	if o.has("d") {
		home = o.val("d")
	}
	shell := "/bin/sh"
	if o.has("s") {
		shell = o.val("s")
	}
	password := "!"
	if o.has("p") {
		password = o.val("p")
	}
	shadow := []string{name, password, today(), "0", "99999", "7", "", expiry(o.val("e")), ""}
	if o.has("r") {
		shadow[3], shadow[4], shadow[5] = "", "", ""
	}
	var err error
	if ownGroup {
		err = addGroup(p, name, gid)
	}
	if err == nil {
		err = errors.Join(
			database(p, "/etc/passwd", add(name, "x", strconv.Itoa(uid), strconv.Itoa(gid), o.val("c"), home, shell)),
			database(p, "/etc/shadow", add(shadow...)),
			joinGroups(p, name, func(group string, member bool) bool { return member || slices.Contains(groups, group) }),
		)
	}
	if err == nil && o.has("m") && !o.has("M") {
		skel := "/etc/skel"
		if o.has("k") {
			skel = o.val("k")
		}
		err = makeHome(p, home, skel, uid, gid)
	}
	if err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return 0
}

// expiry is a date as days since 1970, as /etc/shadow has it.
func expiry(date string) string {
	t, err := time.Parse("2006-01-02", date)
	if err != nil {
		return strings.TrimPrefix(date, "-1")
	}
	return strconv.Itoa(int(t.Unix() / 86400))
}

// makeHome makes a home folder from the skeleton; one that is there stays as it is.
func makeHome(p *proc.Proc, home, skel string, uid, gid int) error {
	if _, err := p.FS.Stat(home); err == nil {
		return nil
	}
	if err := p.FS.MkdirAll(path.Dir(home), 0o755); err != nil {
		return err
	}
	if err := p.FS.Mkdir(home, 0o755); err != nil {
		return err
	}
	if err := p.FS.Chmod(home, 0o750); err != nil {
		return err
	}
	if err := p.FS.Chown(home, uid, gid, false); err != nil {
		return err
	}
	list, err := p.FS.ReadDir(skel)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, st := range list {
		if !st.IsRegular() {
			continue
		}
		content, err := p.FS.ReadFile(skel + "/" + st.Name())
		if err != nil {
			return err
		}
		to := home + "/" + st.Name()
		if err := p.FS.WriteFile(to, content, st.Perm()); err != nil {
			return err
		}
		if err := p.FS.Chown(to, uid, gid, false); err != nil {
			return err
		}
	}
	return nil
}

func usermod(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a G: g: s: d: m u: o c: l: L U p: e: f: r append=a groups=G gid=g shell=s home=d move-home=m uid=u non-unique=o comment=c login=l lock=L unlock=U password=p expiredate=e inactive=f remove=r")
	if o == nil {
		return 2
	}
	if len(o.Args) != 1 {
		p.Errorf("usage: usermod [options] LOGIN")
		return 2
	}
	if !asRoot(p, "/etc/passwd") {
		return 1
	}
	name := o.Args[0]
	u, found := account.UserNamed(p.FS, name)
	if !found {
		p.Errorf("user '%s' does not exist", name)
		return 6
	}
	groups, ok := groupList(p, o.val("G"))
	if !ok {
		return 6
	}
	gid := u.GID
	if o.has("g") {
		id, known := account.ParseGroup(p.FS, o.val("g"))
		if _, exists := account.GroupWith(p.FS, id); !known || !exists {
			p.Errorf("group '%s' does not exist", o.val("g"))
			return 6
		}
		gid = id
	}
	uid := u.UID
	if o.has("u") {
		n, err := strconv.Atoi(o.val("u"))
		if err != nil {
			p.Errorf("invalid user ID '%s'", o.val("u"))
			return 3
		}
		if _, taken := account.UserWith(p.FS, n); taken && n != uid && !o.has("o") {
			p.Errorf("UID '%d' already exists", n)
			return 4
		}
		uid = n
	}
	err := database(p, "/etc/passwd", change(name, func(r []string) {
		r[2], r[3] = strconv.Itoa(uid), strconv.Itoa(gid)
		for key, at := range map[string]int{"c": 4, "d": 5, "s": 6} {
			if o.has(key) {
				r[at] = o.val(key)
			}
		}
	}))
	if err == nil && o.has("d") && o.has("m") && o.val("d") != u.Home {
		if _, statErr := p.FS.Stat(u.Home); statErr == nil {
			if err = p.FS.MkdirAll(path.Dir(o.val("d")), 0o755); err == nil {
				err = p.FS.Rename(u.Home, o.val("d"))
			}
		}
	}
	if err == nil && uid != u.UID {
		err = tree(p, u.Home, true, func(name string, st vfs.Info) error {
			if st.UserID != u.UID {
				return nil
			}
			return p.FS.Chown(p.Path(name), uid, -1, false)
		})
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = database(p, "/etc/shadow", change(name, func(r []string) {
			switch {
			case o.has("p"):
				r[1] = o.val("p")
			case o.has("L") && !strings.HasPrefix(r[1], "!"):
				r[1] = "!" + r[1]
			case o.has("U") && len(r[1]) > 1:
				r[1] = strings.TrimPrefix(r[1], "!")
			}
			if o.has("e") && len(r) > 7 {
				r[7] = expiry(o.val("e"))
			}
		}))
	}
	if err == nil && o.has("G") {
		err = joinGroups(p, name, func(group string, member bool) bool {
			listed := slices.Contains(groups, group)
			switch {
			case o.has("r"):
				return member && !listed
			case o.has("a"):
				return member || listed
			}
			return listed
		})
	}
	if err == nil && o.has("l") && o.val("l") != name {
		err = renameUser(p, name, o.val("l"))
	}
	if err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return 0
}

func renameUser(p *proc.Proc, name, to string) error {
	rename := change(name, func(r []string) { r[0] = to })
	return errors.Join(
		database(p, "/etc/passwd", rename),
		database(p, "/etc/shadow", rename),
		database(p, "/etc/group", func(rows [][]string) [][]string {
			for _, r := range rows {
				if len(r) > 3 {
					members := strings.Split(r[3], ",")
					for i, m := range members {
						if m == name {
							members[i] = to
						}
					}
					r[3] = strings.Join(members, ",")
				}
			}
			return rows
		}),
	)
}

func userdel(_ context.Context, p *proc.Proc) int {
	o := parse(p, "r f remove=r force=f")
	if o == nil || len(o.Args) != 1 {
		return 2
	}
	if !asRoot(p, "/etc/passwd") {
		return 1
	}
	name := o.Args[0]
	u, found := account.UserNamed(p.FS, name)
	if !found {
		p.Errorf("user '%s' does not exist", name)
		return 6
	}
	for _, e := range p.System.Table().List() {
		if e.User == name && !o.has("f") {
			p.Errorf("user %s is currently used by process %d", name, e.PID)
			return 8
		}
	}
	err := errors.Join(
		database(p, "/etc/passwd", drop(name)),
		database(p, "/etc/shadow", drop(name)),
		joinGroups(p, name, func(string, bool) bool { return false }),
	)
	if g, found := account.GroupNamed(p.FS, name); found && g.GID == u.GID && len(g.Members) == 0 {
		shared := slices.ContainsFunc(account.Users(p.FS), func(x account.User) bool { return x.GID == g.GID })
		if !shared {
			err = errors.Join(err, database(p, "/etc/group", drop(name)), database(p, "/etc/gshadow", drop(name)))
		}
	}
	if err == nil && o.has("r") {
		err = p.FS.RemoveAll(u.Home)
		if mail := "/var/mail/" + name; err == nil {
			err = p.FS.RemoveAll(mail)
		}
	}
	if err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return 0
}

func groupadd(_ context.Context, p *proc.Proc) int {
	o := parse(p, "g: r f o p: U: K: gid=g system=r force=f non-unique=o password=p users=U")
	if o == nil || len(o.Args) != 1 {
		return 2
	}
	if !asRoot(p, "/etc/group") {
		return 10
	}
	name := o.Args[0]
	if !goodName.MatchString(name) {
		p.Errorf("'%s' is not a valid group name", name)
		return 3
	}
	if _, found := account.GroupNamed(p.FS, name); found {
		if o.has("f") {
			return 0
		}
		p.Errorf("group '%s' already exists", name)
		return 9
	}
	gid := freeID(usedIDs(p), o.has("r"))
	if o.has("g") {
		n, err := strconv.Atoi(o.val("g"))
		if err != nil {
			p.Errorf("invalid group ID '%s'", o.val("g"))
			return 3
		}
		if _, taken := account.GroupWith(p.FS, n); taken && !o.has("o") {
			p.Errorf("GID '%d' already exists", n)
			return 4
		}
		gid = n
	}
	if err := addGroup(p, name, gid); err != nil {
		p.Errorf("%v", err)
		return 10
	}
	return 0
}

func groupmod(_ context.Context, p *proc.Proc) int {
	o := parse(p, "g: n: o gid=g new-name=n non-unique=o")
	if o == nil || len(o.Args) != 1 {
		return 2
	}
	if !asRoot(p, "/etc/group") {
		return 10
	}
	name := o.Args[0]
	g, found := account.GroupNamed(p.FS, name)
	if !found {
		p.Errorf("group '%s' does not exist", name)
		return 6
	}
	gid := g.GID
	if o.has("g") {
		n, err := strconv.Atoi(o.val("g"))
		if err != nil {
			p.Errorf("invalid group ID '%s'", o.val("g"))
			return 3
		}
		if _, taken := account.GroupWith(p.FS, n); taken && n != gid && !o.has("o") {
			p.Errorf("GID '%d' already exists", n)
			return 4
		}
		gid = n
	}
	edit := change(name, func(r []string) {
		if o.has("n") {
			r[0] = o.val("n")
		}
	})
	err := errors.Join(
		database(p, "/etc/group", change(name, func(r []string) { r[2] = strconv.Itoa(gid) })),
		database(p, "/etc/group", edit), database(p, "/etc/gshadow", edit),
		database(p, "/etc/passwd", func(rows [][]string) [][]string {
			for _, r := range rows {
				if len(r) > 3 && r[3] == strconv.Itoa(g.GID) {
					r[3] = strconv.Itoa(gid)
				}
			}
			return rows
		}),
	)
	if err != nil {
		p.Errorf("%v", err)
		return 10
	}
	return 0
}

func groupdel(_ context.Context, p *proc.Proc) int {
	o := parse(p, "f force=f")
	if o == nil || len(o.Args) != 1 {
		return 2
	}
	if !asRoot(p, "/etc/group") {
		return 10
	}
	name := o.Args[0]
	g, found := account.GroupNamed(p.FS, name)
	if !found {
		p.Errorf("group '%s' does not exist", name)
		return 6
	}
	for _, u := range account.Users(p.FS) {
		if u.GID == g.GID && !o.has("f") {
			p.Errorf("cannot remove the primary group of user '%s'", u.Name)
			return 8
		}
	}
	if err := errors.Join(database(p, "/etc/group", drop(name)), database(p, "/etc/gshadow", drop(name))); err != nil {
		p.Errorf("%v", err)
		return 10
	}
	return 0
}

func gpasswd(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a: d: M: A: add=a delete=d members=M")
	if o == nil || len(o.Args) != 1 {
		return 2
	}
	if p.FS.Cred.UID != 0 {
		p.Errorf("Permission denied.")
		return 1
	}
	group := o.Args[0]
	g, found := account.GroupNamed(p.FS, group)
	if !found {
		p.Errorf("group '%s' does not exist in /etc/group", group)
		return 3
	}
	var err error
	switch user := o.val("a") + o.val("d"); {
	case o.has("M"):
		want := strings.Split(o.val("M"), ",")
		for _, name := range append(slices.Clone(want), g.Members...) {
			if name != "" {
				err = errors.Join(err, joinGroups(p, name, func(g string, m bool) bool { return m && g != group || g == group && slices.Contains(want, name) }))
			}
		}
	case user == "":
		p.Errorf("this needs a terminal")
		return 1
	default:
		if _, known := account.UserNamed(p.FS, user); !known {
			p.Errorf("user '%s' does not exist", user)
			return 3
		}
		if o.has("d") && !slices.Contains(g.Members, user) {
			p.Errorf("user '%s' is not a member of '%s'", user, group)
			return 3
		}
		p.Printf("%s user %s %s group %s\n", map[bool]string{true: "Adding", false: "Removing"}[o.has("a")], user, map[bool]string{true: "to", false: "from"}[o.has("a")], group)
		err = joinGroups(p, user, func(g string, m bool) bool {
			if g == group {
				return o.has("a")
			}
			return m
		})
	}
	if err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return 0
}

func chpasswd(_ context.Context, p *proc.Proc) int {
	o := parse(p, "e c: m s: encrypted=e crypt-method=c md5=m")
	if o == nil {
		return 2
	}
	if !asRoot(p, "/etc/passwd") {
		return 1
	}
	all, _ := lines(p, nil, '\n')
	for i, line := range all {
		name, password, found := strings.Cut(line, ":")
		if !found {
			p.Errorf("line %d: missing new password", i+1)
			return 1
		}
		if _, known := account.UserNamed(p.FS, name); !known {
			p.Errorf("(user %s) pam_chauthtok() failed, error:\nAuthentication token manipulation error\nchpasswd: (line %d, user %s) password not changed", name, i+1, name)
			return 1
		}
		if !o.has("e") {
			password = account.HashPassword(password)
		}
		if err := setPassword(p, name, password); err != nil {
			p.Errorf("%v", err)
			return 1
		}
	}
	return 0
}

func setPassword(p *proc.Proc, name, hashed string) error {
	return database(p, "/etc/shadow", change(name, func(r []string) {
		r[1] = hashed
		if len(r) > 2 {
			r[2] = today()
		}
	}))
}

func passwd(_ context.Context, p *proc.Proc) int {
	o := parse(p, "l u d S e q lock=l unlock=u delete=d status=S expire=e quiet=q")
	if o == nil {
		return 2
	}
	name := p.User
	if len(o.Args) > 0 {
		name = o.Args[0]
	}
	if p.FS.Cred.UID != 0 && (name != p.User || !o.has("S")) {
		p.Errorf("You may not view or modify password information for %s.", name)
		return 1
	}
	if _, found := account.UserNamed(p.FS, name); !found {
		p.Errorf("user '%s' does not exist", name)
		return 1
	}
	var field string
	for _, r := range account.Lines(p.FS, "/etc/shadow", 2) {
		if r[0] == name {
			field = r[1]
		}
	}
	now := field
	switch {
	case o.has("S"):
		state := "P"
		switch {
		case field == "":
			state = "NP"
		case strings.HasPrefix(field, "!"), strings.HasPrefix(field, "*"):
			state = "L"
		}
		p.Printf("%s %s %s 0 99999 7 -1\n", name, state, time.Now().Format("01/02/2006"))
		return 0
	case o.has("l") && !strings.HasPrefix(field, "!"):
		now = "!" + field
	case o.has("u"):
		now = strings.TrimPrefix(field, "!")
		if now == "" {
			p.Errorf("unlocking the password would result in a passwordless account.\nYou should set a password with usermod -p to unlock the password of this account.")
			return 3
		}
	case o.has("d"):
		now = ""
	case o.has("e"), o.has("l"):
	default:
		// New password on the standard input, twice, as PAM asks without a terminal.
		all, _ := lines(p, nil, '\n')
		if len(all) < 2 || all[0] != all[1] || all[0] == "" {
			p.Errorf("Authentication token manipulation error\npasswd: password unchanged")
			return 10
		}
		now = account.HashPassword(all[0])
	}
	if err := database(p, "/etc/shadow", change(name, func(r []string) {
		r[1] = now
		if o.has("e") {
			r[2] = "0"
		}
	})); err != nil {
		p.Errorf("%v", err)
		return 1
	}
	if !o.has("q") && !o.has("u") && len(o.set) > 0 {
		p.Printf("passwd: password expiry information changed.\n")
	}
	return 0
}

func chsh(_ context.Context, p *proc.Proc) int {
	o := parse(p, "s: shell=s")
	if o == nil {
		return 1
	}
	name := p.User
	if len(o.Args) > 0 {
		name = o.Args[0]
	}
	if p.FS.Cred.UID != 0 {
		p.Errorf("PAM: Authentication failure")
		return 1
	}
	if _, found := account.UserNamed(p.FS, name); !found {
		p.Errorf("user '%s' does not exist", name)
		return 1
	}
	if err := database(p, "/etc/passwd", change(name, func(r []string) { r[6] = o.val("s") })); err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return 0
}

// adduser is Debian's adduser and addgroup on top of the others.
func adduser(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "q disabled-password disabled-login gecos: comment: home: shell: uid: gid: ingroup: no-create-home system group quiet=q force-badname allow-bad-names=force-badname")
	if o == nil || len(o.Args) == 0 {
		return 1
	}
	say := func(format string, args ...any) {
		if !o.has("q") {
			p.Printf(format+"\n", args...)
		}
	}
	name := o.Args[0]
	if path.Base(p.Args[0]) == "addgroup" || o.has("group") && !o.has("system") {
		if len(o.Args) == 1 {
			args := []string{"groupadd"}
			if o.has("system") {
				args = append(args, "-r")
			}
			if o.has("gid") {
				args = append(args, "-g", o.val("gid"))
			}
			say("Adding group `%s' ...", name)
			return runCommand(ctx, p, append(args, name))
		}
	}
	if len(o.Args) == 2 {
		say("Adding user `%s' to group `%s' ...", name, o.Args[1])
		return runCommand(ctx, p, []string{"usermod", "-a", "-G", o.Args[1], name})
	}
	if _, found := account.UserNamed(p.FS, name); found {
		if o.has("system") {
			say("The system user `%s' already exists. Exiting.", name)
			return 0
		}
		p.Errorf("The user `%s' already exists.", name)
		return 1
	}
	args := []string{"useradd", "-c", o.val("gecos") + o.val("comment")}
	if o.has("system") {
		args = append(args, "-r")
		if !o.has("group") && !o.has("ingroup") {
			args = append(args, "-g", "nogroup")
		}
	}
	if !o.has("no-create-home") {
		args = append(args, "-m")
	}
	shell := "/bin/bash"
	if o.has("system") {
		shell = "/usr/sbin/nologin"
	}
	if o.has("shell") {
		shell = o.val("shell")
	}
	args = append(args, "-s", shell)
	for key, flag := range map[string]string{"home": "-d", "uid": "-u", "ingroup": "-g", "gid": "-g"} {
		if o.has(key) {
			args = append(args, flag, o.val(key))
		}
	}
	say("Adding user `%s' ...", name)
	return runCommand(ctx, p, append(args, name))
}

// deluser is Debian's deluser and delgroup.
func deluser(ctx context.Context, p *proc.Proc) int {
	o := parse(p, "q remove-home quiet=q system group only-if-empty")
	if o == nil || len(o.Args) == 0 {
		return 1
	}
	switch {
	case path.Base(p.Args[0]) == "delgroup" || o.has("group"):
		return runCommand(ctx, p, []string{"groupdel", o.Args[0]})
	case len(o.Args) == 2:
		return runCommand(ctx, p, []string{"gpasswd", "-d", o.Args[0], o.Args[1]})
	case o.has("remove-home"):
		return runCommand(ctx, p, []string{"userdel", "-r", o.Args[0]})
	}
	return runCommand(ctx, p, []string{"userdel", o.Args[0]})
}

func id(_ context.Context, p *proc.Proc) int {
	o := parse(p, "u g G n r z user=u group=g groups=G name=n real=r zero=z")
	if o == nil {
		return 1
	}
	cred := p.FS.Cred
	name := p.User
	if len(o.Args) > 0 {
		u, found := account.UserNamed(p.FS, o.Args[0])
		if !found {
			if n, err := strconv.Atoi(o.Args[0]); err == nil {
				u, found = account.UserWith(p.FS, n)
			}
		}
		if !found {
			p.Errorf("‘%s’: no such user", o.Args[0])
			return 1
		}
		cred, name = account.Cred(p.FS, u), u.Name
	}
	groups := []int{cred.GID}
	for _, g := range cred.Groups {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	groupText := func(gid int) string {
		if o.has("n") {
			return account.GroupName(p.FS, gid)
		}
		return strconv.Itoa(gid)
	}
	switch {
	case o.has("u") && o.has("n"):
		p.Printf("%s\n", name)
	case o.has("u"):
		p.Printf("%d\n", cred.UID)
	case o.has("g"):
		p.Printf("%s\n", groupText(cred.GID))
	case o.has("G"):
		var out []string
		for _, g := range groups {
			out = append(out, groupText(g))
		}
		p.Printf("%s\n", strings.Join(out, " "))
	default:
		var out []string
		for _, g := range groups {
			out = append(out, fmt.Sprintf("%d(%s)", g, account.GroupName(p.FS, g)))
		}
		p.Printf("uid=%d(%s) gid=%d(%s) groups=%s\n", cred.UID, name, cred.GID, account.GroupName(p.FS, cred.GID), strings.Join(out, ","))
	}
	return 0
}

func whoami(_ context.Context, p *proc.Proc) int {
	p.Printf("%s\n", p.User)
	return 0
}

func groups(_ context.Context, p *proc.Proc) int {
	cred, prefix := p.FS.Cred, ""
	if len(p.Args) > 1 {
		u, found := account.UserNamed(p.FS, p.Args[1])
		if !found {
			p.Errorf("‘%s’: no such user", p.Args[1])
			return 1
		}
		cred, prefix = account.Cred(p.FS, u), u.Name+" : "
	}
	out := []string{account.GroupName(p.FS, cred.GID)}
	for _, g := range cred.Groups {
		if g != cred.GID {
			out = append(out, account.GroupName(p.FS, g))
		}
	}
	p.Printf("%s%s\n", prefix, strings.Join(out, " "))
	return 0
}

func getent(_ context.Context, p *proc.Proc) int {
	if len(p.Args) < 2 {
		p.Errorf("wrong number of arguments")
		return 1
	}
	keys := p.Args[2:]
	if file, found := map[string]string{"passwd": "/etc/passwd", "group": "/etc/group", "shadow": "/etc/shadow", "gshadow": "/etc/gshadow"}[p.Args[1]]; found {
		view := p.FS
		if _, err := view.ReadFile(file); err != nil {
			return 2
		}
		rows := account.Lines(view, file, 2)
		if len(keys) == 0 {
			for _, r := range rows {
				p.Printf("%s\n", strings.Join(r, ":"))
			}
			return 0
		}
		code := 0
		for _, key := range keys {
			hit := false
			for _, r := range rows {
				if r[0] == key || (p.Args[1] == "passwd" || p.Args[1] == "group") && len(r) > 2 && r[2] == key {
					p.Printf("%s\n", strings.Join(r, ":"))
					hit = true
					break
				}
			}
			if !hit {
				code = 2
			}
		}
		return code
	}
	switch p.Args[1] {
	case "hosts", "ahosts", "ahostsv4":
		return getentHosts(p, keys)
	case "services":
		for _, key := range keys {
			port, found := map[string]string{"ssh": "22/tcp", "http": "80/tcp", "https": "443/tcp", "domain": "53/tcp"}[key]
			if !found {
				return 2
			}
			p.Printf("%-21s %s\n", key, port)
		}
		return 0
	}
	fmt.Fprintf(p.Stderr, "Unknown database: %s\n", p.Args[1]) //nolint:errcheck // nobody left to tell
	p.Printf("Try `getent --help' or `getent --usage' for more information.\n")
	return 1
}

func getentHosts(p *proc.Proc, keys []string) int {
	hosts, err := p.FS.ReadFile("/etc/hosts")
	if err != nil {
		return 2
	}
	hit := len(keys) == 0
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if len(keys) == 0 || slices.Contains(f, keys[0]) {
			p.Printf("%-15s %s\n", f[0], strings.Join(f[1:], " "))
			hit = true
			if len(keys) > 0 {
				break
			}
		}
	}
	if !hit {
		return 2
	}
	return 0
}
