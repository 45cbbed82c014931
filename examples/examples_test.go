package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"phoenix-run/config"
)

// TestEmbeddedExamplesLoad writes each example out as init does, and loads it from there.
func TestEmbeddedExamplesLoad(t *testing.T) {
	for _, name := range []string{"guide", "rumpledev", "small"} {
		t.Run(name, func(t *testing.T) {
			sub, err := fs.Sub(FS, name)
			if err != nil {
				t.Fatal(err)
			}
			if name == "small" {
				sub = Small()
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, sub); err != nil {
				t.Fatal(err)
			}
			c, _, err := config.Load(dir, config.Options{NeedProxmox: true, NeedPortainer: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := c.PortainerServer(); !ok {
				t.Error("no machine is the Portainer server")
			}
			for _, stack := range c.StackNames() {
				for _, env := range c.Stacks[stack].EnvironmentNames() {
					checkCompose(t, c, c.Stacks[stack], env)
				}
			}
		})
	}
}

// checkCompose reads a stack's compose file with the environment's variables, as Portainer will.
func checkCompose(t *testing.T, c *config.Config, s config.Stack, name string) {
	t.Helper()
	env, ok := s.Environment(name)
	if !ok {
		t.Fatalf("%s has no environment %s", s.Name, name)
	}
	variables := types.Mapping{}
	for _, v := range env.Variables {
		text, ok := v.Value.Literal()
		if !ok {
			t.Fatalf("%s: the variable %s needs something from outside", s.Name, v.Name)
		}
		variables[v.Name] = text.Reveal()
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  c.Dir,
		ConfigFiles: []types.ConfigFile{{Filename: c.Path(s.ComposeFilePath)}},
		Environment: variables,
	}, func(o *loader.Options) { o.SetProjectName(config.NormalStackName(s.Name), true) })
	if err != nil {
		t.Fatalf("%s, %s: %v", s.Name, name, err)
	}
	if len(project.Services) == 0 {
		t.Errorf("%s has no service", s.Name)
	}
	for _, expect := range s.Expect {
		published := false
		for _, service := range project.Services {
			for _, port := range service.Ports {
				published = published || port.Published == strconv.Itoa(expect.Port)
			}
		}
		if !published {
			t.Errorf("%s expects port %d, and no service publishes it", s.Name, expect.Port)
		}
	}
}

// TestEveryExampleHasAReadme also finds files that the embedding leaves out.
func TestEveryExampleHasAReadme(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == ".phoenix" {
			return fs.SkipDir // someone has tried the example
		}
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		if _, err := fs.Stat(FS, filepath.ToSlash(path)); err != nil {
			t.Errorf("%s is not embedded", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"guide", "rumpledev", "small"} {
		if _, err := fs.Stat(FS, name+"/README.md"); err != nil {
			t.Error(err)
		}
	}
}
