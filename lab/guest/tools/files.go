package tools

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// mode reads a mode as chmod takes it, octal or symbolic, on top of what is there.
func mode(spec string, old uint32, dir bool, umask uint32) (uint32, error) {
	bad := fmt.Errorf("invalid mode: ‘%s’", spec)
	if n, err := strconv.ParseUint(spec, 8, 16); err == nil {
		if n > 0o7777 {
			return 0, bad
		}
		m := uint32(n)
		if dir && len(spec) < 5 {
			m |= old & 0o6000 // GNU keeps a folder's set-id bits
		}
		return m, nil
	}
	m := old & vfs.PermMask
	for clause := range strings.SplitSeq(spec, ",") {
		i := 0
		var who uint32
		for i < len(clause) && strings.IndexByte("ugoa", clause[i]) >= 0 {
			who |= map[byte]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[clause[i]]
			i++
		}
		masked := who == 0
		if masked {
			who = 0o7777
		}
		if i >= len(clause) {
			return 0, bad
		}
		for i < len(clause) {
			op := clause[i]
			if strings.IndexByte("+-=", op) < 0 {
				return 0, bad
			}
			i++
			var bits uint32
			for i < len(clause) && strings.IndexByte("+-=", clause[i]) < 0 {
				switch c := clause[i]; c {
				case 'r':
					bits |= 0o444
				case 'w':
					bits |= 0o222
				case 'x':
					bits |= 0o111
				case 'X':
					if dir || m&0o111 != 0 {
						bits |= 0o111
					}
				case 's':
					bits |= 0o6000
				case 't':
					bits |= 0o1000
				case 'u', 'g', 'o':
					b := m >> map[byte]uint{'u': 6, 'g': 3, 'o': 0}[c] & 7
					bits |= b<<6 | b<<3 | b
				default:
					return 0, bad
				}
				i++
			}
			bits &= who
			if masked {
				bits &^= umask
			}
			switch op {
			case '+':
				m |= bits
			case '-':
				m &^= bits
			case '=':
				m = m&^(who&0o777) | bits
				if !dir {
					m = m&^(who&0o6000) | bits
				}
			}
		}
	}
	return m, nil
}

// tree calls f for a file and, if recursive, everything below it, the folder first.
func tree(p *proc.Proc, name string, recursive bool, f func(name string, st vfs.Info) error) error {
	st, err := p.FS.Lstat(p.Path(name))
	if err != nil {
		return err
	}
	if err := f(name, st); err != nil || !recursive || !st.IsDir() {
		return err
	}
	kids, err := p.FS.ReadDir(p.Path(name))
	if err != nil {
		return err
	}
	for _, kid := range kids {
		if err := tree(p, strings.TrimSuffix(name, "/")+"/"+kid.Name(), true, f); err != nil {
			return err
		}
	}
	return nil
}

func chmod(_ context.Context, p *proc.Proc) int {
	// A mode such as -x is no option.
	args := []string{p.Args[0]}
	symbolic := ""
	for i, arg := range p.Args[1:] {
		if symbolic == "" && len(arg) > 1 && arg[0] == '-' && strings.Trim(arg[1:], "rwxXst") == "" && i == 0 {
			symbolic = arg
			continue
		}
		args = append(args, arg)
	}
	p.Args = args
	o := parse(p, "R f v c recursive=R silent=f quiet=f verbose=v changes=c reference:")
	if o == nil {
		return 1
	}
	spec, files := symbolic, o.Args
	var like *vfs.Info
	switch {
	case o.has("reference"):
		st, err := p.FS.Stat(p.Path(o.val("reference")))
		if err != nil {
			p.Errorf("failed to get attributes of '%s': %s", o.val("reference"), proc.Text(err))
			return 1
		}
		like = &st
	case spec == "" && len(files) > 0:
		spec, files = files[0], files[1:]
	}
	if len(files) == 0 {
		return missing(p)
	}
	code := 0
	for _, name := range files {
		err := tree(p, name, o.has("R"), func(name string, st vfs.Info) error {
			if st.IsLink() {
				if o.has("R") {
					return nil
				}
				var err error
				if st, err = p.FS.Stat(p.Path(name)); err != nil {
					return err
				}
			}
			m := uint32(0)
			if like != nil {
				m = like.Perm()
			} else {
				var err error
				if m, err = mode(spec, st.Perm(), st.IsDir(), p.FS.Umask); err != nil {
					p.Errorf("%v\nTry 'chmod --help' for more information.", err)
					return errSaid
				}
			}
			if err := p.FS.Chmod(p.Path(name), m); err != nil {
				p.Errorf("changing permissions of '%s': %s", name, proc.Text(err))
				return errSaid
			}
			return nil
		})
		if err != nil {
			code = 1
			if !errors.Is(err, errSaid) && !o.has("f") {
				p.Errorf("cannot access '%s': %s", name, proc.Text(err))
			}
		}
	}
	return code
}

