package host

import (
	"context"
	"fmt"
	"path"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type directoryArgs struct {
	Path    string       `star:"path" doc:"absolute path of the folder"`
	Mode    builtin.Mode `star:"mode" default:"None" doc:"permissions; 0755 for a new folder, else as they are"`
	Owner   string       `star:"owner" default:"\"\"" doc:"user; root for a new folder, else as it is"`
	Group   string       `star:"group" default:"\"\"" doc:"group; root for a new folder, else as it is"`
	Parents bool         `star:"parents" default:"False" doc:"make the folders above it too, where they are missing, with mode 0755"`
}

var directory = builtin.Method(builtin.Spec{
	Name: "directory", Effect: builtin.Operation, Returns: "result",
	Summary: "A folder.",
	Errors:  []string{"The folder above it is not there, and parents is False.", "There is a file at the path."},
	Example: "host.directory(\"/srv/app\", owner = \"www-data\")",
}, func(c *builtin.Call, h *Host, a directoryArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	o := &directoryOp{h: h, path: p, parents: a.Parents, want: op.Attrs{"type": "directory"}}
	for name, v := range map[string]string{"owner": a.Owner, "group": a.Group} {
		if v != "" {
			o.want[name] = v
		}
	}
	if a.Mode.Set {
		o.want["mode"] = a.Mode.String()
	}
	return c.Do(o)
})

type directoryOp struct {
	h       *Host
	path    string
	parents bool
	want    op.Attrs
}

func (o *directoryOp) Address() op.Address { return o.h.address("directory", o.path) }

func (o *directoryOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := o.h.node(ctx, v, o.path)
	if err == nil && !s.Exists() && s.Maybe == nil && !o.parents {
		err = o.h.checkParent(ctx, v, o.path)
	}
	return s, err
}

func (o *directoryOp) Diff(current op.State) (op.Change, error) {
	if current.Exists() && current.Attrs["type"] != "directory" {
		return op.Change{}, fmt.Errorf("%s is a %v; remove it first with host.absent, if that is meant", o.path, current.Attrs["type"])
	}
	want := op.Attrs{}
	if !current.Exists() {
		want = op.Attrs{"mode": "0755", "owner": "root", "group": "root"}
	}
	for k, v := range o.want {
		want[k] = v
	}
	return op.Compare(current, want), nil
}

func (o *directoryOp) Predict(v *op.View, change op.Change) {
	v.Put(o.h.key("fs", o.path), change)
	if o.parents && change.Action == op.Create {
		// A folder above that was read as missing is there from now on.
		v.Appear(o.h.key("fs", path.Dir(o.path)), op.Attrs{"type": "directory", "mode": "0755", "owner": "root", "group": "root"})
	}
}

func (o *directoryOp) Apply(ctx context.Context, change op.Change) error {
	var b strings.Builder
	if change.Action == op.Create {
		if o.parents {
			fmt.Fprintf(&b, "mkdir -p -- %s || exit 1\n", quote(path.Dir(o.path)))
		}
		fmt.Fprintf(&b, "mkdir -m 0700 -- %s || exit 1\n", quote(o.path)) // closed until owner and mode are right
	}
	b.WriteString(attributesScript(o.path, change.After))
	_, err := o.h.must(ctx, "making folder "+o.path, b.String(), nil)
	return err
}

type linkArgs struct {
	Path   string `star:"path" doc:"absolute path of the link"`
	Target string `star:"target" doc:"what it points to, as written in the link"`
}

var link = builtin.Method(builtin.Spec{
	Name: "link", Effect: builtin.Operation, Returns: "result",
	Summary: "A symbolic link. It is replaced in one step; a file at the path is replaced too, a folder is not.",
	Example: "host.link(\"/srv/current\", \"/srv/release-7\")",
}, func(c *builtin.Call, h *Host, a linkArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	return c.Do(&linkOp{h: h, path: p, target: a.Target})
})

type linkOp struct {
	h            *Host
	path, target string
}

func (o *linkOp) Address() op.Address { return o.h.address("link", o.path) }

func (o *linkOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := o.h.node(ctx, v, o.path)
	if err == nil && !s.Exists() && s.Maybe == nil {
		err = o.h.checkParent(ctx, v, o.path)
	}
	return s, err
}

func (o *linkOp) Diff(current op.State) (op.Change, error) {
	want := op.Attrs{"type": "link", "target": o.target, "owner": "root", "group": "root"} // whoever's it was
	if current.Exists() && current.Attrs["type"] == "directory" {
		return op.Change{}, fmt.Errorf("%s is a folder; remove it first with host.absent, if that is meant", o.path)
	}
	if current.Exists() && current.Attrs["type"] == "file" {
		return op.Change{Action: op.Replace, Before: current.Attrs, After: want}, nil
	}
	if current.Exists() && current.Attrs["type"] == "link" && current.Attrs["target"] == o.target {
		return op.Change{Action: op.None, Before: current.Attrs, After: current.Attrs}, nil
	}
	return op.Compare(current, want), nil
}

func (o *linkOp) Predict(v *op.View, change op.Change) { v.Put(o.h.key("fs", o.path), change) }

func (o *linkOp) Apply(ctx context.Context, _ op.Change) error {
	temp := path.Join(path.Dir(o.path), ".phx-link-"+path.Base(o.path))
	_, err := o.h.must(ctx, "linking "+o.path, fmt.Sprintf("ln -sfn -- %s %s && mv -fT -- %[2]s %s",
		quote(o.target), quote(temp), quote(o.path)), nil)
	return err
}

type absentArgs struct {
	Path string `star:"path" doc:"absolute path"`
}

var absent = builtin.Method(builtin.Spec{
	Name: "absent", Effect: builtin.Operation, Returns: "result",
	Summary: "Nothing at this path: a file, a link, or a folder with all that is in it is removed.",
	Example: "host.absent(\"/etc/cron.d/old\")",
}, func(c *builtin.Call, h *Host, a absentArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	if p == "/" {
		return nil, fmt.Errorf("absent: the root folder can't be removed")
	}
	return c.Do(&absentOp{h: h, path: p})
})

type absentOp struct {
	h    *Host
	path string
}

func (o *absentOp) Address() op.Address { return o.h.address("absent", o.path) }

func (o *absentOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return o.h.node(ctx, v, o.path)
}

func (o *absentOp) Diff(current op.State) (op.Change, error) { return op.Removal(current), nil }

func (o *absentOp) Predict(v *op.View, change op.Change) { v.Put(o.h.key("fs", o.path), change) }

func (o *absentOp) Apply(ctx context.Context, _ op.Change) error {
	_, err := o.h.must(ctx, "removing "+o.path, "rm -rf -- "+quote(o.path), nil)
	return err
}
