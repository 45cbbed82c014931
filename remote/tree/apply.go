package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/place"
	"phoenix-run/remote/shell"
)

const (
	// batch is how much content goes with one script.
	batch = 8 << 20
	// longest bounds one command line; Linux takes 2 MiB, less what the environment takes.
	longest = 96 << 10
)

// Apply makes the changes that Diff found: one round trip for each 8 MiB of content, and larger files
// by themselves.
func (s *Spec) Apply(ctx context.Context, c remote.Conn, changes []Change) error {
	if err := s.check(); err != nil {
		return err
	}
	work := &work{spec: s, conn: c}
	var now []Change
	var size int64
	var large []Change
	for _, ch := range changes {
		content := int64(0)
		if ch.After != nil && ch.After.Type == File && ch.Action != Attributes {
			content = ch.After.Size
		}
		switch {
		case content > batch:
			large = append(large, ch)
			continue
		case size+content > batch:
			if err := work.round(ctx, now); err != nil {
				return err
			}
			now, size = nil, 0
		}
		now, size = append(now, ch), size+content
	}
	if len(now) > 0 {
		if err := work.round(ctx, now); err != nil {
			return err
		}
	}
	for _, ch := range large {
		if err := work.file(ctx, ch); err != nil {
			return err
		}
	}
	return nil
}

// work is one Apply under way.
type work struct {
	spec *Spec
	conn remote.Conn
	sent int64
}

// round makes some of the changes with one script, whose stdin is the new content as a tar archive.
func (w *work) round(ctx context.Context, changes []Change) error {
	var archive bytes.Buffer
	pack := tar.NewWriter(&archive)
	// What is created together with its folder moves into place with it; the rest by itself, into the
	// folder that it is for.
	moves := map[string][]string{}
	staged := map[string]bool{} // folders in the archive
	attributes := map[string][]string{}
	var chown, remove, folders []string
	for _, ch := range changes {
		target := w.target(ch.Path)
		switch ch.Action {
		case Delete:
			remove = append(remove, target)
			continue
		case Replace:
			remove = append(remove, target)
		case Attributes:
			if ch.After.Type != Link { // a link has no mode
				attributes[modeOf(ch.After)] = append(attributes[modeOf(ch.After)], target)
			}
			chown = append(chown, target)
			continue
		}
		if ch.Path == "." {
			folders = append(folders, target)
			attributes[modeOf(ch.After)] = append(attributes[modeOf(ch.After)], target)
			chown = append(chown, target)
			continue
		}
		if err := w.pack(pack, ch.After); err != nil {
			return fmt.Errorf("push to %s: %w", w.spec.Target, err)
		}
		if w.spec.owner() != "" && ch.After.Mode&0o6000 != 0 { // a change of owner takes these away
			attributes[modeOf(ch.After)] = append(attributes[modeOf(ch.After)], target)
		}
		up := path.Dir(ch.Path)
		if ch.After.Type == Folder {
			staged[ch.Path] = true
		}
		if !staged[up] {
			moves[up] = append(moves[up], ch.Path)
		}
	}
	if err := pack.Close(); err != nil {
		return err
	}
	script := w.script(moves, attributes, chown, remove, folders)
	r, err := w.conn.Run(ctx, remote.Command{Script: script, Stdin: archive.Bytes()})
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("%s: %w", w.conn, &remote.ExitError{What: "push to " + w.spec.Target, Result: r})
	}
	return nil
}

