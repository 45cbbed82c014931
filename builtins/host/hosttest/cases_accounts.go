package hosttest

var accountCases = []Case{
	{
		Name:     "group",
		Playbook: `host.group("phxgroup")`,
		Check:    `getent group phxgroup`,
	},
	{
		Name:     "user",
		Playbook: `host.user("phxuser", groups = ["phxgroup", "daemon"], shell = "/bin/sh", comment = "A User")`,
		Check: `getent passwd phxuser | grep -q ':A User:/home/phxuser:/bin/sh$'
id -nG phxuser | grep -qw phxgroup; id -nG phxuser | grep -qw daemon; [ "$(stat -c %U /home/phxuser)" = phxuser ]`,
	},
	{
		Name:     "authorized_key",
		Playbook: `host.authorized_key("phxuser", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000a me@there")`,
		Check:    `grep -q me@there /home/phxuser/.ssh/authorized_keys; [ "$(stat -c '%a %U' /home/phxuser/.ssh /home/phxuser/.ssh/authorized_keys)" = "$(printf '700 phxuser\n600 phxuser')" ]`,
	},
	{
		Name:     "user: absent",
		Playbook: `host.user("phxuser", state = "absent")` + "\n" + `host.group("phxgroup", state = "absent")`,
		Check:    `! getent passwd phxuser; ! getent group phxgroup`,
		Changes:  2,
	},
}
