// Package cli is the docker command of the lab's guests: the part of it that people's scripts use, with
// docker's own output, error texts and exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"phoenix-run/lab/docker/api"
)

// Command is one call of docker.
type Command struct {
	Args   []string // without the program's name
	Env    map[string]string
	Dir    string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Client talks to the daemon; its requests fail as a dial to the socket would.
	Client *api.Client
	// ReadFile and Stat see the guest's files.
	ReadFile func(path string) ([]byte, error)
	Stat     func(path string) (fs.FileInfo, error)
	// Compose tells whether the compose plugin is installed.
	Compose bool
	Version string
}

// exitError ends the command with a code; its text, if any, goes to standard error.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func usage(format string, args ...any) error {
	return &exitError{125, fmt.Sprintf(format, args...)}
}

type runner func(ctx context.Context, c *Command, args []string) error

var commands = map[string]runner{
	"run": run, "create": create, "start": eachName("start", "", start), "stop": eachName("stop", "t|time|timeout= s|signal=", stop),
	"restart": eachName("restart", "t|time|timeout= s|signal=", restart), "kill": eachName("kill", "s|signal=", kill), "rm": remove, "ps": ps,
	"inspect": inspect, "pull": pull, "images": images, "rmi": rmi, "logs": logs, "exec": execute, "wait": wait,
	"info": info, "version": version, "rename": rename, "login": login, "port": port,
	"container ls": ps, "container list": ps, "container ps": ps, "container run": run, "container create": create, "container rm": remove,
	"container start": eachName("start", "", start), "container stop": eachName("stop", "t|time|timeout= s|signal=", stop),
	"container restart": eachName("restart", "t|time|timeout= s|signal=", restart), "container inspect": inspectAs("container"),
	"container logs": logs, "container exec": execute,
	"image ls": images, "image inspect": inspectAs("image"), "image rm": rmi, "image pull": pull,
	"volume create": volumeCreate, "volume ls": volumeList, "volume inspect": inspectAs("volume"), "volume rm": volumeRemove,
	"network create": networkCreate, "network ls": networkList, "network inspect": inspectAs("network"), "network rm": networkRemove,
	"system info": info,
}

// groups are commands that only hold other ones.
var groups = map[string]bool{"container": true, "image": true, "volume": true, "network": true, "system": true}

// Run runs the command and returns its exit code.
func Run(ctx context.Context, c *Command) int {
	err := dispatch(ctx, c)
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.text != "" {
			fmt.Fprintln(c.Stderr, exit.text) //nolint:errcheck // nowhere to say so
		}
		return exit.code
	}
	fmt.Fprintln(c.Stderr, plain(err)) //nolint:errcheck // as above
	return 1
}

// plain is an error's text without what the HTTP client puts around it.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return strings.ReplaceAll(err.Error(), u.Error(), u.Err.Error())
	}
	return err.Error()
}

func dispatch(ctx context.Context, c *Command) error {
	f, args, err := parse("D|debug H|host= c|context= l|log-level= v|version config= tls", c.Args, false)
	if err != nil {
		return err
	}
	if f.on("version") {
		return c.printf("Docker version %s, build bea959c\n", c.Version)
	}
	if len(args) == 0 {
		return c.printf("Usage:  docker [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n")
	}
	if args[0] == "compose" && c.Compose {
		return composeCommand(ctx, c, args[1:])
	}
	name, rest := args[0], args[1:]
	if groups[name] && len(rest) > 0 {
		name, rest = name+" "+rest[0], rest[1:]
	}
	command := commands[name]
	if command == nil {
		return &exitError{1, fmt.Sprintf("docker: '%s' is not a docker command.\nSee 'docker --help'", args[0])}
	}
	return command(ctx, c, rest)
}

func (c *Command) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Stdout, format, args...)
	return err
}

func (c *Command) abs(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", c.Dir, p)
}

// read reads a file, or standard input for "-" and /dev/stdin.
func (c *Command) read(name string) ([]byte, error) {
	if name == "-" || name == "/dev/stdin" {
		if c.Stdin == nil {
			return nil, nil
		}
		return io.ReadAll(c.Stdin)
	}
	b, err := c.ReadFile(c.abs(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: no such file or directory", name)
	}
	return b, err
}

// eachName is a command that does one thing to every container named, and prints the names done.
func eachName(verb, flags string, act func(context.Context, *api.Client, string) error) runner {
	return func(ctx context.Context, c *Command, args []string) error {
		_, names, err := parse(flags, args, true)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return tooFew(verb, "CONTAINER [CONTAINER...]")
		}
		return c.forEach(names, func(name string) error { return act(ctx, c.Client, name) })
	}
}

func tooFew(verb, arguments string) error {
	return &exitError{1, fmt.Sprintf("docker: 'docker %s' requires at least 1 argument\n\nUsage:  docker %s [OPTIONS] %s\n\nSee 'docker %s --help' for more information", verb, verb, arguments, verb)}
}

// forEach goes on after a failure and fails at the end, as docker does.
func (c *Command) forEach(names []string, act func(string) error) error {
	failed := false
	for _, name := range names {
		if err := act(name); err != nil {
			failed = true
			fmt.Fprintln(c.Stderr, plain(err)) //nolint:errcheck // nowhere to say so
			continue
		}
		if err := c.printf("%s\n", name); err != nil {
			return err
		}
	}
	if failed {
		return &exitError{code: 1}
	}
	return nil
}

func start(ctx context.Context, c *api.Client, name string) error   { return c.Start(ctx, name) }
func stop(ctx context.Context, c *api.Client, name string) error    { return c.Stop(ctx, name) }
func restart(ctx context.Context, c *api.Client, name string) error { return c.Restart(ctx, name) }
func kill(ctx context.Context, c *api.Client, name string) error    { return c.Kill(ctx, name) }
