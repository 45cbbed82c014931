package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"phoenix-run/secret"
)

func mustLoad(t *testing.T, dir string, options Options) (*Config, []Warning) {
	t.Helper()
	c, warnings, err := Load(dir, options)
	if err != nil {
		t.Fatalf("Load(%s):\n%v", dir, err)
	}
	return c, warnings
}

// tableDefaults is the VM that the guide's table (section 2.2) gives where a file says nothing.
func tableDefaults() VM {
	return VM{
		TemplateName: "ubuntu-22.04-cloud-template-v3", OSType: "l26", CPUSockets: 1, CPUCores: 2, MemoryMB: 4096,
		BootDiskSizeGB: 50, BootDiskStorage: "local-zfs", NetworkBridge: "vmbr0", NetworkModel: "virtio",
		IPConfig: IPConfig{DHCP: true}, SSHUser: "root", Transport: "ssh", Restart: "never",
	}
}

func TestGuideSection4(t *testing.T) {
	c, warnings := mustLoad(t, "../examples/guide", Options{Features: []string{"base_setup", "docker"}, NeedProxmox: true, NeedPortainer: true})
	server, db := tableDefaults(), tableDefaults()
	features := []Feature{{Name: "base_setup"}, {Name: "docker"}}
	server.ID, server.Name, server.Features = 1001, "portainer", features
	server.DockerStacks = []StackUse{{"portainer", "production"}}
	db.ID, db.Name, db.Features = 1002, "qdrant-db", features
	db.DockerStacks = []StackUse{{"qdrant_service", "production"}, {"thinkheads_ai_app", "development"}}
	if diff := cmp.Diff([]VM{server, db}, c.VMs); diff != "" {
		t.Errorf("VMs (-want +got):\n%s", diff)
	}
	env, ok := c.Stacks["thinkheads_ai_app"].Environment("development")
	want := Environment{
		Variables: []Variable{
			{Name: "DATABASE_USER", Value: secret.Literal("dev_user")},
			{Name: "DATABASE_PASS", Value: secret.Literal("DEV_SECRET_PASSWORD"), Secret: true},
			{Name: "API_PORT", Value: secret.Literal("8002")},
		},
		Files: []File{{Source: "persistent-storage/thinkheads_ai/configs/dev.env", Destination: "/app/.env"}},
	}
	if diff := cmp.Diff(want, env); !ok || diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if got := len(c.Files); got != 3+2+3 {
		t.Errorf("%d files read: %v", got, c.Files)
	}
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
		if strings.Contains(w.Message, "SECRET_PASSWORD") {
			t.Errorf("the warning shows the secret: %v", w)
		}
	}
	if len(lines) != 3 || !strings.Contains(lines[0], "phoenix_stacks_config.json:20:49: docker_stacks.thinkheads_ai_app.environments.production.variables[1].value: a secret in plain text") {
		t.Errorf("warnings:\n%s", strings.Join(lines, "\n"))
	}
}

