package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// globalFlags are the options of every command. They may stand before the playbook or after it.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "read only, and show every change that would be made"},
		&cli.BoolFlag{Name: "detailed-exitcode", Usage: "with --dry-run: exit 2 if there are changes, 3 if a part of them can't be known"},
		&cli.StringFlag{Name: "config-dir", Value: ".", Usage: "folder with the three configuration files, playbooks/ and features/", EnvVars: []string{"PHOENIX_CONFIG_DIR"}},
		&cli.StringFlag{Name: "limit", Aliases: []string{"l"}, Usage: "only the machines that match: names, ids or tags, with * and ?, commas, and ! for all but"},
		&cli.IntFlag{Name: "parallel", Value: 32, Usage: "how many machines to work on at once"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "auto", Usage: "auto, plain, json or quiet"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "also show what did not change, and the lines of running commands"},
		&cli.BoolFlag{Name: "lab", Usage: "rehearse in a simulated environment instead of the configured one"},
		&cli.StringFlag{Name: "lab-dir", Value: "", Usage: "where the lab keeps its state (default: .phoenix/lab below the configuration folder)"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "answer every question with yes"},
	}
}

func init() {
	// -v is --verbose here; the version is asked for in full.
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version"}
}

// frontFlags moves global options that stand after the playbook's name to the front, where the flag
// parser looks for them: people write them at either end. What follows "--" stays.
func frontFlags(args []string) []string {
	if len(args) < 2 {
		return args
	}
	takesValue := map[string]bool{}
	for _, f := range globalFlags() {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var front, rest []string
	for i := 1; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		name := strings.TrimLeft(arg, "-")
		name, _, hasValue := strings.Cut(name, "=")
		value, global := takesValue[name]
		if !strings.HasPrefix(arg, "-") || !global || (len(name) > 1 && !strings.HasPrefix(arg, "--")) {
			rest = append(rest, arg)
			continue
		}
		front = append(front, arg)
		if value && !hasValue && i+1 < len(args) {
			i++
			front = append(front, args[i])
		}
	}
	return slices.Concat(args[:1], front, rest)
}
