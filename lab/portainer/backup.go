package portainer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// backupEntry is the file in an archive that holds the data.
const backupEntry = "portainer.db"

// backup answers with an archive of the data, encrypted if there is a password. It changes nothing.
func (s *Server) backup(c *call) (int, any, error) {
	var p struct{ Password string }
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	var data []byte
	var err error
	s.view(func(db *database) { data, err = json.Marshal(db) })
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Failed to create backup", err)
	}
	archive, err := pack(data, p.Password)
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Failed to create backup", err)
	}
	name := "portainer-backup_" + s.now().UTC().Format("2006-01-02_15-04-05") + ".tar.gz"
	if p.Password != "" {
		name += ".encrypted"
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", "attachment; filename="+name)
	_, _ = c.w.Write(archive) // the client is gone
	return 0, nil, nil
}

func pack(data []byte, password string) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	t := tar.NewWriter(zip)
	err := t.WriteHeader(&tar.Header{Name: backupEntry, Mode: 0o600, Size: int64(len(data)), ModTime: time.Now()})
	if err == nil {
		_, err = t.Write(data)
	}
	if err = errors.Join(err, t.Close(), zip.Close()); err != nil || password == "" {
		return b.Bytes(), err
	}
	seal, err := sealer(password)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, seal.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return seal.Seal(nonce, nonce, b.Bytes(), nil), nil
}

func sealer(password string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte(password))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func unpack(archive []byte, password string) ([]byte, error) {
	if password != "" {
		seal, err := sealer(password)
		if err != nil {
			return nil, err
		}
		if len(archive) < seal.NonceSize() {
			return nil, errors.New("failed to decrypt the archive")
		}
		n := seal.NonceSize()
		if archive, err = seal.Open(nil, archive[:n], archive[n:], nil); err != nil {
			return nil, errors.New("failed to decrypt the archive: wrong password")
		}
	}
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("cannot extract files from the archive: %w", err)
	}
	t := tar.NewReader(zip)
	for {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("cannot extract files from the archive: %w", err)
		}
		if h.Name == backupEntry {
			return io.ReadAll(t)
		}
	}
}

// restore replaces the data of a server that has no administrator yet, which then restarts.
func (s *Server) restore(c *call) (int, any, error) {
	if err := s.checkSetupToken(c.Request); err != nil {
		return 0, nil, err
	}
	if err := c.form(); err != nil {
		return 0, nil, err
	}
	file, _, err := c.FormFile("file")
	if err != nil {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid backup file"))
	}
	archive, err := io.ReadAll(file)
	if err != nil {
		return 0, nil, err
	}
	data, err := unpack(archive, c.FormValue("password"))
	if err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Failed to restore the backup", err)
	}
	restored := &database{}
	if err := json.Unmarshal(data, restored); err != nil {
		return 0, nil, fail(http.StatusInternalServerError, "Failed to restore the backup", err)
	}
	err = s.update(func(db *database) error {
		if db.hasAdmin() {
			return fail(http.StatusBadRequest, "Cannot restore already initialized instance", errors.New("system already initialized"))
		}
		*db = *restored
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	c.changed = true
	if s.Exit != nil {
		s.Exit(0)
	}
	return http.StatusOK, map[string]any{}, nil
}
