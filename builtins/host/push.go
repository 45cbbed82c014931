package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"

	"go.starlark.net/starlark"

	"phoenix-run/remote/tree"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type pushArgs struct {
	Source   string       `star:"source" doc:"a file or folder of the project: \"//site\" from its root or \"site\" beside this file"`
	Path     string       `star:"path" doc:"absolute path on the machine"`
	Delete   bool         `star:"delete" default:"False" doc:"of a folder: remove what is there and not in source"`
	Exclude  []string     `star:"exclude" default:"[]" doc:"patterns for paths or names that are neither sent nor removed: \"*.tmp\", \".git\""`
	Owner    string       `star:"owner" default:"\"\"" doc:"user; root for what is new, else as it is"`
	Group    string       `star:"group" default:"\"\"" doc:"group; root for what is new, else as it is"`
	FileMode builtin.Mode `star:"file_mode" default:"None" doc:"permissions of files; each one's own, if not given"`
	DirMode  builtin.Mode `star:"dir_mode" default:"None" doc:"permissions of folders; each one's own, if not given"`
}

var push = builtin.Method(builtin.Spec{
	Name: "push", Effect: builtin.Operation, Returns: "result",
	Summary: "A file or a folder of the project on the machine, with all that is in it: one look at what is there, and one stream of what differs.",
	Errors:  []string{"There is no such file or folder in the project.", "The folder above path is not there."},
	Example: "host.push(\"//site\", \"/srv/site\", delete = True)",
}, func(c *builtin.Call, h *Host, a pushArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	rel, err := sourcePath(c, a.Source)
	if err != nil {
		return nil, fmt.Errorf("push: source: %w", err)
	}
	folder := c.Task.Run.Loader().Source().Project
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(rel)) // refuses a link that leads out
	if err != nil {
		return nil, fmt.Errorf("push: source: %w", err)
	}
	if !info.IsDir() {
		text, err := root.ReadFile(filepath.FromSlash(rel))
		if err != nil {
			return nil, fmt.Errorf("push: source: %w", err)
		}
		mode := builtin.Mode{Set: true, Bits: info.Mode().Perm()}
		if a.FileMode.Set {
			mode = a.FileMode
		}
		o := &fileOp{h: h, kind: "push", id: p, path: p, want: op.Attrs{"type": "file", "content": string(text)}}
		o.attributes(mode, a.Owner, a.Group)
		return c.Do(o)
	}
	spec := tree.Spec{Source: tree.Dir(filepath.Join(folder, filepath.FromSlash(rel))), Target: p, Owner: a.Owner, Group: a.Group,
		FileMode: a.FileMode.Bits, DirMode: a.DirMode.Bits, Delete: a.Delete, Exclude: a.Exclude}
	want, err := spec.Want()
	if err != nil {
		return nil, err
	}
	return c.Do(&pushOp{h: h, task: c.Task, spec: spec, want: want})
})

// pushOp is a folder with all that is in it.
type pushOp struct {
	h    *Host
	task *runner.Task
	spec tree.Spec
	want []tree.Entry
	have []tree.Entry
}

func (o *pushOp) Address() op.Address { return o.h.address("push", o.spec.Target) }

// Read lists the folder: an attribute for each entry.
func (o *pushOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	o.have = nil
	live := false
	s, err := v.Read(ctx, o.h.key("fs", o.spec.Target), func(ctx context.Context) (op.Attrs, error) {
		conn, err := o.h.Conn(ctx)
		if err != nil {
			return nil, err
		}
		live = true
		if o.have, err = tree.Read(ctx, conn, o.spec.Target); err != nil || len(o.have) == 0 {
			return nil, err
		}
		a := op.Attrs{}
		for _, e := range o.have {
			a[e.Path] = described(e)
		}
		return a, nil
	})
	if err != nil {
		return s, err
	}
	if !live && s.Exists() { // an earlier step of the plan makes the folder, or has a say in it
		e := tree.Entry{Path: ".", Type: tree.Type(fmt.Sprint(s.Attrs["type"])), Owner: fmt.Sprint(s.Attrs["owner"]), Group: fmt.Sprint(s.Attrs["group"])}
		if _, err := fmt.Sscanf(fmt.Sprint(s.Attrs["mode"]), "%o", &e.Mode); err != nil {
			e.Mode = 0o755
		}
		o.have = []tree.Entry{e}
		s.Attrs = op.Attrs{".": described(e)}
	}
	if !s.Exists() && s.Maybe == nil {
		err = o.h.checkParent(ctx, v, o.spec.Target)
	}
	return s, err
}

// described is an entry on one line.
func described(e tree.Entry) string {
	switch e.Type {
	case tree.Link:
		return "link to " + e.Target
	case tree.File:
		return fmt.Sprintf("file %04o %s:%s, %d bytes, sha256 %.12s", e.Mode, e.Owner, e.Group, e.Size, e.SHA256)
	}
	return fmt.Sprintf("%s %04o %s:%s", e.Type, e.Mode, e.Owner, e.Group)
}

func (o *pushOp) Diff(current op.State) (op.Change, error) {
	changes := o.spec.Diff(o.want, o.have)
	if len(changes) == 0 {
		return op.Change{Action: op.None, Before: current.Attrs, After: current.Attrs}, nil
	}
	after := op.Attrs{}
	maps.Copy(after, current.Attrs)
	for _, ch := range changes {
		switch {
		case ch.Action == tree.Delete:
			for name := range after {
				if name == ch.Path || len(name) > len(ch.Path) && name[:len(ch.Path)+1] == ch.Path+"/" {
					delete(after, name)
				}
			}
		default:
			after[ch.Path] = described(o.owned(*ch.After, ch.Before))
		}
	}
	if !current.Exists() {
		return op.Change{Action: op.Create, After: after}, nil
	}
	return op.Change{Action: op.Update, Before: current.Attrs, After: after}, nil
}

