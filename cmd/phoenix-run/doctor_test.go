package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"phoenix-run/lab"
	"phoenix-run/lab/proxmox"
)

// patient is an environment that the doctor looks at: a lab, and a configuration that points to it.
type patient struct {
	seed    *proxmox.Seed
	version proxmox.Version

	info       lab.Info
	token      string
	vm         map[string]any // the one machine of the configuration
	hypervisor map[string]any
}

func (p *patient) api() map[string]any { return p.hypervisor["proxmox_api"].(map[string]any) }
func (p *patient) ssh() map[string]any { return p.hypervisor["ssh"].(map[string]any) }

// without takes privileges away from the token's user, who has all that docs/proxmox.md gives otherwise.
func (p *patient) without(privileges ...string) {
	p.seed.Cluster.Roles["PhoenixRun"] = slices.DeleteFunc(p.seed.Cluster.Roles["PhoenixRun"], func(have string) bool {
		return slices.Contains(privileges, have)
	})
}

// roleOf reads the privileges that docs/proxmox.md gives the role for a generation of Proxmox.
func roleOf(t *testing.T, version proxmox.Version) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/proxmox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(text), "Proxmox VE "+string(version))
	if !ok {
		t.Fatalf("docs/proxmox.md says nothing of Proxmox VE %s", version)
	}
	m := regexp.MustCompile(`pveum role add PhoenixRun --privs "([^"]+)"`).FindStringSubmatch(part)
	if m == nil {
		t.Fatal("docs/proxmox.md does not make the role")
	}
	return strings.Fields(m[1])
}

