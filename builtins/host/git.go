package host

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type gitArgs struct {
	URL     string `star:"url" doc:"the repository, as the machine reaches it"`
	Path    string `star:"path" doc:"absolute path of the folder"`
	Version string `star:"version" default:"\"HEAD\"" doc:"a branch, a tag, or a whole commit; HEAD: the repository's main branch"`
	Depth   int    `star:"depth" default:"0" doc:"how many commits are fetched; 0: all"`
	Force   bool   `star:"force" default:"False" doc:"throw away what was changed in the folder"`
	KeyFile string `star:"key_file" default:"\"\"" doc:"a private key on the machine to log in with"`
}

var git = builtin.Method(builtin.Spec{
	Name: "git", Effect: builtin.Operation, Returns: "result",
	Summary: "A folder that holds a version of a git repository. What is not git's stays.",
	Errors:  []string{"There is no such version.", "Files in the folder were changed by hand, and force is False: which.", "The repository can't be reached: git's own message."},
	Example: "host.git(\"https://example.org/app.git\", \"/srv/app\", version = \"v1.2\")",
}, func(c *builtin.Call, h *Host, a gitArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	a.Path = p
	if a.URL == "" || a.URL[0] == '-' || a.Version == "" || a.Version[0] == '-' {
		return nil, fmt.Errorf("git: url or version is none")
	}
	return c.Do(gitOp(h, a))
})

// isCommit tells a whole commit from a name.
func isCommit(s string) bool {
	return len(s) == 40 && strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) < 0
}

func gitOp(h *Host, a gitArgs) *thingOp {
	intro := fmt.Sprintf("p=%s url=%s v=%s\n", quote(a.Path), quote(a.URL), quote(a.Version)) +
		`export GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 LC_ALL=C
export GIT_SSH_COMMAND="ssh -o BatchMode=yes` + gitKey(a.KeyFile) + `"
g() { git -c safe.directory='*' -C "$p" "$@"; }
command -v git >/dev/null || { [ -n "$reading" ] && exit 0; echo 'git is not installed' >&2; exit 1; }
`
	wanted := `w=$v`
	if !isCommit(a.Version) {
		// A tag's own commit stands beside it, with ^{}.
		wanted = `w=$(git ls-remote -- "$url" "$v" "refs/heads/$v" "refs/tags/$v" "refs/tags/$v^{}") || exit 1
w=$(printf '%s\n' "$w" | awk '/\^\{\}$/ { t = $1 } { if (!f) f = $1 } END { print t ? t : f }')
[ -n "$w" ] || { echo "there is no version $v" >&2; exit 1; }`
	}
	addr := h.address("git", a.Path)
	return &thingOp{h: h, addr: addr,
		needs: []op.Key{h.key("fs", a.Path), h.key("fs", "/usr/bin/git")},
		tell: "reading=1\n" + intro + wanted + `
printf '%s\n' "wanted=$w"
[ -e "$p/.git" ] || exit 0
printf '%s\n' "commit=$(g rev-parse -q --verify HEAD)" "url=$(g config --get remote.origin.url)" "edited=$(g status --porcelain --untracked-files=no | head -n 5 | cut -c4- | tr '\n' ' ')"`,
		parse: func(out string) (op.Attrs, error) { return values(out), nil },
		want: func(current op.State) (op.Attrs, error) {
			want := op.Attrs{"url": a.URL, "commit": any(op.Unknown{From: addr, Attr: "commit"}), "edited": ""}
			if w, ok := current.Attrs["wanted"]; ok {
				want["commit"] = w
			}
			if edited, _ := current.Attrs["edited"].(string); edited != "" && !a.Force {
				return nil, fmt.Errorf("these were changed by hand: %s(force = True throws that away)", edited)
			}
			return want, nil
		},
		apply: func(change op.Change) (string, []byte) {
			depth := ""
			if a.Depth > 0 {
				depth = fmt.Sprintf(" --depth %d", a.Depth)
			}
			return intro + wanted + `
mkdir -p -- "$p" && { [ -e "$p/.git" ] || git init -q -- "$p"; } || exit 1
if g remote get-url origin >/dev/null 2>&1; then g remote set-url origin "$url"; else g remote add origin "$url"; fi || exit 1
b=; case $(git ls-remote -- "$url" "refs/heads/$v") in ?*) b=$v ;; esac
if [ -n "$b" ]; then g fetch -q` + depth + ` origin "+refs/heads/$b:refs/remotes/origin/$b" || exit 1
else g fetch -q` + depth + ` origin "$w" 2>/dev/null || g fetch -q --tags origin || exit 1; fi
if [ -n "$b" ]; then g checkout -q -f -B "$b" "$w"; else g checkout -q -f --detach "$w"; fi || exit 1
[ ! -e "$p/.gitmodules" ] || g submodule update -q --init --recursive --force`, nil
		},
		predict: func(v *op.View, change op.Change) {
			v.Appear(h.key("fs", a.Path), op.Attrs{"type": "directory", "mode": "0755", "owner": "root", "group": "root"})
			v.Mark(h.key("fs", a.Path), op.Cause{Address: addr, Why: "checks files out"}, true)
		},
	}
}

func gitKey(file string) string {
	if file == "" {
		return ""
	}
	return ` -o IdentitiesOnly=yes -i ` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(quote(file))
}
