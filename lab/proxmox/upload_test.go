package proxmox

import (
	"bytes"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUpload(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil)
	send := func(content, filename string) answer {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		if err := w.WriteField("content", content); err != nil {
			t.Fatal(err)
		}
		part, err := w.CreateFormFile("filename", filename)
		if err == nil {
			_, err = part.Write(bytes.Repeat([]byte("x"), 1<<20)) // more than other bodies may have
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		a, err := l.raw("POST", "/nodes/pve/storage/local/upload", map[string]string{
			"Authorization": l.auth["Authorization"], "Content-Type": w.FormDataContentType(),
		}, b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := send("iso", "x.iso")
	if a.line != "200 OK" {
		t.Fatal(a.line, a.body)
	}
	if exit := l.exit(a.data(t).(string)); exit != "OK" {
		t.Error(exit)
	}
	if a := l.do("GET", "/nodes/pve/storage/local/content", nil); !strings.Contains(a.body, `"size":1048576,"volid":"local:iso/x.iso"`) {
		t.Error(a.body)
	}
	l.vm(100)
	l.ok("PUT", "/nodes/pve/qemu/100/config", obj{"ide0": "local:iso/x.iso,media=cdrom"})
	if a := l.do("PUT", "/nodes/pve/qemu/100/config", obj{"ide0": "local:iso/y.iso,media=cdrom"}); a.line != "500 volume 'local:iso/y.iso' does not exist" {
		t.Error(a.line)
	}
	if a := send("snippets", "u.yml"); a.line != "400 Parameter verification failed." {
		t.Error(a.line)
	}
	left, err := filepath.Glob(filepath.Join(l.dir, ".upload-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files stay: %v, %v", left, err)
	}
	if info, err := os.Stat(filepath.Join(l.s.StoragePath("local", "pve", "iso"), "x.iso")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
