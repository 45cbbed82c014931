package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"phoenix-run/config"
	"phoenix-run/lab"
	"phoenix-run/lab/machine/image"
	"phoenix-run/secret"
)

// openLab starts the lab in dir, or uses the one that is running there.
func (e *environment) openLab(ctx context.Context, dir string) (lab.Info, error) {
	if info, running, err := lab.Running(dir); err != nil || running {
		return info, err
	}
	l, err := lab.Start(ctx, lab.Options{Dir: dir, Progress: tell})
	if err != nil {
		return lab.Info{}, err
	}
	e.lab = l
	return l.Info(), nil
}

// useLab puts the lab's API and keys where the configuration has the real ones. Portainer's password is
// the configured one, so that a rehearsal shows what is done with it, or the lab's own where that can't
// be read: a rehearsal needs nothing to be set up.
func useLab(ctx context.Context, dir string, h *config.Hypervisor, info lab.Info) {
	h.ProxmoxAPI = config.ProxmoxAPI{URL: info.URL, Node: info.Node, Token: secret.Literal(info.Token), TLSFingerprint: info.Fingerprint}
	h.SSH.PrivateKeyFile, h.SSH.Port, h.SSH.Agent = info.SSHKeyFile, info.SSHPort, false
	h.SSH.KnownHostsFile = filepath.Join(filepath.Dir(info.SSHKeyFile), "known_hosts")
	h.PortainerAPI.URL = "" // it comes up on a machine of the lab
	if _, err := h.PortainerAPI.Password.Resolve(ctx, dir); err != nil || h.PortainerAPI.Password.IsZero() {
		h.PortainerAPI.Password = secret.Literal(info.PortainerPassword)
	}
}

func labCommand() *cli.Command {
	return &cli.Command{
		Name: "lab", Usage: "a rehearsal environment: simulated Proxmox, machines and Portainer",
		Subcommands: []*cli.Command{{
			Name: "serve", Usage: "keep the lab running, for any client",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "listen", Usage: "address of the Proxmox API"},
				&cli.StringFlag{Name: "backend", Usage: "what runs the machines: " + strings.Join(lab.Backends, ", ") + " (default: what the folder has, and " + lab.Simulated + ")"},
				&cli.StringFlag{Name: "subnet", Usage: "the network of real machines, such as 10.55.0.0/24"},
			},
			Action: serveLab,
		}, {
			Name: "image", Usage: "the system that real machines start from",
			Subcommands: []*cli.Command{{
				Name: "build", Usage: "make it from this machine's Debian packages, and keep it in the cache", OnUsageError: usageError,
				Action: buildImage,
			}, {
				Name: "add", Usage: "take a cloud image as it is, for virtual machines", ArgsUsage: "FILE", OnUsageError: usageError,
				Action: addImage,
			}},
		}},
	}
}

func serveLab(c *cli.Context) error {
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := lab.Options{Dir: labDir(c), Listen: c.String("listen"), Backend: c.String("backend"), Progress: tell}
	if text := c.String("subnet"); text != "" {
		subnet, err := netip.ParsePrefix(text)
		if err != nil {
			return errUsage{fmt.Errorf("--subnet: %w", err)}
		}
		o.Subnet = subnet
	}
	l, err := lab.Start(ctx, o)
	if err != nil {
		return err
	}
	info := l.Info()
	fmt.Printf("Proxmox API  %s\ntoken        in %s\nfingerprint  %s\n", info.URL, filepath.Join(labDir(c), "lab.json"), info.Fingerprint)
	<-ctx.Done()
	return l.Close()
}

// tell shows what the lab is busy with.
func tell(text string) { fmt.Fprintln(os.Stderr, "lab:", text) }

func buildImage(c *cli.Context) error {
	im, err := image.Build(c.Context, true, tell)
	if err != nil {
		return err
	}
	fmt.Printf("tree  %s\ndisk  %s\n", im.Root, im.Disk)
	return nil
}

func addImage(c *cli.Context) error {
	if c.NArg() != 1 {
		return errUsage{errors.New("lab image add takes one file")}
	}
	path, err := image.Add(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}
