// Package account reads a guest's users and groups from its /etc/passwd, /etc/group and /etc/shadow.
package account

import (
	"slices"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/vfs"
)

// User is a line of /etc/passwd.
type User struct {
	Name        string
	UID, GID    int
	Gecos       string
	Home, Shell string
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     int
	Members []string
}

// Lines reads a file of fields between colons; a missing file has none.
func Lines(v *vfs.View, file string, fields int) [][]string {
	content, err := v.As(vfs.Root).ReadFile(file)
	if err != nil {
		return nil
	}
	var out [][]string
	for line := range strings.Lines(string(content)) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) >= fields {
			out = append(out, f)
		}
	}
	return out
}

// Users lists /etc/passwd.
func Users(v *vfs.View) []User {
	var users []User
	for _, f := range Lines(v, "/etc/passwd", 7) {
		uid, err := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err == nil && err2 == nil {
			users = append(users, User{f[0], uid, gid, f[4], f[5], f[6]})
		}
	}
	return users
}

// Groups lists /etc/group.
func Groups(v *vfs.View) []Group {
	var groups []Group
	for _, f := range Lines(v, "/etc/group", 4) {
		gid, err := strconv.Atoi(f[2])
		if err == nil {
			groups = append(groups, Group{f[0], gid, slices.DeleteFunc(strings.Split(f[3], ","), func(s string) bool { return s == "" })})
		}
	}
	return groups
}

// UserNamed finds a user by name.
func UserNamed(v *vfs.View, name string) (User, bool) {
	return first(Users(v), func(u User) bool { return u.Name == name })
}

// UserWith finds a user by number.
func UserWith(v *vfs.View, uid int) (User, bool) {
	return first(Users(v), func(u User) bool { return u.UID == uid })
}

// GroupNamed finds a group by name.
func GroupNamed(v *vfs.View, name string) (Group, bool) {
	return first(Groups(v), func(g Group) bool { return g.Name == name })
}

// GroupWith finds a group by number.
func GroupWith(v *vfs.View, gid int) (Group, bool) {
	return first(Groups(v), func(g Group) bool { return g.GID == gid })
}

func first[T any](list []T, is func(T) bool) (T, bool) {
	for _, t := range list {
		if is(t) {
			return t, true
		}
	}
	var none T
	return none, false
}

// UserName is a user's name, or the number where there is none.
func UserName(v *vfs.View, uid int) string {
	if u, found := UserWith(v, uid); found {
		return u.Name
	}
	return strconv.Itoa(uid)
}

// GroupName is a group's name, or the number where there is none.
func GroupName(v *vfs.View, gid int) string {
	if g, found := GroupWith(v, gid); found {
		return g.Name
	}
	return strconv.Itoa(gid)
}

// Cred is what a user may do, by the groups that have the user as a member.
func Cred(v *vfs.View, u User) vfs.Cred {
	c := vfs.Cred{UID: u.UID, GID: u.GID, Groups: []int{u.GID}}
	for _, g := range Groups(v) {
		if slices.Contains(g.Members, u.Name) && g.GID != u.GID {
			c.Groups = append(c.Groups, g.GID)
		}
	}
	return c
}

// ParseUser reads a name or a number.
func ParseUser(v *vfs.View, s string) (int, bool) {
	if u, found := UserNamed(v, s); found {
		return u.UID, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

// ParseGroup reads a name or a number.
func ParseGroup(v *vfs.View, s string) (int, bool) {
	if g, found := GroupNamed(v, s); found {
		return g.GID, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}
