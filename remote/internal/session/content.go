package session

import (
	"bytes"
	"errors"
	"io"
	"os"

	"phoenix-run/remote"
)

// content is what an upload brings. Its Seek is from where it began, and works if what is behind it
// can be read again.
type content struct {
	from  io.Reader
	start int64        // of from, in its own count
	read  int64        // how far it was read
	tell  func(int64)  // nil: nobody wants to know
	close func() error // nil: nothing to give back
}

// measure makes sure that the size of an upload's content is known before it is sent. What names
// none is read: into memory while it is small, else into a file of our own that goes with Close.
func measure(u remote.Upload) (*content, int64, error) {
	c := &content{from: u.Content, tell: u.Progress}
	if u.Content == nil {
		c.from = bytes.NewReader(nil)
		return c, 0, nil
	}
	if u.Size >= 0 {
		if s, ok := u.Content.(io.Seeker); ok {
			start, err := s.Seek(0, io.SeekCurrent)
			if err != nil {
				c.from = struct{ io.Reader }{u.Content} // a pipe, as a file
			}
			c.start = start
		}
		return c, u.Size, nil
	}
	head, err := io.ReadAll(io.LimitReader(u.Content, bigFile+1))
	if err != nil {
		return nil, 0, err
	}
	if len(head) <= bigFile {
		c.from = bytes.NewReader(head)
		return c, int64(len(head)), nil
	}
	spool, err := os.CreateTemp("", "phoenix-run-upload-") // created 0600
	if err != nil {
		return nil, 0, err
	}
	c.from = spool
	c.close = func() error { return errors.Join(spool.Close(), os.Remove(spool.Name())) }
	size, err := io.Copy(spool, io.MultiReader(bytes.NewReader(head), u.Content))
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, c.Close())
	}
	return c, size, nil
}

// Read reads on, and tells how far it has come.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.read += int64(n)
	if n > 0 && c.tell != nil {
		c.tell(c.read)
	}
	return n, err
}

// Seek goes to a place counted from the content's start; no other way of counting is needed.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	s, ok := c.from.(io.Seeker)
	if !ok || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	if _, err := s.Seek(c.start+offset, io.SeekStart); err != nil {
		return 0, err
	}
	c.read = offset
	return offset, nil
}

// Close gives back what measure took; the upload's own content stays open.
func (c *content) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}
