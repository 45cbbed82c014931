package session

import (
	"bytes"
	"errors"
	"io"
	"os"

	"phoenix-run/remote"
)

// measure makes sure that the size of an upload's content is known before it is sent. What names
// none is read: into memory while it is small, else into a file of our own that goes with Close.
func measure(u remote.Upload) (io.ReadCloser, int64, error) {
	if u.Content == nil {
		return io.NopCloser(bytes.NewReader(nil)), 0, nil
	}
	if u.Size >= 0 {
		return io.NopCloser(u.Content), u.Size, nil
	}
	head, err := io.ReadAll(io.LimitReader(u.Content, bigFile+1))
	if err != nil {
		return nil, 0, err
	}
	if len(head) <= bigFile {
		return io.NopCloser(bytes.NewReader(head)), int64(len(head)), nil
	}
	spool, err := os.CreateTemp("", "phoenix-run-upload-") // created 0600
	if err != nil {
		return nil, 0, err
	}
	held := &spooled{spool}
	size, err := io.Copy(spool, io.MultiReader(bytes.NewReader(head), u.Content))
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, held.Close())
	}
	return held, size, nil
}

// spooled is a temporary file that goes when it is closed.
type spooled struct{ *os.File }

func (s *spooled) Close() error {
	err := s.File.Close()
	if rmErr := os.Remove(s.Name()); err == nil {
		err = rmErr
	}
	return err
}

// progress tells how far the reading of content has come.
func progress(content io.ReadCloser, tell func(int64)) io.ReadCloser {
	return &counter{ReadCloser: content, tell: tell}
}

type counter struct {
	io.ReadCloser
	n    int64
	tell func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.n += int64(n)
		c.tell(c.n)
	}
	return n, err
}
