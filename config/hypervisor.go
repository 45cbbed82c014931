package config

import "phoenix-run/secret"

// DefaultPortainerVersion is the newest long-term release of Portainer that this program was made
// for; server and agent take it unless the configuration names another.
const DefaultPortainerVersion = "2.45.0"

// Hypervisor is phoenix_hypervisor_config.json: how to reach Proxmox, the VMs and Portainer.
type Hypervisor struct {
	Schema       string         `json:"$schema" doc:"Where an editor finds the JSON Schema of this file."`
	ProxmoxAPI   ProxmoxAPI     `json:"proxmox_api" doc:"The Proxmox VE API."`
	SSH          SSH            `json:"ssh" doc:"How to log in to the VMs."`
	PortainerAPI PortainerAPI   `json:"portainer_api" doc:"The Portainer API and its credentials."`
	Portainer    Portainer      `json:"portainer" doc:"What is installed as Portainer."`
	Settings     map[string]any `json:"settings" doc:"Settings of your own, for playbooks and features to read."`
}

// ProxmoxAPI says where the Proxmox VE API is and who asks. Either Token is set, or User and
// Password.
type ProxmoxAPI struct {
	URL            string     `json:"url" format:"https-url" doc:"The API's address, such as https://pve1.example.net:8006."`
	Node           string     `json:"node" format:"node" doc:"The node for VMs that name none. Without it, the node that answers."`
	Token          secret.Ref `json:"token" doc:"An API token, as user@realm!name=uuid."`
	User           string     `json:"user" format:"proxmox-user" doc:"A user, as name@realm, instead of a token."`
	Password       secret.Ref `json:"password" doc:"That user's password."`
	CAFile         string     `json:"ca_file" format:"path" doc:"The file with the CA certificate (PEM) that signed the API's. Without it, the system's CAs."`
	TLSFingerprint string     `json:"tls_fingerprint" format:"fingerprint" doc:"The SHA-256 fingerprint of the API's own certificate, instead of a CA."`
}

// SSH says how to log in to the VMs.
type SSH struct {
	User           string     `json:"user" default:"root" format:"user" doc:"The user for VMs that name none."`
	PrivateKeyFile string     `json:"private_key_file" format:"path" doc:"The private key to log in with, such as ~/.ssh/id_ed25519."`
	Agent          bool       `json:"agent" default:"false" doc:"Whether to use the keys of the SSH agent."`
	KnownHostsFile string     `json:"known_hosts_file" default:"~/.ssh/known_hosts" format:"path" doc:"The file with the host keys that are known."`
	Port           int        `json:"port" default:"22" min:"1" max:"65535" doc:"The port of the VMs' SSH servers."`
	Passphrase     secret.Ref `json:"passphrase" doc:"The private key's passphrase, if it has one."`
	SudoPassword   secret.Ref `json:"sudo_password" doc:"The password that sudo asks for on VMs whose user is not root. It goes over sudo's standard input."`
	HostKey        string     `json:"host_key" default:"ask" enum:"refuse,ask,accept-new" doc:"What to do about a host whose key is not known yet: refuse it, ask on a terminal (else refuse), or take it. A key that has changed is always refused."`
}

// PortainerAPI says where the Portainer API is and who asks.
type PortainerAPI struct {
	URL            string     `json:"url" format:"https-url" doc:"The API's address. Without it, port 9443 of the VM with the stack portainer."`
	User           string     `json:"user" default:"admin" format:"not-empty" doc:"The administrator."`
	Password       secret.Ref `json:"password" doc:"The administrator's password, at least 12 characters; a new server is set up with it."`
	CAFile         string     `json:"ca_file" format:"path" doc:"The file with the CA certificate (PEM) that signed the API's."`
	TLSFingerprint string     `json:"tls_fingerprint" format:"fingerprint" doc:"The SHA-256 fingerprint of the API's own certificate, instead of a CA."`
}

// Portainer says what is installed as Portainer. After Load both images are set.
type Portainer struct {
	Version     string     `json:"version" default:"2.45.0" format:"version" doc:"The version of server and agent."`
	ServerImage string     `json:"server_image" format:"not-empty" doc:"The server's image. Without it, portainer/portainer-ce in that version."`
	AgentImage  string     `json:"agent_image" format:"not-empty" doc:"The agents' image. Without it, portainer/agent in that version."`
	AgentSecret secret.Ref `json:"agent_secret" doc:"A secret shared by server and agents, so that any server that knows it can use the agents."`
}

// IsZero reports whether nothing says where the API is.
func (p ProxmoxAPI) IsZero() bool { return p.URL == "" }
