package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"phoenix-run/builtins"
	"phoenix-run/config"
	"phoenix-run/examples"
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

// nothingThere refuses a folder that holds one of the files of root already, before anything is written.
func nothingThere(root fs.FS, dir string) error {
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		there, err := exists(target)
		if there {
			return fmt.Errorf("%s is there already, so nothing was written; init takes a folder without a configuration", target)
		}
		return err
	})
}

// writeStarter copies the smallest example to dir. A file that is there already is never touched.
func writeStarter(dir string) ([]string, error) {
	root, err := fs.Sub(examples.FS, "small")
	if err != nil {
		return nil, err
	}
	if err := nothingThere(root, dir); err != nil {
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

func docCommand() *cli.Command {
	return &cli.Command{
		Name: "doc", Usage: "the reference of all builtins, or of the configuration, as Markdown", ArgsUsage: "[configuration]",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "stubs", Usage: "the builtins as a Python stub file, for editors: phoenix-run doc --stubs > phoenix.pyi"}},
		Action: func(c *cli.Context) error {
			text := builtins.Reference()
			switch {
			case c.Bool("stubs"):
				text = builtins.Stubs()
			case c.Args().First() == "configuration":
				text = config.Reference()
			}
			_, err := os.Stdout.WriteString(text)
			return err
		},
	}
}
