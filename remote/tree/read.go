package tree

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"phoenix-run/remote"
	"phoenix-run/remote/shell"
)

// hashes is the field that stands between the list of entries and that of hashes.
const hashes = "sha256"

// readScript lists a folder: type, mode, owner, group, size, link target and path of each entry, each
// field ending in a NUL, and then the hashes.
const readScript = `t=%s
if [ ! -e "$t" ] && [ ! -L "$t" ]; then exit 0; fi
if [ ! -d "$t" ] || [ -L "$t" ]; then find "$t" -maxdepth 0 -printf '%%y\0%%m\0%%u\0%%g\0%%s\0%%l\0.\0'; exit; fi
cd "$t" || exit
find . -printf '%%y\0%%m\0%%u\0%%g\0%%s\0%%l\0%%p\0' || exit
printf '%s\0'
find . -type f -print0 | xargs -0 -r sha256sum -z --`

// Read lists what is in a folder on the machine, in no order. An absent folder is an empty list; if
// something else is in its place, that is the only entry, ".".
func Read(ctx context.Context, c remote.Conn, target string) ([]Entry, error) {
	script := fmt.Sprintf(readScript, shell.Quote(target), hashes)
	r, err := c.Run(ctx, remote.Command{Script: script, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	if r.Code != 0 {
		return nil, fmt.Errorf("%s: %w", c, &remote.ExitError{What: "list " + target, Result: r})
	}
	if r.Truncated {
		return nil, fmt.Errorf("%s: list %s: there is too much in it", c, target)
	}
	all, err := parse(r.Stdout)
	if err != nil {
		return nil, fmt.Errorf("%s: list %s: %w", c, target, err)
	}
	return all, nil
}

// parse reads what readScript writes.
func parse(out []byte) ([]Entry, error) {
	var all []Entry
	files := map[string]int{} // path to index in all
	for len(out) > 0 {
		if rest, ok := bytes.CutPrefix(out, []byte(hashes+"\x00")); ok {
			return all, parseHashes(rest, all, files)
		}
		var field [7]string
		for i := range field {
			text, rest, ok := bytes.Cut(out, []byte{0})
			if !ok {
				return nil, fmt.Errorf("the list ends within an entry: %.80q", out)
			}
			field[i], out = string(text), rest
		}
		e, err := parseEntry(field)
		if err != nil {
			return nil, err
		}
		if e.Type == File {
			files[e.Path] = len(all)
		}
		all = append(all, e)
	}
	return all, nil
}

func parseEntry(field [7]string) (Entry, error) {
	e := Entry{Owner: field[2], Group: field[3], Path: field[6]}
	if rest, ok := strings.CutPrefix(e.Path, "./"); ok {
		e.Path = rest
	}
	mode, err := strconv.ParseUint(field[1], 8, 12)
	if err != nil {
		return e, fmt.Errorf("mode %q of %q: %w", field[1], e.Path, err)
	}
	e.Mode = fs.FileMode(mode)
	switch field[0] {
	case "f":
		e.Type = File
		if e.Size, err = strconv.ParseInt(field[4], 10, 64); err != nil || e.Size < 0 {
			return e, fmt.Errorf("size %q of %q is no size", field[4], e.Path)
		}
	case "d":
		e.Type = Folder
	case "l":
		e.Type, e.Mode, e.Target = Link, 0, field[5]
	default:
		e.Type = Other
	}
	return e, nil
}

func parseHashes(out []byte, all []Entry, files map[string]int) error {
	const digits = 64
	for len(out) > 0 {
		line, rest, ok := bytes.Cut(out, []byte{0})
		// The hash, a space, a space or an asterisk, and the path as it was given: ./…
		if !ok || len(line) < digits+4 || line[digits] != ' ' || !bytes.HasPrefix(line[digits+2:], []byte("./")) {
			return fmt.Errorf("the list of hashes has %.120q", line)
		}
		out = rest
		name := string(line[digits+4:])
		i, ok := files[name]
		if !ok {
			return fmt.Errorf("the folder changed while it was read: %q is new", name)
		}
		all[i].SHA256 = string(line[:digits])
	}
	return nil
}
