// Package load finds, checks and executes Starlark modules: from the project folder first, then from
// the binary; each once, whoever asks first.
package load

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Source finds modules. Project is the folder that people keep their own playbooks and features in;
// Embedded is what comes with the binary.
type Source struct {
	Project  string // "" for none
	Embedded fs.FS
}

// Module is a place where a module lies. Its name is what positions show.
type Module struct {
	Path     string // slash-separated, from the root: "features/docker.star"
	Embedded bool
}

// Name is how messages show the module: a project's by its path, an embedded one with a leading "@".
func (m Module) Name() string {
	if m.Embedded {
		return "@" + m.Path
	}
	return m.Path
}

// Resolve finds the module that a load statement in from names:
//
//	@features//docker.star, @playbooks//create_vm.star   project folder first, then the binary
//	//lib/net.star                                       from the project folder
//	./net.star, net.star                                 beside the loading module
//
// No path leads out of its root.
func (s Source) Resolve(name string, from Module) (Module, error) {
	var rel string
	embedded := true
	switch {
	case strings.HasPrefix(name, "@"):
		label, file, ok := strings.Cut(name[1:], "//")
		if !ok || (label != "features" && label != "playbooks") {
			return Module{}, fmt.Errorf("load %q: a label is @features// or @playbooks//", name)
		}
		rel = label + "/" + file
		if escapes(label, file) {
			return Module{}, outside(name)
		}
	case strings.HasPrefix(name, "//"):
		rel, embedded = name[2:], from.Embedded
	case path.IsAbs(name):
		return Module{}, outside(name)
	default:
		rel = path.Join(path.Dir(from.Path), name)
	}
	rel = path.Clean(rel)
	if !strings.HasSuffix(rel, ".star") {
		return Module{}, fmt.Errorf("load %q: a module's name ends in .star", name)
	}
	if !fs.ValidPath(rel) {
		return Module{}, outside(name)
	}
	return s.find(rel, embedded, name)
}

func (s Source) find(rel string, embedded bool, name string) (Module, error) {
	if s.Project != "" {
		if ok, err := s.inProject(rel); err != nil || ok {
			return Module{Path: rel}, err
		}
	}
	if embedded && s.Embedded != nil {
		if _, err := fs.Stat(s.Embedded, rel); err == nil {
			return Module{Path: rel, Embedded: true}, nil
		}
	}
	return Module{}, &NotFoundError{Name: name, Path: rel, Suggestion: s.nearest(rel)}
}

// inProject reports whether the project holds rel, following symbolic links only within the folder.
func (s Source) inProject(rel string) (bool, error) {
	root, err := os.OpenRoot(s.Project)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%s: %w", rel, err)
	}
	return !info.IsDir(), nil
}

// Read gives a module's text.
func (s Source) Read(m Module) ([]byte, error) {
	if m.Embedded {
		return fs.ReadFile(s.Embedded, m.Path)
	}
	root, err := os.OpenRoot(s.Project)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(filepath.FromSlash(m.Path))
}

// Digest is the sha256 of a module's text, in hex.
func Digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// List names the modules of a folder ("features", "playbooks"), without folder and ending, the
// project's and the embedded ones, each once.
func (s Source) List(folder string) []string {
	seen := map[string]bool{}
	var names []string
	add := func(fsys fs.FS) {
		if fsys == nil {
			return
		}
		entries, err := fs.ReadDir(fsys, folder)
		if err != nil {
			return // a project without that folder has none of its own
		}
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), ".star")
			if ok && !seen[name] && !strings.HasSuffix(name, "_test") {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	if s.Project != "" {
		add(os.DirFS(s.Project))
	}
	add(s.Embedded)
	return names
}

// escapes reports whether file, below label, would lead above it.
func escapes(label, file string) bool {
	return !strings.HasPrefix(path.Join("/", label, file), "/"+label+"/") || strings.HasPrefix(path.Clean(file), "..")
}

func outside(name string) error {
	return fmt.Errorf("load %q: the path leads out of the project", name)
}

// NotFoundError says that no module has this name.
type NotFoundError struct{ Name, Path, Suggestion string }

func (e *NotFoundError) Error() string {
	text := fmt.Sprintf("no module %q (looked for %s in the project folder and in the binary)", e.Name, e.Path)
	if e.Suggestion != "" {
		text += fmt.Sprintf("; did you mean %q?", e.Suggestion)
	}
	return text
}
