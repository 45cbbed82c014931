package host

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"phoenix-run/remote"
	"phoenix-run/runner/op"
)

// maxContent is the largest file whose content is compared and shown; larger ones go by their digest.
const maxContent = 1 << 20

// nodeScript tells of one path in one round trip: a line of attributes, then a file's bytes or a link's target.
const nodeScript = `p=%s
if [ -L "$p" ]; then stat -c 'link %%a %%U %%G' -- "$p" && readlink -- "$p"
elif [ -d "$p" ]; then stat -c 'directory %%a %%U %%G' -- "$p"
elif [ -f "$p" ]; then
	stat -c 'file %%a %%U %%G %%s' -- "$p" || exit 1
	if [ "$(stat -c %%s -- "$p")" -le %d ]; then cat -- "$p"; else sha256sum < "$p"; fi
elif [ -e "$p" ]; then stat -c 'other %%a %%U %%G' -- "$p"
else echo absent; fi`

// node reads what is at a path, through the view: type, mode, owner, group, and content or target.
func (h *Host) node(ctx context.Context, v *op.View, p string) (op.State, error) {
	return v.Read(ctx, h.key("fs", p), func(ctx context.Context) (op.Attrs, error) {
		if out, ok := h.ahead.take(ctx, h, v, p); ok {
			return parseNode(out)
		}
		r, err := h.read(ctx, fmt.Sprintf(nodeScript, quote(p), maxContent))
		if err != nil {
			return nil, err
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "reading " + p, Result: r}
		}
		return parseNode(r.Stdout)
	})
}

func parseNode(out []byte) (op.Attrs, error) {
	head, rest, _ := strings.Cut(string(out), "\n")
	fields := strings.Fields(head)
	if len(fields) == 1 && fields[0] == "absent" {
		return nil, nil
	}
	if len(fields) < 4 {
		return nil, fmt.Errorf("the machine's stat gave %q", head)
	}
	mode, err := strconv.ParseUint(fields[1], 8, 32)
	if err != nil {
		return nil, fmt.Errorf("the machine's stat gave %q", head)
	}
	a := op.Attrs{"type": fields[0], "mode": fmt.Sprintf("%04o", mode), "owner": fields[2], "group": fields[3]}
	switch fields[0] {
	case "link":
		delete(a, "mode") // a link has none of its own
		a["target"] = strings.TrimSuffix(rest, "\n")
	case "file":
		size, err := strconv.ParseInt(fields[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the machine's stat gave %q", head)
		}
		if size > maxContent {
			sum, _, _ := strings.Cut(rest, " ")
			a["sha256"], a["size"] = sum, size
		} else {
			a["content"] = rest
		}
	}
	return a, nil
}

// checkParent refuses a path whose folder is certain to be missing.
func (h *Host) checkParent(ctx context.Context, v *op.View, p string) error {
	dir := path.Dir(p)
	parent, err := h.node(ctx, v, dir)
	if err != nil {
		return err
	}
	if !parent.Exists() && parent.Maybe == nil {
		return fmt.Errorf("there is no folder %s: make it first with host.directory(%q, parents = True)", dir, dir)
	}
	if parent.Exists() && parent.Attrs["type"] == "file" {
		return fmt.Errorf("%s is a file, so nothing can be in it", dir)
	}
	return nil
}

// clean refuses a path that is not absolute, and brings it to its shortest form.
func clean(p string) (string, error) {
	if !strings.HasPrefix(p, "/") {
		return "", fmt.Errorf("path %q is not absolute", p)
	}
	if strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("path %q holds a zero byte", p)
	}
	return path.Clean(p), nil
}

// attributes is the script that sets mode and owner of a path.
func attributesScript(p string, want op.Attrs) string {
	var b strings.Builder
	owner, _ := want["owner"].(string)
	group, _ := want["group"].(string)
	if owner != "" || group != "" {
		spec := owner
		if group != "" {
			spec += ":" + group
		}
		fmt.Fprintf(&b, "chown -h %s %s || exit 1\n", quote(spec), quote(p))
	}
	if mode, ok := want["mode"].(string); ok { // after the owner, since chown clears set-id bits
		// One more zero: of a folder, chmod takes set-id bits away only if they are written out.
		fmt.Fprintf(&b, "chmod 0%s %s || exit 1\n", mode, quote(p))
	}
	return b.String()
}
