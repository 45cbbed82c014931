package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

type downloadArgs struct {
	URL     string         `star:"url" doc:"where it is"`
	Path    string         `star:"path" doc:"absolute path of the file"`
	SHA256  string         `star:"sha256" default:"\"\"" doc:"its checksum, in hex; without it a file that is there is taken for the right one"`
	Mode    builtin.Mode   `star:"mode" default:"None" doc:"permissions; 0644 for a new file, else as they are"`
	Owner   string         `star:"owner" default:"\"\"" doc:"user; root for a new file, else as it is"`
	Group   string         `star:"group" default:"\"\"" doc:"group; root for a new file, else as it is"`
	Headers map[string]any `star:"headers" default:"{}" doc:"of the request; secrets are in no argument list"`
}

var download = builtin.Method(builtin.Spec{
	Name: "download", Effect: builtin.Operation, Returns: "result",
	Summary: "A file that the machine itself fetches, by curl or wget. It is put in place in one step, after its checksum was found right.",
	Errors:  []string{"It can't be fetched: curl's own message; what was there stays.", "It has another checksum: which; what was there stays."},
	Example: "host.download(\"https://example.org/app-1.2\", \"/usr/local/bin/app\", sha256 = SHA256, mode = \"0755\")",
}, func(c *builtin.Call, h *Host, a downloadArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	a.SHA256 = strings.ToLower(strings.TrimPrefix(a.SHA256, "sha256:"))
	if sum, err := hex.DecodeString(a.SHA256); err != nil || len(sum) != sha256.Size && len(sum) != 0 {
		return nil, fmt.Errorf("download: sha256: %q is no SHA-256 checksum", a.SHA256)
	}
	if !strings.Contains(a.URL, "://") || strings.ContainsAny(a.URL, " \n\"\\") {
		return nil, fmt.Errorf("download: url: %q is none", a.URL)
	}
	want := op.Attrs{"type": "file"}
	if a.SHA256 != "" {
		want["sha256"] = a.SHA256
	}
	o := &downloadOp{fileOp{h: h, path: p, want: want}, a}
	o.attributes(a.Mode, a.Owner, a.Group)
	return c.Do(o)
})

// downloadOp is a file of which only the checksum is known, if that.
type downloadOp struct {
	fileOp
	a downloadArgs
}

func (o *downloadOp) Address() op.Address { return o.h.address("download", o.path) }

// Read gives the file with its checksum in place of its content.
func (o *downloadOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := o.fileOp.Read(ctx, v)
	s.Attrs = digested(s.Attrs)
	return s, err
}

// digested gives the attributes of a node with its checksum in place of its content.
func digested(a op.Attrs) op.Attrs {
	content, ok := a["content"]
	if !ok {
		return a
	}
	a = maps.Clone(a)
	delete(a, "content")
	switch c := content.(type) {
	case string:
		a["sha256"] = hexSum(c)
	case secret.Value:
		a["sha256"] = hexSum(c.Reveal())
	default:
		a["sha256"] = content // an Unknown
	}
	return a
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (o *downloadOp) Diff(current op.State) (op.Change, error) {
	change, err := o.fileOp.Diff(current)
	if err != nil || change.Action == op.None {
		return change, err
	}
	delete(change.After, "size")
	if o.a.SHA256 == "" && (!current.Exists() || current.Attrs["type"] != "file") {
		change.After["sha256"] = op.Unknown{From: o.Address(), Attr: "sha256"}
	}
	return change, nil
}

func (o *downloadOp) Predict(v *op.View, change op.Change) {
	if change.After != nil {
		after := maps.Clone(change.After)
		if op.Equal(change.Before["sha256"], after["sha256"]) {
			v.Mark(o.h.key("fs", o.path), op.Cause{Address: o.Address(), Why: "sets mode and owner"}, true)
			return
		}
		delete(after, "sha256")
		after["content"] = op.Unknown{From: o.Address(), Attr: "content"}
		change.After = after
	}
	v.Put(o.h.key("fs", o.path), change)
}

// downloadScript fetches to $t what curl's configuration on stdin says. wget has no such thing, so it is
// only asked where there are no headers.
const downloadScript = `t=$(mktemp "$(dirname -- "$p")/.phx-XXXXXX") || exit 1
fail() { [ -z "$1" ] || echo "$1" >&2; rm -f -- "$t"; exit 1; }
if command -v curl >/dev/null; then curl -fsSL --retry 3 -K - -o "$t" || fail
elif command -v wget >/dev/null && [ -z "$headers" ]; then wget -q -O "$t" -- "$url" || fail "wget can't fetch $url"
else fail 'there is no curl: install it first'; fi
s=$(sha256sum < "$t") && s=${s%% *} || fail
[ -z "$sum" ] || [ "$s" = "$sum" ] || fail "its sha256 is $s, not $sum"
`

func (o *downloadOp) Apply(ctx context.Context, change op.Change) error {
	if change.Before["type"] == "file" && op.Equal(change.Before["sha256"], change.After["sha256"]) {
		_, err := o.h.must(ctx, "setting mode and owner of "+o.path, attributesScript(o.path, change.After), nil)
		return err
	}
	var config strings.Builder
	word := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	fmt.Fprintf(&config, "url = %s\n", word(o.a.URL))
	for _, name := range slices.Sorted(maps.Keys(o.a.Headers)) {
		v := fmt.Sprint(plainValue(o.a.Headers[name]))
		if strings.ContainsAny(name+v, "\n\r\x00") {
			return fmt.Errorf("header %s holds a newline", name)
		}
		fmt.Fprintf(&config, "header = %s\n", word(name+": "+v))
	}
	headers := ""
	if len(o.a.Headers) > 0 {
		headers = "yes"
	}
	script := fmt.Sprintf("p=%s url=%s sum=%s headers=%s\n", quote(o.path), quote(o.a.URL), quote(o.a.SHA256), headers) + downloadScript
	script += fmt.Sprintf("chown %s \"$t\" && chmod %s \"$t\" && sync \"$t\" && mv -fT -- \"$t\" \"$p\" || fail\n",
		quote(fmt.Sprint(change.After["owner"], ":", change.After["group"])), fmt.Sprint(change.After["mode"]))
	_, err := o.h.must(ctx, "downloading "+o.a.URL, script, []byte(config.String()))
	return err
}
