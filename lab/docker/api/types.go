// Package api is the part of the Docker Engine's HTTP API that the lab speaks: its types, image
// references, list filters, and a client. The engine serves it; the docker command, compose and the
// simulated Portainer are its clients, locally or through an agent.
package api

import "time"

// Container is a container as GET /containers/{id}/json shows it.
type Container struct {
	ID              string `json:"Id"`
	Created         time.Time
	Path            string
	Args            []string
	State           State
	Image           string // image id
	Name            string // "/name"
	RestartCount    int
	Driver          string
	Platform        string
	LogPath         string
	HostConfig      HostConfig
	Mounts          []MountPoint
	Config          Config
	NetworkSettings NetworkSettings
}

// State is what a container's process does. Status is created, running, restarting, exited or paused.
type State struct {
	Status                      string
	Running, Paused, Restarting bool
	OOMKilled, Dead             bool
	Pid                         int
	ExitCode                    int
	Error                       string
	StartedAt, FinishedAt       time.Time
	Health                      *Health `json:",omitempty"`
}

// Health is the state of a health check: starting, healthy or unhealthy.
type Health struct {
	Status        string
	FailingStreak int
}

// Config is the part of a container's configuration that does not depend on its host.
type Config struct {
	Hostname     string
	User         string
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Tty          bool
	OpenStdin    bool
	Env          []string
	Cmd          []string
	Healthcheck  *Healthcheck `json:",omitempty"`
	Image        string
	Volumes      map[string]struct{} `json:",omitempty"`
	WorkingDir   string
	Entrypoint   []string
	Labels       map[string]string
	StopSignal   string `json:",omitempty"`
	StopTimeout  *int   `json:",omitempty"`
}

// Healthcheck is a test and its timing; durations are nanoseconds on the wire.
type Healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// HostConfig is the part of a container's configuration that depends on its host.
type HostConfig struct {
	Binds          []string
	NetworkMode    string
	PortBindings   map[string][]PortBinding
	RestartPolicy  RestartPolicy
	AutoRemove     bool
	Mounts         []Mount `json:",omitempty"`
	Privileged     bool
	ReadonlyRootfs bool
	CapAdd         []string `json:",omitempty"`
	CapDrop        []string `json:",omitempty"`
	ExtraHosts     []string `json:",omitempty"`
	SecurityOpt    []string `json:",omitempty"`
	Memory         int64    `json:",omitempty"`
	NanoCpus       int64    `json:",omitempty"`
	ShmSize        int64    `json:",omitempty"`
	PidMode        string   `json:",omitempty"`
	Init           *bool    `json:",omitempty"`
}

// PortBinding is where a container's port is published.
type PortBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// RestartPolicy is when a container is started again: "", no, always, unless-stopped, on-failure.
type RestartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// Mount is a mount as --mount asks for it. Type is bind, volume or tmpfs.
type Mount struct {
	Type, Source, Target string
	ReadOnly             bool         `json:",omitempty"`
	BindOptions          *BindOptions `json:",omitempty"`
}

// BindOptions tells what happens when a bind mount's source is missing.
type BindOptions struct {
	CreateMountpoint bool `json:",omitempty"`
}

// MountPoint is a mount as a container has it.
type MountPoint struct {
	Type        string
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
}

// NetworkSettings is how a container is reached.
type NetworkSettings struct {
	Ports     map[string][]PortBinding
	IPAddress string
	Networks  map[string]*EndpointSettings
}

// EndpointSettings is a container's place in one network.
type EndpointSettings struct {
	Aliases    []string
	NetworkID  string
	EndpointID string
	Gateway    string
	IPAddress  string
	MacAddress string
}

// NetworkingConfig names the networks of a new container.
type NetworkingConfig struct {
	EndpointsConfig map[string]*EndpointSettings
}

// CreateRequest is the body of POST /containers/create.
type CreateRequest struct {
	Config
	HostConfig       *HostConfig       `json:",omitempty"`
	NetworkingConfig *NetworkingConfig `json:",omitempty"`
}

