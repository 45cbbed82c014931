package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"phoenix-run/config"
	"phoenix-run/report"
	"phoenix-run/runner"
	"phoenix-run/runner/load"
	"phoenix-run/runner/op"
	"phoenix-run/runner/plan"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name: "plan", Usage: "show what a playbook would change, and keep the plan", ArgsUsage: "PLAYBOOK [ARGS…] --out FILE",
		Action: func(c *cli.Context) error {
			words, out := takeOption(c.Args().Slice(), "out")
			if wantsHelp(words) {
				cli.HelpPrinter(os.Stdout, cli.CommandHelpTemplate, c.Command)
				return nil
			}
			env, err := open(c.Context, c)
			if err != nil {
				return err
			}
			defer env.close()
			p, j, err := makePlan(c, env, words)
			if err != nil {
				return err
			}
			if out != "" {
				if err := p.Write(out); err != nil {
					return err
				}
				where := ""
				if dir := c.String("config-dir"); dir != "." {
					where = "--config-dir " + dir + " "
				}
				fmt.Fprintf(os.Stderr, "plan written to %s; apply it with: phoenix-run %sapply %s\n", out, where, out)
			}
			if c.Bool("detailed-exitcode") {
				return detailed(j.finished.Planned())
			}
			return nil
		},
		SkipFlagParsing: true,
	}
}

// makePlan runs a playbook in plan mode and gives the plan.
func makePlan(c *cli.Context, env *environment, words []string) (*plan.Plan, *job, error) {
	module, rest, err := runner.FindPlaybook(env.source, words)
	if err != nil {
		return nil, nil, err
	}
	recorder := plan.NewRecorder(plan.NewSalt())
	j := &job{env: env, mode: runner.Plan, module: module, words: rest, recorder: recorder}
	if err := j.execute(c); err != nil {
		return nil, nil, err
	}
	p := &plan.Plan{Format: plan.Format, Tool: version, Run: j.finished.ID, Made: time.Now().UTC(),
		Playbook: module.Path, Embedded: module.Embedded, Words: rest, Options: planOptions(c),
		Modules: j.finished.Loader().Digests(), Inputs: inputs(env.config)}
	recorder.Fill(p)
	return p, j, nil
}

func inputs(cfg *config.Config) map[string]string {
	digests := map[string]string{}
	for _, f := range cfg.Files {
		digests[f.Path] = f.SHA256
	}
	return digests
}

func showCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "show a plan that was kept", ArgsUsage: "FILE",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return errUsage{errors.New("show takes one plan file")}
			}
			p, err := plan.Read(c.Args().First())
			if err != nil {
				return err
			}
			return report.ShowPlan(p, report.Format(c.String("output")), os.Stdout)
		},
	}
}

func applyCommand() *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "do what a plan holds and nothing else; of a playbook: plan, ask, apply that plan",
		ArgsUsage: "FILE | PLAYBOOK [ARGS…] [--allow-deferred]", SkipFlagParsing: true,
		Description: "With --allow-deferred, what comes after the end of a plan that could be made only in part is done without having been reviewed.",
		Action: func(c *cli.Context) error {
			words, allow := takeFlag(c.Args().Slice(), "allow-deferred")
			if wantsHelp(words) {
				cli.HelpPrinter(os.Stdout, cli.CommandHelpTemplate, c.Command)
				return nil
			}
			if len(words) == 0 {
				return errUsage{errors.New("apply takes a plan file, or a playbook")}
			}
			isPlan := len(words) == 1 && strings.HasSuffix(words[0], ".json")
			var p *plan.Plan
			if isPlan {
				var err error
				if p, err = plan.Read(words[0]); err != nil {
					return err
				}
				for name, value := range p.Options {
					if err := c.Set(name, value); err != nil {
						return err
					}
				}
			}
			env, err := open(c.Context, c)
			if err != nil {
				return err
			}
			defer env.close()
			if !isPlan {
				if p, _, err = makePlan(c, env, words); err != nil {
					return err
				}
				if len(p.Steps) == 0 && len(p.Deferred) == 0 {
					return nil
				}
				if err := confirm(c.Bool("yes"), "Apply this plan?"); err != nil {
					return err
				}
			}
			guard := plan.NewGuard(p, allow)
			if isPlan { // it may be old: look before anything is touched
				if err := stillHolds(c, env, p, guard); err != nil {
					return err
				}
			}
			return applyPlan(c, env, p, guard)
		},
	}
}

