package portainer

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"phoenix-run/lab/docker"
)

// serverProgram is the image portainer/portainer-ce or -ee.
type serverProgram struct {
	opts    Options
	edition string
}

// Start implements docker.Program.
func (p serverProgram) Start(ctx context.Context, rt *docker.Runtime) (io.Closer, error) {
	version, err := versionOf(p.opts, rt.Container)
	if err != nil {
		return nil, err
	}
	f, err := parseFlags(version, rt.Container.Args)
	if err != nil {
		return nil, err
	}
	c := Config{
		Options: p.opts, Version: version, Host: rt.Host.Name(), Store: rt.Data("/data"), Socket: rt.Socket, Secret: rt.Env("AGENT_SECRET"),
		SetupToken: f["setup-token"], NoSetupToken: f.on("no-setup-token"), Env: rt.Container.Config.Env, Output: rt.Log, Exit: rt.Exit,
	}
	if c.SetupToken == "" {
		c.SetupToken = rt.Env("PORTAINER_SETUP_TOKEN")
	}
	c.NoSetupToken = c.NoSetupToken || truthy(rt.Env("PORTAINER_NO_SETUP_TOKEN"))
	if c.AdminHash, err = adminHash(f, rt); err != nil {
		return nil, err
	}
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	key, err := s.db.key(s.db.TLSKey)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// A server keeps the certificate that it made for itself beside its data.
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.db.TLSCert})
	if err := rt.WriteFile("/data/certs/cert.pem", text, 0o644); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	secure, err := rt.ListenPort(ctx, 9443)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	var plain []net.Listener
	if !f.on("http-disabled") {
		if plain, err = rt.ListenPort(ctx, 9000); err != nil {
			for _, l := range secure {
				err = errors.Join(err, l.Close())
			}
			return nil, errors.Join(err, s.Close())
		}
	}
	return stopping{serveOn(secure, plain, tlsConfig(s.db.TLSCert, key), s, rt.Log), s}, nil
}

// stopping closes the listeners at once, and the server when its deploys have given up.
type stopping struct {
	listeners io.Closer
	server    *Server
}

func (c stopping) Close() error {
	c.server.end()
	return c.listeners.Close()
}

// flags are the server's command line.
type flags map[string]string

func (f flags) on(name string) bool {
	v, given := f[name]
	return given && v != "false"
}

// serverFlags are the known ones: true where a value follows.
var serverFlags = map[string]bool{
	"addr": true, "tunnel-addr": true, "tunnel-port": true, "bind": true, "bind-https": true, "assets": true, "data": true,
	"host": true, "tlsverify": false, "tlsskipverify": false, "tlscacert": true, "tlscert": true, "tlskey": true,
	"http-disabled": false, "http-enabled": false, "ssl": false, "sslcert": true, "sslkey": true, "snapshot-interval": true,
	"admin-password": true, "admin-password-file": true, "hide-label": true, "logo": true, "templates": true, "base-url": true,
	"log-level": true, "log-mode": true, "no-analytics": false, "edge-compute": false, "feat": true, "mtlscacert": true,
	"mtlscert": true, "mtlskey": true, "secret-key-name": true, "max-batch-size": true, "max-batch-delay": true,
	"initial-mmap-size": true, "rollback": false, "version": false,
}

var shortFlags = map[string]string{"p": "bind", "a": "assets", "d": "data", "H": "host", "l": "hide-label"}

// parseFlags reads the command line as the given version does: an unknown flag ends it.
func parseFlags(v Version, args []string) (flags, error) {
	known := map[string]bool{}
	for name, valued := range serverFlags {
		known[name] = valued
	}
	if v.behaviour().SetupToken {
		known["setup-token"], known["no-setup-token"] = true, false
	}
	if v.behaviour().TrustedOriginsFlag {
		known["trusted-origins"] = true
	}
	f := flags{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, given := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !strings.HasPrefix(arg, "--") {
			if len(arg) < 2 || arg[0] != '-' {
				return nil, fmt.Errorf("portainer: error: unexpected %s, try --help", arg)
			}
			name = shortFlags[arg[1:2]]
			value, given = strings.TrimPrefix(arg[2:], "="), len(arg) > 2
		}
		valued, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("portainer: error: unknown long flag '%s', try --help", strings.SplitN(arg, "=", 2)[0])
		}
		if valued && !given {
			if len(args) == 0 {
				return nil, fmt.Errorf("portainer: error: expected argument for flag '--%s', try --help", name)
			}
			value, args = args[0], args[1:]
		}
		f[name] = value
	}
	if f.on("admin-password") && f.on("admin-password-file") {
		return nil, errors.New("FTL cannot use --admin-password with --admin-password-file")
	}
	return f, nil
}

// adminHash is the first administrator's password from the command line, hashed.
func adminHash(f flags, rt *docker.Runtime) (string, error) {
	if !f.on("admin-password-file") {
		return f["admin-password"], nil
	}
	b, err := rt.ReadFile(f["admin-password-file"])
	if err != nil {
		return "", fmt.Errorf("FTL failed getting admin password file | error=%q", err)
	}
	return hashPassword(strings.TrimSuffix(string(b), "\n"))
}
