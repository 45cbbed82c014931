package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ansible is one playbook of Ansible's for some machines.
type ansible struct {
	l        *lab
	playbook string
	env      []string
	argv     []string
}

// writeAnsible makes playbook, inventory and configuration. vars is for each machine.
func (l *lab) writeAnsible(name, tasks string, servers []*server, far bool, forks int, vars func(i int) string) (*ansible, error) {
	dir, err := l.folder("ansible-" + name)
	if err != nil {
		return nil, err
	}
	var inventory strings.Builder
	for i, s := range servers {
		fmt.Fprintf(&inventory, "m%d ansible_host=127.0.0.1 ansible_port=%d ansible_user=root ansible_ssh_private_key_file=%s ansible_python_interpreter=/usr/bin/python3 %s\n",
			i, s.at(far), l.key, vars(i))
	}
	a := &ansible{l: l, playbook: filepath.Join(dir, "play.yml")}
	config := filepath.Join(dir, "ansible.cfg")
	for file, text := range map[string]string{
		filepath.Join(dir, "inventory"): inventory.String(),
		a.playbook:                      "- hosts: all\n  gather_facts: false\n  tasks:\n" + tasks,
		config: fmt.Sprintf(`[defaults]
forks = %d
host_key_checking = true
retry_files_enabled = false
interpreter_python = /usr/bin/python3
deprecation_warnings = false
[ssh_connection]
pipelining = true
control_path_dir = %s/cp
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=300s -o UserKnownHostsFile=%s -o IdentitiesOnly=yes
`, forks, l.dir, l.known),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	a.env = append(os.Environ(), "ANSIBLE_CONFIG="+config, "ANSIBLE_LOCAL_TEMP="+dir+"/tmp", "LC_ALL=C.UTF-8")
	a.argv = []string{"-i", filepath.Join(dir, "inventory"), a.playbook}
	return a, nil
}

// run plays it; extra are variables.
func (a *ansible) run(ctx context.Context, mitogen bool, extra ...string) error {
	argv := a.argv
	for _, v := range extra {
		argv = append(argv, "-e", v)
	}
	cmd := exec.CommandContext(ctx, "ansible-playbook", argv...)
	cmd.Env = a.env
	if mitogen {
		cmd.Env = append(cmd.Env, "ANSIBLE_STRATEGY=mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS=/usr/lib/python3/dist-packages/ansible_mitogen/plugins/strategy")
	}
	return command(cmd)
}
