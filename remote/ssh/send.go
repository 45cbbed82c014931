package ssh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	// block is how much of a file is compared at a time when its transfer was cut off.
	block = 4 << 20
	// resumes is how often the transfer of one file goes on after that, at most.
	resumes = 8
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

// send writes a new file, many writes at a time; see session.Machine.Send. If the connection is lost
// it goes on in a new one with what did not arrive, as long as content can be read again and each
// try gets further.
func (c *conn) send(ctx context.Context, path string, content io.Reader, size int64) error {
	// The file has to be put in its place by a shell. On a machine that takes one session only, that
	// is the one it is needed for.
	if err := c.Pool.Warm(ctx); err != nil {
		return err
	}
	at := int64(0)
	for try := 0; ; try++ {
		err := c.sendFrom(ctx, path, content, at, size)
		if err == nil {
			return nil
		}
		var lost *session.BrokenError
		if errors.As(err, &lost) && ctx.Err() == nil && try < resumes {
			from, ok := c.resume(ctx, path, content, size)
			if ok && (from > at || try == 0) {
				at = from
				continue
			}
		}
		if errors.Is(err, errors.ErrUnsupported) {
			if try == 0 {
				return err // nothing was written
			}
			err = &session.BrokenError{Started: true, Err: errors.New("the connection was lost, and the next one has no SFTP")}
		}
		said, cleanErr := c.remove(ctx, path)
		var refused *remote.FileError
		if errors.As(err, &refused) && refused.Step == remote.StepContent {
			// SFTP has no words for most reasons; a full disk is the common one.
			refused.Result.Stderr = append(refused.Result.Stderr, "\n"+string(said)...)
		}
		return errors.Join(err, cleanErr)
	}
}

// sendFrom writes content from a place on, which is 0 for a file that must not be there yet. A lost
// connection is a *session.BrokenError.
func (c *conn) sendFrom(ctx context.Context, path string, content io.Reader, at, size int64) error {
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
	flags := os.O_WRONLY
	if at == 0 {
		flags |= os.O_CREATE | os.O_EXCL // nobody may have put a link there
	}
	input := &input{Reader: io.LimitReader(content, size-at)}
	f, err := client.OpenFile(path, flags)
	if err == nil {
		if err = write(f, input, at, size-at); err == nil {
			return nil
		}
	}
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, sftp.ErrSSHFxConnectionLost) {
		c.files.drop(client)
	}
	var status *sftp.StatusError
	switch {
	case input.err != nil:
		return fmt.Errorf("read the content: %w", input.err)
	case errors.Is(err, fs.ErrNotExist):
		return &remote.FileError{Conn: c.Name, Op: "upload", Path: path, Step: remote.StepFolder,
			Result: remote.Result{Code: remote.MissingExit, Stderr: []byte("no such folder")}}
	case errors.As(err, &status):
		return &remote.FileError{Conn: c.Name, Op: "upload", Path: path, Step: remote.StepContent,
			Result: remote.Result{Code: 1, Stderr: []byte(status.Error())}}
	default:
		return &session.BrokenError{Started: true, Err: because(ctx, err)}
	}
}

// input remembers that it was the content itself that could not be read.
type input struct {
	io.Reader
	err error
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		i.err = err
	}
	return n, err
}

func write(f *sftp.File, content *input, at, size int64) error {
	if err := f.Chmod(0o600); err != nil { // before there is anything to read
		return errors.Join(err, f.Close())
	}
	_, err := f.Seek(at, io.SeekStart)
	if err == nil {
		var n int64
		// Not ReadFrom: that writes 32 KiB a round trip for any reader that doesn't tell its size.
		n, err = f.ReadFromWithConcurrency(content, inFlight)
		if err == nil && n < size {
			content.err = io.ErrUnexpectedEOF
			err = content.err
		}
	}
	// A failed write can show as late as here.
	return errors.Join(err, f.Close())
}

// resume finds how much of a half-written file is right, over a new connection, and brings content
// to that place. Writes overlap, so that a cut leaves holes: the hash of each block decides, and
// never the size.
func (c *conn) resume(ctx context.Context, path string, content io.Reader, size int64) (at int64, ok bool) {
	seeker, ok := content.(io.Seeker)
	if !ok {
		return 0, false
	}
	script := fmt.Sprintf(`p=%s; [ -f "$p" ] || exit 0
n=$(wc -c <"$p") || exit
echo here; i=0
while [ $((i*%[2]d)) -lt "$n" ]; do dd if="$p" bs=1048576 skip=$((i*%[3]d)) count=%[3]d 2>/dev/null | sha256sum; i=$((i+1)); done`,
		shell.Quote(path), block, block>>20)
	var out bytes.Buffer
	take := func(p []byte) error {
		out.Write(p)
		return nil
	}
	drop := func([]byte) error { return nil }
	again := func() error {
		out.Reset()
		return nil
	}
	code, err := c.Pool.Run(ctx, session.Job{Script: script, Stdout: take, Stderr: drop}, true, again)
	if err != nil || code != 0 {
		return 0, false
	}
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return 0, false
	}
	there := strings.Fields(out.String())
	if len(there) == 0 || there[0] != "here" {
		return 0, true // it was not even made
	}
	hash := sha256.New()
	for _, sum := range there[1:] {
		if sum == "-" {
			continue
		}
		hash.Reset()
		n, err := io.Copy(hash, io.LimitReader(content, min(block, size-at)))
		if err != nil {
			return 0, false
		}
		if n == 0 || sum != hex.EncodeToString(hash.Sum(nil)) {
			break
		}
		at += n
	}
	if at == 0 {
		// Nothing of it is of use, and a file from the start must be new.
		code, err := c.Pool.Run(ctx, session.Job{Script: "rm -f " + shell.Quote(path), Stdout: drop, Stderr: drop}, true, nil)
		if err != nil || code != 0 {
			return 0, false
		}
	}
	_, err = seeker.Seek(at, io.SeekStart)
	return at, err == nil
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
