package builtins

import (
	"io/fs"
	"strings"
)

// embedded shows several file systems as folders of one.
type embedded map[string]fs.FS

// Open opens "folder/rest" in the folder's file system.
func (e embedded) Open(name string) (fs.File, error) {
	folder, rest, ok := strings.Cut(name, "/")
	if !ok {
		rest = "."
	}
	fsys, known := e[folder]
	if !known {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return fsys.Open(rest)
}
