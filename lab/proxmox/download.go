package proxmox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

func mayDownload(c *call) error {
	if err := c.need("/storage/"+c.vars["storage"], "Datastore.AllocateTemplate"); err != nil {
		return err
	}
	if c.may("/nodes/"+c.vars["node"], "Sys.AccessNetwork") {
		return nil
	}
	if err := c.need("/", "Sys.Audit"); err != nil {
		return err
	}
	return c.need("/", "Sys.Modify")
}

// downloadURL has the node fetch a file.
func downloadURL(c *call) (any, error) {
	s, p := c.server, c.params
	kind, name := p.get("content"), p.get("filename")
	st, err := c.fileStorage(kind)
	if err != nil {
		return nil, err
	}
	if err := c.checkName(kind, name); err != nil {
		return nil, err
	}
	if err := c.checkSumParams(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	path := s.filePath(st.ID, c.node, kind, name)
	s.mu.Unlock()
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("refusing to override existing file '/var/lib/vz/template/%s/%s'", kind, name)
	}
	return upid(c.fork("download", name, 0, func(ctx context.Context, t *task) error {
		t.logf("downloading %s to /var/lib/vz/%s/%s", p.get("url"), kind, name)
		fetch := s.opts.Fetch
		if fetch == nil {
			fetch = fetchHTTP
		}
		body, err := fetch(ctx, p.get("url"), !p.has("verify-certificates") || p.flag("verify-certificates"))
		if err != nil {
			return fmt.Errorf("download failed: %w", err)
		}
		defer body.Close()
		if err := c.put(path, body, t); err != nil {
			return err
		}
		t.logf("download of '%s' to '/var/lib/vz/%s/%s' finished", p.get("url"), kind, name)
		return nil
	}))
}

// fetchHTTP is how a node downloads.
func fetchHTTP(ctx context.Context, url string, verify bool) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	if !verify {
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("'%s' - %s", url, res.Status), res.Body.Close())
	}
	return res.Body, nil
}
