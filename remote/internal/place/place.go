// Package place writes the scripts by which a file gets into its place on a machine, whole or not at
// all, whatever the transport that brings the bytes.
package place

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/shell"
)

// steps are the exit statuses of the script, from remote.MissingExit on.
var steps = []remote.Step{
	remote.StepFolder, remote.StepContent, remote.StepComplete, remote.StepOwner, remote.StepMode,
	remote.StepSync, remote.StepValidate, remote.StepBackup, remote.StepRename,
}

func exit(step remote.Step) int {
	for i, s := range steps {
		if s == step {
			return remote.MissingExit + i
		}
	}
	panic("place: no such step: " + step)
}

// File is one upload on its way.
type File struct {
	remote.Upload
	Temp string // temporary file, in the target's folder so that a rename is atomic
	// Fill is a command whose stdout is the content; "" if Temp has it already. The transport's own
	// stdin ("cat") or files that it sent before.
	Fill   string
	SHA256 string // hex; "" leaves the check to the transport's own integrity
}

// New checks an upload and chooses its temporary name.
func New(u remote.Upload) (File, error) {
	if !path.IsAbs(u.Path) || path.Clean(u.Path) != u.Path || u.Path == "/" {
		return File{}, fmt.Errorf("upload to %q: not a clean absolute path of a file", u.Path)
	}
	if strings.ContainsRune(u.Path, 0) {
		return File{}, fmt.Errorf("upload to %q: a path can't hold a NUL", u.Path)
	}
	return File{Upload: u, Temp: path.Join(path.Dir(u.Path), ".phx-"+rand.Text()[:10])}, nil
}

// Script makes the whole of one upload: content into Temp, checked against size, synced, owner and
// mode set, validated, renamed, folder synced. It removes Temp if it fails or is ended by a signal.
func (f File) Script(size int64, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	or := func(step remote.Step) string { return fmt.Sprintf(" || fail %d", exit(step)) }

	line("p=%s t=%s d=%s", shell.Quote(f.Path), shell.Quote(f.Temp), shell.Quote(path.Dir(f.Path)))
	line(`fail() { rm -f "$t"; exit "$1"; }`)
	line(`trap 'fail 143' HUP INT PIPE TERM`) // PIPE: a message to a connection that is gone
	line(`[ -d "$d" ] || { echo "$d: no such folder" >&2; fail %d; }`, exit(remote.StepFolder))
	if f.Fill != "" {
		// No one else may read it before its mode is set, nor have put a link there.
		line(`umask 077; set -C`)
		line(`%s >"$t"%s`, f.Fill, or(remote.StepContent))
		line(`set +C`)
	}
	line(`n=$(wc -c <"$t") && [ "$n" -eq %d ] || { echo "$n of %[1]d bytes are there" >&2; fail %d; }`, size, exit(remote.StepComplete))
	if f.SHA256 != "" {
		line(`s=$(sha256sum <"$t") && [ "${s%%%% *}" = %s ] || { echo "its sha256 is ${s%%%% *}, not %[1]s" >&2; fail %d; }`,
			f.SHA256, exit(remote.StepComplete))
	}
	if owner := owner(f.Owner, f.Group); owner != "" {
		line(`chown %s "$t"%s`, shell.Quote(owner), or(remote.StepOwner))
	}
	if f.Mode == 0 {
		line(`if [ -f "$p" ]; then chmod --reference="$p" "$t"; else chmod 0644 "$t"; fi%s`, or(remote.StepMode))
	} else {
		line(`chmod %04o "$t"%s`, Perm(f.Mode), or(remote.StepMode))
	}
	line(`if [ -e /sys/fs/selinux/enforce ] && [ -e "$p" ]; then chcon --reference="$p" "$t"%s; fi`, or(remote.StepMode))
	line(`sync "$t"%s`, or(remote.StepSync))
	if f.Validate != "" {
		command := strings.ReplaceAll(f.Validate, "%s", shell.Quote(f.Temp))
		line("( eval %s ) </dev/null >&2%s", shell.Quote(command), or(remote.StepValidate))
	}
	if f.Backup {
		// A second name costs nothing and is exact; where links are not possible, a copy.
		backup := shell.Quote(fmt.Sprintf("%s.~%s~", f.Path, now.UTC().Format("20060102T150405.000")))
		line(`if [ -e "$p" ]; then ln "$p" %s 2>/dev/null || cp -pP "$p" %[1]s%s; fi`, backup, or(remote.StepBackup))
	}
	line(`mv -fT "$t" "$p"%s`, or(remote.StepRename))
	line(`sync "$d"%s`, or(remote.StepSync))
	return b.String()
}

// Error makes an error of how Script ended, or nil if it did what it should.
func (f File) Error(conn string, r remote.Result) error {
	if r.Code == 0 {
		return nil
	}
	e := &remote.FileError{Conn: conn, Op: "upload", Path: f.Path, Step: remote.StepContent, Result: r}
	if i := r.Code - remote.MissingExit; i >= 0 && i < len(steps) {
		e.Step = steps[i]
	}
	return e
}

// Fetch makes the script whose stdout is the content of a file.
func Fetch(path string) string { return mustBeFile(path) + `exec cat "$p"` }

// FetchPiece makes the script whose stdout is count MiB of a file, from skip MiB on, and whose stderr
// is the file's size in bytes, and more by which a change of the file can be seen.
func FetchPiece(path string, skip, count int) string {
	return mustBeFile(path) + fmt.Sprintf(`stat -L -c "%%s %%i %%y" "$p" >&2
exec dd if="$p" bs=1048576 skip=%d count=%d 2>/dev/null`, skip, count)
}

func mustBeFile(path string) string {
	return fmt.Sprintf("p=%s\n"+
		`[ -e "$p" ] || { echo "no such file" >&2; exit %d; }`+"\n"+
		`[ -f "$p" ] || { echo "not a regular file" >&2; exit 1; }`+"\n", shell.Quote(path), remote.MissingExit)
}

// FetchError makes an error of how Fetch ended, or nil.
func FetchError(conn, path string, r remote.Result) error {
	if r.Code == 0 {
		return nil
	}
	return &remote.FileError{Conn: conn, Op: "download", Path: path, Result: r}
}

// Perm is a mode as chmod's number, set-id and sticky bits included. They are taken both as Go has
// them and as chmod does (0o4755).
func Perm(m fs.FileMode) uint32 {
	n := uint32(m & 0o7777)
	if m&fs.ModeSetuid != 0 {
		n |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		n |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		n |= 0o1000
	}
	return n
}

func owner(user, group string) string {
	if group == "" {
		return user
	}
	return user + ":" + group
}
