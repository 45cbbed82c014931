package config

import (
	"encoding/pem"

	"phoenix-run/secret"
)

// checkHypervisor holds the rules about what must be there to reach Proxmox and Portainer. It looks
// at the values and not at the file: the caller may have put others in.
func (l *loader) checkHypervisor() {
	h := &l.config.Hypervisor
	api := l.hypervisorRoot.get("proxmox_api")
	at := api.or(l.hypervisorRoot).or(l.hypervisorFile)
	p := h.ProxmoxAPI
	switch {
	case api != nil && api.kind != kindObject: // reported already
	case p.IsZero() && api == nil && l.options.NeedProxmox:
		l.report.fault(at, `proxmox_api is missing: {"url": "https://HOST:8006", "token": {"env": "PROXMOX_TOKEN"}} says where Proxmox is`)
	case p.IsZero() && api != nil && api.get("url") == nil:
		l.report.fault(at, "url is missing: the API's address, such as https://pve1.example.net:8006")
	case !p.IsZero():
		l.checkCredentials(p, api, at)
	}
	l.checkTLS(api, p.CAFile, p.TLSFingerprint)

	papi := l.hypervisorRoot.get("portainer_api")
	l.checkTLS(papi, h.PortainerAPI.CAFile, h.PortainerAPI.TLSFingerprint)
	stacks := false
	for _, vm := range l.config.VMs {
		stacks = stacks || len(vm.DockerStacks) > 0
	}
	if l.options.NeedPortainer && stacks && h.PortainerAPI.Password.IsZero() && papi.get("password") == nil {
		l.report.fault(papi.or(l.hypervisorRoot).or(l.hypervisorFile),
			`portainer_api.password is missing: {"password": {"env": "PORTAINER_PASSWORD"}} says where it is`)
	}
	l.checkPortainerPassword(papi.get("password"), h.PortainerAPI.Password)
	if _, server := l.config.PortainerServer(); stacks && !server && h.PortainerAPI.URL == "" {
		l.report.warn(l.vmRoot.get("virtual_machines").or(l.vmFile),
			"no machine has the stack portainer and portainer_api.url is not set: nothing can deploy the other stacks")
	}
}

// checkCredentials wants either a token or a user with a password.
func (l *loader) checkCredentials(p ProxmoxAPI, api, at *node) {
	token, user, password := !p.Token.IsZero(), p.User != "", !p.Password.IsZero()
	broken := api != nil && (api.get("token") != nil && !token || api.get("password") != nil && !password) // reported already
	switch {
	case token && (user || password):
		l.report.fault(api.get("token").or(at), "token and user with password exclude each other; keep one of them")
	case token || user && password || broken:
	case user:
		l.report.fault(at, "password is missing for the user %s", p.User)
	case password:
		l.report.fault(at, "user is missing: as name@realm, such as root@pam")
	default:
		l.report.fault(at, `token is missing: an API token as user@realm!name=uuid (or user and password)`)
	}
}

// checkTLS wants one way at most to know a server by, and a CA file that holds a certificate.
func (l *loader) checkTLS(api *node, caFile, fingerprint string) {
	if caFile != "" && fingerprint != "" {
		l.report.fault(api.get("tls_fingerprint").or(l.hypervisorFile), "ca_file and tls_fingerprint exclude each other; keep one of them")
	}
	if caFile == "" {
		return
	}
	at := api.get("ca_file").or(l.hypervisorFile)
	data, err := l.input(caFile)
	if err != nil {
		l.report.fault(at, "%q can't be read: %v (looked at %s)", caFile, err, locate(l.dir, caFile))
		return
	}
	if block, _ := pem.Decode(data); block == nil || block.Type != "CERTIFICATE" {
		l.report.fault(at, "%q holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", caFile)
	}
}

// minPortainerPassword is what Portainer demands unless its settings say otherwise.
const minPortainerPassword = 12

func (l *loader) checkPortainerPassword(at *node, ref secret.Ref) {
	if literal, plain := ref.Literal(); plain && at != nil && len(literal.Reveal()) < minPortainerPassword {
		l.report.fault(at, "the password has fewer than %d characters; Portainer refuses it", minPortainerPassword)
	}
}
