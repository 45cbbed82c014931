package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type userArgs struct {
	Name    string   `star:"name" doc:"the user's name"`
	Groups  []string `star:"groups" default:"None" doc:"groups that the user is in, besides those there are"`
	Shell   string   `star:"shell" default:"\"\"" doc:"login shell; /bin/bash for a new user, else as it is"`
	Home    string   `star:"home" default:"\"\"" doc:"home folder; /home/NAME for a new user, else as it is"`
	System  bool     `star:"system" default:"False" doc:"a new user is one of the system's: no home, no expiry"`
	Comment *string  `star:"comment" default:"None" doc:"full name; as it is, if not given"`
	Keys    []string `star:"ssh_keys" default:"None" doc:"public keys that may log in, besides those there are"`
	State   string   `star:"state" default:"\"present\"" doc:"present or absent"`
}

var user = builtin.Method(builtin.Spec{
	Name: "user", Effect: builtin.Operation, Returns: "result",
	Summary: "A user account. Groups are added to those that the user is in.",
	Errors:  []string{"A group is not there."},
	Example: "host.user(\"deploy\", groups = [\"docker\"], ssh_keys = [\"ssh-ed25519 AAAA… me\"])",
}, func(c *builtin.Call, h *Host, a userArgs) (starlark.Value, error) {
	if !accountName(a.Name) {
		return nil, fmt.Errorf("user: %q is no user name", a.Name)
	}
	o := &userOp{h: h, a: a}
	v, err := c.Do(o)
	if err != nil || len(a.Keys) == 0 {
		return v, err
	}
	for _, key := range a.Keys {
		if _, err := c.Do(&keyOp{h: h, user: a.Name, key: strings.TrimSpace(key)}); err != nil {
			return nil, err
		}
	}
	return v, nil
})

// accountName accepts what useradd does; never an option.
func accountName(s string) bool {
	return s != "" && s[0] != '-' && len(s) <= 32 && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r))
	}) < 0
}

type userOp struct {
	h *Host
	a userArgs
}

func (o *userOp) Address() op.Address { return o.h.address("user", o.a.Name) }
func (o *userOp) key() op.Key         { return o.h.key("user", o.a.Name) }

func (o *userOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		name := quote(o.a.Name)
		r, err := o.h.read(ctx, "getent passwd "+name+" || exit 0\nid -nG -- "+name)
		if err != nil || len(r.Stdout) == 0 {
			return nil, err
		}
		entry, groups, _ := strings.Cut(strings.TrimRight(string(r.Stdout), "\n"), "\n")
		f := strings.Split(entry, ":")
		if len(f) < 7 {
			return nil, fmt.Errorf("getent gave %q", entry)
		}
		list := strings.Fields(groups)
		slices.Sort(list)
		return op.Attrs{"home": f[5], "shell": f[6], "comment": f[4], "groups": list}, nil
	})
}

func (o *userOp) Diff(current op.State) (op.Change, error) {
	if o.a.State == "absent" {
		return op.Removal(current), nil
	}
	want := op.Attrs{}
	groups := slices.Clone(o.a.Groups)
	if current.Exists() {
		have, _ := current.Attrs["groups"].([]any)
		for _, g := range have {
			groups = append(groups, fmt.Sprint(g))
		}
	} else {
		want["shell"], want["home"], want["comment"] = "/bin/bash", "/home/"+o.a.Name, ""
		groups = append(groups, o.a.Name) // its own group
	}
	if o.a.Shell != "" {
		want["shell"] = o.a.Shell
	}
	if o.a.Home != "" {
		want["home"] = o.a.Home
	}
	if o.a.Comment != nil {
		want["comment"] = *o.a.Comment
	}
	slices.Sort(groups)
	want["groups"] = slices.Compact(groups)
	return op.Compare(current, want), nil
}

func (o *userOp) Predict(v *op.View, change op.Change) {
	v.Put(o.key(), change)
	if change.Action == op.Create {
		v.Appear(o.h.key("fs", fmt.Sprint(change.After["home"])), op.Attrs{"type": "directory", "mode": "0755", "owner": o.a.Name, "group": o.a.Name})
	}
}

func (o *userOp) Apply(ctx context.Context, change op.Change) error {
	name := quote(o.a.Name)
	if change.Action == op.Delete {
		_, err := o.h.must(ctx, "removing user "+o.a.Name, "userdel -- "+name, nil)
		return err
	}
	var args []string
	differs := func(attr string) bool {
		return change.After[attr] != nil && (change.Before == nil || !op.Equal(change.Before[attr], change.After[attr]))
	}
	if differs("shell") {
		args = append(args, "-s", fmt.Sprint(change.After["shell"]))
	}
	if differs("home") {
		args = append(args, "-d", fmt.Sprint(change.After["home"]))
	}
	if differs("comment") {
		args = append(args, "-c", fmt.Sprint(change.After["comment"]))
	}
	if len(o.a.Groups) > 0 && differs("groups") {
		args = append(args, "-G", strings.Join(o.a.Groups, ","))
	}
	script := "usermod -a " + quote(args...) + " -- " + name
	if !slices.Contains(args, "-G") {
		script = "usermod " + quote(args...) + " -- " + name
	}
	if change.Action == op.Create {
		home := "-m"
		if o.a.System {
			home = "-r"
		}
		script = "useradd -U " + home + " " + quote(args...) + " -- " + name
	}
	_, err := o.h.must(ctx, "user "+o.a.Name, script, nil)
	return err
}

