package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"phoenix-run/remote"
	"phoenix-run/remote/agent"
	"phoenix-run/remote/internal/conntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a guest agent over this machine, with the limits of Proxmox and of qemu-ga enforced.
type fake struct {
	t        testing.TB
	readOnly bool // a plan: files may not be written by the hypervisor's own call
	busy     atomic.Int32
	calls    atomic.Int32
}

const streamCap = 16 << 20

func (f *fake) enter() func() {
	f.calls.Add(1)
	if f.busy.Add(1) > 1 {
		f.t.Error("two calls of the agent at a time")
	}
	return func() { f.busy.Add(-1) }
}

func (f *fake) Exec(ctx context.Context, argv []string, stdin []byte) (remote.Result, error) {
	defer f.enter()()
	if len(stdin) > 65536 {
		return remote.Result{}, fmt.Errorf("400 Parameter verification failed. input-data: value may only be 65536 characters long (%w)", remote.ErrNotStarted)
	}
	for _, arg := range argv {
		if len(arg) > 4096 {
			return remote.Result{}, fmt.Errorf("an argument of %d bytes shows in every process list", len(arg))
		}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{} // qemu-ga gives none
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return os.ErrProcessDone } // who stops asking has not stopped the program
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return remote.Result{}, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-ctx.Done():
		return remote.Result{}, ctx.Err()
	case err := <-done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return remote.Result{}, err
		}
	}
	r := remote.Result{Stdout: out.Bytes(), Stderr: errs.Bytes(), Code: cmd.ProcessState.ExitCode()}
	if len(r.Stdout) > streamCap || len(r.Stderr) > streamCap {
		r.Stdout, r.Stderr, r.Truncated = r.Stdout[:min(len(r.Stdout), streamCap)], r.Stderr[:min(len(r.Stderr), streamCap)], true
	}
	return r, nil
}

func (f *fake) WriteFile(_ context.Context, path string, content []byte) error {
	defer f.enter()()
	if f.readOnly {
		return errors.New("a plan may not write files")
	}
	if len(content) > 46_080 {
		return fmt.Errorf("400 Parameter verification failed. content: value may only be 61440 characters long")
	}
	return os.WriteFile(path, content, 0o644)
}

func (f *fake) ReadFile(_ context.Context, path string) ([]byte, bool, error) {
	defer f.enter()()
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, streamCap+1))
	return content[:min(len(content), streamCap)], len(content) > streamCap, err
}

func open(t *testing.T, readOnly bool) (remote.Conn, *fake) {
	f := &fake{t: t, readOnly: readOnly}
	c := agent.New(f, "agent of vm 100 on test", readOnly)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, f
}

func TestConn(t *testing.T) {
	conntest.Run(t, conntest.Options{}, func(t *testing.T, readOnly bool) remote.Conn {
		c, _ := open(t, readOnly)
		return c
	})
}
