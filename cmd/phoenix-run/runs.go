package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/journal"
	"phoenix-run/runner/load"
)

func stateDir(c *cli.Context) string { return filepath.Join(c.String("config-dir"), ".phoenix") }

func runsCommand() *cli.Command {
	return &cli.Command{
		Name: "runs", Usage: "list the runs that changed something, or were to",
		Action: func(c *cli.Context) error {
			ids, err := journal.List(stateDir(c))
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "run\tbegan\tplaybook\tended\tchanged\tfailed")
			for _, id := range ids {
				records, err := journal.Read(stateDir(c), id)
				if err != nil {
					return err
				}
				summary(w, id, records)
			}
			return w.Flush()
		},
	}
}

func summary(w *tabwriter.Writer, id string, records []journal.Record) {
	if len(records) == 0 || records[0].Header == nil {
		fmt.Fprintf(w, "%s\t\t\tcut off before it began\t\t\n", id)
		return
	}
	ended := "cut off"
	counts := map[event.Status]int{}
	for _, r := range records {
		if r.Kind == journal.Event && r.Event.Type == event.RunEnd {
			ended, counts = string(r.Event.Status), r.Event.Counts
		}
	}
	fmt.Fprintf(w, "%s\t%s\t%s %v\t%s\t%d\t%d\n", id, records[0].Time.Local().Format("2006-01-02 15:04:05"),
		records[0].Header.Playbook, records[0].Header.Words, ended, counts[event.Changed], counts[event.Failed])
}

func resumeCommand() *cli.Command {
	return &cli.Command{
		Name: "resume", Usage: "go on with a run that was cut off", ArgsUsage: "RUN",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return errUsage{errors.New("resume takes the id of a run; phoenix-run runs lists them")}
			}
			id := c.Args().First()
			records, err := journal.Read(stateDir(c), id)
			if err != nil {
				return err
			}
			if len(records) == 0 || records[0].Header == nil {
				return fmt.Errorf("run %s was cut off before it began; run the playbook anew", id)
			}
			h := records[0].Header
			for name, value := range h.Options {
				if err := c.Set(name, value); err != nil {
					return err
				}
			}
			env, err := open(c.Context, c)
			if err != nil {
				return err
			}
			defer env.close()
			j := &job{env: env, mode: runner.Apply, module: load.Module{Path: h.Playbook, Embedded: h.Embedded},
				words: h.Words, resume: id}
			return j.execute(c)
		},
	}
}
