package tools

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/shell"
	"phoenix-run/lab/guest/vfs"
)

var hashes = map[string]func() hash.Hash{
	"md5sum": md5.New, "sha1sum": sha1.New, "sha256sum": sha256.New, "sha512sum": sha512.New,
}

// sum is sha256sum and its sisters.
func sum(_ context.Context, p *proc.Proc) int {
	o := parse(p, "c b t z w check=c binary=b text=t zero=z quiet status strict ignore-missing warn=w tag")
	if o == nil {
		return 1
	}
	make := hashes[path.Base(p.Args[0])]
	digest := func(r io.Reader) (string, error) {
		h := make()
		_, err := io.Copy(h, r)
		return hex.EncodeToString(h.Sum(nil)), err
	}
	if !o.has("c") {
		return eachInput(p, o.Args, func(name string, r io.Reader) error {
			d, err := digest(r)
			if err != nil {
				return err
			}
			// A name with a newline or backslash is escaped, and the line begins with a backslash.
			shown, mark := name, ""
			if strings.ContainsAny(name, "\n\\") && !o.has("z") {
				shown, mark = strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(name), `\`
			}
			p.Printf("%s%s %s%s%s", mark, d, map[bool]string{true: "*", false: " "}[o.has("b")], shown, map[bool]string{true: "\x00", false: "\n"}[o.has("z")])
			return nil
		})
	}
	bad, unreadable := 0, 0
	code := eachInput(p, o.Args, func(_ string, r io.Reader) error {
		in := bufio.NewScanner(r)
		for in.Scan() {
			want, name, found := strings.Cut(in.Text(), " ")
			if !found {
				continue
			}
			name = name[1:]
			f, err := input(p, name)
			if err != nil {
				if !o.has("ignore-missing") {
					p.Errorf("%s: %s", name, proc.Text(err))
					p.Printf("%s: FAILED open or read\n", name)
					unreadable++
				}
				continue
			}
			got, err := digest(f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			switch {
			case got != strings.ToLower(strings.TrimPrefix(want, `\`)):
				bad++
				if !o.has("status") {
					p.Printf("%s: FAILED\n", name)
				}
			case !o.has("quiet") && !o.has("status"):
				p.Printf("%s: OK\n", name)
			}
		}
		return in.Err()
	})
	if bad > 0 && !o.has("status") {
		p.Errorf("WARNING: %d computed checksum%s did NOT match", bad, map[bool]string{true: "s", false: ""}[bad > 1])
	}
	if bad+unreadable > 0 {
		return 1
	}
	return code
}

func base64Program(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d D=d w: i decode=d wrap=w ignore-garbage=i")
	if o == nil {
		return 1
	}
	width := 76
	if o.has("w") {
		n, err := strconv.Atoi(o.val("w"))
		if err != nil {
			p.Errorf("invalid wrap size: ‘%s’", o.val("w"))
			return 1
		}
		width = n
	}
	return eachInput(p, o.Args, func(_ string, r io.Reader) error {
		if o.has("d") {
			b, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			text := bytes.Map(func(c rune) rune {
				if c == '\n' || c == '\r' && o.has("i") {
					return -1
				}
				return c
			}, b)
			out, err := base64.StdEncoding.DecodeString(string(text))
			if _, werr := p.Stdout.Write(out); werr != nil {
				return werr
			}
			if err != nil {
				p.Errorf("invalid input")
				return errSaid
			}
			return nil
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		text := base64.StdEncoding.EncodeToString(b)
		if width == 0 {
			_, err = io.WriteString(p.Stdout, text)
			return err
		}
		for len(text) > 0 {
			n := min(width, len(text))
			if _, err := io.WriteString(p.Stdout, text[:n]+"\n"); err != nil {
				return err
			}
			text = text[n:]
		}
		return nil
	})
}

// gzipProgram is gzip, gunzip and zcat.
func gzipProgram(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d c k f t v q n 1 2 3 4 5 6 7 8 9 decompress=d uncompress=d stdout=c to-stdout=c keep=k force=f test=t fast=1 best=9 no-name=n")
	if o == nil {
		return 1
	}
	name := path.Base(p.Args[0])
	undo := o.has("d") || o.has("t") || name == "gunzip" || name == "zcat"
	toStdout := o.has("c") || name == "zcat" || len(o.Args) == 0 || o.has("t")
	convert := func(w io.Writer, r io.Reader) error {
		if undo {
			zr, err := gzip.NewReader(r)
			if err != nil {
				return errors.New("not in gzip format")
			}
			_, err = io.Copy(w, zr)
			return err
		}
		zw := gzip.NewWriter(w)
		_, err := io.Copy(zw, r)
		return errors.Join(err, zw.Close())
	}
	files := o.Args
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, file := range files {
		content, err := readInput(p, file)
		if err != nil {
			p.Errorf("%s: %s", file, proc.Text(err))
			return 1
		}
		var out bytes.Buffer
		if err := convert(&out, bytes.NewReader(content)); err != nil {
			p.Stderr.Write([]byte("\n")) //nolint:errcheck // GNU's has an empty line before this message
			p.Errorf("%s: %v", map[bool]string{true: "stdin", false: file}[file == "-"], err)
			return 1
		}
		if o.has("t") {
			continue
		}
		if toStdout {
			if _, err := p.Stdout.Write(out.Bytes()); err != nil {
				return 1
			}
			continue
		}
		to := file + ".gz"
		if undo {
			var found bool
			if to, found = strings.CutSuffix(file, ".gz"); !found {
				p.Errorf("%s: unknown suffix -- ignored", file)
				return 2
			}
		}
		st, err := p.FS.Stat(p.Path(file))
		if err == nil {
			err = p.FS.WriteFile(p.Path(to), out.Bytes(), st.Perm())
		}
		if err == nil && !o.has("k") {
			err = p.FS.Unlink(p.Path(file))
		}
		if err != nil {
			p.Errorf("%s: %s", to, proc.Text(err))
			return 1
		}
	}
	return 0
}

// tarProgram creates, lists and extracts archives.
func tarProgram(_ context.Context, p *proc.Proc) int {
	if len(p.Args) > 1 && p.Args[1] != "" && p.Args[1][0] != '-' {
		// tar xf FILE: old options take their values from the words after.
		p.Args = append([]string{p.Args[0], "-" + p.Args[1]}, p.Args[2:]...)
		if flags := p.Args[1]; strings.Contains(flags, "f") && !strings.HasSuffix(flags, "f") {
			p.Args[1] = strings.ReplaceAll(flags, "f", "") + "f"
		}
	}
	o := parse(p, "c x t f: z j J a C: v p P O k m h T: X: extract=x get=x create=c list=t file=f gzip=z auto-compress=a directory=C verbose=v same-permissions=p preserve-permissions=p absolute-names=P to-stdout=O keep-old-files=k touch=m dereference=h files-from=T exclude: owner: group: mode: mtime: sort: numeric-owner no-same-owner same-owner no-same-permissions null strip-components: overwrite unlink-first warning: xattrs acls selinux one-file-system no-recursion format: transform: no-overwrite-dir keep-directory-symlink ignore-failed-read")
	if o == nil {
		return 2
	}
	t := &tarrer{p: p, o: o, dir: p.Dir}
	if o.has("C") {
		t.dir = p.Path(o.val("C"))
		if st, err := p.FS.Stat(t.dir); err != nil || !st.IsDir() {
			p.Errorf("%s: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now", o.val("C"))
			return 2
		}
	}
	if o.has("j") || o.has("J") {
		p.Errorf("(child): bzip2 and xz: Cannot exec: No such file or directory")
		return 2
	}
	var err error
	switch {
	case o.has("c"):
		err = t.create()
	case o.has("x"), o.has("t"):
		err = t.extract()
	default:
		p.Errorf("You must specify one of the '-Acdtrux', '--delete' or '--test-label' options")
		return 2
	}
	if err != nil {
		p.Errorf("%v\ntar: Error is not recoverable: exiting now", err)
		return 2
	}
	if t.code != 0 {
		p.Errorf("Exiting with failure status due to previous errors")
	}
	return t.code
}

type tarrer struct {
	p    *proc.Proc
	o    *options
	dir  string
	code int
}

func (t *tarrer) at(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return strings.TrimSuffix(t.dir, "/") + "/" + name
}

func (t *tarrer) excluded(name string) bool {
	for _, pattern := range t.o.set["exclude"] {
		if shell.Match(pattern, name) || shell.Match(pattern, path.Base(name)) || strings.HasPrefix(name, strings.TrimSuffix(pattern, "/*")+"/") && !strings.ContainsAny(pattern, "*?[") {
			return true
		}
	}
	return false
}

func (t *tarrer) create() error {
	names := t.o.Args
	if t.o.has("T") {
		b, err := readInput(t.p, t.o.val("T"))
		if err != nil {
			return fmt.Errorf("%s: Cannot open: %s", t.o.val("T"), proc.Text(err))
		}
		sep := "\n"
		if t.o.has("null") {
			sep = "\x00"
		}
		for name := range strings.SplitSeq(string(b), sep) {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return complain("Cowardly refusing to create an empty archive")
	}
	var out io.Writer = t.p.Stdout
	file := t.o.val("f")
	if file != "" && file != "-" {
		d, err := t.p.Open(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			return fmt.Errorf("%s: Cannot open: %s", file, proc.Text(err))
		}
		f := &descFile{d}
		defer f.Close() //nolint:errcheck // a tree's files fail when they are written
		out = f
	}
	buffered := bufio.NewWriterSize(out, 64<<10)
	var w io.Writer = buffered
	var zw *gzip.Writer
	if t.o.has("z") || t.o.has("a") && (strings.HasSuffix(file, "gz")) {
		zw = gzip.NewWriter(buffered)
		w = zw
	}
	tw := tar.NewWriter(w)
	for _, name := range names {
		if err := t.add(tw, name); err != nil {
			return err
		}
	}
	err := tw.Close()
	if zw != nil {
		err = errors.Join(err, zw.Close())
	}
	return errors.Join(err, buffered.Flush())
}

func (t *tarrer) add(tw *tar.Writer, name string) error {
	if t.excluded(name) {
		return nil
	}
	look := t.p.FS.Lstat
	if t.o.has("h") {
		look = t.p.FS.Stat
	}
	st, err := look(t.at(name))
	if err != nil {
		t.p.Errorf("%s: Cannot stat: %s", name, proc.Text(err))
		t.code = 2
		return nil
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Perm()), Uid: st.UserID, Gid: st.GroupID, ModTime: st.ModTime(),
		Uname: account.UserName(t.p.FS, st.UserID), Gname: account.GroupName(t.p.FS, st.GroupID), Format: tar.FormatGNU,
	}
	if !t.o.has("P") {
		h.Name = strings.TrimLeft(h.Name, "/")
	}
	var content []byte
	switch {
	case st.IsDir():
		h.Typeflag = tar.TypeDir
		h.Name = strings.TrimSuffix(h.Name, "/") + "/"
	case st.IsLink():
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = t.p.FS.Readlink(t.at(name)); err != nil {
			return err
		}
	case st.IsRegular():
		h.Typeflag = tar.TypeReg
		if content, err = t.p.FS.ReadFile(t.at(name)); err != nil {
			t.p.Errorf("%s: Cannot open: %s", name, proc.Text(err))
			t.code = 2
			return nil
		}
		h.Size = int64(len(content))
	default:
		return nil
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if t.o.has("v") {
		fmt.Fprintln(t.p.Stderr, h.Name) //nolint:errcheck // nobody left to tell
	}
	if _, err := tw.Write(content); err != nil || !st.IsDir() || t.o.has("no-recursion") {
		return err
	}
	kids, err := t.p.FS.ReadDir(t.at(name))
	if err != nil {
		t.p.Errorf("%s: Cannot open: %s", name, proc.Text(err))
		t.code = 2
		return nil
	}
	for _, kid := range kids {
		if err := t.add(tw, strings.TrimSuffix(name, "/")+"/"+kid.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (t *tarrer) extract() error {
	var in io.Reader = t.p.Stdin
	if file := t.o.val("f"); file != "" && file != "-" {
		f, err := input(t.p, file)
		if err != nil {
			return fmt.Errorf("%s: Cannot open: %s", file, proc.Text(err))
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	buffered := bufio.NewReader(in)
	in = buffered
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		zr, err := gzip.NewReader(buffered)
		if err != nil {
			return fmt.Errorf("gzip: stdin: %w", err)
		}
		in = zr
	}
	strip := 0
	if v := t.o.val("strip-components"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%s: Invalid number of elements", v)
		}
		strip = n
	}
	tr := tar.NewReader(in)
	var folders []*tar.Header // their modes and times come last, when nothing more goes into them
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return complain("This does not look like a tar archive or it is cut short: %v", err)
		}
		if !t.selected(h.Name) || t.excluded(strings.TrimSuffix(h.Name, "/")) {
			continue
		}
		if t.o.has("t") {
			t.list(h)
			continue
		}
		name, ok := member(h.Name, strip)
		if !ok {
			continue
		}
		if strings.Contains("/"+name+"/", "/../") {
			t.p.Errorf("%s: Member name contains '..'", h.Name)
			t.code = 2
			continue
		}
		if t.o.has("v") {
			t.p.Printf("%s\n", h.Name)
		}
		h.Name = name
		if err := t.put(h, tr); err != nil {
			t.p.Errorf("%s: Cannot open: %s", name, proc.Text(err))
			t.code = 2
			continue
		}
		if h.Typeflag == tar.TypeDir {
			folders = append(folders, h)
		}
	}
	for _, h := range folders {
		if err := t.finish(h); err != nil {
			t.p.Errorf("%s: %s", h.Name, proc.Text(err))
			t.code = 2
		}
	}
	// What follows the archive's end is read too, so that the sender is not cut off.
	_, err := io.Copy(io.Discard, buffered)
	return err
}

func (t *tarrer) list(h *tar.Header) {
	if !t.o.has("v") {
		t.p.Printf("%s\n", h.Name)
		return
	}
	mode := vfs.Regular
	switch h.Typeflag {
	case tar.TypeDir:
		mode = vfs.Dir
	case tar.TypeSymlink:
		mode = vfs.Symlink
	}
	t.p.Printf("%s %s/%s %9d %s %s\n", letters(mode|uint32(h.Mode)), h.Uname, h.Gname, h.Size, h.ModTime.UTC().Format("2006-01-02 15:04"), h.Name)
}

func (t *tarrer) selected(name string) bool {
	if len(t.o.Args) == 0 {
		return true
	}
	for _, want := range t.o.Args {
		want = strings.TrimSuffix(want, "/")
		if strings.TrimSuffix(name, "/") == want || strings.HasPrefix(name, want+"/") {
			return true
		}
	}
	return false
}

// member is a name without its first parts.
func member(name string, strip int) (string, bool) {
	name = strings.TrimLeft(name, "/")
	for range strip {
		_, rest, found := strings.Cut(name, "/")
		if !found {
			return "", false
		}
		name = rest
	}
	return name, strings.Trim(name, "/") != ""
}

func (t *tarrer) put(h *tar.Header, r io.Reader) error {
	full := t.at(h.Name)
	fsys := t.p.FS
	if t.o.has("O") {
		_, err := io.Copy(t.p.Stdout, r)
		return err
	}
	if err := fsys.MkdirAll(path.Dir(path.Clean(full)), 0o777); err != nil {
		return err
	}
	old, err := fsys.Lstat(strings.TrimSuffix(full, "/"))
	if h.Typeflag == tar.TypeDir {
		if err == nil && old.IsDir() {
			return nil
		}
		if err == nil {
			if err := fsys.Unlink(strings.TrimSuffix(full, "/")); err != nil {
				return err
			}
		}
		return fsys.Mkdir(strings.TrimSuffix(full, "/"), uint32(h.Mode)|0o700)
	}
	if err == nil {
		if t.o.has("k") {
			return &os.PathError{Op: "open", Path: full, Err: os.ErrExist}
		}
		remove := fsys.Unlink
		if old.IsDir() {
			remove = fsys.Rmdir
		}
		if err := remove(full); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if err := fsys.Symlink(h.Linkname, full); err != nil {
			return err
		}
		if uid, gid, own := t.owner(h); own {
			return fsys.Chown(full, uid, gid, false)
		}
		return nil
	case tar.TypeLink:
		return fsys.Link(t.at(h.Linkname), full)
	case tar.TypeReg:
	default:
		return nil
	}
	f, err := fsys.Open(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return t.finish(h)
}

// owner is who the member belongs to, if the user may give files away.
func (t *tarrer) owner(h *tar.Header) (uid, gid int, ok bool) {
	if t.p.FS.Cred.UID != 0 || t.o.has("no-same-owner") {
		return 0, 0, false
	}
	uid, gid = h.Uid, h.Gid
	if !t.o.has("numeric-owner") {
		if u, found := account.UserNamed(t.p.FS, h.Uname); found {
			uid = u.UID
		}
		if g, found := account.GroupNamed(t.p.FS, h.Gname); found {
			gid = g.GID
		}
	}
	return uid, gid, true
}

func (t *tarrer) finish(h *tar.Header) error {
	full := strings.TrimSuffix(t.at(h.Name), "/")
	if uid, gid, own := t.owner(h); own {
		if err := t.p.FS.Chown(full, uid, gid, true); err != nil {
			return err
		}
	}
	perm := uint32(h.Mode) & vfs.PermMask
	if t.p.FS.Cred.UID != 0 && !t.o.has("p") || t.o.has("no-same-permissions") {
		perm = perm &^ t.p.FS.Umask & 0o777
	}
	if err := t.p.FS.Chmod(full, perm); err != nil {
		return err
	}
	if t.o.has("m") {
		return nil
	}
	return t.p.FS.Chtimes(full, h.ModTime, true)
}
