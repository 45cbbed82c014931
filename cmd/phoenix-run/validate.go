package main

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/urfave/cli/v2"
	"go.starlark.net/starlark"

	"phoenix-run/builtins"
	"phoenix-run/builtins/lint"
	"phoenix-run/builtins/test"
	"phoenix-run/config"
	"phoenix-run/runner"
	"phoenix-run/runner/lang"
	"phoenix-run/runner/load"
	"phoenix-run/suite"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "check configuration, playbooks, features and their tests without touching anything",
		Action: func(c *cli.Context) error {
			src := source(c)
			cfg, warnings, err := config.Load(c.String("config-dir"), config.Options{Features: src.List("features"), FeatureOptions: featureOptions(src)})
			for _, w := range warnings {
				fmt.Fprintln(os.Stderr, "warning:", w)
			}
			if err = errors.Join(err, checkModules(cfg, src)); err != nil {
				return errUsage{err}
			}
			fmt.Printf("%d virtual machines, %d stacks, all playbooks and features are well-formed\n", len(cfg.VMs), len(cfg.Stacks))
			return nil
		},
	}
}

// checkModules loads every playbook, feature and test, which executes no function, and looks for what
// can be told to be wrong.
func checkModules(cfg *config.Config, src load.Source) error {
	session := builtins.New(builtins.Options{Config: cfg, Planning: true})
	names := session.Predeclared()
	known := lint.NewKnown(builtins.Documented())
	var modules, tests []load.Module
	var errs []error
	for _, folder := range []string{"playbooks", "features"} {
		for _, name := range src.List(folder) {
			m, err := src.Resolve("@"+folder+"//"+name+".star", load.Module{})
			modules, errs = append(modules, m), append(errs, err)
		}
	}
	tests, err := suite.Find(src, nil)
	errs = append(errs, err)
	check := func(list []load.Module, names starlark.StringDict) {
		run := runner.New(runner.Options{Mode: runner.Plan, Source: src, Builtins: names})
		for _, m := range list {
			loaded, err := run.Loader().Module(m)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			faults := known.Module(loaded, func(name string) (*load.Loaded, error) { return run.Loader().Load(name, m) })
			if len(faults) > 0 {
				errs = append(errs, &lang.SourceError{Faults: faults})
			}
		}
	}
	check(modules, names)
	names["assert"] = test.Assert.Value()
	check(tests, names)
	return errors.Join(append(errs, session.Close())...)
}

// featureOptions gives the options of a feature by the signature of its function.
func featureOptions(src load.Source) func(feature string) ([]string, bool) {
	run := sync.OnceValue(func() *runner.Run {
		// The configuration is only about to be read; a feature whose top level asks for it is not looked into.
		return runner.New(runner.Options{Mode: runner.Plan, Source: src, Builtins: builtins.New(builtins.Options{Planning: true}).Predeclared()})
	})
	return func(feature string) ([]string, bool) {
		loaded, err := run().Loader().Load("@features//"+feature+".star", load.Module{})
		if err != nil {
			return nil, false
		}
		fn, ok := loaded.Globals[feature].(*starlark.Function)
		if !ok || fn.HasKwargs() {
			return nil, false
		}
		var names []string
		for i := 2; i < fn.NumParams(); i++ {
			name, _ := fn.Param(i)
			names = append(names, name)
		}
		return names, true
	}
}
