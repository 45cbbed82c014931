package proxmox

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
)

// upload is a file that came with a request.
type upload struct {
	file *os.File
	name string
}

// readUpload reads a multipart body: the fields first, then the file, to a temporary one.
func (c *call) readUpload(r *http.Request) error {
	bad := func(err error) error {
		return &apiError{status: http.StatusBadRequest, text: "upload failed: " + err.Error(), bare: true}
	}
	_, kind, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return bad(err)
	}
	parts := multipart.NewReader(r.Body, kind["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bad(err)
		}
		if part.FileName() == "" {
			text, err := io.ReadAll(io.LimitReader(part, 8192))
			if err != nil {
				return bad(err)
			}
			c.params[part.FormName()] = value{text: string(text)}
			continue
		}
		f, err := os.CreateTemp(c.server.opts.Dir, ".upload-*")
		if err != nil {
			return err
		}
		c.upload = &upload{f, part.FileName()}
		c.params["filename"] = value{text: part.FileName()}
		if _, err := io.Copy(f, part); err != nil {
			return bad(err)
		}
	}
}

// discardUpload removes the temporary file of an upload.
func (c *call) discardUpload() {
	if c.upload == nil {
		return
	}
	if err := errors.Join(c.upload.file.Close(), os.Remove(c.upload.file.Name())); err != nil {
		c.server.report(err)
	}
}

func uploadFile(c *call) (any, error) {
	s, p := c.server, c.params
	kind, name := p.get("content"), p.get("filename")
	st, err := c.fileStorage(kind)
	if err == nil {
		err = c.checkName(kind, name)
	}
	if err == nil {
		err = c.checkSumParams()
	}
	if err != nil {
		return nil, err
	}
	if c.upload == nil {
		return nil, badParam("tmpfilename", "%s", errMissingProperty)
	}
	s.mu.Lock()
	path := s.filePath(st.ID, c.node, kind, name)
	s.mu.Unlock()
	return upid(c.fork("imgcopy", "", 0, func(ctx context.Context, t *task) error {
		f, err := os.Open(c.upload.file.Name())
		if err != nil {
			return err
		}
		defer f.Close()
		defer c.discardUpload()
		t.logf("target file: /var/lib/vz/%s/%s", kind, name)
		return c.put(path, f, t)
	}))
}