// errSaid is an error that has been reported.
var errSaid = errors.New("reported")

// owner reads OWNER[:[GROUP]] as chown does; -1 is what is not to change.
func owner(p *proc.Proc, spec string) (uid, gid int, err error) {
	uid, gid = -1, -1
	user, group, grouped := strings.Cut(spec, ":")
	if !grouped {
		if before, after, found := strings.Cut(spec, "."); found {
			if _, known := account.UserNamed(p.FS, spec); !known {
				user, group, grouped = before, after, true
			}
		}
	}
	if user != "" {
		id, ok := account.ParseUser(p.FS, user)
		if !ok {
			return 0, 0, fmt.Errorf("invalid user: ‘%s’", spec)
		}
		uid = id
	}
	switch {
	case grouped && group != "":
		id, ok := account.ParseGroup(p.FS, group)
		if !ok {
			return 0, 0, fmt.Errorf("invalid group: ‘%s’", spec)
		}
		gid = id
	case grouped && user != "":
		if u, found := account.UserWith(p.FS, uid); found {
			gid = u.GID
		}
	}
	return uid, gid, nil
}

func chown(_ context.Context, p *proc.Proc) int {
	o := parse(p, "R h f v c H L P recursive=R no-dereference=h silent=f quiet=f verbose=v reference: from:")
	if o == nil {
		return 1
	}
	files := o.Args
	uid, gid := -1, -1
	if ref := o.val("reference"); ref != "" {
		st, err := p.FS.Stat(p.Path(ref))
		if err != nil {
			p.Errorf("failed to get attributes of '%s': %s", ref, proc.Text(err))
			return 1
		}
		uid, gid = st.UserID, st.GroupID
	} else {
		if len(files) < 2 {
			return missing(p)
		}
		var err error
		spec := files[0]
		if path.Base(p.Args[0]) == "chgrp" {
			spec = ":" + spec
		}
		if uid, gid, err = owner(p, spec); err != nil {
			p.Errorf("%s", strings.ReplaceAll(err.Error(), "‘:", "‘"))
			return 1
		}
		files = files[1:]
	}
	code := 0
	for _, name := range files {
		err := tree(p, name, o.has("R"), func(name string, st vfs.Info) error {
			follow := !o.has("h") && !(o.has("R") && st.IsLink())
			if err := p.FS.Chown(p.Path(name), uid, gid, follow); err != nil {
				what := "ownership"
				if path.Base(p.Args[0]) == "chgrp" {
					what = "group"
				}
				p.Errorf("changing %s of '%s': %s", what, name, proc.Text(err))
				return errSaid
			}
			return nil
		})
		if err != nil {
			code = 1
			if !errors.Is(err, errSaid) {
				p.Errorf("cannot access '%s': %s", name, proc.Text(err))
			}
		}
	}
	return code
}

