// Command bench measures phoenix-run beside the tools that people know, on OpenSSH's own server, over
// loopback and over a way of 20 ms, and writes docs/benchmarks.md. It runs as root on Debian and
// installs what it compares with.
//
// The programs take turns, so that whatever else the machine does hits all of them alike, and each
// figure is the median of its turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "child" {
		err = child(ctx, os.Args[2:])
	} else {
		err = bench(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context) (err error) {
	only := flag.String("only", "", "comma-separated rows: noop, changes, tree, file, size; all if empty. Other rows of the page stay as they are")
	out := flag.String("out", "docs/benchmarks.md", "file to write; - for none")
	reps := flag.Int("reps", 3, "turns that each program takes")
	binary := flag.String("binary", "bin/phoenix-run", "the program whose start is measured")
	flag.Parse()
	if err := install(ctx); err != nil {
		return err
	}
	l, err := openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	l.reps, l.binary = *reps, *binary
	t := &table{machine: describe(), turns: *reps}
	for _, row := range []struct {
		name string
		run  func(context.Context, *lab, *table) error
	}{{"noop", noop}, {"changes", changes}, {"tree", trees}, {"file", largeFile}, {"size", size}} {
		if *only != "" && !strings.Contains(","+*only+",", ","+row.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s (load %s)\n", row.name, loadAverage())
		if err := row.run(ctx, l, t); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	earlier, err := os.ReadFile(*out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := t.markdown(string(earlier))
	fmt.Print(text)
	if *out == "-" {
		return nil
	}
	return os.WriteFile(*out, []byte(text), 0o644)
}