func TestGuideSection2(t *testing.T) {
	c, warnings := mustLoad(t, "../examples/rumpledev", Options{Features: []string{"base_setup", "docker"}})
	want := tableDefaults()
	want.ID, want.Name, want.Description = 1000, "rumpledev", "Development Environment"
	want.Tags = []string{"development", "web-server"}
	want.Features = []Feature{{Name: "base_setup"}, {Name: "docker"}}
	want.DockerStacks = []StackUse{{"portainer", "production"}, {"qdrant", "production"}}
	if diff := cmp.Diff([]VM{want}, c.VMs); diff != "" {
		t.Errorf("VMs (-want +got):\n%s", diff)
	}
	if server, ok := c.PortainerServer(); !ok || server.ID != 1000 {
		t.Errorf("server %v, %v", server.ID, ok)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	if c.Hypervisor.PortainerAPI.User != "admin" || c.Hypervisor.SSH.Port != 22 || c.Hypervisor.SSH.HostKey != "ask" {
		t.Errorf("hypervisor: %+v", c.Hypervisor)
	}
}

func TestSmallExample(t *testing.T) {
	if _, warnings := mustLoad(t, "../examples/small", Options{Features: []string{"base_setup", "docker"}, NeedProxmox: true, NeedPortainer: true}); len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
}

// TestEveryKey reads a configuration that uses every key there is.
func TestEveryKey(t *testing.T) {
	c, warnings := mustLoad(t, "testdata/full", Options{})
	const (
		one = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOA5VTzrLFIm8faVwOGph4Hp+3qiB61GmWso076d47ym one@example"
		two = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG8M66n6kceMSqG97SYm/yV9Xmhtt31tyYqQfUO299T3 two@example"
	)
	app := VM{
		ID: 1003, Name: "app", Description: "made by hand", Tags: []string{"lab"},
		TemplateName: "debian-13", OSType: "l26", CPUSockets: 2, CPUCores: 4, MemoryMB: 8192, BootDiskSizeGB: 20,
		BootDiskStorage: "local-lvm", NetworkBridge: "vmbr1", NetworkModel: "e1000",
		Features: []Feature{{Name: "base_setup"}, {Name: "docker", Options: map[string]any{
			"users": []any{"ops"}, "daemon": map[string]any{"log-opts": map[string]any{"max-size": "10m"}},
			"retries": int64(3), "ratio": 0.5, "none": nil,
		}}},
		DockerStacks: []StackUse{{"shop", "production"}, {"from_git", "testing"}},
		Node:         "pve2", IPConfig: IPConfig{DHCP: true}, Nameserver: "10.0.0.2 10.0.0.3", SSHUser: "ops",
		SSHPublicKeys: []PublicKey{{Key: one}, {File: "keys/team.pub", Key: two + "\n" + one}}, Transport: "agent",
		CloudImage: &CloudImage{URL: "https://cloud.example.net/debian-13.qcow2",
			Checksum: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		DependsOn: []VMRef{{1002, "db"}, {1001, "portainer"}}, StartOnBoot: true, StartupOrder: 5, Restart: "if_needed", Protected: true,
	}
	server := app
	server.ID, server.Name, server.Description, server.Tags = 1001, "portainer", "", []string{}
	server.DockerStacks, server.DependsOn, server.CloudImage = []StackUse{{"portainer", "production"}}, nil, nil
	server.IPConfig = IPConfig{Address: "10.0.0.5/24", Gateway: "10.0.0.1"}
	server.CPUCores, server.StartOnBoot, server.Protected = 1, false, false
	db := app
	db.ID, db.Name, db.Features, db.DockerStacks, db.DependsOn = 1002, "db", []Feature{}, nil, nil
	db.SSHPublicKeys, db.Restart, db.Transport, db.SSHUser, db.Node = []PublicKey{}, "ask", "ssh", "root", "pve1"
	if diff := cmp.Diff([]VM{app, server, db}, c.VMs); diff != "" {
		t.Errorf("VMs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{one, two, one}, c.VMs[0].PublicKeys()); diff != "" {
		t.Errorf("public keys (-want +got):\n%s", diff)
	}

	wantH := Hypervisor{
		Schema:     "../../schema/phoenix_hypervisor_config.schema.json",
		ProxmoxAPI: ProxmoxAPI{URL: "https://pve1.example.net:8006", Node: "pve1", User: "root@pam", Password: secret.FromEnv("PROXMOX_PASSWORD"), CAFile: "ca.pem"},
		SSH:        SSH{User: "admin", PrivateKeyFile: "~/.ssh/id_lab", KnownHostsFile: "known_hosts", Port: 2222, HostKey: "accept-new"},
		PortainerAPI: PortainerAPI{URL: "https://10.0.0.5:9443", User: "boss", Password: secret.FromFile("secrets/portainer"),
			TLSFingerprint: "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"},
		Portainer: Portainer{Version: "2.39.1", ServerImage: "registry.example.net/portainer-ce:2.39.1", AgentImage: "portainer/agent:2.39.1", AgentSecret: secret.Literal("shared-by-all")},
		Settings:  map[string]any{"timezone": "Europe/Berlin", "mirrors": []any{"a", "b"}},
	}
	if diff := cmp.Diff(wantH, c.Hypervisor); diff != "" {
		t.Errorf("hypervisor (-want +got):\n%s", diff)
	}

	env, _ := c.Stacks["shop"].Environment("production")
	wantV := []Variable{
		{Name: "COMMON", Value: secret.Literal("for all")},
		{Name: "LEVEL", Value: secret.Literal("warn")},
		{Name: "PORT", Value: secret.Literal("8080")},
		{Name: "DEBUG", Value: secret.Literal("false")},
		{Name: "FEED_TOKEN", Value: secret.FromEnv("FEED_TOKEN"), Secret: true},
		{Name: "MOTD", Value: secret.FromFile("stacks/motd")},
		{Name: "PIN", Value: secret.Literal("4711"), Secret: true},
		{Name: "DB_PASSWORD", Value: secret.Literal("plain-and-known"), Secret: true},
		{Name: "BUILD_TOKEN", Value: secret.Literal("no secret")},
	}
	if diff := cmp.Diff(wantV, env.Variables); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if text, ok := env.Variables[2].Plain(); text != "8080" || !ok {
		t.Errorf("Plain = %q, %v", text, ok)
	}
	if text, ok := env.Variables[6].Plain(); text != "" || ok {
		t.Errorf("Plain of a secret = %q, %v", text, ok)
	}
	wantFiles := []File{{"stacks/shop.conf", "/etc/shop.conf", "web", "0640"}}
	if diff := cmp.Diff(wantFiles, env.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Expect{{8080, "/health", 204}, {5432, "", 200}}, c.Stacks["shop"].Expect); diff != "" {
		t.Errorf("expect (-want +got):\n%s", diff)
	}
	if git := c.Stacks["from_git_short"].Git; git == nil || git.ComposeFilePath != "docker-compose.yml" {
		t.Errorf("git: %+v", git)
	}
	if env, ok := c.Stacks["from_git_short"].Environment("production"); !ok || len(env.Variables) != 1 {
		t.Errorf("the environment of a stack without environments: %+v, %v", env, ok)
	}
	if _, ok := c.Stacks["from_git_short"].Environment("testing"); ok {
		t.Error("a stack without environments has testing")
	}
	if diff := cmp.Diff([]secret.Value{secret.New("4711"), secret.New("plain-and-known"), secret.New("shared-by-all")}, c.Literals()); diff != "" {
		t.Errorf("literals (-want +got):\n%s", diff)
	}
	var at []string
	for _, w := range warnings {
		at = append(at, w.Path)
	}
	wantAt := []string{
		"portainer.agent_secret",
		"docker_stacks.shop.environments.production.variables[5].value",
		"docker_stacks.shop.environments.production.variables[6].value",
	}
	if diff := cmp.Diff(append(wantAt, "virtual_machines"), append(at, "virtual_machines")); diff != "" {
		t.Errorf("warnings (-want +got):\n%s\n%v", diff, warnings)
	}
}

func TestOverrideComesBeforeWhatMustBeThere(t *testing.T) {
	dir := copyGuide(t)
	write(t, dir, HypervisorFile, `{"proxmox_api": {"node": "pve9"}}`)
	if _, _, err := Load(dir, Options{}); err == nil {
		t.Error("proxmox_api without url is taken")
	}
	c, _ := mustLoad(t, dir, Options{NeedProxmox: true, Override: func(h *Hypervisor) {
		h.ProxmoxAPI.URL, h.ProxmoxAPI.Token = "https://127.0.0.1:1", secret.Literal("root@pam!lab=x")
	}})
	if c.Hypervisor.ProxmoxAPI.Node != "pve9" || c.VMs[0].Node != "pve9" {
		t.Errorf("proxmox_api %+v, node of the first machine %q", c.Hypervisor.ProxmoxAPI, c.VMs[0].Node)
	}
}

func TestHypervisorFileMayBeAbsent(t *testing.T) {
	dir := copyGuide(t)
	if err := os.Remove(filepath.Join(dir, HypervisorFile)); err != nil {
		t.Fatal(err)
	}
	c, _ := mustLoad(t, dir, Options{})
	if got := c.Hypervisor.Portainer.Version; got != DefaultPortainerVersion {
		t.Errorf("Portainer's version is %q by default", got)
	}
	if c.Hypervisor.SSH.User != "root" || !c.Hypervisor.ProxmoxAPI.IsZero() {
		t.Errorf("hypervisor %+v", c.Hypervisor)
	}
	_, _, err := Load(dir, Options{NeedProxmox: true, NeedPortainer: true})
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 2 || !strings.Contains(err.Error(), "proxmox_api is missing") || !strings.Contains(err.Error(), "portainer_api.password is missing") {
		t.Errorf("error %v", err)
	}
}

func TestNoConfiguration(t *testing.T) {
	_, _, err := Load(t.TempDir(), Options{})
	if err == nil || !strings.Contains(err.Error(), "phoenix-run init") {
		t.Errorf("error %v", err)
	}
}

func TestFeatureNamesAreNotCheckedWithoutAList(t *testing.T) {
	dir := copyGuide(t)
	write(t, dir, VMFile, `{"virtual_machines": [{"vm_id": 1001, "vm_name": "a", "features": ["anything"]}]}`)
	mustLoad(t, dir, Options{})
	if _, _, err := Load(dir, Options{Features: []string{}}); err == nil {
		t.Error("a feature is taken although there is none")
	}
}

// copyGuide copies the guide's example to a folder that the test may change.
func copyGuide(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../examples/guide")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
