// Package agent is a machine reached through its QEMU guest agent, as a remote.Conn: it needs no
// network and no login, only the hypervisor. A script is one exec of the agent; what does not fit
// into one goes before it, in parts.
package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/frame"
	"phoenix-run/remote/internal/place"
	"phoenix-run/remote/internal/session"
	"phoenix-run/remote/shell"
)

// cleanupTime bounds what is done after a call was cancelled or has failed.
const cleanupTime = 900 * time.Millisecond

// maxOutput is how much of each stream a Result keeps.
const maxOutput = 64 << 20

// New gives the machine behind a; name is what people know it by, "agent of vm 1002 on pve". With
// readOnly, nothing that writes is run. Calls are made one at a time: the agent takes no more.
func New(a remote.Agent, name string, readOnly bool) remote.Conn {
	return &conn{agent: a, name: name, readOnly: readOnly, turn: make(chan struct{}, 1), done: make(chan struct{})}
}

type conn struct {
	agent    remote.Agent
	name     string
	readOnly bool
	turn     chan struct{} // holds a token while a call is under way
	done     chan struct{} // closed by Close
}

func (c *conn) String() string { return c.name }

// Close ends the use of the agent; there is no connection to give back. A call under way goes on.
func (c *conn) Close() error {
	c.turn <- struct{}{}
	defer c.release()
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	return nil
}

// acquire waits for the agent to be free.
func (c *conn) acquire(ctx context.Context) error {
	select {
	case <-c.done:
		return session.ErrClosed
	default:
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-c.done:
		return session.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *conn) release() { <-c.turn }

func (c *conn) fail(op string, started bool, err error) error {
	return &remote.ConnError{Conn: c.name, Op: op, Started: started, Err: err}
}

// Run runs a script; see remote.Conn.
func (c *conn) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if err := session.Check(c.name, c.readOnly, cmd); err != nil {
		return remote.Result{}, err
	}
	ctx, cancel := session.Timeout(ctx, cmd.Timeout)
	defer cancel()
	if err := c.acquire(ctx); err != nil {
		return remote.Result{}, c.fail("run", false, err)
	}
	defer c.release()
	r, started, err := c.script(ctx, cmd.Script, cmd.Stdin)
	if err != nil {
		return remote.Result{}, c.fail("run", started, err)
	}
	if cmd.Output != nil {
		session.Lines(cmd.Output, r.Stdout, r.Stderr)
	}
	return r, nil
}

// script runs one script with its stdin. The caller has the turn.
func (c *conn) script(ctx context.Context, script string, stdin []byte) (r remote.Result, started bool, err error) {
	word, dir := frame.NewWord(), "-"
	body := append([]byte(script+"\n#"+word), stdin...)
	size := len(body) - len(stdin)
	input := fmt.Appendf(nil, "%s %d %s\n", word, size, dir)
	if len(input)+len(body) <= maxStdin {
		input = append(input, body...)
	} else {
		if dir, err = c.stage(ctx, word, body); err != nil {
			return r, false, errors.Join(err, c.cleanUp(ctx, killProgram(word, dir)))
		}
		input = fmt.Appendf(nil, "%s %d %s\n", word, size, dir)
	}
	answer, err := c.agent.Exec(ctx, []string{"/bin/sh", "-c", program}, input)
	if err != nil {
		started := !errors.Is(err, remote.ErrNotStarted)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if started || dir != "-" {
			err = errors.Join(err, c.cleanUp(ctx, killProgram(word, dir)))
		}
		return r, started, err
	}
	r, err = c.take(ctx, word, answer)
	return r, true, err
}

// stage brings what is too large for one exec into files of a folder that only root can look into.
func (c *conn) stage(ctx context.Context, word string, body []byte) (dir string, err error) {
	made, err := c.sh(ctx, "for d in /run /tmp; do mkdir -m 700 $d/phx-"+word+" 2>/dev/null && echo $d/phx-"+word+" && exit; done; exit 1")
	if err != nil {
		return "-", err
	}
	dir = strings.TrimSpace(string(made.Stdout))
	if made.Code != 0 || !path.IsAbs(dir) {
		return "-", fmt.Errorf("no folder for temporary files can be made in /run or /tmp: exit status %d", made.Code)
	}
	_, err = c.put(ctx, dir, bytes.NewReader(body), nil)
	return dir, err
}