func mkdir(_ context.Context, p *proc.Proc) int {
	o := parse(p, "p m: v Z parents=p mode=m verbose=v")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		return missing(p)
	}
	perm := 0o777 &^ p.FS.Umask
	if o.has("m") {
		m, err := mode(o.val("m"), 0o777, true, p.FS.Umask)
		if err != nil {
			p.Errorf("%s", strings.Replace(err.Error(), "invalid mode: ", "invalid mode ", 1))
			return 1
		}
		perm = m
	}
	code := 0
	for _, name := range o.Args {
		full := p.Path(name)
		if o.has("p") {
			if st, err := p.FS.Stat(full); err == nil && st.IsDir() {
				continue
			}
			if err := p.FS.MkdirAll(path.Dir(path.Clean(full)), 0o777); err != nil {
				p.Errorf("cannot create directory ‘%s’: %s", path.Dir(name), proc.Text(err))
				code = 1
				continue
			}
		}
		err := p.FS.Mkdir(full, 0o777)
		if err == nil {
			if st, statErr := p.FS.Stat(full); statErr == nil && (o.has("m") || st.Perm()&0o777 != perm) {
				err = p.FS.Chmod(full, perm|st.Perm()&0o2000)
			}
		}
		if err != nil {
			p.Errorf("cannot create directory ‘%s’: %s", name, proc.Text(err))
			code = 1
			continue
		}
		if o.has("v") {
			p.Printf("mkdir: created directory '%s'\n", name)
		}
	}
	return code
}

func rmdir(_ context.Context, p *proc.Proc) int {
	o := parse(p, "p v parents=p verbose=v ignore-fail-on-non-empty")
	if o == nil {
		return 1
	}
	code := 0
	for _, name := range o.Args {
		for {
			err := p.FS.Rmdir(p.Path(name))
			if err != nil && (!errors.Is(err, syscall.ENOTEMPTY) || !o.has("ignore-fail-on-non-empty")) {
				p.Errorf("failed to remove '%s': %s", name, proc.Text(err))
				code = 1
			}
			name = path.Dir(name)
			if err != nil || !o.has("p") || name == "/" || name == "." {
				break
			}
		}
	}
	return code
}

func rm(_ context.Context, p *proc.Proc) int {
	o := parse(p, "r R=r f d v i I recursive=r force=f dir=d verbose=v one-file-system preserve-root no-preserve-root")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 && !o.has("f") {
		return missing(p)
	}
	code := 0
	bad := func(name string, err error) {
		p.Errorf("cannot remove '%s': %s", name, proc.Text(err))
		code = 1
	}
	for _, name := range o.Args {
		full := p.Path(name)
		if base := path.Base(name); base == "." || base == ".." {
			p.Errorf("refusing to remove '.' or '..' directory: skipping '%s'", name)
			code = 1
			continue
		}
		if path.Clean(full) == "/" {
			p.Errorf("it is dangerous to operate recursively on '/'\nrm: use --no-preserve-root to override this failsafe")
			return 1
		}
		st, err := p.FS.Lstat(full)
		switch {
		case err != nil:
			if !o.has("f") || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				bad(name, err)
			}
			continue
		case st.IsDir() && o.has("r"):
			err = p.FS.RemoveAll(full)
		case st.IsDir() && o.has("d"):
			err = p.FS.Rmdir(full)
		default:
			err = p.FS.Unlink(strings.TrimRight(full, "/"))
		}
		if err != nil {
			bad(name, err)
		} else if o.has("v") {
			p.Printf("removed '%s'\n", name)
		}
	}
	return code
}

