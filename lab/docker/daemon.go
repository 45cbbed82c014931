package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"phoenix-run/lab/docker/api"
)

// daemonFile is where dockerd reads its configuration.
const daemonFile = "/etc/docker/daemon.json"

// daemonConfig is what the lab's daemon heeds of it.
type daemonConfig struct {
	DataRoot        string   `json:"data-root"`
	Labels          []string `json:"labels"`
	LogDriver       string   `json:"log-driver"`
	StorageDriver   string   `json:"storage-driver"`
	RegistryMirrors []string `json:"registry-mirrors"`
	LiveRestore     bool     `json:"live-restore"`
}

// directives are the configuration file's keys.
var directives = strings.Fields(`add-runtimes allow-direct-routing allow-nondistributable-artifacts api-cors-header
authorization-plugins bip bridge builder cgroup-parent config-file containerd containerd-namespace
containerd-plugins-namespace cpu-rt-period cpu-rt-runtime data-root debug default-address-pools
default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-network-opts
default-runtime default-shm-size default-ulimits dns dns-opts dns-search exec-opts exec-root experimental
features fixed-cidr fixed-cidr-v6 group hosts http-proxy https-proxy icc init init-path insecure-registries
ip ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6 labels live-restore log-driver log-format
log-level log-opts max-concurrent-downloads max-concurrent-uploads max-download-attempts metrics-addr mtu
no-new-privileges no-proxy node-generic-resources oom-score-adjust pidfile proxies raw-logs
registry-mirrors runtimes seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opts
swarm-default-advertise-addr tls tlscacert tlscert tlskey tlsverify userland-proxy userland-proxy-path
userns-remap`)

// readDaemonConfig reads the configuration as dockerd does; no file is an empty one.
func readDaemonConfig(host Host) (daemonConfig, error) {
	var config daemonConfig
	fail := func(format string, args ...any) (daemonConfig, error) {
		return config, fmt.Errorf("unable to configure the Docker daemon with file "+daemonFile+": "+format, args...)
	}
	content, err := host.ReadFile(daemonFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return config, nil
	case err != nil:
		return fail("%w", err)
	case len(bytes.TrimSpace(content)) == 0:
		return config, nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(content, &keys); err != nil {
		return fail("%w", err)
	}
	var unknown []string
	for key := range keys {
		if !slices.Contains(directives, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fail("the following directives don't match any configuration option: %s", strings.Join(unknown, ", "))
	}
	if _, both := keys["hosts"]; both {
		return fail("the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [fd://], from file: %s)", keys["hosts"])
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return fail("%w", err)
	}
	return config, nil
}

// Root is the daemon's data folder.
func (e *Engine) Root() string { return orDefault(e.config.DataRoot, "/var/lib/docker") }

// Version is the daemon's version, with the API versions that it speaks.
func (e *Engine) Version() api.Version {
	v := api.Version{Version: e.opts.version(), APIVersion: "1.51", MinAPIVersion: "1.24", GitCommit: "bea959c", GoVersion: "go1.24.9", Os: "linux", Arch: "amd64", KernelVersion: "6.1.0-32-amd64"}
	switch major, _, _ := strings.Cut(v.Version, "."); {
	case major >= "29" && len(major) == 2:
		v.APIVersion, v.MinAPIVersion = "1.52", "1.44"
	case major < "28" && len(major) == 2:
		v.APIVersion = "1.47"
	}
	return v
}

// Info is the answer of docker info.
func (e *Engine) Info() api.Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.Version()
	info := api.Info{
		ID: e.id, Containers: len(e.containers), Images: len(e.images), Driver: orDefault(e.config.StorageDriver, "overlay2"),
		LoggingDriver: orDefault(e.config.LogDriver, "json-file"), CgroupDriver: "systemd", CgroupVersion: "2", KernelVersion: v.KernelVersion,
		OperatingSystem: "Debian GNU/Linux 12 (bookworm)", OSType: "linux", Architecture: "x86_64", NCPU: 2, MemTotal: 4 << 30,
		DockerRootDir: e.Root(), Name: e.host.Name(), Labels: append([]string{}, e.config.Labels...), ServerVersion: v.Version,
		LiveRestoreEnabled: e.config.LiveRestore,
	}
	info.Swarm.LocalNodeState = "inactive"
	info.RegistryConfig.Mirrors = append([]string{}, e.config.RegistryMirrors...)
	for _, c := range e.containers {
		if c.rec.State.Running {
			info.ContainersRunning++
		} else {
			info.ContainersStopped++
		}
	}
	return info
}
