package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"phoenix-run/lab/docker/compose"
)

// load finds and loads the project's files.
func (x *composer) load(ctx context.Context) (*types.Project, error) {
	s := compose.Source{Name: x.global.value("project-name"), Profiles: x.global["profile"], Read: x.ReadFile, Env: map[string]string{}}
	for k, v := range x.Env {
		s.Env[k] = v
	}
	if s.Name == "" {
		s.Name = x.Env["COMPOSE_PROJECT_NAME"]
	}
	names := x.global["file"]
	if len(names) == 0 && x.Env["COMPOSE_FILE"] != "" {
		names = strings.Split(x.Env["COMPOSE_FILE"], ":")
	}
	if len(names) == 0 {
		names = x.findFiles()
	}
	if len(names) == 0 {
		return nil, errors.New("no configuration file provided: not found")
	}
	s.Dir = x.abs(".")
	if names[0] != "-" {
		s.Dir = path.Dir(x.abs(names[0]))
	}
	if dir := x.global.value("project-directory"); dir != "" {
		s.Dir = x.abs(dir)
	}
	for _, name := range names {
		b, err := x.read(name)
		if err != nil {
			return nil, err
		}
		full := name
		if name != "-" {
			full = x.abs(name)
		}
		s.Files = append(s.Files, compose.File{Path: full, Content: b})
	}
	envFiles := x.global["env-file"]
	if len(envFiles) == 0 {
		if _, err := x.Stat(path.Join(s.Dir, ".env")); err == nil {
			envFiles = []string{path.Join(s.Dir, ".env")}
		}
	}
	for _, name := range envFiles {
		b, err := x.read(name)
		if err != nil {
			return nil, fmt.Errorf("couldn't find env file: %s", x.abs(name))
		}
		s.EnvFiles = append(s.EnvFiles, compose.File{Path: x.abs(name), Content: b})
	}
	return compose.Load(ctx, s)
}

// findFiles looks for the default names here and in the folders above.
func (x *composer) findFiles() []string {
	for dir := x.abs("."); ; dir = path.Dir(dir) {
		for _, name := range defaultFiles {
			full := path.Join(dir, name)
			if _, err := x.Stat(full); err != nil {
				continue
			}
			found := []string{full}
			stem := strings.TrimSuffix(full, path.Ext(full))
			for _, override := range []string{stem + ".override.yml", stem + ".override.yaml"} {
				if _, err := x.Stat(override); err == nil {
					found = append(found, override)
				}
			}
			return found
		}
		if dir == "/" {
			return nil
		}
	}
}