func ln(_ context.Context, p *proc.Proc) int {
	o := parse(p, "s f n T v r t: b symbolic=s force=f no-dereference=n no-target-directory=T verbose=v relative=r target-directory=t")
	if o == nil {
		return 1
	}
	sources, dest, code := destination(p, o, "")
	if code >= 0 {
		return code
	}
	code = 0
	for _, source := range sources {
		to := dest
		st, err := p.FS.Stat(p.Path(dest))
		link, lerr := p.FS.Lstat(p.Path(dest))
		into := err == nil && st.IsDir() && !o.has("T") && !(o.has("n") && lerr == nil && link.IsLink())
		if into {
			to = strings.TrimSuffix(dest, "/") + "/" + path.Base(source)
		}
		if old, err := p.FS.Lstat(p.Path(to)); err == nil {
			if !o.has("f") {
				p.Errorf("failed to create %s link '%s': File exists", map[bool]string{true: "symbolic", false: "hard"}[o.has("s")], to)
				code = 1
				continue
			}
			if old.IsDir() {
				p.Errorf("'%s': cannot overwrite directory", to)
				code = 1
				continue
			}
		}
		// GNU makes the link beside and renames it, so that the name is never missing.
		made := p.Path(to)
		if o.has("f") {
			if _, err := p.FS.Lstat(made); err == nil {
				made = path.Dir(made) + "/.ln-" + rand.Text()[:8]
			}
		}
		if o.has("s") {
			target := source
			if o.has("r") {
				target = relative(path.Dir(p.Path(to)), p.Path(source))
			}
			err = p.FS.Symlink(target, made)
		} else if _, err = p.FS.Lstat(p.Path(source)); err != nil {
			p.Errorf("failed to access '%s': %s", source, proc.Text(err))
			code = 1
			continue
		} else {
			err = p.FS.Link(p.Path(source), made)
		}
		if err == nil && made != p.Path(to) {
			err = p.FS.Rename(made, p.Path(to))
		}
		if err != nil {
			p.Errorf("failed to create %s link '%s': %s", map[bool]string{true: "symbolic", false: "hard"}[o.has("s")], to, proc.Text(err))
			code = 1
		}
	}
	return code
}

func relative(from, to string) string {
	a, b := strings.Split(path.Clean(from), "/"), strings.Split(path.Clean(to), "/")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	return path.Join(strings.Repeat("../", len(a)), strings.Join(b, "/"))
}

// destination takes the last operand, or -t's value, as where things go. code < 0 is fine.
func destination(p *proc.Proc, o *options, only string) (sources []string, dest string, code int) {
	if o.has("t") {
		return o.Args, o.val("t"), -1
	}
	switch len(o.Args) {
	case 0:
		p.Errorf("missing file operand\nTry '%s --help' for more information.", path.Base(p.Args[0]))
		return nil, "", 1
	case 1:
		if path.Base(p.Args[0]) == "ln" {
			return o.Args, "./" + path.Base(o.Args[0]), -1
		}
		p.Errorf("missing destination file operand after '%s'\nTry '%s --help' for more information.", o.Args[0], path.Base(p.Args[0]))
		return nil, "", 1
	}
	n := len(o.Args) - 1
	sources, dest = o.Args[:n], o.Args[n]
	if n > 1 {
		if o.has("T") {
			p.Errorf("extra operand '%s'", o.Args[2])
			return nil, "", 1
		}
		if st, err := p.FS.Stat(p.Path(dest)); err != nil || !st.IsDir() {
			p.Errorf("target '%s'%s is not a directory", dest, only)
			return nil, "", 1
		}
	}
	return sources, dest, -1
}

func mv(_ context.Context, p *proc.Proc) int {
	o := parse(p, "f n i u v T t: b Z force=f no-clobber=n update=u verbose=v no-target-directory=T target-directory=t backup? suffix:")
	if o == nil {
		return 1
	}
	sources, dest, code := destination(p, o, "")
	if code >= 0 {
		return code
	}
	code = 0
	for _, source := range sources {
		to := dest
		if st, err := p.FS.Stat(p.Path(dest)); err == nil && st.IsDir() && !o.has("T") {
			to = strings.TrimSuffix(dest, "/") + "/" + path.Base(source)
		}
		from, err := p.FS.Lstat(p.Path(source))
		if err != nil {
			p.Errorf("cannot stat '%s': %s", source, proc.Text(err))
			code = 1
			continue
		}
		if old, err := p.FS.Lstat(p.Path(to)); err == nil {
			switch {
			case o.has("n"):
				continue
			case old.Ino == from.Ino:
				p.Errorf("'%s' and '%s' are the same file", source, to)
				code = 1
				continue
			case old.IsDir() && !from.IsDir():
				p.Errorf("cannot overwrite directory '%s' with non-directory", to)
				code = 1
				continue
			case !old.IsDir() && from.IsDir():
				p.Errorf("cannot overwrite non-directory '%s' with directory '%s'", to, source)
				code = 1
				continue
			}
		}
		if err := p.FS.Rename(p.Path(source), p.Path(to)); err != nil {
			p.Errorf("cannot move '%s' to '%s': %s", source, to, proc.Text(err))
			code = 1
		} else if o.has("v") {
			p.Printf("renamed '%s' -> '%s'\n", source, to)
		}
	}
	return code
}

