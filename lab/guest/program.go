package guest

import (
	"context"
	"io"
)

// Program is a command that a guest can run: its name resolves in the guest's PATH once the package
// that holds it is installed. It returns the exit code.
type Program func(ctx context.Context, p *Process) int

// Process is one running Program. Its files are the guest's.
type Process struct {
	Guest          *Guest
	Args           []string // Args[0] is the name
	Env            map[string]string
	Dir            string
	User           string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Package is what a distribution's package brings to a guest when it is installed.
type Package struct {
	Name     string
	Version  string
	Depends  []string
	Programs map[string]Program // by path: "/usr/bin/docker"
	Files    map[string]string  // path to content, installed 0644 root root
	Units    []Unit             // enabled and started on installation, as Debian does
	Groups   []string           // made on installation
}

// Unit is a systemd unit that a package brings.
type Unit struct {
	Name string // "docker.service"
	Off  bool   // installed only: neither enabled nor started
	// Start and Stop are called when the unit becomes active or inactive, at boot included.
	// An error from Start leaves the unit failed, with the error as its journal's last line.
	Start func(ctx context.Context, g *Guest) error
	Stop  func(ctx context.Context, g *Guest) error
}