// owned is an entry of the source as it will be on the machine.
func (o *pushOp) owned(e tree.Entry, before *tree.Entry) tree.Entry {
	e.Owner, e.Group = "root", "root"
	if before != nil && before.Type == e.Type {
		e.Owner, e.Group = before.Owner, before.Group
	}
	if o.spec.Owner != "" {
		e.Owner = o.spec.Owner
	}
	if o.spec.Group != "" {
		e.Group = o.spec.Group
	}
	return e
}

func (o *pushOp) Predict(v *op.View, change op.Change) {
	if !v.Planning() {
		v.Put(o.h.key("fs", o.spec.Target), op.Change{Action: op.Update, After: op.Attrs{}})
		return
	}
	for _, ch := range o.spec.Diff(o.want, o.have) {
		key := o.h.key("fs", path.Join(o.spec.Target, ch.Path))
		if ch.Action == tree.Delete {
			v.Put(key, op.Change{Action: op.Delete})
			continue
		}
		one := op.Change{Action: op.Update, After: o.node(o.owned(*ch.After, ch.Before)), Cause: change.Cause}
		if ch.Action == tree.Create {
			one.Action = op.Create
		}
		v.Put(key, one)
	}
}

// node is an entry as the view has paths.
func (o *pushOp) node(e tree.Entry) op.Attrs {
	a := op.Attrs{"type": string(e.Type), "owner": e.Owner, "group": e.Group}
	switch e.Type {
	case tree.Link:
		a["target"] = e.Target
		return a
	case tree.File:
		a["sha256"], a["size"] = e.SHA256, e.Size
		if e.Size <= maxContent {
			if text, err := fs.ReadFile(o.spec.Source, e.Path); err == nil {
				delete(a, "sha256")
				delete(a, "size")
				a["content"] = string(text)
			}
		}
	}
	a["mode"] = builtin.FormatMode(e.Mode)
	return a
}

func (o *pushOp) Apply(ctx context.Context, change op.Change) error {
	conn, err := o.h.Conn(ctx)
	if err != nil {
		return err
	}
	changes := o.spec.Diff(o.want, o.have)
	o.task.Begin(o.h.name, o.Address().String(), fmt.Sprintf("pushing %d changes", len(changes)))
	return o.spec.Apply(ctx, conn, changes)
}

type fetchArgs struct {
	Path   string `star:"path" doc:"absolute path of the file on the machine"`
	Target string `star:"target" doc:"where it goes in the project folder; folders on the way are made"`
}

var fetch = builtin.Method(builtin.Spec{
	Name: "fetch", Effect: builtin.Operation, Returns: "result",
	Summary: "A file of the machine in the project folder, for its owner alone to read (0600).",
	Errors:  []string{"There is no such file on the machine.", "target leads out of the project folder."},
	Example: "host.fetch(\"/etc/machine-id\", \"fetched/machine-id\")",
}, func(c *builtin.Call, h *Host, a fetchArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	target := path.Clean(a.Target)
	if a.Target == "" || !filepath.IsLocal(filepath.FromSlash(target)) || target == "." {
		return nil, fmt.Errorf("fetch: target: %q leads out of the project folder", a.Target)
	}
	return c.Do(&fetchOp{h: h, path: p, folder: c.Task.Run.Loader().Source().Project, target: filepath.FromSlash(target)})
})

type fetchOp struct {
	h            *Host
	path         string
	folder       string // the project's
	target       string
	wanted       any // the checksum of the machine's file
	wantedFrom   *op.Cause
	wantedExists bool
}

func (o *fetchOp) Address() op.Address { return o.h.address("fetch", o.path) }

func (o *fetchOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	node, err := o.h.node(ctx, v, o.path)
	if err != nil {
		return op.State{}, err
	}
	if node.Exists() && node.Attrs["type"] != "file" {
		return op.State{}, fmt.Errorf("%s is a %v, no file", o.path, node.Attrs["type"])
	}
	o.wanted, o.wantedFrom, o.wantedExists = digested(node.Attrs)["sha256"], node.Maybe, node.Exists()
	root, err := os.OpenRoot(o.folder)
	if err != nil {
		return op.State{}, err
	}
	defer root.Close()
	text, err := root.ReadFile(o.target)
	if errors.Is(err, fs.ErrNotExist) {
		return op.State{Maybe: node.Maybe}, nil
	}
	if err != nil {
		return op.State{}, err
	}
	return op.State{Attrs: op.Attrs{"sha256": hexSum(string(text))}, Maybe: node.Maybe}, nil
}

func (o *fetchOp) Diff(current op.State) (op.Change, error) {
	switch {
	case !o.wantedExists && o.wantedFrom == nil:
		return op.Change{}, fmt.Errorf("there is no file %s on the machine", o.path)
	case !o.wantedExists:
		return op.Compare(current, op.Attrs{"sha256": op.Unknown{From: o.wantedFrom.Address, Attr: "sha256"}}), nil
	}
	return op.Compare(current, op.Attrs{"sha256": o.wanted}), nil
}

func (o *fetchOp) Predict(*op.View, op.Change) {}

func (o *fetchOp) Apply(ctx context.Context, _ op.Change) (err error) {
	conn, err := o.h.Conn(ctx)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(o.folder)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(o.target), 0o755); err != nil {
		return err
	}
	temp := o.target + ".phx-new"
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(conn.Download(ctx, o.path, f), f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(temp, o.target)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}