// copier copies files with cp's options.
type copier struct {
	p                              *proc.Proc
	recursive, keepMode, keepOwner bool
	keepTime, noFollow, force      bool
	code                           int
}

func cp(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a r R=r p f n d P L H T t: u v i b l x preserve? recursive=r archive=a force=f no-clobber=n no-dereference=P dereference=L verbose=v update=u no-target-directory=T target-directory=t reflink? sparse: no-preserve: parents one-file-system=x")
	if o == nil {
		return 1
	}
	sources, dest, code := destination(p, o, "")
	if code >= 0 {
		return code
	}
	c := &copier{p: p, recursive: o.has("r") || o.has("a"), force: o.has("f")}
	keep := o.val("preserve")
	all := o.has("a") || o.has("p") || o.has("preserve") && keep == ""
	c.keepMode = all || strings.Contains(keep, "mode") || strings.Contains(keep, "all")
	c.keepOwner = all || strings.Contains(keep, "ownership") || strings.Contains(keep, "all")
	c.keepTime = all || strings.Contains(keep, "timestamps") || strings.Contains(keep, "all")
	c.noFollow = o.has("a") || o.has("P") || o.has("d") || c.recursive && !o.has("L")
	for _, source := range sources {
		to := dest
		if st, err := p.FS.Stat(p.Path(dest)); err == nil && st.IsDir() && !o.has("T") {
			to = strings.TrimSuffix(dest, "/") + "/" + path.Base(path.Clean(source))
			if base := path.Base(source); base == "." || strings.HasSuffix(source, "/.") {
				to = dest
			}
		}
		if o.has("n") || o.has("u") {
			old, err := p.FS.Lstat(p.Path(to))
			from, ferr := p.FS.Lstat(p.Path(source))
			if err == nil && (o.has("n") || ferr == nil && !from.ModTime().After(old.ModTime())) {
				continue
			}
		}
		if o.has("v") {
			p.Printf("'%s' -> '%s'\n", source, to)
		}
		c.copy(source, to, true)
	}
	return c.code
}

func (c *copier) failf(format string, args ...any) {
	c.p.Errorf(format, args...)
	c.code = 1
}

func (c *copier) copy(from, to string, top bool) {
	p := c.p
	st, err := p.FS.Lstat(p.Path(from))
	if err == nil && st.IsLink() && (!c.noFollow || top && strings.HasSuffix(from, "/")) {
		st, err = p.FS.Stat(p.Path(from))
	}
	if err != nil {
		c.failf("cannot stat '%s': %s", from, proc.Text(err))
		return
	}
	old, oldErr := p.FS.Stat(p.Path(to))
	switch {
	case st.IsDir() && !c.recursive:
		c.failf("-r not specified; omitting directory '%s'", from)
		return
	case oldErr == nil && old.Ino == st.Ino && !st.IsDir():
		c.failf("'%s' and '%s' are the same file", from, to)
		return
	case oldErr == nil && old.IsDir() && !st.IsDir():
		c.failf("cannot overwrite directory '%s' with non-directory", to)
		return
	case oldErr == nil && !old.IsDir() && st.IsDir():
		c.failf("cannot overwrite non-directory '%s' with directory '%s'", to, from)
		return
	}
	switch {
	case st.IsDir():
		c.folder(from, to, st, oldErr == nil)
	case st.IsLink():
		target, err := p.FS.Readlink(p.Path(from))
		if err == nil {
			if _, lerr := p.FS.Lstat(p.Path(to)); lerr == nil {
				err = p.FS.Unlink(p.Path(to))
			}
		}
		if err == nil {
			err = p.FS.Symlink(target, p.Path(to))
		}
		if err == nil && c.keepOwner && p.FS.Cred.UID == 0 {
			err = p.FS.Chown(p.Path(to), st.UserID, st.GroupID, false)
		}
		if err != nil {
			c.failf("cannot create symbolic link '%s': %s", to, proc.Text(err))
		}
	case st.IsRegular() || !c.recursive:
		c.file(from, to, st)
	}
}

