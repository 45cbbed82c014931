package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"phoenix-run/runner/builtin"
	"phoenix-run/secret"
)

// sourcePath finds where in the project, or in the binary, a name lies: "//files/motd" from the root,
// "motd" or "./motd" beside the calling file. No name leads out of the root.
func sourcePath(c *builtin.Call, name string) (string, error) {
	rel, fromRoot := strings.CutPrefix(name, "//")
	if !fromRoot {
		if path.IsAbs(name) {
			return "", fmt.Errorf("%s: a source lies in the project folder: \"//files/motd\" from its root, or \"motd\" beside this file", name)
		}
		caller := ""
		if c.Thread.CallStackDepth() > 1 {
			caller = strings.TrimPrefix(c.Thread.CallFrame(1).Pos.Filename(), "@")
		}
		rel = path.Join(path.Dir(caller), name)
	}
	if rel = path.Clean(rel); !fs.ValidPath(rel) {
		return "", fmt.Errorf("%s leads out of the project folder", name)
	}
	return rel, nil
}

// sourceFile reads a file of the project, or of what comes with the binary.
func sourceFile(c *builtin.Call, name string) ([]byte, error) {
	rel, err := sourcePath(c, name)
	if err != nil {
		return nil, err
	}
	source := c.Task.Run.Loader().Source()
	if source.Project != "" {
		root, err := os.OpenRoot(source.Project)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		text, err := root.ReadFile(filepath.FromSlash(rel))
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
	}
	if source.Embedded != nil {
		if text, err := fs.ReadFile(source.Embedded, rel); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("there is no file %s in the project folder", rel)
}

// fill carries out a template of Go's text/template. Where a value is a secret, so is the result.
func fill(name, text string, vars map[string]any) (builtin.Text, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return builtin.Text{}, err
	}
	var b strings.Builder
	if err := t.Execute(&b, plainValue(vars)); err != nil {
		return builtin.Text{}, err
	}
	if hasSecret(vars) {
		return builtin.SecretText(secret.New(b.String())), nil
	}
	return builtin.TextOf(b.String()), nil
}

// plainValue gives v with its secrets as text.
func plainValue(v any) any {
	switch v := v.(type) {
	case secret.Value:
		return v.Reveal()
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = plainValue(e)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plainValue(e)
		}
		return m
	}
	return v
}
