package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type mountArgs struct {
	Path    string `star:"path" doc:"the folder that it is mounted on; made if it is missing"`
	Source  string `star:"source" default:"\"\"" doc:"what is mounted: \"/dev/vdb1\", \"UUID=…\", \"10.0.0.9:/export\""`
	Type    string `star:"fstype" default:"\"\"" doc:"the file system: ext4, nfs, …"`
	Options string `star:"options" default:"\"defaults\"" doc:"as in fstab"`
	Pass    int    `star:"passno" default:"0" doc:"when it is checked at boot: 0 never, 1 the root, 2 others"`
	State   string `star:"state" default:"\"mounted\"" doc:"mounted: in fstab and now; present: in fstab; unmounted: not now, fstab as it is; absent: neither"`
}

var mount = builtin.Method(builtin.Spec{
	Name: "mount", Effect: builtin.Operation, Returns: "result",
	Summary: "A file system, in /etc/fstab and now. Where its line in fstab changes, it is mounted anew.",
	Errors:  []string{"It can't be mounted: mount's own message; the line in fstab is taken back.", "It is in use and can't be unmounted."},
	Example: "host.mount(\"/srv/scratch\", source = \"tmpfs\", fstype = \"tmpfs\", options = \"size=64m\")",
}, func(c *builtin.Call, h *Host, a mountArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	a.Path = p
	if !slices.Contains([]string{"mounted", "present", "unmounted", "absent"}, a.State) {
		return nil, fmt.Errorf("mount: state: %q is none of mounted, present, unmounted, absent", a.State)
	}
	if (a.State == "mounted" || a.State == "present") && (a.Source == "" || a.Type == "") {
		return nil, fmt.Errorf("mount: source and fstype are needed")
	}
	return c.Do(mountOp(h, a))
})

// fstabField writes a field as fstab has it: blanks as octal numbers.
func fstabField(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(s)
}

// fstabLine is a script that brings a line into fstab in place of all that are about the second field of
// it, or takes those away. The field and the line are in the environment, since awk reads escapes
// elsewhere.
const fstabLine = `fstab() {
	[ -e /etc/fstab ] || : > /etc/fstab
	F=$1 L=$2 awk '$1 !~ /^#/ && $'"$3"' == ENVIRON["F"] { if (ENVIRON["L"] != "" && !d++) print ENVIRON["L"]; next } { print } END { if (ENVIRON["L"] != "" && !d) print ENVIRON["L"] }' /etc/fstab > /etc/.phx-fstab &&
	chmod --reference=/etc/fstab /etc/.phx-fstab && sync /etc/.phx-fstab && mv -fT /etc/.phx-fstab /etc/fstab || exit 1
	` + systemdReload + `}
`

func mountOp(h *Host, a mountArgs) *thingOp {
	field := fstabField(a.Path)
	line := fmt.Sprintf("%s %s %s %s 0 %d", fstabField(a.Source), field, a.Type, a.Options, a.Pass)
	p := "p=" + quote(a.Path) + "\n"
	return &thingOp{h: h, addr: h.address("mount", a.Path),
		tell: p + `if mountpoint -q -- "$p" 2>/dev/null; then m=yes; else m=no; fi
l=$(F=` + quote(field) + ` awk '$1 !~ /^#/ && $2 == ENVIRON["F"] { print $1, $2, $3, $4, $5 + 0, $6 + 0 }' /etc/fstab 2>/dev/null)
[ $m = no ] && [ -z "$l" ] || printf '%s\n' mounted=$m "fstab=$l"`,
		want: func(current op.State) (op.Attrs, error) {
			switch a.State {
			case "absent":
				return nil, nil
			case "unmounted":
				if !current.Exists() {
					return nil, nil
				}
				return op.Attrs{"mounted": false}, nil
			case "present":
				if !current.Exists() {
					return op.Attrs{"fstab": line, "mounted": false}, nil
				}
				return op.Attrs{"fstab": line}, nil
			}
			return op.Attrs{"fstab": line, "mounted": true}, nil
		},
		apply: func(change op.Change) (string, []byte) {
			script := p + fstabLine
			if change.Action == op.Delete {
				return script + `! mountpoint -q -- "$p" || umount -- "$p" || exit 1` + "\nfstab " + quote(field) + " '' 2", nil
			}
			newLine := change.Before == nil || change.Before["fstab"] != change.After["fstab"]
			if newLine {
				script += "fstab " + quote(field) + " " + quote(line) + " 2\n"
			}
			was, is := change.Before["mounted"] == true, change.After["mounted"] == true
			if was && (newLine || !is) {
				script += `umount -- "$p" || exit 1` + "\n"
			}
			if is && (newLine || !was) {
				undo := ""
				if old, _ := change.Before["fstab"].(string); newLine && !was {
					undo = fmt.Sprintf("fstab %s %s 2; ", quote(field), quote(old))
				}
				script += `mkdir -p -- "$p" && mount -- "$p" || { ` + undo + "exit 1; }\n"
			}
			return script, nil
		},
		predict: func(v *op.View, change op.Change) {
			cause := op.Cause{Address: h.address("mount", a.Path), Why: "mounts a file system"}
			v.Appear(h.key("fs", a.Path), op.Attrs{"type": "directory"})
			v.Mark(h.key("fs", a.Path), cause, true)
			v.Mark(h.key("fs", "/etc/fstab"), cause, true)
		},
	}
}

