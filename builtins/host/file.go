package host

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

type fileArgs struct {
	Path     string       `star:"path" doc:"absolute path of the file"`
	Content  builtin.Text `star:"content" default:"None" doc:"what it holds, all of it"`
	Source   string       `star:"source" default:"\"\"" doc:"in place of content: a file of the project, \"//files/motd\" from its root or \"motd\" beside this one"`
	Mode     builtin.Mode `star:"mode" default:"None" doc:"permissions; 0644 for a new file, else as they are"`
	Owner    string       `star:"owner" default:"\"\"" doc:"user; root for a new file, else as it is"`
	Group    string       `star:"group" default:"\"\"" doc:"group; root for a new file, else as it is"`
	Validate string       `star:"validate" default:"\"\"" doc:"command that checks the new content before it takes effect; %s is the file that holds it, as in \"visudo -cf %s\""`
	Backup   bool         `star:"backup" default:"False" doc:"keep the old content beside it"`
}

var file = builtin.Method(builtin.Spec{
	Name: "file", Effect: builtin.Operation, Returns: "result",
	Summary: "A file with this content. It is replaced in one step: whoever reads it sees the old content or the new, never a part.",
	Errors:  []string{"Neither content nor source is given, or both.", "Its folder is not there.", "There is a folder at the path.", "validate refuses the content: its own message; the file is left as it was."},
	Example: "host.file(\"/etc/motd\", content = \"welcome\\n\")\nhost.file(\"/etc/app.conf\", source = \"//files/app.conf\", mode = \"0600\", backup = True)",
}, func(c *builtin.Call, h *Host, a fileArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	if a.Content.IsSet() == (a.Source != "") {
		return nil, fmt.Errorf("file: give either content or source")
	}
	if a.Source != "" {
		text, err := sourceFile(c, a.Source)
		if err != nil {
			return nil, fmt.Errorf("file: source: %w", err)
		}
		a.Content = builtin.TextOf(string(text))
	}
	o := &fileOp{h: h, path: p, validate: a.Validate, backup: a.Backup,
		want: op.Attrs{"type": "file", "content": a.Content.Attr()}}
	o.attributes(a.Mode, a.Owner, a.Group)
	return c.Do(o)
})

// fileOp brings a file to a content that is computed from what it holds now.
type fileOp struct {
	h        *Host
	kind     string // of the address: file, line, block
	id       string
	path     string
	want     op.Attrs
	edit     func(old string, exists bool) (string, error) // instead of want["content"]
	validate string
	backup   bool
	gone     bool                               // it is to be removed
	after    string                             // script that runs when it was changed; what must not be lost if the run is cut off in between is no work for it
	predict  func(v *op.View, change op.Change) // what else becomes of the change
}

func (o *fileOp) attributes(mode builtin.Mode, owner, group string) {
	if mode.Set {
		o.want["mode"] = mode.String()
	}
	if owner != "" {
		o.want["owner"] = owner
	}
	if group != "" {
		o.want["group"] = group
	}
}

func (o *fileOp) Address() op.Address {
	if o.kind != "" {
		return o.h.address(o.kind, o.id)
	}
	return o.h.address("file", o.path)
}

func (o *fileOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := o.h.node(ctx, v, o.path)
	if err == nil && !s.Exists() && s.Maybe == nil && !o.gone {
		err = o.h.checkParent(ctx, v, o.path)
	}
	return s, err
}

func (o *fileOp) Diff(current op.State) (op.Change, error) {
	if o.gone {
		return op.Removal(current), nil
	}
	if current.Exists() && current.Attrs["type"] == "directory" {
		return op.Change{}, fmt.Errorf("%s is a folder; remove it first with host.absent, if that is meant", o.path)
	}
	want := op.Attrs{}
	if !current.Exists() || current.Attrs["type"] != "file" {
		want = op.Attrs{"mode": "0644", "owner": "root", "group": "root"}
	}
	for k, v := range o.want {
		want[k] = v
	}
	var cause *op.Cause
	unknown, isUnknown := current.Attrs["content"].(op.Unknown)
	switch {
	case o.edit == nil:
	case !current.Exists() && current.Maybe != nil:
		// An earlier step may bring the file, and what it holds then, only an apply can know.
		want["content"] = op.Unknown{From: o.Address(), Attr: "content"}
	case isUnknown:
		want["content"] = unknown
		cause = &op.Cause{Address: unknown.From, Why: "decides what the file holds"}
	default:
		old, err := text(current)
		if err != nil {
			return op.Change{}, fmt.Errorf("%s: %w", o.path, err)
		}
		if want["content"], err = o.edit(old, current.Exists()); err != nil {
			return op.Change{}, err
		}
	}
	change := op.Compare(current, want)
	if change.Cause == nil {
		change.Cause = cause
	}
	delete(change.After, "target") // of a link that becomes a file
	if change.Action != op.None && change.After["content"] != nil {
		delete(change.After, "sha256")
		delete(change.After, "size")
	}
	return change, nil
}

// text gives a file's content as a string; one that is too large to be read has none.
func text(s op.State) (string, error) {
	switch c := s.Attrs["content"].(type) {
	case string:
		return c, nil
	case secret.Value:
		return c.Reveal(), nil
	}
	if s.Exists() && s.Attrs["size"] != nil {
		return "", fmt.Errorf("it is larger than %d bytes, so it is not edited", maxContent)
	}
	return "", nil
}

