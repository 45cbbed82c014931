package hosttest

// awkwardShell is a name with what shells stumble over, as awkward writes it in Starlark.
const (
	awkward      = `b"/srv/ a b\t\"c\"'d'\n-e $(x) * \377\376 é"`
	awkwardShell = "f=$(printf '/srv/ a b\\t\"c\"\\047d\\047\\n-e $(x) \\052 \\377\\376 é')\n"
)

var fileCases = []Case{
	{
		Name:     "file",
		Setup:    `mkdir -p /srv; rm -f /srv/greeting`,
		Playbook: `host.file("/srv/greeting", content = "hello\nworld\n", mode = "0640", owner = "daemon", group = "www-data")`,
		Check: `[ "$(stat -c '%a %U:%G %F' /srv/greeting)" = '640 daemon:www-data regular file' ]
[ "$(sha256sum < /srv/greeting)" = "$(printf 'hello\nworld\n' | sha256sum)" ]
[ -z "$(ls -A /srv | grep '^\.phx')" ]`,
	},
	{
		Name:     "file: attributes alone",
		Setup:    `echo x > /srv/attributes; chmod 600 /srv/attributes; touch -d 2001-01-01 /srv/attributes`,
		Playbook: `host.file("/srv/attributes", content = "x\n", mode = "0604")`,
		Check:    `[ "$(stat -c '%a %Y' /srv/attributes)" = "604 $(date -d 2001-01-01 +%s)" ]`,
	},
	{
		Name:     "file: backup and validate",
		Setup:    `echo old > /srv/backed; rm -f /srv/backed.~*`,
		Playbook: `host.file("/srv/backed", content = "new\n", backup = True, validate = "grep -q new %s")`,
		Check:    `[ "$(cat /srv/backed.~*)" = old ]; [ "$(cat /srv/backed)" = new ]`,
	},
	{
		Name:     "file: awkward name and bytes",
		Playbook: `host.file(` + awkward + `, content = b"\000\001\377\n\n")`,
		Check:    awkwardShell + `[ "$(od -An -tx1 "$f" | tr -d ' ')" = 0001ff0a0a ]`,
	},
	{
		Name:     "directory",
		Playbook: `host.directory("/srv/one/two/three", parents = True, mode = "2750", group = "daemon")`,
		Check:    `[ "$(stat -c '%a %U:%G' /srv/one/two/three)" = '2750 root:daemon' ]; [ "$(stat -c %a /srv/one/two)" = 755 ]`,
	},
	{
		Name:     "link",
		Setup:    `ln -sfn /nowhere /srv/link`,
		Playbook: `host.link("/srv/link", "one/two")` + "\n" + `host.link("/srv/a new 'link'", "tar get")`,
		Check:    `[ "$(readlink /srv/link)" = one/two ]; [ "$(readlink "/srv/a new 'link'")" = 'tar get' ]`,
	},
	{
		Name:     "absent",
		Setup:    `mkdir -p '/srv/gone/with it'; touch '/srv/gone/with it/-rf'`,
		Playbook: `host.absent("/srv/gone")`,
		Check:    `[ ! -e /srv/gone ]`,
	},
	{
		Name:     "line",
		Setup:    `printf 'a = 1\nb = 2' > /srv/lines; chmod 600 /srv/lines`,
		Playbook: `host.line("/srv/lines", "a = 3", prefix = "a =")` + "\n" + `host.line("/srv/lines", "c = '4'")` + "\n" + `host.line("/srv/lines", "b = 2", absent = True)`,
		Check:    `[ "$(cat /srv/lines)" = "$(printf "a = 3\nc = '4'")" ]; [ "$(stat -c %a /srv/lines)" = 600 ]`,
	},
	{
		Name:     "block",
		Setup:    `printf 'first\n' > /srv/blocks`,
		Playbook: `host.block("/srv/blocks", "one\ntwo\n")`,
		Check:    `[ "$(cat /srv/blocks)" = "$(printf 'first\n# BEGIN phoenix-run\none\ntwo\n# END phoenix-run')" ]`,
	},
}
