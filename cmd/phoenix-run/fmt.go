package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bazelbuild/buildtools/build"
	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v2"
)

func fmtCommand() *cli.Command {
	return &cli.Command{
		Name: "fmt", Usage: "write Starlark files the way everybody writes them", ArgsUsage: "[PATH…]",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "check", Usage: "write nothing; exit 1 if a file is not formatted"}},
		Action: formatFiles,
	}
}

func formatFiles(c *cli.Context) error {
	paths, check := takeFlag(c.Args().Slice(), "check")
	check = check || c.Bool("check")
	if len(paths) == 0 {
		for _, folder := range []string{"playbooks", "features", "lib"} {
			dir := filepath.Join(c.String("config-dir"), folder)
			if there, err := exists(dir); err != nil {
				return err
			} else if there {
				paths = append(paths, dir)
			}
		}
	}
	var errs []error
	unformatted := false
	for _, p := range paths {
		errs = append(errs, filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || name != p && !strings.HasSuffix(name, ".star") {
				return err
			}
			changed, err := formatFile(name, !check)
			if changed {
				unformatted = true
				fmt.Println(name)
			}
			errs = append(errs, err) // and on to the next file
			return nil
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if check && unformatted {
		return codeError(exitFailed)
	}
	return nil
}

// formatFile tells whether a file is not formatted, and with write formats it.
func formatFile(name string, write bool) (changed bool, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	formatted, err := formatText(name, text)
	if err != nil || bytes.Equal(text, formatted) {
		return false, err
	}
	if !write {
		return true, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return true, err
	}
	return true, renameio.WriteFile(name, formatted, info.Mode().Perm())
}

// formatText is a Starlark file's text as it is to be written. Only blanks and line breaks are touched.
func formatText(name string, text []byte) ([]byte, error) {
	file, err := build.ParseDefault(name, text)
	if err != nil {
		return nil, err
	}
	return build.FormatWithoutRewriting(file), nil
}
