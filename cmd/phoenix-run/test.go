package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"

	"phoenix-run/suite"
)

func testCommand() *cli.Command {
	return &cli.Command{
		Name: "test", Usage: "run the tests of features and playbooks (*_test.star) on simulated machines", ArgsUsage: "[PATH…]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Usage: "only tests whose names the regular expression `PATTERN` is found in"},
		},
		Action: runTests,
	}
}

func runTests(c *cli.Context) (err error) {
	paths, pattern := takeOption(c.Args().Slice(), "run")
	if pattern == "" {
		pattern = c.String("run")
	}
	for _, p := range paths {
		if strings.HasPrefix(p, "-") {
			return errUsage{fmt.Errorf("test has no option %s", p)}
		}
	}
	match, err := regexp.Compile(pattern)
	if err != nil {
		return errUsage{fmt.Errorf("--run: %w", err)}
	}
	report := suite.Report{Out: os.Stdout, Verbose: c.Bool("verbose")}
	switch c.String("output") {
	case "auto", "":
		report.Colour = isatty.IsTerminal(os.Stdout.Fd()) && os.Getenv("NO_COLOR") == ""
	case "plain":
	case "json":
		report.JSON = true
	case "quiet":
		report.Quiet = true
	default:
		return errUsage{fmt.Errorf("--output takes auto, plain, json or quiet, not %q", c.String("output"))}
	}
	src := source(c)
	files, err := suite.Find(src, paths)
	if err != nil {
		return errUsage{err}
	}
	lab, err := newTestLab()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.close()) }()
	parallel := c.Int("parallel")
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	start := time.Now()
	var shown error
	passed, failed, err := suite.Run(c.Context, suite.Options{Source: src, Files: files, Match: match, Parallel: parallel, Lab: lab,
		Each: func(r suite.Result) { shown = errors.Join(shown, report.Result(r)) }})
	if err = errors.Join(err, shown); err != nil {
		return err
	}
	if passed+failed == 0 {
		return errUsage{fmt.Errorf("no tests%s; they are functions test_NAME(t) in files NAME_test.star, in %s and %s",
			matching(pattern), filepath.Join(src.Project, "features"), filepath.Join(src.Project, "playbooks"))}
	}
	if err := report.End(passed, failed, time.Since(start).Seconds()); err != nil {
		return err
	}
	if failed > 0 {
		return codeError(exitFailed)
	}
	return nil
}

func matching(pattern string) string {
	if pattern == "" {
		return ""
	}
	return fmt.Sprintf(" match %q", pattern)
}
