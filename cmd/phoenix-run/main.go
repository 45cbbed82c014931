// Command phoenix-run brings up and keeps up a Proxmox environment: its virtual machines, what runs
// in them, and their Docker stacks. This package is the command line only: flags in, exit code out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"phoenix-run/config"
	"phoenix-run/runner"
)

// version is set by the Makefile.
var version = "devel"

// Exit codes, as the README lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitChanges     = 2  // a dry run with --detailed-exitcode found changes
	exitUnknown     = 3  // and some of it can't be known before an apply
	exitUsage       = 64 // wrong usage or configuration
	exitInterrupted = 130
)

func main() {
	os.Exit(execute(context.Background(), os.Args))
}

// execute runs the command line and gives the exit code.
func execute(ctx context.Context, args []string) int {
	err := newApp().RunContext(ctx, frontFlags(args))
	var usage *runner.UsageError
	if errors.As(err, &usage) && usage.Help {
		fmt.Print(usage.Usage)
		return exitOK
	}
	code := exitCode(err)
	var shown *shownError
	if err != nil && !errors.As(err, &shown) {
		if text := err.Error(); text != "" {
			fmt.Fprintln(os.Stderr, "phoenix-run:", text)
		}
		if usage != nil && usage.Usage != "" {
			fmt.Fprintf(os.Stderr, "\n%s", usage.Usage)
		}
	}
	return code
}

// shownError is a failure that the report has shown already.
type shownError struct{ err error }

func (e *shownError) Error() string { return e.err.Error() }
func (e *shownError) Unwrap() error { return e.err }

// codeError ends the program with a code of its own, and no message.
type codeError int

func (e codeError) Error() string { return "" }

// errUsage marks a wrong call of phoenix-run itself.
type errUsage struct{ error }

func exitCode(err error) int {
	var code codeError
	var usage *runner.UsageError
	var wrong errUsage
	var faults config.Faults
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, errInterrupted), errors.Is(err, runner.ErrStopped):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &wrong), errors.As(err, &faults):
		return exitUsage
	}
	return exitFailed
}

func newApp() *cli.App {
	return &cli.App{
		Name:            "phoenix-run",
		Usage:           "bring up and keep up a Proxmox environment",
		UsageText:       "phoenix-run [options] PLAYBOOK [ARGS…]\n   phoenix-run [options] COMMAND …",
		Description:     "A PLAYBOOK is a path, or a name found in ./playbooks and then in the binary: letsgo, create 1001, sync portainer, sync stack NAME to VM, status, destroy VM.",
		Version:         version,
		Flags:           globalFlags(),
		Commands:        commands(),
		Action:          runPlaybook,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError:    usageError,
		CommandNotFound: nil,
		Suggest:         true,
	}
}

func usageError(_ *cli.Context, err error, _ bool) error { return errUsage{err} }

func commands() []*cli.Command {
	list := []*cli.Command{
		{Name: "run", Usage: "run a playbook (the word may be left out)", ArgsUsage: "PLAYBOOK [ARGS…]", Action: runPlaybook, SkipFlagParsing: true},
		planCommand(), showCommand(), applyCommand(),
		runsCommand(), resumeCommand(),
		labCommand(),
		initCommand(), featuresCommand(), validateCommand(), testCommand(), fmtCommand(), docCommand(),
	}
	for _, c := range list {
		c.OnUsageError = usageError
		for _, sub := range c.Subcommands {
			sub.OnUsageError = usageError
		}
	}
	return list
}
