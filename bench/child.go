package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"

	"phoenix-run/builtins"
	"phoenix-run/builtins/host"
	"phoenix-run/remote"
	"phoenix-run/remote/ssh"
	"phoenix-run/remote/tree"
	"phoenix-run/report"
	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/journal"
	"phoenix-run/runner/load"
)

// child is phoenix-run as it is measured: a process that does what cmd/phoenix-run does, with the
// machines given by their ports instead of by a Proxmox.
func child(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("child", flag.ContinueOnError)
	key := set.String("key", "", "private key file")
	known := set.String("known", "", "known_hosts file")
	ports := set.String("ports", "", "the machines, by their ports on 127.0.0.1")
	root := set.String("root", "", "folder to work in")
	state := set.String("state", "", "folder for what runs leave")
	source := set.String("source", "", "file or folder to send")
	if err := set.Parse(args[1:]); err != nil {
		return err
	}
	var options []ssh.Options
	for word := range strings.SplitSeq(*ports, ",") {
		port, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		options = append(options, ssh.Options{Host: "127.0.0.1", Port: port, User: "root", KeyFile: *key, KnownHostsFile: *known, ConfigFile: "none"})
	}
	switch args[0] {
	case "play":
		return play(ctx, options, *source, *root, *state)
	case "push":
		return push(ctx, options[0], *source, *root)
	case "send":
		return send(ctx, options[0], *source, *root)
	case "connect":
		return connect(ctx, options)
	}
	return fmt.Errorf("no such part: %s", args[0])
}

// play applies a playbook, as `phoenix-run PLAYBOOK` does: with a journal, and a report to standard output.
func play(ctx context.Context, options []ssh.Options, file, root, state string) error {
	session := builtins.New(builtins.Options{})
	names := session.Predeclared()
	var machines []starlark.Value
	for i, o := range options {
		h := host.New(fmt.Sprintf("m%d", i), func(ctx context.Context) (remote.Conn, error) { return ssh.Dial(ctx, o) })
		h.ReadAhead(state)
		machines = append(machines, h)
	}
	names["machines"] = starlark.NewList(machines)
	names["root"] = starlark.String(root)
	shown, err := report.New(report.Plain, os.Stdout, false)
	if err != nil {
		return err
	}
	late := &lateJournal{}
	dir := filepath.Dir(file)
	r := runner.New(runner.Options{Mode: runner.Apply, Source: load.Source{Project: dir}, Builtins: names, Sink: tee{shown, late}, Journal: late})
	call, err := r.Prepare(load.Module{Path: filepath.Base(file)}, nil)
	if err != nil {
		return err
	}
	if late.Journal, err = journal.Create(state, journal.Header{Run: r.ID, Playbook: file}, r.Redactor().Redact); err != nil {
		return err
	}
	start := time.Now()
	_, err = r.Playbook(ctx, call)
	for _, m := range machines {
		err = errors.Join(err, m.(*host.Host).Close())
	}
	err = errors.Join(err, session.Close())
	r.End(err, time.Since(start).Seconds())
	return errors.Join(err, late.Close())
}

// lateJournal is the journal of a run, whose id is known only when the run is made.
type lateJournal struct{ *journal.Journal }

// tee gives each event to several sinks.
type tee []event.Sink

// Emit passes e on.
func (t tee) Emit(e event.Event) {
	for _, s := range t {
		s.Emit(e)
	}
}

func push(ctx context.Context, o ssh.Options, source, target string) error {
	c, err := ssh.Dial(ctx, o)
	if err != nil {
		return err
	}
	_, err = tree.Push(ctx, c, tree.Spec{Source: tree.Dir(source), Target: target, Delete: true})
	return errors.Join(err, c.Close())
}

func send(ctx context.Context, o ssh.Options, source, target string) error {
	c, err := ssh.Dial(ctx, o)
	if err != nil {
		return err
	}
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = c.Upload(ctx, remote.Upload{Path: target, Content: f, Size: info.Size(), Mode: fs.FileMode(0o644)})
	return errors.Join(err, c.Close())
}

// connect holds a connection with a shell to each machine, and tells how much memory that takes.
func connect(ctx context.Context, options []ssh.Options) error {
	before := resident()
	var conns []remote.Conn
	var errs []error
	var mu sync.Mutex
	var all sync.WaitGroup
	room := make(chan struct{}, 10)
	for _, o := range options {
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			c, err := ssh.Dial(ctx, o)
			if err == nil {
				_, err = c.Run(ctx, remote.Command{Script: "echo hello", ReadOnly: true})
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if c != nil {
				conns = append(conns, c)
			}
		})
	}
	all.Wait()
	after := resident()
	fmt.Printf("%d %d\n", before, after)
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// resident is the most memory that this process has had at a time, in KiB.
func resident() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err == nil {
				return n
			}
		}
	}
	return 0
}
