package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/place"
)

// bigFile is the size from which an upload is streamed and not sent in one piece with its script.
const bigFile = 256 << 10

// Machine is the part of a remote.Conn that is the same wherever there are shells to run scripts in.
type Machine struct {
	Name     string
	ReadOnly bool
	Pool     *Pool
	// Send writes size bytes of content to a new file by another way than a shell's stdin, or is nil.
	// It removes what it wrote if it fails. content is an io.Seeker; its Seek fails with
	// errors.ErrUnsupported if it can't be read again. errors.ErrUnsupported, before content was touched, means
	// that there is no other way here.
	Send func(ctx context.Context, path string, content io.Reader, size int64) error
}

// String names the machine.
func (m *Machine) String() string { return m.Name }

// Run runs a script; see remote.Conn.
func (m *Machine) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	if err := Check(m.Name, m.ReadOnly, c); err != nil {
		return remote.Result{}, err
	}
	ctx, cancel := Timeout(ctx, c.Timeout)
	defer cancel()
	out := &output{watch: c.Output}
	job := Job{Script: c.Script, Stdout: out.takeStdout, Stderr: out.takeStderr}
	stdin := bytes.NewReader(c.Stdin)
	if len(c.Stdin) > 0 {
		job.Stdin, job.Size = stdin, int64(len(c.Stdin))
	}
	again := func() error {
		stdin.Reset(c.Stdin)
		return out.reset()
	}
	code, err := m.Pool.Run(ctx, job, c.ReadOnly, again)
	result := out.end(code)
	return result, m.fail("run", err)
}

// Check refuses what no transport may run.
func Check(name string, readOnly bool, c remote.Command) error {
	if readOnly && !c.ReadOnly {
		first, _, _ := strings.Cut(strings.TrimSpace(c.Script), "\n")
		return fmt.Errorf("%s: %w: this script is not declared read-only: %s", name, remote.ErrPlanWrite, first)
	}
	if strings.ContainsRune(c.Script, 0) {
		return fmt.Errorf("%s: a script can't hold a NUL byte", name)
	}
	return nil
}

// Timeout bounds ctx by a command's own time, 0 meaning none, with a cause that says so.
func Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not done within %s, so it was killed: %w", d, context.DeadlineExceeded))
}

// fail makes a ConnError of what a shell or its start failed with.
func (m *Machine) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	already, refused := (*remote.ConnError)(nil), (*remote.FileError)(nil)
	if errors.As(err, &already) || errors.As(err, &refused) {
		return err
	}
	e := &remote.ConnError{Conn: m.Name, Op: op, Err: err}
	if broken := (*BrokenError)(nil); errors.As(err, &broken) {
		e.Started = broken.Started
	}
	return e
}

// Upload writes a file; see remote.Conn. A small one is one round trip.
func (m *Machine) Upload(ctx context.Context, u remote.Upload) error {
	if m.ReadOnly {
		return fmt.Errorf("%s: upload to %s: %w", m.Name, u.Path, remote.ErrPlanWrite)
	}
	file, err := place.New(u)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	content, size, err := measure(u)
	if err != nil {
		return fmt.Errorf("%s: upload to %s: read the content: %w", m.Name, u.Path, err)
	}
	defer content.Close()
	job := Job{Stdin: content, Size: size}
	file.Fill = "cat"
	if size > bigFile && m.Send != nil {
		err := m.Send(ctx, file.Temp, content, size)
		switch {
		case err == nil:
			job.Stdin, job.Size, file.Fill = nil, 0, ""
		case !errors.Is(err, errors.ErrUnsupported):
			return m.fail("upload", named(err, u.Path))
		}
	}
	out := &output{}
	job.Script, job.Stdout, job.Stderr = file.Script(size, time.Now()), out.takeStdout, out.takeStderr
	code, err := m.Pool.Run(ctx, job, false, func() error {
		if job.Stdin == nil {
			return nil
		}
		_, err := content.Seek(0, io.SeekStart) // the first try may have read some of it
		return err
	})
	if err != nil {
		return m.fail("upload", err)
	}
	return file.Error(m.Name, out.end(code))
}

// named puts the path that people know in place of the temporary one.
func named(err error, path string) error {
	if refused := (*remote.FileError)(nil); errors.As(err, &refused) {
		refused.Path = path
	}
	return err
}

// Download reads a file; see remote.Conn.
func (m *Machine) Download(ctx context.Context, path string, w io.Writer) error {
	out := &output{}
	write := func(p []byte) error {
		_, err := w.Write(p)
		return err
	}
	code, err := m.Pool.Run(ctx, Job{Script: place.Fetch(path), Stdout: write, Stderr: out.takeStderr}, false, nil)
	if err != nil {
		return m.fail("download", err)
	}
	return place.FetchError(m.Name, path, out.end(code))
}