// script writes the commands of one round, in the order in which they must be.
func (w *work) script(moves, attributes map[string][]string, chown, remove, folders []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	stage := path.Join(w.spec.Target, ".phx-"+rand.Text()[:10])
	owner := shell.Quote(w.spec.owner())

	line(`s=%s; set -e; umask 077`, shell.Quote(stage))
	line(`clean() { rm -rf "$s"; }; trap 'clean; exit 143' HUP INT PIPE TERM`)
	line(`fail() { clean; exit 1; }`)
	// What stands where something else has to be goes first; the root itself may be such a thing.
	root := slices.Contains(folders, w.spec.Target)
	if root {
		each(&b, "rm -rf", keep(remove, w.spec.Target))
		line(`[ -d %s ] || { echo "%s: no such folder" >&2; fail; }`, shell.Quote(path.Dir(w.spec.Target)), "the parent of the target")
		line(`mkdir -p %s || fail`, shell.Quote(w.spec.Target))
		remove = slices.DeleteFunc(remove, func(p string) bool { return p == w.spec.Target })
	}
	line(`mkdir "$s" || fail`)
	line(`tar -xpf - -C "$s" --no-same-owner || fail`)
	if w.spec.owner() != "" {
		line(`chown -Rh %s "$s" || fail`, owner)
	}
	line(`sync -f "$s" || fail`)
	each(&b, "rm -rf", remove)
	for _, dir := range sorted(moves) {
		var from []string
		for _, p := range moves[dir] {
			from = append(from, path.Join(stage, p))
		}
		each(&b, "mv -f -t "+shell.Quote(w.target(dir)), from)
	}
	line(`clean`)
	if w.spec.owner() != "" {
		each(&b, "chown -h "+owner, chown)
	}
	for _, mode := range sorted(attributes) { // after chown, which takes set-id bits away
		each(&b, "chmod "+mode, attributes[mode])
	}
	line(`sync -f %s`, shell.Quote(w.spec.Target))
	return b.String()
}

// pack adds an entry to the archive.
func (w *work) pack(pack *tar.Writer, e *Entry) (err error) {
	// GNU's format: names are bytes in it.
	h := &tar.Header{Format: tar.FormatGNU, Name: e.Path, Mode: int64(e.Mode)}
	switch e.Type {
	case Folder:
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case Link:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Target, 0o777
	case File:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	}
	if err := pack.WriteHeader(h); err != nil || e.Type != File {
		return err
	}
	f, err := w.spec.Source.Open(e.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// One byte more than expected shows that the file has grown since it was hashed.
	n, err := io.Copy(pack, io.LimitReader(f, e.Size+1))
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != e.Size {
		return fmt.Errorf("%s changed while it was read", e.Path)
	}
	w.told(n)
	return err
}

func (w *work) told(n int64) {
	w.sent += n
	if w.spec.Progress != nil && n > 0 {
		w.spec.Progress(w.sent)
	}
}

// file brings one large file.
func (w *work) file(ctx context.Context, ch Change) (err error) {
	if ch.Action == Replace {
		r, err := w.conn.Run(ctx, remote.Command{Script: "rm -rf " + shell.Quote(w.target(ch.Path))})
		if err != nil {
			return err
		}
		if r.Code != 0 {
			return fmt.Errorf("%s: %w", w.conn, &remote.ExitError{What: "remove " + w.target(ch.Path), Result: r})
		}
	}
	f, err := w.spec.Source.Open(ch.Path)
	if err != nil {
		return fmt.Errorf("push to %s: %w", w.spec.Target, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before := w.sent
	err = w.conn.Upload(ctx, remote.Upload{
		Path: w.target(ch.Path), Content: f, Size: ch.After.Size, Mode: ch.After.Mode,
		Owner: w.spec.Owner, Group: w.spec.Group,
		Progress: func(n int64) { w.told(before + n - w.sent) },
	})
	return err
}

func (w *work) target(p string) string { return path.Join(w.spec.Target, p) }

// each writes a command with all the paths after it, in as many lines as it takes.
func each(b *strings.Builder, command string, paths []string) {
	size := longest
	for i, p := range paths {
		word := shell.Quote(p)
		if size+len(word) > longest {
			if i > 0 {
				b.WriteString(" || fail\n")
			}
			b.WriteString(command + " --")
			size = 0
		}
		b.WriteString(" " + word)
		size += len(word) + 1
	}
	if len(paths) > 0 {
		b.WriteString(" || fail\n")
	}
}

func modeOf(e *Entry) string { return fmt.Sprintf("%04o", place.Perm(e.Mode)) }

func sorted(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func keep(paths []string, want string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p != want })
}
