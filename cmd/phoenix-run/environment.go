package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"phoenix-run/builtins"
	"phoenix-run/config"
	"phoenix-run/lab"
	"phoenix-run/runner/load"
	"phoenix-run/secret"
)

// environment is what the global options stand for.
type environment struct {
	dir      string // configuration and project folder
	state    string // .phoenix below it
	source   load.Source
	config   *config.Config
	redactor *secret.Redactor
	lab      *lab.Lab // nil without --lab
}

// open reads the configuration and starts the lab if one is asked for.
func open(ctx context.Context, c *cli.Context) (*environment, error) {
	env := &environment{dir: c.String("config-dir"), redactor: new(secret.Redactor)}
	env.state = filepath.Join(env.dir, ".phoenix")
	env.source = load.Source{Project: env.dir, Embedded: builtins.Modules()}
	options := config.Options{Features: env.source.List("features"), FeatureOptions: featureOptions(env.source), NeedProxmox: true}
	if c.Bool("lab") {
		info, err := env.openLab(ctx, labDir(c))
		if err != nil {
			return nil, err
		}
		options.Override = func(h *config.Hypervisor) { useLab(ctx, env.dir, h, info) }
	}
	cfg, warnings, err := config.Load(env.dir, options)
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, "warning:", w)
	}
	if err != nil {
		env.close()
		return nil, err
	}
	if _, err := cfg.Select(c.String("limit")); err != nil {
		env.close()
		return nil, errUsage{err}
	}
	env.config = cfg
	for _, v := range cfg.Literals() {
		env.redactor.AddValue(v)
	}
	return env, nil
}

func (e *environment) close() {
	if e.lab != nil {
		if err := e.lab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "phoenix-run: the lab:", err)
		}
	}
}

func labDir(c *cli.Context) string {
	if dir := c.String("lab-dir"); dir != "" {
		return dir
	}
	return filepath.Join(c.String("config-dir"), ".phoenix", "lab")
}

// exists reports whether a file or folder is there.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if os.IsNotExist(err) {
		return false, nil
	}
	return err == nil, err
}
