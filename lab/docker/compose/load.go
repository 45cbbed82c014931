// Package compose deploys compose files over the Docker Engine's API, as docker compose does: files are
// parsed and interpolated by the specification's own library, containers carry compose's labels, and a
// service whose configuration has not changed is left alone. The docker command of the lab's guests and
// the simulated Portainer both use it.
package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// File is a compose file, or an environment file, with its content.
type File struct {
	Path    string
	Content []byte
}

// Source is what a project is loaded from.
type Source struct {
	// Name of the project; "" takes it from the files, or from Dir.
	Name string
	// Dir is the project's folder on the engine's host: relative paths start there.
	Dir   string
	Files []File
	// EnvFiles are parsed as dotenv, later ones win. Compose's own .env is one that the caller adds.
	EnvFiles []File
	// Env beats EnvFiles: the environment of the process that deploys.
	Env map[string]string
	// Read reads files named by the compose files (env_file); nil has none.
	Read     func(path string) ([]byte, error)
	Profiles []string
}

// Load parses, merges, interpolates and checks a project.
func Load(ctx context.Context, s Source) (*types.Project, error) {
	env, err := s.environment()
	if err != nil {
		return nil, err
	}
	details := types.ConfigDetails{WorkingDir: s.Dir, Environment: env}
	for _, f := range s.Files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: f.Path, Content: f.Content})
	}
	name, explicit := s.Name, s.Name != ""
	if !explicit {
		name = loader.NormalizeProjectName(path.Base(s.Dir))
	}
	if explicit && name != loader.NormalizeProjectName(name) {
		return nil, loader.InvalidProjectNameErr(name)
	}
	project, err := loader.LoadWithContext(ctx, details, func(o *loader.Options) {
		o.SetProjectName(name, explicit)
		o.SkipResolveEnvironment = true // it would read env_file from this machine
		o.SkipResolveLabels = true
		o.Interpolate.Substitute = quietly
		o.Profiles = s.Profiles
		o.ResolvePaths = true
	})
	if err != nil {
		return nil, err
	}
	if len(project.Services) == 0 && len(project.DisabledServices) == 0 {
		return nil, errors.New("empty compose file")
	}
	for name, service := range project.Services {
		resolved, err := s.serviceEnv(service, project.Environment)
		if err != nil {
			return nil, err
		}
		service.Environment = resolved
		project.Services[name] = service
	}
	return project, nil
}

// quietly substitutes without the library's own log lines about variables that are not set.
func quietly(text string, mapping template.Mapping) (string, error) {
	return template.SubstituteWithOptions(text, mapping, template.WithoutLogging)
}

func (s Source) environment() (types.Mapping, error) {
	env := types.Mapping{}
	lookup := func(key string) (string, bool) {
		v, found := s.Env[key]
		return v, found
	}
	for _, f := range s.EnvFiles {
		values, err := parseEnv(f, func(key string) (string, bool) {
			if v, found := lookup(key); found {
				return v, true
			}
			v, found := env[key]
			return v, found
		})
		if err != nil {
			return nil, err
		}
		maps.Copy(env, values)
	}
	maps.Copy(env, s.Env)
	return env, nil
}

// ParseEnv parses an environment file as compose does.
func ParseEnv(f File) (map[string]string, error) { return parseEnv(f, nil) }

func parseEnv(f File, lookup dotenv.LookupFn) (map[string]string, error) {
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	values, err := dotenv.ParseWithLookup(bytes.NewReader(bytes.TrimPrefix(f.Content, []byte("\ufeff"))), lookup)
	if err != nil {
		return nil, fmt.Errorf("failed to read %s: %w", f.Path, err)
	}
	return values, nil
}

// serviceEnv is a service's environment: env_file, then environment, whose empty entries are looked up.
func (s Source) serviceEnv(service types.ServiceConfig, project types.Mapping) (types.MappingWithEquals, error) {
	lookup := func(key string) (string, bool) {
		v, found := project[key]
		return v, found
	}
	env := types.MappingWithEquals{}
	for _, f := range service.EnvFiles {
		var content []byte
		err := error(fs.ErrNotExist)
		if s.Read != nil {
			content, err = s.Read(f.Path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && !bool(f.Required):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("env file %s not found: stat %s: no such file or directory", f.Path, f.Path)
		case err != nil:
			return nil, err
		}
		values := map[string]string{}
		if f.Format == "" {
			values, err = parseEnv(File{f.Path, content}, lookup)
		} else {
			err = dotenv.ParseWithFormat(bytes.NewReader(content), f.Path, values, lookup, f.Format)
		}
		if err != nil {
			return nil, err
		}
		for k, v := range values {
			env[k] = &v
		}
	}
	for k, v := range service.Environment {
		if v != nil {
			env[k] = v
		} else if found, ok := lookup(k); ok {
			env[k] = &found
		}
	}
	return env, nil
}
