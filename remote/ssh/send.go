package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"phoenix-run/remote"
	"phoenix-run/remote/internal/session"
	"phoenix-run/remote/shell"
)

const (
	// inFlight is how many writes of 32 KiB are on their way at a time: enough to fill a channel's
	// window of 2 MiB, which is what bounds the speed over a distance.
	inFlight = 128
	// cleanupTime bounds the removal of a temporary file after a failure, a new connection included.
	cleanupTime = 5 * time.Second
)

// files is the SFTP client, started when first needed.
type files struct {
	mu     sync.Mutex
	client *sftp.Client
	link   *link // that client works in
	none   bool  // the machine has no SFTP
}

func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client == nil {
		return nil
	}
	err := f.client.Close()
	f.client = nil
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// get starts the client, or finds that there can't be one: errors.ErrUnsupported.
func (f *files) get(ctx context.Context, l *link) (*sftp.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.none {
		return nil, errors.ErrUnsupported
	}
	if f.client != nil && f.link == l {
		return f.client, nil
	}
	ch, reqs, err := open(ctx, l)
	if err != nil {
		if errors.Is(err, session.ErrNoRoom) {
			return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err) // the shells are there
		}
		return nil, err
	}
	p := &program{link: l, ch: ch, ended: make(chan struct{})}
	l.running.Go(func() { p.watch(reqs) })
	// "sftp" as a counted string: the request of RFC 4254, 6.5.
	ok, err := ch.SendRequest("subsystem", true, []byte("\x00\x00\x00\x04sftp"))
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	if !ok {
		f.none = true
		return nil, errors.Join(errors.ErrUnsupported, p.close())
	}
	stop := context.AfterFunc(ctx, func() { p.kill(nil) })
	defer stop()
	client, err := sftp.NewClientPipe(ch, ch, sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(inFlight))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start SFTP: %w", because(ctx, err)), p.close())
	}
	f.client, f.link = client, l
	return client, nil
}

// drop gives up a client whose transfer was cut off; the next one starts anew.
func (f *files) drop(client *sftp.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client == client {
		f.client = nil
	}
	_ = client.Close() //nolint:errcheck // the transfer's own error is the one to tell
}

// send writes a new file, many writes at a time; see session.Machine.Send.
func (c *conn) send(ctx context.Context, path string, content io.Reader, size int64) error {
	var client *sftp.Client
	err := c.inLink(ctx, func(l *link) (err error) {
		client, err = c.files.get(ctx, l)
		return err
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.files.drop(client) })
	defer stop()
	// O_EXCL: nobody may have put a link there.
	f, err := client.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err == nil {
		err = write(f, io.LimitReader(content, size), size)
		if err == nil {
			return nil
		}
	}
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, sftp.ErrSSHFxConnectionLost) {
		c.files.drop(client)
	}
	said, cleanErr := c.remove(ctx, path)
	var status *sftp.StatusError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = &remote.FileError{Conn: c.Name, Op: "upload", Path: path, Step: remote.StepFolder,
			Result: remote.Result{Code: remote.MissingExit, Stderr: []byte("no such folder")}}
	case errors.As(err, &status):
		// SFTP has no words for most reasons; a full disk is the common one.
		err = &remote.FileError{Conn: c.Name, Op: "upload", Path: path, Step: remote.StepContent,
			Result: remote.Result{Code: 1, Stderr: fmt.Appendf(nil, "%v\n%s", status, said)}}
	default:
		err = &session.BrokenError{Started: true, Err: because(ctx, err)}
	}
	return errors.Join(err, cleanErr)
}

func write(f *sftp.File, content io.Reader, size int64) error {
	if err := f.Chmod(0o600); err != nil { // before there is anything to read
		return errors.Join(err, f.Close())
	}
	// Not ReadFrom: that writes 32 KiB a round trip for any reader that doesn't tell its size.
	n, err := f.ReadFromWithConcurrency(content, inFlight)
	if err == nil && n < size {
		err = fmt.Errorf("read the input: %w", io.ErrUnexpectedEOF)
	}
	// A failed write can show as late as here.
	return errors.Join(err, f.Close())
}

// remove takes a half-written temporary file away, over a new connection if need be, and tells how
// full the disk is under it.
func (c *conn) remove(ctx context.Context, path string) (disk []byte, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	take := func(p []byte) error {
		disk = append(disk, p...)
		return nil
	}
	drop := func([]byte) error { return nil }
	script := fmt.Sprintf("df -k %s 2>/dev/null; rm -f %s", shell.Quote(filepath.Dir(path)), shell.Quote(path))
	job := session.Job{Script: script, Stdout: take, Stderr: drop}
	if code, err := c.Pool.Run(ctx, job, true, nil); err != nil || code != 0 {
		return disk, fmt.Errorf("the temporary file %s may have been left behind (rm: exit %d): %w", path, code, err)
	}
	return disk, nil
}