// stillHolds refuses a plan that does not fit what is there now, before any effect: inputs that have
// changed, and then, by planning once more, whatever would be done otherwise than reviewed.
func stillHolds(c *cli.Context, env *environment, p *plan.Plan, guard *plan.Guard) error {
	if err := unchangedInputs(p, env); err != nil {
		return err
	}
	check := &checker{guard: guard}
	j := &job{env: env, mode: runner.Plan, module: load.Module{Path: p.Playbook, Embedded: p.Embedded},
		words: p.Words, recorder: check, quiet: true}
	if err := j.execute(c); err != nil {
		return err
	}
	if len(check.refused) > 0 {
		return fmt.Errorf("nothing was changed, since what is there is not what was reviewed:\n%w", errors.Join(check.refused...))
	}
	return nil
}

// checker asks the guard about each change that would be made now.
type checker struct {
	guard *plan.Guard

	mu      sync.Mutex
	refused []error
}

// Planned is told of a change of the new plan.
func (k *checker) Planned(addr op.Address, change op.Change) {
	if err := k.guard.Allow(addr, change); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.refused = append(k.refused, err)
	}
}

// applyPlan runs the plan's playbook, bound to the plan.
func applyPlan(c *cli.Context, env *environment, p *plan.Plan, guard *plan.Guard) error {
	j := &job{env: env, mode: runner.Apply, module: load.Module{Path: p.Playbook, Embedded: p.Embedded},
		words: p.Words, guard: guard}
	return j.execute(c)
}

// unchangedInputs refuses a plan whose configuration or modules are not what they were, before
// anything is touched.
func unchangedInputs(p *plan.Plan, env *environment) error {
	var changed []string
	compare := func(was, is map[string]string, what string) {
		for _, name := range slices.Sorted(maps.Keys(was)) {
			if is[name] != was[name] {
				changed = append(changed, what+" "+name)
			}
		}
	}
	compare(p.Inputs, inputs(env.config), "file")
	is := map[string]string{}
	for name := range p.Modules {
		module := load.Module{Path: strings.TrimPrefix(name, "@"), Embedded: strings.HasPrefix(name, "@")}
		// A copy in the project that has come since would win over the embedded module.
		found, err := env.source.Resolve("@"+strings.Replace(module.Path, "/", "//", 1), load.Module{})
		if err == nil && found != module {
			continue
		}
		text, err := env.source.Read(module)
		if err != nil {
			continue
		}
		is[name] = load.Digest(text)
	}
	compare(p.Modules, is, "module")
	if len(changed) == 0 {
		return nil
	}
	return fmt.Errorf("not what was reviewed: since the plan was made, these have changed: %s; plan again", strings.Join(changed, ", "))
}

// wantsHelp reports whether a command that leaves its options to the playbook was asked about itself.
func wantsHelp(words []string) bool {
	return len(words) == 1 && (words[0] == "--help" || words[0] == "-h")
}

// takeOption takes --name VALUE out of words.
func takeOption(words []string, name string) ([]string, string) {
	for i, w := range words {
		if v, ok := strings.CutPrefix(w, "--"+name+"="); ok {
			return slices.Delete(slices.Clone(words), i, i+1), v
		}
		if w == "--"+name && i+1 < len(words) {
			return slices.Delete(slices.Clone(words), i, i+2), words[i+1]
		}
	}
	return words, ""
}

// takeFlag takes --name out of words.
func takeFlag(words []string, name string) ([]string, bool) {
	i := slices.Index(words, "--"+name)
	if i < 0 {
		return words, false
	}
	return slices.Delete(slices.Clone(words), i, i+1), true
}
