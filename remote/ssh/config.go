package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"
)

// hostConfig is what an OpenSSH configuration file says of one host: the part that is honoured here.
type hostConfig struct {
	home           string
	hostName       string
	port           int
	user           string
	identities     []string
	identitiesOnly bool
	certificate    string
	knownHosts     string
	policy         HostKeyPolicy
	proxyJump      []string // hops, first one first
	timeout        time.Duration
	keyAlias       string // name under which known_hosts has the machine
}

// readConfig looks host up in file; see Options.ConfigFile for its meaning.
func readConfig(file, home, host string) (*hostConfig, error) {
	c := &hostConfig{home: home}
	optional := file == ""
	switch file {
	case "none":
		return c, nil
	case "":
		file = filepath.Join(home, ".ssh", "config")
	default:
		file = tilde(file, home)
	}
	text, err := os.ReadFile(file)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ssh configuration: %w", err)
	}
	parsed, err := ssh_config.DecodeBytes(text)
	if err != nil {
		return nil, fmt.Errorf("ssh configuration %s: %w (name another with ConfigFile, or \"none\")", file, err)
	}
	if err := c.take(parsed, host); err != nil {
		return nil, fmt.Errorf("ssh configuration %s, host %s: %w", file, host, err)
	}
	return c, nil
}

func (c *hostConfig) take(file *ssh_config.Config, host string) error {
	var failed error
	get := func(key string) string {
		value, err := file.Get(host, key)
		if err != nil {
			failed = errors.Join(failed, err)
		}
		return strings.Trim(value, `"`)
	}
	number := func(key string) int {
		text := get(key)
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			failed = errors.Join(failed, fmt.Errorf("%s %q is no positive number", key, text))
		}
		return n
	}
	c.user = get("User")
	c.port = number("Port")
	c.hostName = c.expand(get("HostName"), host)
	c.keyAlias = get("HostKeyAlias")
	c.identitiesOnly = strings.EqualFold(get("IdentitiesOnly"), "yes")
	c.timeout = time.Duration(number("ConnectTimeout")) * time.Second
	c.certificate = tilde(c.expand(get("CertificateFile"), host), c.home)
	if files := strings.Fields(get("UserKnownHostsFile")); len(files) > 0 {
		c.knownHosts = tilde(files[0], c.home)
	}
	identities, err := file.GetAll(host, "IdentityFile")
	failed = errors.Join(failed, err)
	for _, name := range identities {
		name = strings.Trim(name, `"`)
		if strings.EqualFold(name, "none") {
			continue
		}
		c.identities = append(c.identities, tilde(c.expand(name, host), c.home))
	}
	switch get("StrictHostKeyChecking") {
	case "ask":
		c.policy = AskHostKey
	case "accept-new":
		c.policy = AcceptNewHostKey
	case "yes":
		c.policy = RefuseHostKey
	}
	// "no" and "off" are not followed: no key is ever taken for another.
	if jump := get("ProxyJump"); jump != "" && !strings.EqualFold(jump, "none") {
		c.proxyJump = strings.Split(jump, ",")
	}
	if command := get("ProxyCommand"); command != "" && !strings.EqualFold(command, "none") && len(c.proxyJump) == 0 {
		failed = errors.Join(failed, fmt.Errorf("ProxyCommand is not supported; ProxyJump is"))
	}
	return failed
}

// expand replaces the tokens that OpenSSH has for host, user and home.
func (c *hostConfig) expand(text, host string) string {
	name := host
	if c.hostName != "" {
		name = c.hostName
	}
	return strings.NewReplacer("%%", "%", "%h", name, "%n", host, "%r", c.user, "%d", c.home).Replace(text)
}

// hop is one element of ProxyJump, [user@]host[:port], as Options of its own. It goes by the
// same configuration file, keys and host key policy as the machine behind it.
func (o Options) hop(spec string) (Options, error) {
	spec = strings.TrimPrefix(strings.TrimSpace(spec), "ssh://")
	h := Options{
		ConfigFile: o.ConfigFile, KnownHostsFile: o.KnownHostsFile, HostKeyPolicy: o.HostKeyPolicy, Ask: o.Ask,
		KeyFile: o.KeyFile, KeyData: o.KeyData, Passphrase: o.Passphrase, Certificate: o.Certificate, Agent: o.Agent,
		ConnectTimeout: o.ConnectTimeout, Keepalive: o.Keepalive, Jumps: o.Jumps,
	}
	if at := strings.LastIndexByte(spec, '@'); at >= 0 {
		h.User, spec = spec[:at], spec[at+1:]
	}
	h.Host = strings.Trim(spec, "[]")
	// An IPv6 address has several colons, and brackets if it has a port.
	if colon := strings.LastIndexByte(spec, ':'); colon >= 0 && (strings.Count(spec, ":") == 1 || strings.HasPrefix(spec, "[")) && !strings.HasSuffix(spec, "]") {
		port, err := strconv.Atoi(spec[colon+1:])
		if err != nil || port < 1 || port > 65535 {
			return h, fmt.Errorf("ProxyJump %q: %q is no port", spec, spec[colon+1:])
		}
		h.Host, h.Port = strings.Trim(spec[:colon], "[]"), port
	}
	if h.Host == "" {
		return h, fmt.Errorf("ProxyJump %q names no host", spec)
	}
	return h, nil
}
