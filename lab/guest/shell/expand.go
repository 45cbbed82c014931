package shell

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

var errReadOnly = errors.New("is read only")

// assign sets a variable's value and keeps its attributes.
func (sh *Shell) assign(name, value string) {
	v := sh.vars[name]
	v.Set, v.Kind, v.Str, v.List = true, expand.String, value, nil
	if sh.opts['a'] {
		v.Exported = true
	}
	sh.vars[name] = v
}

// export lists the variables that programs get.
func (sh *Shell) export() map[string]string {
	env := map[string]string{}
	for name, v := range sh.vars {
		if v.Set && v.Exported {
			env[name] = v.String()
		}
	}
	return env
}

// environ is the shell's variables for package expand.
type environ struct{ sh *Shell }

func str(s string) expand.Variable {
	return expand.Variable{Set: true, Kind: expand.String, Str: s}
}

// Get implements expand.Environ.
func (e environ) Get(name string) expand.Variable {
	sh := e.sh
	switch name {
	case "@", "*":
		return expand.Variable{Set: true, Kind: expand.Indexed, List: slices.Clip(append([]string{}, sh.params...))}
	case "#":
		return str(strconv.Itoa(len(sh.params)))
	case "?":
		return str(strconv.Itoa(sh.status))
	case "$":
		return str(strconv.Itoa(sh.pid))
	case "!":
		if sh.last == 0 {
			return expand.Variable{}
		}
		return str(strconv.Itoa(sh.last))
	case "-":
		flags := ""
		for _, c := range shortOptions {
			if sh.opts[byte(c)] {
				flags += string(c)
			}
		}
		return str(flags)
	case "LINENO":
		return str(strconv.Itoa(int(sh.line)))
	case "0":
		return str(sh.name)
	}
	if sh.bash {
		switch name {
		case "RANDOM":
			return str(strconv.Itoa(rand.IntN(32768)))
		case "BASH_VERSION":
			return str("5.1.16(1)-release")
		case "EUID", "UID":
			return str(strconv.Itoa(sh.p.FS.Cred.UID))
		}
	}
	if name[0] >= '1' && name[0] <= '9' {
		if n, err := strconv.Atoi(name); err == nil && n <= len(sh.params) {
			return str(sh.params[n-1])
		}
		return expand.Variable{}
	}
	if user, found := strings.CutPrefix(name, "HOME "); found {
		return str(sh.homeOf(user))
	}
	return sh.vars[name]
}

// homeOf is a user's home folder as /etc/passwd has it; ~user itself where there is no such user.
func (sh *Shell) homeOf(user string) string {
	passwd, err := sh.p.FS.As(vfs.Root).ReadFile("/etc/passwd")
	if err != nil {
		return "~" + user
	}
	for line := range strings.Lines(string(passwd)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && f[0] == user {
			return f[5]
		}
	}
	return "~" + user
}

// Each implements expand.Environ.
func (e environ) Each(f func(string, expand.Variable) bool) {
	for name, v := range e.sh.vars {
		if !f(name, v) {
			return
		}
	}
}

// Set implements expand.WriteEnviron.
func (e environ) Set(name string, v expand.Variable) error {
	if e.sh.vars[name].ReadOnly {
		return errReadOnly
	}
	if !v.Set {
		delete(e.sh.vars, name)
		return nil
	}
	if v.Kind == expand.String || v.Kind == expand.Unknown {
		e.sh.assign(name, v.Str)
		return nil
	}
	e.sh.vars[name] = v
	return nil
}

// config is how words are expanded now.
func (sh *Shell) config() *expand.Config {
	cfg := &expand.Config{
		Env:      environ{sh},
		CmdSubst: sh.substitute,
		NoUnset:  sh.opts['u'],
	}
	if !sh.opts['f'] {
		cfg.ReadDir2 = func(dir string) ([]fs.DirEntry, error) {
			list, err := sh.p.FS.ReadDir(sh.p.Path(dir))
			if err != nil {
				return nil, err
			}
			entries := make([]fs.DirEntry, len(list))
			for i, info := range list {
				entries[i] = fs.FileInfoToDirEntry(info)
			}
			return entries, nil
		}
	}
	return cfg
}

// substitute runs $(…) and copies its output to w.
func (sh *Shell) substitute(w io.Writer, cs *syntax.CmdSubst) error {
	if len(cs.Stmts) == 0 {
		sh.subst = 0
		return nil
	}
	if file := onlyInput(cs.Stmts); sh.bash && file != nil {
		return sh.contentOf(w, file)
	}
	r, end := vfs.NewPipe()
	wait, _ := sh.fork(func(c *proc.Proc) { c.Set(1, proc.NewDesc(nil, end, end)) }, func(sub *Shell) { sub.stmts(cs.Stmts) })
	buf := make([]byte, 32<<10)
	for {
		n, err := r.ReadContext(sh.ctx, buf)
		if n > 0 {
			// No variable can hold a NUL.
			text := strings.ReplaceAll(string(buf[:n]), "\x00", "")
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	sh.subst = wait(sh.ctx)
	return r.Close()
}

// onlyInput is the file of bash's $(<file).
func onlyInput(stmts []*syntax.Stmt) *syntax.Word {
	if len(stmts) == 1 && stmts[0].Cmd == nil && len(stmts[0].Redirs) == 1 && stmts[0].Redirs[0].Op == syntax.RdrIn {
		return stmts[0].Redirs[0].Word
	}
	return nil
}

func (sh *Shell) contentOf(w io.Writer, file *syntax.Word) error {
	name, err := expand.Literal(sh.config(), file)
	if err != nil {
		return err
	}
	content, err := sh.p.FS.ReadFile(sh.p.Path(name))
	if err != nil {
		sh.errorf("%s: %s", name, proc.Text(err))
		sh.subst = 1
		return nil
	}
	sh.subst = 0
	_, err = w.Write(content)
	return err
}

// failed reports an expansion's error, which ends the shell.
func (sh *Shell) failed(err error) bool {
	if err == nil {
		return false
	}
	sh.status, sh.flow = 2, exiting
	if sh.bash {
		sh.status = 1
	}
	var unset expand.UnsetParameterError
	switch {
	case errors.As(err, &unset):
		text := unset.Message
		if !sh.bash && text == "unbound variable" {
			text = "parameter not set"
		}
		if text == "" {
			text = "parameter not set or null"
		}
		sh.errorf("%s: %s", unset.Node.Param.Value, text)
	case errors.Is(err, errReadOnly):
		sh.errorf("%v", err)
	default:
		sh.errorf("%v", err)
	}
	return true
}

func (sh *Shell) fields(words []*syntax.Word) ([]string, bool) {
	out, err := expand.Fields(sh.config(), words...)
	return out, !sh.failed(err)
}

func (sh *Shell) literal(word *syntax.Word) (string, bool) {
	out, err := expand.Literal(sh.config(), word)
	return out, !sh.failed(err)
}