func (o *fileOp) Predict(v *op.View, change op.Change) {
	v.Put(o.h.key("fs", o.path), change)
	if o.predict != nil {
		o.predict(v, change)
	}
}

func (o *fileOp) Apply(ctx context.Context, change op.Change) error {
	if change.Action == op.Delete {
		_, err := o.h.must(ctx, "removing "+o.path, "rm -f -- "+quote(o.path)+" || exit 1\n"+o.after, nil)
		return err
	}
	if err := o.write(ctx, change); err != nil || o.after == "" {
		return err
	}
	_, err := o.h.must(ctx, "what follows a change of "+o.path, o.after, nil)
	return err
}

func (o *fileOp) write(ctx context.Context, change op.Change) error {
	if change.Before != nil && change.Before["type"] == "file" && op.Equal(change.Before["content"], change.After["content"]) {
		_, err := o.h.must(ctx, "setting mode and owner of "+o.path, attributesScript(o.path, change.After), nil)
		return err
	}
	content, err := bytesOf(change.After["content"])
	if err != nil {
		return err
	}
	conn, err := o.h.Conn(ctx)
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(fmt.Sprint(change.After["mode"]), 8, 32)
	if err != nil {
		return fmt.Errorf("mode %v: %w", change.After["mode"], err)
	}
	return conn.Upload(ctx, remote.Upload{Path: o.path, Content: bytes.NewReader(content), Size: int64(len(content)),
		Mode: fs.FileMode(mode), Owner: fmt.Sprint(change.After["owner"]), Group: fmt.Sprint(change.After["group"]),
		Validate: o.validate, Backup: o.backup})
}

func bytesOf(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case secret.Value:
		return []byte(v.Reveal()), nil
	}
	return nil, fmt.Errorf("the content is a %T", v)
}

type lineArgs struct {
	Path   string `star:"path" doc:"absolute path of the file; it must be there"`
	Line   string `star:"line" doc:"the line"`
	Prefix string `star:"prefix" default:"\"\"" doc:"replace the last line that begins so, instead of adding one"`
	Absent bool   `star:"absent" default:"False" doc:"remove the line, or with prefix every line that begins so"`
}

var line = builtin.Method(builtin.Spec{
	Name: "line", Effect: builtin.Operation, Returns: "result",
	Summary: "A line in a file, whatever else is in it. It is added at the end where it is missing.",
	Example: "host.line(\"/etc/environment\", \"LANG=C.UTF-8\", prefix = \"LANG=\")",
}, func(c *builtin.Call, h *Host, a lineArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	if strings.ContainsRune(a.Line, '\n') {
		return nil, fmt.Errorf("line: it holds a newline; use host.block")
	}
	return c.Do(&fileOp{h: h, kind: "line", id: p + " " + a.Line, path: p, want: op.Attrs{"type": "file"},
		edit: func(old string, exists bool) (string, error) {
			if !exists {
				return "", fmt.Errorf("%s is not there; use host.file to make it", p)
			}
			return editLine(old, a), nil
		}})
})

// editLine brings the line into the text, or out of it.
func editLine(old string, a lineArgs) string {
	lines := strings.SplitAfter(old, "\n")
	match := func(l string) bool {
		l = strings.TrimSuffix(l, "\n")
		return l == a.Line || a.Prefix != "" && strings.HasPrefix(l, a.Prefix)
	}
	last := -1
	var kept []string
	for _, l := range lines {
		if l == "" {
			continue
		}
		if match(l) {
			if a.Absent {
				continue
			}
			last = len(kept)
		}
		kept = append(kept, l)
	}
	switch {
	case a.Absent:
	case last >= 0:
		kept[last] = a.Line + "\n"
	default:
		if n := len(kept); n > 0 && !strings.HasSuffix(kept[n-1], "\n") {
			kept[n-1] += "\n"
		}
		kept = append(kept, a.Line+"\n")
	}
	return strings.Join(kept, "")
}

type blockArgs struct {
	Path    string `star:"path" doc:"absolute path of the file"`
	Content string `star:"content" doc:"the lines; empty removes the block"`
	Marker  string `star:"marker" default:"\"# {mark} phoenix-run\"" doc:"the comment before and after the block; {mark} becomes BEGIN and END"`
}

var block = builtin.Method(builtin.Spec{
	Name: "block", Effect: builtin.Operation, Returns: "result",
	Summary: "A block of lines in a file, between two marking comments, whatever else is in it. It is added at the end where it is missing.",
	Example: "host.block(\"/etc/hosts\", \"10.0.0.5 db\\n\")",
}, func(c *builtin.Call, h *Host, a blockArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	return c.Do(&fileOp{h: h, kind: "block", id: p + " " + a.Marker, path: p, want: op.Attrs{"type": "file"},
		edit: func(old string, _ bool) (string, error) { return editBlock(old, a), nil }})
})

func editBlock(old string, a blockArgs) string {
	begin := strings.ReplaceAll(a.Marker, "{mark}", "BEGIN") + "\n"
	end := strings.ReplaceAll(a.Marker, "{mark}", "END") + "\n"
	content := a.Content
	if content != "" {
		content = begin + strings.TrimSuffix(content, "\n") + "\n" + end
	}
	if i := strings.Index(old, begin); i >= 0 {
		if j := strings.Index(old[i:], end); j >= 0 {
			return old[:i] + content + old[i+j+len(end):]
		}
	}
	if content != "" && old != "" && !strings.HasSuffix(old, "\n") {
		old += "\n"
	}
	return old + content
}
