package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
	"go.starlark.net/starlark"

	"phoenix-run/builtins"
	"phoenix-run/features"
	"phoenix-run/runner"
	"phoenix-run/runner/load"
)

func featuresCommand() *cli.Command {
	return &cli.Command{
		Name: "features", Usage: "list features, show one, or copy one for editing",
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "every feature, where it comes from, and its options", Action: listFeatures},
			{Name: "show", Usage: "what a feature does, and its options with their defaults", ArgsUsage: "NAME",
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "source", Usage: "the feature's text instead"}},
				Action: showFeature},
			{Name: "eject", Usage: "copy a feature that comes with the binary to ./features, where it can be changed", ArgsUsage: "NAME", Action: ejectFeature},
		},
	}
}

// feature is one as people are told of it.
type feature struct {
	name    string
	module  load.Module
	text    []byte
	doc     string // of the module
	about   string // of the function, without its options
	options []option
}

type option struct{ name, fallback, doc string }

func source(c *cli.Context) load.Source {
	return load.Source{Project: c.String("config-dir"), Embedded: builtins.Modules()}
}

// readFeature loads a feature, which executes no function.
func readFeature(run *runner.Run, src load.Source, name string) (feature, error) {
	m, err := src.Resolve("@features//"+name+".star", load.Module{})
	if err != nil {
		return feature{}, errUsage{err}
	}
	loaded, err := run.Loader().Module(m)
	if err != nil {
		return feature{}, err
	}
	f := feature{name: name, module: m, text: loaded.Text, doc: loaded.Doc}
	fn, ok := loaded.Globals[name].(*starlark.Function)
	if !ok {
		return f, nil // a library that features load
	}
	about, docs := splitDoc(fn.Doc())
	f.about = about
	for i := 2; i < fn.NumParams(); i++ {
		option := option{fallback: "required"}
		option.name, _ = fn.Param(i)
		if v := fn.ParamDefault(i); v != nil {
			option.fallback = v.String()
		}
		option.doc = docs[option.name]
		f.options = append(f.options, option)
	}
	return f, nil
}

// splitDoc takes the lines "name: meaning" out of a function's docstring.
func splitDoc(doc string) (about string, options map[string]string) {
	options = map[string]string{}
	var rest []string
	last := ""
	for line := range strings.Lines(strings.TrimSpace(doc)) {
		line = strings.TrimSpace(line)
		name, meaning, found := strings.Cut(line, ": ")
		switch {
		case found && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == "":
			options[name], last = meaning, name
		case last != "" && line != "":
			options[last] += " " + line
		default:
			rest, last = append(rest, line), ""
		}
	}
	return strings.TrimSpace(strings.Join(rest, "\n")), options
}

// looking makes a run that only loads modules.
func looking(src load.Source) *runner.Run {
	return runner.New(runner.Options{Mode: runner.Plan, Source: src, Builtins: builtins.New(builtins.Options{Planning: true}).Predeclared()})
}

func listFeatures(c *cli.Context) error {
	src := source(c)
	run := looking(src)
	names := src.List("features")
	slices.Sort(names)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, name := range names {
		f, err := readFeature(run, src, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, origin(f.module), builtins.FirstSentence(f.text)) //nolint:errcheck // told by Flush
		var options []string
		for _, o := range f.options {
			options = append(options, o.name)
		}
		if len(options) > 0 {
			fmt.Fprintf(w, "\t\t  options: %s\n", strings.Join(options, ", ")) //nolint:errcheck // told by Flush
		}
	}
	return w.Flush()
}

func origin(m load.Module) string {
	if m.Embedded {
		return "built in"
	}
	return "./features"
}

func showFeature(c *cli.Context) error {
	if c.NArg() == 0 {
		return errUsage{errors.New("which feature? phoenix-run features list shows them")}
	}
	src := source(c)
	words, asked := takeFlag(c.Args().Slice(), "source")
	f, err := readFeature(looking(src), src, strings.TrimSuffix(words[0], ".star"))
	if err != nil {
		return err
	}
	if asked || c.Bool("source") {
		_, err := os.Stdout.Write(f.text)
		return err
	}
	fmt.Printf("%s (%s)\n\n%s\n", f.name, origin(f.module), strings.TrimSpace(f.doc))
	if f.about != "" {
		fmt.Printf("\n%s\n", f.about)
	}
	if len(f.options) == 0 {
		return nil
	}
	fmt.Println("\noptions:")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, o := range f.options {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", o.name, o.fallback, o.doc) //nolint:errcheck // told by Flush
	}
	return w.Flush()
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
