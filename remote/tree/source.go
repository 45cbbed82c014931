package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is a folder of this machine as a Source. Unlike os.DirFS it takes names that are no UTF-8.
func Dir(folder string) fs.FS { return dir(folder) }

type dir string

func (d dir) at(name string) string { return filepath.Join(string(d), name) }

func (d dir) Open(name string) (fs.File, error)          { return os.Open(d.at(name)) }
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(d.at(name)) }
func (d dir) ReadLink(name string) (string, error)       { return os.Readlink(d.at(name)) }
func (d dir) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(d.at(name)) }

// Want lists what should be there, in order, the root first. It reads and hashes all of the source.
func (s *Spec) Want() ([]Entry, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var all []Entry
	err := fs.WalkDir(s.Source, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if s.excluded(p) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := s.entry(p, d)
		if err != nil {
			return err
		}
		all = append(all, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("push to %s: read the source: %w", s.Target, err)
	}
	if all[0].Type != Folder {
		return nil, fmt.Errorf("push to %s: the source is not a folder", s.Target)
	}
	return all, nil
}

func (s *Spec) entry(p string, d fs.DirEntry) (Entry, error) {
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Path: p, Mode: s.mode(info.Mode())}
	switch info.Mode().Type() {
	case fs.ModeDir:
		e.Type = Folder
	case fs.ModeSymlink:
		e.Type, e.Mode = Link, 0
		e.Target, err = fs.ReadLink(s.Source, p)
	case 0:
		e.Type = File
		e.Size, e.SHA256, err = digest(s.Source, p)
	default:
		return e, fmt.Errorf("%s is neither file, folder nor link", p)
	}
	return e, err
}

func digest(source fs.FS, p string) (size int64, sum string, err error) {
	f, err := source.Open(p)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	size, err = io.Copy(hash, f)
	return size, hex.EncodeToString(hash.Sum(nil)), err
}