// put writes content as the files dir/in.000000 and following, which sort in their order.
func (c *conn) put(ctx context.Context, dir string, content io.Reader, progress func(int64)) (size int64, err error) {
	buf := make([]byte, partSize)
	for i := 0; ; i++ {
		n, err := io.ReadFull(content, buf)
		if errors.Is(err, io.EOF) && i > 0 {
			return size, nil
		}
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return size, fmt.Errorf("read the content: %w", err)
		}
		if err := c.part(ctx, fmt.Sprintf("%s/in.%06d", dir, i), buf[:n]); err != nil {
			return size, err
		}
		size += int64(n)
		if progress != nil {
			progress(size)
		}
		if last {
			return size, nil
		}
	}
}

// part writes one file. In a plan it goes by exec: what a long read-only script is brought in with
// is no change, but a hypervisor client in plan mode can't tell that of a file that it writes.
func (c *conn) part(ctx context.Context, file string, content []byte) error {
	if !c.readOnly {
		return c.agent.WriteFile(ctx, file, content)
	}
	r, err := c.agent.Exec(ctx, []string{"/bin/sh", "-c", `PATH=/usr/bin:/bin; exec cat >"$0"`, file}, content)
	if err == nil && r.Code != 0 {
		err = &remote.ExitError{What: "write " + file, Result: r}
	}
	return err
}

// sh runs a script of our own: short, without stdin, with a short answer.
func (c *conn) sh(ctx context.Context, script string) (remote.Result, error) {
	return c.agent.Exec(ctx, []string{"/bin/sh"}, []byte(environment+"\n"+script+"\n"))
}

// cleanUp runs a script after a failure, when ctx may have ended already.
func (c *conn) cleanUp(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if _, err := c.sh(ctx, script); err != nil {
		return fmt.Errorf("clean up after that: %w", err)
	}
	return nil
}

// take reads program's answer.
func (c *conn) take(ctx context.Context, word string, answer remote.Result) (r remote.Result, err error) {
	head, stdout, _ := bytes.Cut(answer.Stdout, []byte("\n"))
	fields := strings.Fields(string(head))
	if len(fields) != 5 || fields[0] != word {
		return r, fmt.Errorf("the agent's shell gave no answer: %w", &remote.ExitError{What: "/bin/sh", Result: answer})
	}
	var numbers [3]int
	for i := range numbers {
		if numbers[i], err = strconv.Atoi(fields[1+i]); err != nil {
			return r, fmt.Errorf("the agent's shell answered %q: %w", head, err)
		}
	}
	r.Code = numbers[0]
	dir := fields[4]
	if dir == "-" {
		r.Stdout, r.Stderr = stdout, answer.Stderr
		if answer.Truncated || len(stdout) != numbers[1] || len(r.Stderr) != numbers[2] {
			return r, fmt.Errorf("of %d and %d bytes of output %d and %d came back", numbers[1], numbers[2], len(stdout), len(r.Stderr))
		}
		return r, nil
	}
	r.Truncated = max(numbers[1], numbers[2]) > maxOutput
	if r.Stdout, err = c.pieces(ctx, dir+"/out", min(numbers[1], maxOutput)); err == nil {
		r.Stderr, err = c.pieces(ctx, dir+"/err", min(numbers[2], maxOutput))
	}
	return r, errors.Join(err, c.cleanUp(ctx, "rm -rf "+shell.Quote(dir)))
}

// pieces reads the first size bytes of a file.
func (c *conn) pieces(ctx context.Context, file string, size int) ([]byte, error) {
	all := make([]byte, 0, size)
	for len(all) < size {
		r, err := c.sh(ctx, fmt.Sprintf("exec dd if=%s bs=1048576 skip=%d count=%d 2>/dev/null", shell.Quote(file), len(all)>>20, inline>>20))
		if err != nil {
			return nil, err
		}
		if r.Code != 0 || len(r.Stdout) == 0 {
			return nil, &remote.ExitError{What: "read " + file, Result: r}
		}
		all = append(all, r.Stdout...)
	}
	return all[:size], nil
}

