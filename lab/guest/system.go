package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"sync"
	"syscall"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/tools"
	"phoenix-run/lab/guest/vfs"
)

// magic begins the content of a file that is a program of the lab: after it stands the program's name.
const magic = "\x7fELF\x02\x01\x01 simulated program "

func programFile(name string) string { return magic + name + "\n" }

// own are the programs that every backend has, by name; init breaks the cycle through sudo and sh.
var own map[string]proc.Program

func init() {
	own = map[string]proc.Program{}
	for file, prog := range tools.All() {
		own[path.Base(file)] = prog
	}
	maps.Copy(own, systemPrograms)
}

// running is a machine while it is on. It is what its processes share.
type running struct {
	g       *Guest
	address string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	table   *proc.Table
	units   *units
	up      chan struct{} // closed when the system's services have started
	work    sync.WaitGroup
	init    *cloudInit

	mu      sync.Mutex
	ssh     *sshServer
	params  map[string]string  // the kernel's, by name
	active  map[*vfs.Trace]int // of the programs that run and may Touch
	lasting map[string]string  // what is mounted, swapped on and loaded, until the next boot
	agent   *agent             // nil while it does not answer
	aptLock chan struct{}
}

// Load finds the program behind a file.
func (r *running) Load(p *proc.Proc, file string) (proc.Program, []string, error) {
	content, err := p.FS.As(vfs.Root).ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(content, []byte(magic)):
		name := strings.TrimSpace(string(content[len(magic):]))
		if prog := own[name]; prog != nil {
			return prog, nil, nil
		}
		if prog := r.g.backend.programs[name]; prog != nil {
			return r.adapt(prog), nil, nil
		}
	case bytes.HasPrefix(content, []byte("#!")):
		line, _, _ := strings.Cut(string(content[2:]), "\n")
		words := strings.SplitN(strings.TrimSpace(line), " ", 2)
		if words[0] == "" || words[0] == file {
			break
		}
		prog, _, err := r.Load(p, words[0])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: bad interpreter: %w", words[0], err)
		}
		return prog, words, nil
	case !bytes.HasPrefix(content, []byte("\x7fELF")) && bytes.IndexByte(content, 0) < 0:
		return own["sh"], []string{"/bin/sh"}, nil // execvp gives it to the shell
	}
	return nil, nil, syscall.ENOEXEC
}

// adapt makes a process's program of one that a package brought.
func (r *running) adapt(prog Program) proc.Program {
	return r.touching(func(ctx context.Context, p *proc.Proc) int {
		return prog(ctx, &Process{Guest: r.g, Args: p.Args, Env: p.Env, Dir: p.Dir, User: p.User,
			Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr})
	})
}

// Table implements proc.System.
func (r *running) Table() *proc.Table { return r.table }

// Context implements proc.System.
func (r *running) Context() context.Context { return r.ctx }

// Flush implements proc.System.
func (r *running) Flush() error { return r.g.Flush() }

// systemPath is PATH where nobody has set another.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// process makes a process of a user that has not begun, with its streams.
func (r *running) process(u account.User, args []string, stdin io.Reader, stdout, stderr io.Writer) *proc.Proc {
	v := &vfs.View{FS: r.g.root().FS, Umask: 0o022}
	v.Cred = account.Cred(v, u)
	p := &proc.Proc{System: r, Args: args, Dir: "/", FS: v, User: u.Name, Files: map[int]*proc.Desc{},
		Env: map[string]string{"PATH": systemPath}}
	p.Files[0] = proc.NewDesc(stdin, nil, nil)
	p.Files[1] = proc.NewDesc(nil, stdout, nil)
	p.Files[2] = proc.NewDesc(nil, stderr, nil)
	return p
}

// start begins p with the program that its first argument names.
func (r *running) start(p *proc.Proc) (wait func(context.Context) int, err error) {
	file, err := p.LookPath(p.Args[0])
	if err != nil {
		return nil, err
	}
	prog, before, err := r.Load(p, file)
	if err != nil {
		return nil, err
	}
	if before != nil {
		p.Args = append(append(before, file), p.Args[1:]...)
	}
	return p.Go(prog), nil
}

// guestOf is the machine that a process runs on.
func guestOf(p *proc.Proc) *running { return p.System.(*running) }

// errHalted is why the processes of a machine that was switched off ended.
var errHalted = errors.New("the machine was switched off")
