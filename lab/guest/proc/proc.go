// Package proc is what a program of a guest sees: its arguments, environment, open files, its user's
// view of the file tree, and the processes beside it.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"phoenix-run/lab/guest/vfs"
)

// Program is the code of a command. It returns the exit status.
type Program func(ctx context.Context, p *Proc) int

// System is what processes share.
type System interface {
	// Load finds what a file executes: a program of the guest, or a script's interpreter with the
	// arguments to put before the script's own.
	Load(p *Proc, file string) (prog Program, before []string, err error)
	// Table is the list of processes.
	Table() *Table
	// Context ends when the machine is switched off.
	Context() context.Context
	// Flush is called when a process has ended.
	Flush() error
}

// Proc is one process.
type Proc struct {
	System System
	Args   []string
	Env    map[string]string
	Dir    string
	FS     *vfs.View
	User   string
	Files  map[int]*Desc

	PID, PPID, Group int
	Ignored          map[Signal]bool
	// Audit is told of a command that a session's shell begins, and returns what to call at its end.
	// It may be nil, and is while such a command runs.
	Audit func(p *Proc, command string) (end func(status int))

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Died is the signal that ended the process, 0 for none; it is set when waiting for it is over.
	Died Signal
	// Prefix stands before the name in Errorf; a shell sets it for what it runs itself.
	Prefix string

	kill context.CancelCauseFunc
}

// Path makes a path absolute.
func (p *Proc) Path(name string) string {
	if name == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return strings.TrimSuffix(p.Dir, "/") + "/" + name
}

// Errorf writes "NAME: …" and a newline to the standard error.
func (p *Proc) Errorf(format string, args ...any) {
	fmt.Fprintf(p.Stderr, "%s%s: %s\n", p.Prefix, path.Base(p.Args[0]), fmt.Sprintf(format, args...)) //nolint:errcheck // nobody left to tell
}

// Printf writes to the standard output. A reader that has gone ends the process by SIGPIPE.
func (p *Proc) Printf(format string, args ...any) {
	fmt.Fprintf(p.Stdout, format, args...) //nolint:errcheck // see above
}

// Text is an error as strerror(3) has it, without path or operation.
func Text(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			errno = syscall.ENOENT
		case errors.Is(err, fs.ErrPermission):
			errno = syscall.EACCES
		case errors.Is(err, fs.ErrExist):
			errno = syscall.EEXIST
		default:
			return err.Error()
		}
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// Child is a new process with the same files, environment and user.
func (p *Proc) Child(args ...string) *Proc {
	c := *p
	c.Args = args
	c.Env = maps.Clone(p.Env)
	c.Files = map[int]*Desc{}
	for n, d := range p.Files {
		c.Files[n] = d.Dup()
	}
	c.PPID, c.PID, c.kill, c.Prefix, c.Died = p.PID, 0, nil, "", 0
	view := *p.FS
	c.FS = &view
	return &c
}

// Set replaces an open file of a process that has not begun.
func (p *Proc) Set(n int, d *Desc) {
	if old := p.Files[n]; old != nil {
		old.Close() //nolint:errcheck // the parent still has it, and hears of errors
	}
	if d == nil {
		delete(p.Files, n)
		return
	}
	p.Files[n] = d
}

// ErrNotFound is LookPath's error for a command that is nowhere in PATH.
var ErrNotFound = errors.New("not found")

// LookPath finds a command as execvp does.
func (p *Proc) LookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return p.executable(p.Path(name))
	}
	var denied error
	dirs, set := p.Env["PATH"]
	if !set {
		dirs = "/bin:/usr/bin" // execvp's own
	}
	for dir := range strings.SplitSeq(dirs, ":") {
		if dir == "" {
			dir = "."
		}
		file, err := p.executable(p.Path(dir) + "/" + name)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: ErrNotFound}
}

func (p *Proc) executable(file string) (string, error) {
	st, err := p.FS.Stat(file)
	if err != nil {
		return "", err
	}
	if st.IsDir() || p.FS.Access(file, 1) != nil {
		return "", &fs.PathError{Op: "exec", Path: file, Err: syscall.EACCES}
	}
	return file, nil
}