type groupArgs struct {
	Name   string `star:"name" doc:"the group's name"`
	System bool   `star:"system" default:"False" doc:"a new group is one of the system's"`
	State  string `star:"state" default:"\"present\"" doc:"present or absent"`
}

var group = builtin.Method(builtin.Spec{
	Name: "group", Effect: builtin.Operation, Returns: "result",
	Summary: "A group of users.",
	Example: "host.group(\"deployers\")",
}, func(c *builtin.Call, h *Host, a groupArgs) (starlark.Value, error) {
	if !accountName(a.Name) {
		return nil, fmt.Errorf("group: %q is no group name", a.Name)
	}
	return c.Do(&groupOp{h: h, a: a})
})

type groupOp struct {
	h *Host
	a groupArgs
}

func (o *groupOp) Address() op.Address { return o.h.address("group", o.a.Name) }
func (o *groupOp) key() op.Key         { return o.h.key("group", o.a.Name) }

func (o *groupOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, "getent group "+quote(o.a.Name)+" || :")
		if err != nil || len(r.Stdout) == 0 {
			return nil, err
		}
		return op.Attrs{"name": o.a.Name}, nil
	})
}

func (o *groupOp) Diff(current op.State) (op.Change, error) {
	if o.a.State == "absent" {
		return op.Removal(current), nil
	}
	return op.Compare(current, op.Attrs{"name": o.a.Name}), nil
}

func (o *groupOp) Predict(v *op.View, change op.Change) { v.Put(o.key(), change) }

func (o *groupOp) Apply(ctx context.Context, change op.Change) error {
	script := "groupadd "
	if o.a.System {
		script += "-r "
	}
	if change.Action == op.Delete {
		script = "groupdel "
	}
	_, err := o.h.must(ctx, "group "+o.a.Name, script+"-- "+quote(o.a.Name), nil)
	return err
}

type keyArgs struct {
	User string `star:"user" doc:"whose account"`
	Key  string `star:"key" doc:"the public key, as in authorized_keys"`
}

var authorizedKey = builtin.Method(builtin.Spec{
	Name: "authorized_key", Effect: builtin.Operation, Returns: "result",
	Summary: "A public key that may log in as the user. Other keys stay.",
	Example: "host.authorized_key(\"root\", \"ssh-ed25519 AAAA… me\")",
}, func(c *builtin.Call, h *Host, a keyArgs) (starlark.Value, error) {
	if !accountName(a.User) {
		return nil, fmt.Errorf("authorized_key: %q is no user name", a.User)
	}
	return c.Do(&keyOp{h: h, user: a.User, key: strings.TrimSpace(a.Key)})
})

type keyOp struct {
	h         *Host
	user, key string
}

func (o *keyOp) Address() op.Address {
	return o.h.address("authorized_key", o.user+" "+keyBody(o.key))
}

// keyBody is what tells keys apart, whatever the comment: the last part of the base64 text.
func keyBody(key string) string {
	for f := range strings.FieldsSeq(key) {
		if strings.HasPrefix(f, "AAAA") {
			return "…" + f[max(0, len(f)-16):]
		}
	}
	return key
}

func (o *keyOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.h.key("authorized_key", o.user+" "+o.key), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, `home=$(getent passwd `+quote(o.user)+` | cut -d: -f6)
grep -qxF -- `+quote(o.key)+` "$home/.ssh/authorized_keys" 2>/dev/null && echo yes || :`)
		if err != nil || len(r.Stdout) == 0 {
			return nil, err
		}
		return op.Attrs{"key": o.key}, nil
	})
}

func (o *keyOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"key": o.key}), nil
}

func (o *keyOp) Predict(v *op.View, change op.Change) {
	v.Put(o.h.key("authorized_key", o.user+" "+o.key), change)
}

func (o *keyOp) Apply(ctx context.Context, _ op.Change) error {
	_, err := o.h.must(ctx, "key of "+o.user, `u=`+quote(o.user)+`
home=$(getent passwd "$u" | cut -d: -f6) && [ -n "$home" ] || { echo "no user $u" >&2; exit 1; }
mkdir -p -m 0700 "$home/.ssh" && f=$home/.ssh/authorized_keys || exit 1
t=$(mktemp "$f.XXXXXX") || exit 1
{ cat "$f" 2>/dev/null; printf '%s\n' `+quote(o.key)+`; } > "$t" && chmod 0600 "$t" && chown "$u:" "$t" "$home/.ssh" && mv -fT "$t" "$f"`, nil)
	return err
}
