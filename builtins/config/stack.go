package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"phoenix-run/config"
	"phoenix-run/runner"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/op"
	"phoenix-run/runner/value"
	"phoenix-run/secret"
)

// stateDir is where a machine keeps the files of its stacks.
const stateDir = "/var/lib/phoenix-run/stacks"

// StackDir is where a machine keeps the files of a stack. Below it, each content of a file has a folder
// of its own, named by its digest: an update that fails can be taken back, since what ran before still
// finds its files.
func StackDir(name string) string { return path.Join(stateDir, name) }

// defaultFileMode is the mode of a stack's files: they often hold secrets.
const defaultFileMode = "0600"

// StackSpec is a stack in one of its environments, read and ready to deploy.
type StackSpec struct {
	Name        string
	Environment string
	Compose     string // the compose file's text; "" if it lies in a Git repository
	ComposePath string // for messages
	Git         *config.Git
	GitPassword secret.Value
	Variables   []StackVariable
	Files       []StackFile
	fields      *starlarkstruct.Struct
}

// StackVariable is one variable of a stack.
type StackVariable struct {
	Name   string
	Value  secret.Value
	Secret bool
}

// StackFile is a file that a container of the stack mounts.
type StackFile struct {
	Content secret.Value
	Path    string // on the machine
	Target  string // in the container
	Service string // "" for the only service
	Mode    string
}

func (s *StackSpec) String() string        { return fmt.Sprintf("stack(%s, %s)", s.Name, s.Environment) }
func (s *StackSpec) Type() string          { return "stack_spec" }
func (s *StackSpec) Freeze()               {}
func (s *StackSpec) Truth() starlark.Bool  { return true }
func (s *StackSpec) Hash() (uint32, error) { return starlark.String(s.Name).Hash() }

// Attr gives name, environment, files and expect.
func (s *StackSpec) Attr(name string) (starlark.Value, error) { return s.fields.Attr(name) }

// AttrNames lists the attributes.
func (s *StackSpec) AttrNames() []string { return s.fields.AttrNames() }

type stackArgs struct {
	Name        string `star:"name" doc:"the stack's name in the catalogue"`
	Environment string `star:"environment" default:"\"production\"" doc:"which of its environments"`
}

func stackBuiltin(cfg *config.Config) *builtin.Builtin {
	return builtin.Func(builtin.Spec{
		Name: "stack", Effect: builtin.Pure,
		Summary: "A stack of the catalogue in one of its environments, with its compose file, variables and files read.",
		Returns: "stack_spec, with name, environment, files (each with path, directory, content, mode) and expect",
		Errors: []string{
			"No such stack or environment, with the nearest name.",
			"The compose file, a file or a secret can't be read.",
		},
		Example: "config.stack(\"qdrant_service\", \"production\").name",
	}, func(c *builtin.Call, a stackArgs) (starlark.Value, error) {
		return Stack(c.Context(), cfg, c.Task, a.Name, a.Environment)
	})
}

// Stack reads a stack of the catalogue, once in a run: its secrets may come from commands.
func Stack(ctx context.Context, cfg *config.Config, task *runner.Task, name, environment string) (*StackSpec, error) {
	key := op.Key{Host: "configuration", Space: "stack", ID: name + " " + environment}
	return op.Remember(ctx, task.Run.View, key, func(ctx context.Context) (*StackSpec, error) {
		return readStack(ctx, cfg, task, name, environment)
	})
}

func readStack(ctx context.Context, cfg *config.Config, task *runner.Task, name, environment string) (*StackSpec, error) {
	declared, ok := cfg.Stacks[name]
	if !ok {
		return nil, missing("stack", name, slices.Sorted(maps.Keys(cfg.Stacks)))
	}
	env, ok := declared.Environment(environment)
	if !ok {
		return nil, missing("environment of stack "+name, environment, declared.EnvironmentNames())
	}
	s := &StackSpec{Name: name, Environment: environment, Git: declared.Git}
	if declared.Git == nil {
		s.ComposePath = cfg.Path(declared.ComposeFilePath)
		text, err := os.ReadFile(s.ComposePath)
		if err != nil {
			return nil, fmt.Errorf("stack %s: %w", name, err)
		}
		s.Compose = string(text)
	} else if !declared.Git.Password.IsZero() {
		var err error
		if s.GitPassword, err = Resolve(ctx, cfg, task, declared.Git.Password); err != nil {
			return nil, fmt.Errorf("stack %s: git.password: %w", name, err)
		}
	}
	for _, v := range env.Variables {
		text, err := v.Value.Resolve(ctx, cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("stack %s: variable %s: %w", name, v.Name, err)
		}
		if v.Secret {
			task.Run.Redactor().AddValue(text)
		}
		s.Variables = append(s.Variables, StackVariable{v.Name, text, v.Secret})
	}
	for _, f := range env.Files {
		content, err := os.ReadFile(cfg.Path(f.Source))
		if err != nil {
			return nil, fmt.Errorf("stack %s: %w", name, err)
		}
		sum := sha256.Sum256(content)
		mode := f.Mode
		if mode == "" {
			mode = defaultFileMode
		}
		s.Files = append(s.Files, StackFile{
			Content: secret.New(string(content)), Target: f.Destination, Service: f.Service, Mode: mode,
			Path: path.Join(StackDir(name), hex.EncodeToString(sum[:8]), path.Clean("/"+f.Destination)),
		})
	}
	return s, s.bind(declared.Expect)
}

// bind makes the attributes that playbooks see.
func (s *StackSpec) bind(expect []config.Expect) error {
	files := make([]starlark.Value, len(s.Files))
	for i, f := range s.Files {
		files[i] = starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
			"path": starlark.String(f.Path), "directory": starlark.String(path.Dir(f.Path)),
			"content": value.NewSecret(f.Content), "mode": starlark.String(f.Mode),
			"target": starlark.String(f.Target), "service": starlark.String(f.Service),
		})
	}
	checks := make([]starlark.Value, len(expect))
	for i, e := range expect {
		fields, err := attributes(e)
		if err != nil {
			return err
		}
		checks[i] = value.StructFromGo(fields)
	}
	s.fields = starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"name": starlark.String(s.Name), "environment": starlark.String(s.Environment),
		"files": starlark.NewList(files), "expect": starlark.NewList(checks),
	})
	s.fields.Freeze()
	return nil
}

// Resolve reads a secret and makes the run's redactor know it.
func Resolve(ctx context.Context, cfg *config.Config, task *runner.Task, ref secret.Ref) (secret.Value, error) {
	v, err := ref.Resolve(ctx, cfg.Dir)
	if err != nil {
		return v, err
	}
	task.Run.Redactor().AddValue(v)
	return v, nil
}

func missing(what, name string, names []string) error {
	if near := lang.Nearest(name, names); near != "" {
		return fmt.Errorf("no %s %q; did you mean %s?", what, name, near)
	}
	return fmt.Errorf("no %s %q (there are: %v)", what, name, names)
}