// Spawn runs a child whose first argument is a command to be found in PATH, and waits for it. The
// child's files are closed at its end. The error is that there is no such command; nothing ran then.
func (p *Proc) Spawn(ctx context.Context, child *Proc) (status int, err error) {
	wait, err := p.Start(child)
	if err != nil {
		return 0, err
	}
	return wait(ctx), nil
}

// Start begins a child and returns how to wait for it; waiting ends early when its context does.
func (p *Proc) Start(child *Proc) (wait func(context.Context) int, err error) {
	file, err := child.LookPath(child.Args[0])
	if err == nil {
		var prog Program
		var before []string
		if prog, before, err = child.System.Load(child, file); err == nil {
			if before != nil {
				child.Args = slices.Concat(before, []string{file}, child.Args[1:])
			}
			return child.Go(prog), nil
		}
	}
	child.CloseFiles()
	return nil, err
}

// Go begins a process with a program.
func (p *Proc) Go(prog Program) (wait func(context.Context) int) {
	ctx := p.begin()
	var status int
	done := make(chan struct{})
	go func() {
		defer close(done)
		status = p.run(ctx, prog)
	}()
	return func(ctx context.Context) int {
		select {
		case <-done:
			return status
		case <-ctx.Done():
			return StatusOf(ctx)
		}
	}
}

// begin gives the process its id and its context.
func (p *Proc) begin() context.Context {
	ctx, kill := context.WithCancelCause(p.System.Context())
	p.kill = kill
	p.System.Table().add(p)
	if p.Group == 0 {
		p.Group = p.PID
	}
	p.Stdin = &reader{ctx: ctx, p: p, fd: 0}
	p.Stdout = &writer{ctx: ctx, p: p, fd: 1}
	p.Stderr = &writer{ctx: ctx, p: p, fd: 2}
	return ctx
}

func (p *Proc) run(ctx context.Context, prog Program) int {
	status := prog(ctx, p)
	if ctx.Err() != nil {
		status = StatusOf(ctx)
		p.Died = Signal(status - 128)
	}
	if err := p.System.Flush(); err != nil {
		fmt.Fprintf(p.Stderr, "%s: the lab can't keep this machine's state: %v\n", p.Args[0], err) //nolint:errcheck // last words
		status = 1
	}
	p.CloseFiles()
	p.System.Table().remove(p.PID)
	p.kill(nil)
	return status
}

// CloseFiles closes what the process has open.
func (p *Proc) CloseFiles() {
	for n, d := range p.Files {
		d.Close() //nolint:errcheck // a program that cares closes it itself
		delete(p.Files, n)
	}
}

// StatusOf is the exit status of a process whose context has ended.
func StatusOf(ctx context.Context) int {
	var sig Signal
	if errors.As(context.Cause(ctx), &sig) {
		return 128 + int(sig)
	}
	return 128 + int(SIGKILL)
}

// Open opens a file with os.O_ flags. /dev/stdin, /dev/fd/N and their like are the process's own files.
func (p *Proc) Open(name string, flag int, perm uint32) (*Desc, error) {
	full := path.Clean(p.Path(name))
	n := -1
	switch {
	case full == "/dev/stdin", full == "/proc/self/fd/0":
		n = 0
	case full == "/dev/stdout", full == "/proc/self/fd/1":
		n = 1
	case full == "/dev/stderr", full == "/proc/self/fd/2":
		n = 2
	case strings.HasPrefix(full, "/dev/fd/"), strings.HasPrefix(full, "/proc/self/fd/"):
		id, err := strconv.Atoi(path.Base(full))
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
		}
		n = id
	}
	if n >= 0 {
		if d := p.Files[n]; d != nil {
			return d.Dup(), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	f, err := p.FS.Open(p.Path(name), flag, perm)
	if err != nil {
		return nil, err
	}
	return FileDesc(f), nil
}