// Upload writes a file; see remote.Conn. One that fits beside its script is one exec.
func (c *conn) Upload(ctx context.Context, u remote.Upload) error {
	if c.readOnly {
		return fmt.Errorf("%s: upload to %s: %w", c.name, u.Path, remote.ErrPlanWrite)
	}
	file, err := place.New(u)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if err := c.acquire(ctx); err != nil {
		return c.fail("upload", false, err)
	}
	defer c.release()
	content := u.Content
	if content == nil {
		content = bytes.NewReader(nil)
	}
	if u.Size >= 0 {
		content = &exactly{r: content, left: u.Size}
	}
	head, err := io.ReadAll(io.LimitReader(content, maxStdin))
	if err != nil {
		return fmt.Errorf("%s: upload to %s: read the content: %w", c.name, u.Path, err)
	}
	file.Fill = "cat"
	script := file.Script(int64(len(head)), time.Now())
	if len(head)+len(script)+100 > maxStdin {
		return c.uploadInParts(ctx, file, io.MultiReader(bytes.NewReader(head), content))
	}
	r, started, err := c.script(ctx, script, head)
	if err != nil {
		return c.fail("upload", started, errors.Join(err, c.forget(ctx, file.Temp)))
	}
	if u.Progress != nil {
		u.Progress(int64(len(head)))
	}
	return file.Error(c.name, r)
}

// forget removes what may be left of an upload that was cut off.
func (c *conn) forget(ctx context.Context, files ...string) error {
	return c.cleanUp(ctx, "rm -rf "+shell.Join(files...))
}

// uploadInParts brings a large file as files of a folder beside the target, so that they are on the
// disk that has to hold it anyway, and puts them together there.
func (c *conn) uploadInParts(ctx context.Context, file place.File, content io.Reader) error {
	dir := file.Temp + ".parts"
	made, err := c.sh(ctx, fmt.Sprintf(`[ -d %s ] || { echo "no such folder" >&2; exit %d; }
mkdir -m 700 %s`, shell.Quote(path.Dir(file.Path)), remote.MissingExit, shell.Quote(dir)))
	if err != nil {
		return c.fail("upload", false, err)
	}
	if made.Code != 0 {
		return file.Error(c.name, made)
	}
	hash := sha256.New()
	size, err := c.put(ctx, dir, io.TeeReader(content, hash), file.Progress)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return c.fail("upload", true, errors.Join(err, c.forget(ctx, dir)))
	}
	file.Fill = "cat " + shell.Quote(dir) + "/in.*"
	file.SHA256 = hex.EncodeToString(hash.Sum(nil))
	r, started, err := c.script(ctx, file.Script(size, time.Now()), nil)
	forgetErr := c.forget(ctx, dir)
	if err != nil {
		return c.fail("upload", started, errors.Join(err, forgetErr, c.forget(ctx, file.Temp)))
	}
	return errors.Join(file.Error(c.name, r), forgetErr)
}

// Download reads a file; see remote.Conn. A large one comes in pieces; if it changes between them,
// that is an error.
func (c *conn) Download(ctx context.Context, file string, w io.Writer) error {
	if err := c.acquire(ctx); err != nil {
		return c.fail("download", false, err)
	}
	defer c.release()
	var state string
	for n := 0; ; n++ {
		r, err := c.sh(ctx, place.FetchPiece(file, n*(inline>>20), inline>>20))
		if err != nil {
			return c.fail("download", false, err)
		}
		if err := place.FetchError(c.name, file, r); err != nil {
			return err
		}
		var size int64
		now := strings.TrimSpace(string(r.Stderr))
		if _, err := fmt.Sscan(now, &size); err != nil {
			return c.fail("download", false, fmt.Errorf("size of %s: %q: %w", file, now, err))
		}
		if n > 0 && now != state {
			return c.fail("download", false, fmt.Errorf("%s changed while it was read", file))
		}
		state = now
		done := int64(n) * inline
		if want := min(size-done, inline); int64(len(r.Stdout)) != want {
			return c.fail("download", false, fmt.Errorf("%s: %d of %d bytes came back", file, len(r.Stdout), want))
		}
		if _, err := w.Write(r.Stdout); err != nil {
			return c.fail("download", false, fmt.Errorf("pass the content on: %w", err))
		}
		if done+int64(len(r.Stdout)) >= size {
			return nil
		}
	}
}

// exactly reads n bytes, no more, and takes an earlier end for the error it is.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