func (c *copier) folder(from, to string, st vfs.Info, there bool) {
	p := c.p
	if strings.HasPrefix(path.Clean(p.Path(to))+"/", path.Clean(p.Path(from))+"/") {
		c.failf("cannot copy a directory, '%s', into itself, '%s'", from, to)
		return
	}
	if !there {
		if err := p.FS.Mkdir(p.Path(to), st.Perm()|0o700); err != nil {
			c.failf("cannot create directory '%s': %s", to, proc.Text(err))
			return
		}
	}
	kids, err := p.FS.ReadDir(p.Path(from))
	if err != nil {
		c.failf("cannot access '%s': %s", from, proc.Text(err))
		return
	}
	for _, kid := range kids {
		c.copy(strings.TrimSuffix(from, "/")+"/"+kid.Name(), strings.TrimSuffix(to, "/")+"/"+kid.Name(), false)
	}
	c.attributes(to, st, !there)
}

func (c *copier) file(from, to string, st vfs.Info) {
	p := c.p
	in, err := input(p, from)
	if err != nil {
		c.failf("cannot open '%s' for reading: %s", from, proc.Text(err))
		return
	}
	defer in.Close() //nolint:errcheck // only read
	_, lerr := p.FS.Lstat(p.Path(to))
	if lerr == nil && c.force {
		if err := p.FS.Access(p.Path(to), 2); err != nil {
			if err := p.FS.Unlink(p.Path(to)); err != nil {
				c.failf("cannot remove '%s': %s", to, proc.Text(err))
				return
			}
		}
	}
	out, err := p.Open(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, st.Perm()&0o777)
	if err != nil {
		c.failf("cannot create regular file '%s': %s", to, proc.Text(err))
		return
	}
	f := &descFile{out}
	_, err = io.Copy(f, in)
	if err = errors.Join(err, f.Close()); err != nil {
		c.failf("error writing '%s': %s", to, proc.Text(err))
		return
	}
	c.attributes(to, st, lerr != nil)
}

func (c *copier) attributes(to string, st vfs.Info, _ bool) {
	p := c.p
	full := p.Path(to)
	if c.keepOwner {
		if err := p.FS.Chown(full, st.UserID, st.GroupID, true); err != nil && p.FS.Cred.UID == 0 {
			c.failf("failed to preserve ownership for '%s': %s", to, proc.Text(err))
		}
	}
	if c.keepMode {
		if err := p.FS.Chmod(full, st.Perm()); err != nil {
			c.failf("preserving permissions for '%s': %s", to, proc.Text(err))
		}
	}
	if c.keepTime {
		if err := p.FS.Chtimes(full, st.ModTime(), true); err != nil {
			c.failf("preserving times for '%s': %s", to, proc.Text(err))
		}
	}
}

func touch(_ context.Context, p *proc.Proc) int {
	o := parse(p, "a m c d: t: r: h no-create=c date=d reference=r no-dereference=h time:")
	if o == nil {
		return 1
	}
	if len(o.Args) == 0 {
		p.Errorf("missing file operand\nTry 'touch --help' for more information.")
		return 1
	}
	when := time.Now()
	switch {
	case o.has("r"):
		st, err := p.FS.Stat(p.Path(o.val("r")))
		if err != nil {
			p.Errorf("failed to get attributes of '%s': %s", o.val("r"), proc.Text(err))
			return 1
		}
		when = st.ModTime()
	case o.has("d"), o.has("t"):
		text := o.val("d") + o.val("t")
		var err error
		if o.has("t") {
			when, err = time.ParseInLocation("200601021504.05", text, time.UTC)
			if err != nil {
				when, err = time.ParseInLocation("200601021504", text, time.UTC)
			}
		} else {
			when, err = parseDate(text, time.Now())
		}
		if err != nil {
			p.Errorf("invalid date format ‘%s’", text)
			return 1
		}
	}
	code := 0
	for _, name := range o.Args {
		full := p.Path(name)
		_, err := p.FS.Stat(full)
		if errors.Is(err, fs.ErrNotExist) {
			if o.has("c") {
				continue
			}
			var f *vfs.File
			if f, err = p.FS.Open(full, os.O_WRONLY|os.O_CREATE, 0o666); err == nil {
				err = f.Close()
			}
		}
		if err == nil {
			err = p.FS.Chtimes(full, when, !o.has("h"))
		}
		if err != nil {
			p.Errorf("cannot touch '%s': %s", name, proc.Text(err))
			code = 1
		}
	}
	return code
}

