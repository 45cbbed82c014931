package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"phoenix-run/builtins"
	"phoenix-run/config"
	"phoenix-run/examples"
	"phoenix-run/features"
	"phoenix-run/runner"
	"phoenix-run/runner/load"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "write a configuration to start from", ArgsUsage: "[DIR]",
		Action: func(c *cli.Context) error {
			dir := c.Args().First()
			if dir == "" {
				dir = c.String("config-dir")
			}
			written, err := writeStarter(dir)
			for _, name := range written {
				fmt.Println("wrote", filepath.Join(dir, name))
			}
			return err
		},
	}
}

// writeStarter copies the smallest example to dir. A file that is there already is never touched.
func writeStarter(dir string) ([]string, error) {
	root, err := fs.Sub(examples.FS, "small")
	if err != nil {
		return nil, err
	}
	var written []string
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return errors.Join(err, f.Close())
		}
		written = append(written, name)
		return f.Close()
	})
	return written, err
}

func featuresCommand() *cli.Command {
	return &cli.Command{
		Name: "features", Usage: "list features, show one, or copy one for editing",
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "every feature, and where it comes from", Action: listFeatures},
			{Name: "show", Usage: "the text of a feature", ArgsUsage: "NAME", Action: func(c *cli.Context) error {
				_, text, err := findFeature(c)
				if err == nil {
					_, err = os.Stdout.Write(text)
				}
				return err
			}},
			{Name: "eject", Usage: "copy a feature that comes with the binary to ./features, where it can be changed", ArgsUsage: "NAME", Action: ejectFeature},
		},
	}
}

func listFeatures(c *cli.Context) error {
	src := source(c)
	names := src.List("features")
	slices.Sort(names)
	for _, name := range names {
		m, err := src.Resolve("@features//"+name+".star", load.Module{})
		if err != nil {
			return err
		}
		text, err := src.Read(m)
		if err != nil {
			return err
		}
		fmt.Printf("%-20s %-12s %s\n", name, origin(m), builtins.FirstSentence(text))
	}
	return nil
}

func origin(m load.Module) string {
	if m.Embedded {
		return "built in"
	}
	return "./features"
}

func source(c *cli.Context) load.Source {
	return load.Source{Project: c.String("config-dir"), Embedded: builtins.Modules()}
}

func findFeature(c *cli.Context) (load.Module, []byte, error) {
	if c.NArg() != 1 {
		return load.Module{}, nil, errUsage{errors.New("which feature? phoenix-run features list shows them")}
	}
	src := source(c)
	m, err := src.Resolve("@features//"+strings.TrimSuffix(c.Args().First(), ".star")+".star", load.Module{})
	if err != nil {
		return m, nil, errUsage{err}
	}
	text, err := src.Read(m)
	return m, text, err
}

func ejectFeature(c *cli.Context) error {
	if c.NArg() != 1 {
		return errUsage{errors.New("which feature? phoenix-run features list shows them")}
	}
	name := strings.TrimSuffix(c.Args().First(), ".star") + ".star"
	text, err := fs.ReadFile(features.FS, name)
	if err != nil {
		return errUsage{fmt.Errorf("no feature %q comes with the binary", c.Args().First())}
	}
	target := filepath.Join(c.String("config-dir"), "features", name)
	if there, err := exists(target); err != nil {
		return err
	} else if there {
		return fmt.Errorf("%s is there already; remove it to have the built-in one back", target)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(target, text, 0o644); err != nil {
		return err
	}
	fmt.Println("wrote", target)
	return nil
}

func validateCommand() *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "check configuration, playbooks and features without touching anything",
		Action: func(c *cli.Context) error {
			src := source(c)
			cfg, warnings, err := config.Load(c.String("config-dir"), config.Options{Features: src.List("features")})
			for _, w := range warnings {
				fmt.Fprintln(os.Stderr, "warning:", w)
			}
			session := builtins.New(builtins.Options{Config: cfg, Planning: true})
			run := runner.New(runner.Options{Mode: runner.Plan, Source: src, Builtins: session.Predeclared()})
			err = errors.Join(err, loadAll(run, src), session.Close())
			if err != nil {
				return errUsage{err}
			}
			fmt.Printf("%s, %s, all playbooks and features are well-formed\n", count(len(cfg.VMs), "virtual machine"), count(len(cfg.Stacks), "stack"))
			return nil
		},
	}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// loadAll loads every playbook and feature, which executes no function.
func loadAll(run *runner.Run, src load.Source) error {
	var errs []error
	for _, folder := range []string{"playbooks", "features"} {
		for _, name := range src.List(folder) {
			if _, err := run.Loader().Load("@"+folder+"//"+name+".star", load.Module{}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func docCommand() *cli.Command {
	return &cli.Command{
		Name: "doc", Usage: "the reference of all builtins, or of the configuration, as Markdown", ArgsUsage: "[configuration]",
		Action: func(c *cli.Context) error {
			text := builtins.Reference()
			if c.Args().First() == "configuration" {
				text = config.Reference()
			}
			_, err := os.Stdout.WriteString(text)
			return err
		},
	}
}