// TestDoctor breaks an environment in each way that the doctor knows; it must name the fault and the mend.
func TestDoctor(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lab     func(p *patient) // before the lab starts
		config  func(p *patient) // after it
		version proxmox.Version
		want    []string // regular expressions that lines of the output match; nil: no fault
	}{
		{name: "sound"},
		{name: "sound, Proxmox VE 8", version: proxmox.V8},
		{name: "nothing answers", config: func(p *patient) { p.api()["url"] = "https://127.0.0.1:1" },
			want: []string{`FAULT +connection: .*refused`, `mend: check proxmox_api.url, the network, and that pveproxy runs`}},
		{name: "certificate of nobody known", config: func(p *patient) { delete(p.api(), "tls_fingerprint") },
			want: []string{`FAULT +connection: .*certificate`, `mend: compare the fingerprint .* then set proxmox_api.tls_fingerprint`}},
		{name: "another certificate", config: func(p *patient) { p.api()["tls_fingerprint"] = strings.Repeat("AB:", 31) + "AB" },
			want: []string{`FAULT +connection: .*([0-9A-F]{2}:){31}[0-9A-F]{2}`, `mend: compare the fingerprint`}},
		{name: "token is wrong", config: func(p *patient) { p.token = "phoenix@pve!run=0d1e2f3a-0000-4000-8000-000000000000" },
			want: []string{`FAULT +connection: .*401`, `mend: the token is wrong or expired: make a new one`}},
		{name: "token is not set", config: func(p *patient) { p.token = "" },
			want: []string{`FAULT +proxmox_api: .*PROXMOX_TOKEN.* not set`, `mend: set proxmox_api`}},
		{name: "may not make machines", lab: func(p *patient) { p.without("VM.Allocate", "VM.Config.Disk") },
			want: []string{`FAULT +privileges on /vms/1001: missing to make and run web: VM.Allocate VM.Config.Disk`, `mend: pveum role modify PhoenixRun --append 1 --privs "VM.Allocate VM.Config.Disk"`}},
		{name: "may not clone", lab: func(p *patient) { p.without("VM.Clone") },
			want: []string{`FAULT +privileges on /vms/9000: missing to clone the template .*: VM.Clone`}},
		{name: "may not use the guest agent", lab: func(p *patient) { p.without("VM.GuestAgent.Unrestricted") },
			want: []string{`FAULT +privileges on /vms/1001: .*VM.GuestAgent.Unrestricted`}},
		{name: "may not use the guest agent, Proxmox VE 8", version: proxmox.V8, lab: func(p *patient) { p.without("VM.Monitor") },
			want: []string{`FAULT +privileges on /vms/1001: .*VM.Monitor`}},
		{name: "may not use the storage", lab: func(p *patient) { p.without("Datastore.AllocateSpace") },
			want: []string{`FAULT +privileges on /storage/local-zfs: .*Datastore.AllocateSpace`}},
		{name: "may not use the bridge", lab: func(p *patient) { p.without("SDN.Use") },
			want: []string{`FAULT +privileges on /sdn/zones/localnetwork/vmbr0: .*SDN.Use`}},
		{name: "startup order needs more", config: func(p *patient) { p.vm["startup_order"] = 3 },
			want: []string{`FAULT +privileges on /: missing to set the startup_order of web: Sys.Modify`}},
		{name: "token without its user's role", lab: func(p *patient) { p.seed.Cluster.Users[1].Tokens[0].PrivSep = true },
			want: []string{`FAULT +privileges on /vms/1001:`, `a token with privilege separation needs the role itself`}},
		{name: "node is off", lab: func(p *patient) {
			p.seed.Cluster.Nodes = append(p.seed.Cluster.Nodes, &proxmox.Node{Name: "pve2", IP: "192.0.2.11", Offline: true, CPUs: 4, Memory: 8 << 30})
		}, want: []string{`FAULT +node pve2: offline`, `mend: bring it back, or leave its machines out with --limit`}},
		{name: "no such node", config: func(p *patient) { p.vm["node"] = "pve9" },
			want: []string{`FAULT +node pve9: the cluster has no such node`, `mend: correct node of web`}},
		{name: "no such template", config: func(p *patient) { p.vm["template_name"] = "debian" },
			want: []string{`FAULT +template debian: no template of that name \(there are: ubuntu-22.04-cloud-template-v3\)`, `mend: build it, correct template_name, or give a cloud_image`}},
		{name: "nowhere to import an image to", lab: func(p *patient) {
			for _, s := range p.seed.Cluster.Storages {
				s.Content = slices.DeleteFunc(s.Content, func(c string) bool { return c == "import" })
			}
		}, config: func(p *patient) {
			p.vm["template_name"], p.vm["cloud_image"] = "debian", map[string]any{"url": "https://images.example/debian.qcow2"}
		}, want: []string{`FAULT +template debian: .*cloud_image can't be used`, `mend: allow the content type import on a storage of pve`}},
		{name: "may not download images", lab: func(p *patient) { p.without("Sys.AccessNetwork", "Datastore.AllocateTemplate") },
			config: func(p *patient) {
				p.vm["template_name"], p.vm["cloud_image"] = "debian", map[string]any{"url": "https://images.example/debian.qcow2"}
			}, want: []string{`FAULT +privileges on /nodes/pve: .*Sys.AccessNetwork`, `FAULT +privileges on /storage/local: .*Datastore.AllocateTemplate`}},
		{name: "no such storage", config: func(p *patient) { p.vm["boot_disk_storage"] = "ceph" },
			want: []string{`FAULT +storage ceph on pve: there is no such storage`, `mend: correct boot_disk_storage, or enable the storage`}},
		{name: "storage that takes no disks", config: func(p *patient) { p.vm["boot_disk_storage"] = "local" },
			want: []string{`FAULT +storage local on pve: it takes no disk images`, `mend: allow the content type images for it`}},
		{name: "storage is disabled", lab: func(p *patient) { p.seed.Cluster.Storages[2].Disabled = true },
			config: func(p *patient) { p.vm["boot_disk_storage"] = "local-lvm" },
			want:   []string{`FAULT +storage local-lvm on pve: (it is not active|there is no such storage)`}},
		{name: "no such bridge", config: func(p *patient) { p.vm["network_bridge"] = "vmbr7" },
			want: []string{`FAULT +bridge vmbr7 on pve: there is no such bridge \(there are: vmbr0\)`, `mend: correct network_bridge, or make the bridge`}},
		{name: "id of a template", config: func(p *patient) { p.vm["vm_id"] = 9000 },
			want: []string{`FAULT +vm_id 9000: a template called ubuntu-22.04-cloud-template-v3 on pve has it`, `mend: give web another vm_id`}},
		{name: "no SSH key", config: func(p *patient) { delete(p.ssh(), "private_key_file") },
			want: []string{`FAULT +ssh key: no key is configured`, `mend: set ssh.private_key_file, or ssh.agent`}},
		{name: "SSH key is missing", config: func(p *patient) { p.ssh()["private_key_file"] = "nowhere" },
			want: []string{`FAULT +ssh key: open nowhere: no such file`, `mend: set ssh.private_key_file`}},
		{name: "SSH key is none", config: func(p *patient) { p.ssh()["private_key_file"] = "phoenix_vm_configs.json" },
			want: []string{`FAULT +ssh key: `, `mend: set ssh.private_key_file`}},
		{name: "no SSH agent", config: func(p *patient) { delete(p.ssh(), "private_key_file"); p.ssh()["agent"] = true },
			want: []string{`FAULT +ssh key: ssh.agent is true, but no agent runs`, `mend: start one: eval`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &patient{seed: proxmox.DefaultSeed("secret-of-the-lab", "6f9d7a04-5a77-4d0f-9f3e-1f2b3c4d5e6f"), version: tt.version}
			if p.version == "" {
				p.version = proxmox.V9
			}
			p.seed.Cluster.Roles = map[string][]string{"PhoenixRun": roleOf(t, p.version)}
			p.seed.Cluster.ACL = []proxmox.ACL{{Path: "/", Subject: "phoenix@pve", Role: "PhoenixRun"}}
			if tt.lab != nil {
				tt.lab(p)
			}
			l, err := lab.Start(t.Context(), lab.Options{Dir: t.TempDir(), Version: p.version, Seed: p.seed})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}()
			p.info, p.token = l.Info(), l.Info().Token
			p.vm = map[string]any{"vm_id": 1001, "vm_name": "web"}
			p.hypervisor = map[string]any{
				"proxmox_api": map[string]any{"url": p.info.URL, "token": map[string]any{"env": "PROXMOX_TOKEN"}, "tls_fingerprint": p.info.Fingerprint},
				"ssh":         map[string]any{"private_key_file": p.info.SSHKeyFile, "port": p.info.SSHPort},
			}
			if tt.config != nil {
				tt.config(p)
			}
			out, code := p.doctor(t)
			if want := 1; len(tt.want) > 0 && code != want && code != exitUsage || len(tt.want) == 0 && code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if len(tt.want) == 0 && strings.Contains(out, "FAULT") {
				t.Error("a fault in a sound environment")
			}
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("no line matches %s", want)
				}
			}
			if strings.Contains(out, p.token) && p.token != "" {
				t.Error("the token is shown")
			}
			if t.Failed() {
				t.Logf("the doctor said:\n%s", out)
			}
		})
	}
}

// doctor writes the configuration, runs the program on it, and gives what it said and its exit code.
func (p *patient) doctor(t *testing.T) (string, int) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]any{
		"phoenix_vm_configs.json":        map[string]any{"virtual_machines": []any{p.vm}},
		"phoenix_stacks_config.json":     map[string]any{"docker_stacks": map[string]any{}},
		"phoenix_hypervisor_config.json": p.hypervisor,
	} {
		text, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program(t), "doctor")
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "SSH_AUTH_SOCK=") }), "PROXMOX_TOKEN="+p.token)
	if p.token == "" {
		cmd.Env = slices.DeleteFunc(cmd.Env, func(e string) bool { return strings.HasPrefix(e, "PROXMOX_TOKEN=") })
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
