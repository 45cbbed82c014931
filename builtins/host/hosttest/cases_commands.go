package hosttest

var commandCases = []Case{
	{
		Name:     "command: creates",
		Setup:    `rm -f /srv/made`,
		Playbook: `host.command(["touch", "/srv/made"], creates = "/srv/made")`,
		Check:    `[ -e /srv/made ]`,
	},
	{
		Name:     "command: repeats",
		Playbook: `host.command("echo x >> /srv/often", changes = ["/srv/often"])`,
		Check:    `[ -s /srv/often ]`,
		Repeats:  true,
	},
	{
		Name:     "script",
		Setup:    `rm -f /srv/scripted`,
		Playbook: `host.script("set -e\ncd /srv\necho \"it's\" > scripted\n", unless = "test -e /srv/scripted")`,
		Check:    `[ "$(cat /srv/scripted)" = "it's" ]`,
	},
	{
		Name:     "sysctl", // of the namespace alone
		Setup:    `mount -o remount,rw,bind /proc/sys 2>/dev/null || :`,
		Playbook: `host.sysctl("kernel.domainname", "phx.example")`,
		Check:    `[ "$(sysctl -n kernel.domainname)" = phx.example ]; grep -q phx.example /etc/sysctl.d/*`,
	},
	{
		Name:     "timezone",
		Setup:    `ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime`,
		Playbook: `host.timezone("Europe/Zurich")`,
		Check:    `[ "$(readlink -f /etc/localtime)" = "$(readlink -f /usr/share/zoneinfo/Europe/Zurich)" ]; [ "$(cat /etc/timezone)" = Europe/Zurich ]`,
	},
	{
		Name:     "hostname",
		Playbook: `host.hostname("phx-machine")`,
		Check:    `[ "$(cat /etc/hostname)" = phx-machine ]; [ "$(uname -n)" = phx-machine ]`,
	},
}