type swapArgs struct {
	Size  string `star:"size" default:"\"\"" doc:"of the file, such as \"2G\" or \"512M\""`
	Path  string `star:"path" default:"\"/swapfile\"" doc:"the file"`
	State string `star:"state" default:"\"present\"" doc:"present or absent"`
}

var swap = builtin.Method(builtin.Spec{
	Name: "swap", Effect: builtin.Operation, Returns: "result",
	Summary: "A swap file, in use now and after each boot. One of another size is made anew. How eagerly it is used says host.sysctl(\"vm.swappiness\", …).",
	Errors:  []string{"The disk is full.", "The file system can't hold a swap file."},
	Example: "host.swap(\"1G\")",
}, func(c *builtin.Call, h *Host, a swapArgs) (starlark.Value, error) {
	gone, err := isAbsent("swap", a.State)
	if err != nil {
		return nil, err
	}
	if a.Path, err = clean(a.Path); err != nil {
		return nil, err
	}
	size := int64(0)
	if !gone {
		if size, err = bytesIn(a.Size); err != nil {
			return nil, fmt.Errorf("swap: size: %w", err)
		}
	}
	return c.Do(swapOp(h, a.Path, size))
})

// bytesIn reads "512M" and the like.
func bytesIn(s string) (int64, error) {
	number, unit := strings.TrimRight(strings.TrimSuffix(s, "B"), "KMGTi"), int64(1)
	switch strings.TrimSuffix(strings.TrimSuffix(s[len(number):], "B"), "i") {
	case "K":
		unit = 1 << 10
	case "M":
		unit = 1 << 20
	case "G":
		unit = 1 << 30
	case "T":
		unit = 1 << 40
	case "":
	default:
		return 0, fmt.Errorf("%q is no size: write \"512M\" or \"2G\"", s)
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no size: write \"512M\" or \"2G\"", s)
	}
	return n * unit, nil
}

func swapOp(h *Host, file string, size int64) *thingOp {
	field := fstabField(file)
	line := field + " none swap sw 0 0"
	f := "f=" + quote(file) + "\n"
	return &thingOp{h: h, addr: h.address("swap", file),
		tell: f + `[ -f "$f" ] || grep -qF -- ` + quote(field+" ") + ` /proc/swaps || exit 0
if F=` + quote(field) + ` awk '$1 == ENVIRON["F"] { f = 1 } END { exit !f }' /proc/swaps; then a=yes; else a=no; fi
if F=` + quote(field) + ` awk '$1 == ENVIRON["F"] && $3 == "swap" { f = 1 } END { exit !f }' /etc/fstab; then b=yes; else b=no; fi
printf '%s\n' "size=$(stat -c %s -- "$f")" active=$a at_boot=$b`,
		want: func(op.State) (op.Attrs, error) {
			if size == 0 {
				return nil, nil
			}
			return op.Attrs{"size": strconv.FormatInt(size, 10), "active": true, "at_boot": true}, nil
		},
		apply: func(change op.Change) (string, []byte) {
			script := f + fstabLine
			if change.Before["active"] == true && (change.Action == op.Delete || change.Before["size"] != change.After["size"]) {
				script += `swapoff -- "$f" || exit 1` + "\n"
			}
			if change.Action == op.Delete {
				return script + "fstab " + quote(field) + ` '' 1; rm -f -- "$f"`, nil
			}
			if change.Before == nil || change.Before["size"] != change.After["size"] {
				script += fmt.Sprintf(`t=$f.phx-new; rm -f -- "$t"; umask 077
{ fallocate -l %d -- "$t" 2>/dev/null || dd if=/dev/zero of="$t" bs=1048576 count=%d status=none; } && mkswap -q -- "$t" >/dev/null && mv -fT -- "$t" "$f" || { rm -f -- "$t"; exit 1; }
swapon -- "$f" || exit 1
`, size, size>>20)
			} else if change.Before["active"] != true {
				script += `chmod 0600 "$f"; swapon -- "$f" 2>/dev/null || { mkswap -q -- "$f" >/dev/null && swapon -- "$f"; } || exit 1` + "\n"
			}
			return script + "fstab " + quote(field) + " " + quote(line) + " 1", nil
		},
	}
}
