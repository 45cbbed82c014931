package host

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/remote"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type archiveArgs struct {
	Source  string `star:"source" doc:"absolute path of the archive on the machine: tar, packed as tar itself finds out, or .zip (by unzip)"`
	Path    string `star:"path" doc:"absolute path of the folder that it is unpacked into; made if it is missing"`
	Strip   int    `star:"strip" default:"0" doc:"how many leading folders of each name in a tar are left out"`
	Owner   string `star:"owner" default:"\"\"" doc:"user that all of it belongs to; as the archive says, if not given"`
	Group   string `star:"group" default:"\"\"" doc:"group that all of it belongs to; as the archive says, if not given"`
	Creates string `star:"creates" default:"\"\"" doc:"path: where something is there, nothing is compared and nothing unpacked"`
}

var archive = builtin.Method(builtin.Spec{
	Name: "archive", Effect: builtin.Operation, Returns: "result",
	Summary: "An archive, unpacked. It is unpacked again where something of it is missing or has another content; what else is in the folder stays.",
	Errors:  []string{"There is no such archive, or it is none: tar's own message."},
	Example: "host.archive(\"/var/cache/app-1.2.tar.gz\", \"/opt/app\", strip = 1)",
}, func(c *builtin.Call, h *Host, a archiveArgs) (starlark.Value, error) {
	var err error
	if a.Source, err = clean(a.Source); err != nil {
		return nil, err
	}
	if a.Path, err = clean(a.Path); err != nil {
		return nil, err
	}
	if a.Creates != "" {
		if a.Creates, err = clean(a.Creates); err != nil {
			return nil, err
		}
	}
	if a.Strip < 0 || a.Strip > 0 && isZip(a.Source) {
		return nil, fmt.Errorf("archive: strip: it is not possible with this archive")
	}
	return c.Do(&archiveOp{h: h, a: a})
})

func isZip(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".zip") }

type archiveOp struct {
	h *Host
	a archiveArgs
}

func (o *archiveOp) Address() op.Address { return o.h.address("archive", o.a.Path) }

// differing is a script that prints names of what is in the archive and not, or with other content, in
// the folder: at most ten.
func (o *archiveOp) differing() string {
	s := fmt.Sprintf("a=%s d=%s\nexport LC_ALL=C\n", quote(o.a.Source), quote(o.a.Path)) +
		`[ -f "$a" ] || { echo "there is no archive $a" >&2; exit 1; }
[ -d "$d" ] || { echo .; exit 0; }
`
	if isZip(o.a.Source) {
		return s + `command -v unzip >/dev/null || { echo 'unzip is not installed' >&2; exit 1; }
l=$(unzip -Z1 "$a") || exit 1
printf '%s\n' "$l" | while IFS= read -r n; do
	case $n in */) [ -d "$d/$n" ] ;; *) q=$(printf %s "$n" | sed 's/[][*?\\]/\\&/g'); unzip -p "$a" "$q" 2>/dev/null | cmp -s - "$d/$n" ;; esac || printf '%s\n' "$n"
done | head -n 10`
	}
	// Owner, times and modes may be changed by who uses it.
	return s + fmt.Sprintf(`o=$(tar -d -f "$a" -C "$d" --strip-components=%d 2>&1); c=$?
[ $c -le 2 ] || { printf '%%s\n' "$o" >&2; exit 1; }
case $o in *'not look like a tar'*|*'Unexpected EOF'*|*'Child returned'*) printf '%%s\n' "$o" >&2; exit 1 ;; esac
printf '%%s\n' "$o" | grep -vE ': (Uid|Gid|Mod time|Mode) differs?$|Exiting with failure|^tar: : |^$' | head -n 10 || :`, o.a.Strip)
}

func (o *archiveOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	if o.a.Creates != "" {
		made, err := o.h.node(ctx, v, o.a.Creates)
		if err != nil || made.Exists() {
			return op.State{Attrs: op.Attrs{"differs": ""}, Maybe: made.Maybe}, err
		}
	}
	source := v.Reach(o.h.key("fs", o.a.Source))
	if v.Fresh(o.h.key("fs", o.a.Source)) {
		source = &op.Cause{Address: o.h.address("file", o.a.Source), Why: "brings the archive"}
	}
	if source == nil {
		source = v.Reach(o.h.key("fs", o.a.Path))
	}
	s, err := v.Read(ctx, o.h.key("archive", o.a.Path), func(ctx context.Context) (op.Attrs, error) {
		r, err := o.h.read(ctx, o.differing())
		if err != nil {
			return nil, err
		}
		if r.Code != 0 && source != nil {
			return nil, nil
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "comparing " + o.a.Source + " with " + o.a.Path, Result: r}
		}
		out := strings.TrimSpace(string(r.Stdout))
		if out == "." {
			return nil, nil
		}
		return op.Attrs{"differs": out}, nil
	})
	if s.Maybe == nil {
		s.Maybe = source
	}
	return s, err
}

func (o *archiveOp) Diff(current op.State) (op.Change, error) {
	return op.Compare(current, op.Attrs{"differs": ""}), nil
}

func (o *archiveOp) Predict(v *op.View, change op.Change) {
	v.Put(o.h.key("archive", o.a.Path), change)
	v.Appear(o.h.key("fs", o.a.Path), op.Attrs{"type": "directory"})
	if o.a.Creates != "" {
		v.Appear(o.h.key("fs", o.a.Creates), op.Attrs{"type": "other"})
	}
	v.Mark(o.h.key("fs", o.a.Path), op.Cause{Address: o.Address(), Why: "unpacks an archive"}, true)
}

func (o *archiveOp) Apply(ctx context.Context, _ op.Change) error {
	script := fmt.Sprintf("a=%s d=%s\nmkdir -p -- \"$d\" || exit 1\n", quote(o.a.Source), quote(o.a.Path))
	if isZip(o.a.Source) {
		script += `unzip -qo "$a" -d "$d" || exit 1` + "\n"
	} else {
		script += fmt.Sprintf(`tar -x -f "$a" -C "$d" --strip-components=%d || exit 1`+"\n", o.a.Strip)
	}
	owner := o.a.Owner
	if o.a.Group != "" {
		owner += ":" + o.a.Group
	}
	if owner != "" {
		script += "chown -Rh " + quote(owner) + ` "$d"` + "\n"
	}
	_, err := o.h.must(ctx, "unpacking "+o.a.Source, script, nil)
	return err
}