func mktemp(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d u q t p: directory=d dry-run=u quiet=q tmpdir? suffix:")
	if o == nil {
		return 1
	}
	template, inTmp := "tmp.XXXXXXXXXX", true
	if len(o.Args) > 0 {
		template, inTmp = o.Args[0], o.has("p") || o.has("t") || o.has("tmpdir")
	}
	template += o.val("suffix")
	end := strings.LastIndex(template, "X") + 1
	start := end
	for start > 0 && template[start-1] == 'X' {
		start--
	}
	if end-start < 3 {
		p.Errorf("too few X's in template ‘%s’", template)
		return 1
	}
	dir := ""
	if inTmp {
		dir = "/tmp"
		for _, d := range []string{p.Env["TMPDIR"], o.val("tmpdir"), o.val("p")} {
			if d != "" {
				dir = d
			}
		}
		dir = strings.TrimSuffix(dir, "/") + "/"
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for range 100 {
		b := make([]byte, end-start)
		rand.Read(b) //nolint:errcheck // never fails
		for i := range b {
			b[i] = letters[int(b[i])%len(letters)]
		}
		name := dir + template[:start] + string(b) + template[end:]
		var err error
		switch {
		case o.has("u"):
		case o.has("d"):
			err = p.FS.Mkdir(p.Path(name), 0o700)
		default:
			var f *vfs.File
			if f, err = p.FS.Open(p.Path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
				err = f.Close()
			}
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			if !o.has("q") {
				p.Errorf("failed to create %s via template ‘%s’: %s", map[bool]string{true: "directory", false: "file"}[o.has("d")], dir+template, proc.Text(err))
			}
			return 1
		}
		p.Printf("%s\n", name)
		return 0
	}
	return 1
}

func install(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d D m: o: g: t: T v p C c b s directory=d mode=m owner=o group=g target-directory=t no-target-directory=T verbose=v preserve-timestamps=p compare=C")
	if o == nil {
		return 1
	}
	perm := uint32(0o755)
	if o.has("m") {
		m, err := mode(o.val("m"), 0, o.has("d"), 0)
		if err != nil {
			p.Errorf("%v", err)
			return 1
		}
		perm = m
	}
	uid, gid := -1, -1
	if o.has("o") {
		id, ok := account.ParseUser(p.FS, o.val("o"))
		if !ok {
			p.Errorf("invalid user ‘%s’", o.val("o"))
			return 1
		}
		uid = id
	}
	if o.has("g") {
		id, ok := account.ParseGroup(p.FS, o.val("g"))
		if !ok {
			p.Errorf("invalid group ‘%s’", o.val("g"))
			return 1
		}
		gid = id
	}
	finish := func(name string) bool {
		err := p.FS.Chown(p.Path(name), uid, gid, true)
		if err == nil {
			err = p.FS.Chmod(p.Path(name), perm)
		}
		if err != nil {
			p.Errorf("cannot change ownership of '%s': %s", name, proc.Text(err))
		}
		return err == nil
	}
	if o.has("d") {
		for _, name := range o.Args {
			if err := p.FS.MkdirAll(p.Path(name), 0o755); err != nil {
				p.Errorf("cannot create directory ‘%s’: %s", name, proc.Text(err))
				return 1
			}
			if !finish(name) {
				return 1
			}
		}
		return 0
	}
	if o.has("D") {
		dir := o.val("t")
		if !o.has("t") && len(o.Args) == 2 {
			dir = path.Dir(o.Args[1])
		}
		if dir != "" {
			if err := p.FS.MkdirAll(p.Path(dir), 0o755); err != nil {
				p.Errorf("cannot create directory ‘%s’: %s", dir, proc.Text(err))
				return 1
			}
		}
	}
	sources, dest, code := destination(p, o, "")
	if code >= 0 {
		return code
	}
	for _, source := range sources {
		to := dest
		if st, err := p.FS.Stat(p.Path(dest)); err == nil && st.IsDir() && !o.has("T") {
			to = strings.TrimSuffix(dest, "/") + "/" + path.Base(source)
		}
		content, err := readInput(p, source)
		if err != nil {
			p.Errorf("cannot stat '%s': %s", source, proc.Text(err))
			return 1
		}
		if o.has("C") {
			if old, err := p.FS.ReadFile(p.Path(to)); err == nil && string(old) == string(content) {
				if !finish(to) {
					return 1
				}
				continue
			}
		}
		if _, err := p.FS.Lstat(p.Path(to)); err == nil {
			if err := p.FS.Unlink(p.Path(to)); err != nil {
				p.Errorf("cannot remove '%s': %s", to, proc.Text(err))
				return 1
			}
		}
		if err := p.FS.WriteFile(p.Path(to), content, 0o600); err != nil {
			p.Errorf("cannot create regular file '%s': %s", to, proc.Text(err))
			return 1
		}
		if !finish(to) {
			return 1
		}
	}
	return 0
}

// readInput reads a whole file, /dev/stdin included.
func readInput(p *proc.Proc, name string) ([]byte, error) {
	r, err := input(p, name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func truncate(_ context.Context, p *proc.Proc) int {
	o := parse(p, "s: c r: o size=s no-create=c reference=r")
	if o == nil {
		return 1
	}
	n, err := count(strings.TrimLeft(o.val("s"), "+-<>/%"))
	if err != nil {
		p.Errorf("Invalid number: ‘%s’", o.val("s"))
		return 1
	}
	for _, name := range o.Args {
		flag := os.O_WRONLY
		if !o.has("c") {
			flag |= os.O_CREATE
		}
		f, err := p.FS.Open(p.Path(name), flag, 0o666)
		if err != nil {
			p.Errorf("cannot open '%s' for writing: %s", name, proc.Text(err))
			return 1
		}
		size := n
		switch o.val("s")[0] {
		case '+':
			size = f.Stat().Size() + n
		case '-':
			size = max(0, f.Stat().Size()-n)
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			p.Errorf("failed to truncate '%s': %s", name, proc.Text(err))
			return 1
		}
	}
	return 0
}

func mkfifo(_ context.Context, p *proc.Proc) int {
	o := parse(p, "m: mode=m")
	if o == nil {
		return 1
	}
	for _, name := range o.Args {
		if err := p.FS.Mknod(p.Path(name), vfs.Fifo|0o666, 0); err != nil {
			p.Errorf("cannot create fifo '%s': %s", name, proc.Text(err))
			return 1
		}
		if o.has("m") {
			m, err := mode(o.val("m"), 0o666, false, 0)
			if err == nil {
				err = p.FS.Chmod(p.Path(name), m)
			}
			if err != nil {
				p.Errorf("%v", err)
				return 1
			}
		}
	}
	return 0
}

// syncFiles is sync(1); it keeps the tree on disk and fails for files that are not there.
func syncFiles(_ context.Context, p *proc.Proc) int {
	o := parse(p, "d f data=d file-system=f")
	if o == nil {
		return 1
	}
	code := 0
	for _, name := range o.Args {
		if _, err := p.FS.Stat(p.Path(name)); err != nil {
			p.Errorf("error opening '%s': %s", name, proc.Text(err))
			code = 1
		}
	}
	if err := p.System.Flush(); err != nil {
		p.Errorf("%v", err)
		return 1
	}
	return code
}