// CreateResponse is its answer.
type CreateResponse struct {
	ID       string `json:"Id"`
	Warnings []string
}

// Summary is a container in a list.
type Summary struct {
	ID         string `json:"Id"`
	Names      []string
	Image      string
	ImageID    string
	Command    string
	Created    int64
	Ports      []Port
	Labels     map[string]string
	State      string
	Status     string
	HostConfig struct{ NetworkMode string }
	// NetworkSettings holds only the networks here.
	NetworkSettings struct {
		Networks map[string]*EndpointSettings
	}
	Mounts []MountPoint
}

// Port is one port of a container in a list; PublicPort is 0 when it is not published.
type Port struct {
	IP          string `json:",omitempty"`
	PrivatePort int
	PublicPort  int `json:",omitempty"`
	Type        string
}

// Image is an image as GET /images/{ref}/json shows it.
type Image struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Created      time.Time
	Size         int64
	Architecture string
	Os           string
	Config       Config
}

// ImageSummary is an image in a list.
type ImageSummary struct {
	ID          string `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	Created     int64
	Size        int64
	Labels      map[string]string
	Containers  int
}

// Network is a network with the containers in it.
type Network struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     string
	EnableIPv6 bool
	Internal   bool
	Attachable bool
	IPAM       IPAM
	Labels     map[string]string
	Options    map[string]string
	Containers map[string]NetworkContainer
}

// IPAM holds a network's address ranges.
type IPAM struct {
	Driver string
	Config []IPAMConfig
}

// IPAMConfig is one address range.
type IPAMConfig struct{ Subnet, Gateway string }

// NetworkContainer is a container in a network.
type NetworkContainer struct{ Name, EndpointID, MacAddress, IPv4Address string }

// NetworkCreate is the body of POST /networks/create.
type NetworkCreate struct {
	Name       string
	Driver     string            `json:",omitempty"`
	Internal   bool              `json:",omitempty"`
	Attachable bool              `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`
	Options    map[string]string `json:",omitempty"`
}

// Volume is a volume.
type Volume struct {
	Name       string
	Driver     string
	Mountpoint string
	CreatedAt  time.Time
	Labels     map[string]string
	Options    map[string]string
	Scope      string
}

// VolumeList is the answer of GET /volumes.
type VolumeList struct {
	Volumes  []Volume
	Warnings []string
}

// VolumeCreate is the body of POST /volumes/create.
type VolumeCreate struct {
	Name       string            `json:",omitempty"`
	Driver     string            `json:",omitempty"`
	DriverOpts map[string]string `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`
}

// Version is the answer of GET /version.
type Version struct {
	Version       string
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string
	GitCommit     string
	GoVersion     string
	Os            string
	Arch          string
	KernelVersion string
}

// Info is the answer of GET /info.
type Info struct {
	ID                 string
	Containers         int
	ContainersRunning  int
	ContainersPaused   int
	ContainersStopped  int
	Images             int
	Driver             string
	LoggingDriver      string
	CgroupDriver       string
	CgroupVersion      string
	KernelVersion      string
	OperatingSystem    string
	OSType             string
	Architecture       string
	NCPU               int
	MemTotal           int64
	DockerRootDir      string
	Name               string
	Labels             []string
	ServerVersion      string
	LiveRestoreEnabled bool
	Swarm              struct{ LocalNodeState string }
	RegistryConfig     RegistryConfig
}

// RegistryConfig is what the daemon knows of registries.
type RegistryConfig struct {
	Mirrors []string
}

// ExecCreate is the body of POST /containers/{id}/exec.
type ExecCreate struct {
	AttachStdin, AttachStdout, AttachStderr, Tty bool
	Env, Cmd                                     []string
	User, WorkingDir                             string
}

// ExecInspect is the answer of GET /exec/{id}/json.
type ExecInspect struct {
	ID          string
	Running     bool
	ExitCode    int
	ContainerID string
}

// Error is an answer of the engine that reports a failure.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return "Error response from daemon: " + e.Message }
