package hosttest

// makeAuthority makes a certificate, and makeRepository a repository with two commits.
const (
	makeAuthority = `cd /srv; [ -e ca.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=phx test'`

	makeRepository = `
if [ ! -e /srv/repo ]; then
	git init -q -b main /srv/repo; cd /srv/repo; git config user.email a@b; git config user.name n
	echo 1 > f; git add f; git commit -qm 1; git tag -a v1 -m v1; echo 2 > f; git commit -qam 2
fi
`
)

// Cases of operations that write one file each, and what takes effect by it.
var configCases = []Case{
	{
		Name:     "file: source",
		Files:    map[string]string{"files/motd": "from the project\n"},
		Playbook: `host.file("/srv/motd", source = "//files/motd")` + "\n" + `host.file("/srv/motd2", source = "files/motd")`,
		Check:    `[ "$(cat /srv/motd /srv/motd2)" = "$(printf 'from the project\nfrom the project')" ]`,
		Changes:  2,
	},
	{
		Name:     "template",
		Files:    map[string]string{"app.conf": "{{ range .ports }}listen {{ . }}\n{{ end }}name '{{ .name }}'\n"},
		Playbook: `host.template("/srv/app.conf", source = "app.conf", vars = {"ports": [80, 443], "name": "it's"}, mode = "0600")`,
		Check:    `[ "$(cat /srv/app.conf)" = "$(printf "listen 80\nlisten 443\nname 'it's'")" ]; [ "$(stat -c %a /srv/app.conf)" = 600 ]`,
	},
	{
		Name:     "sudoers",
		Setup:    `mkdir -p /etc/sudoers.d`,
		Playbook: `host.sudoers("phx", "daemon ALL=(ALL) NOPASSWD: /bin/true")`,
		Check:    `[ "$(stat -c '%a %U' /etc/sudoers.d/phx)" = '440 root' ]; visudo -c; sudo -l -U daemon | grep -q '/bin/true'`,
	},
	{
		Name:     "cron",
		Setup:    `mkdir -p /etc/cron.d`,
		Playbook: `host.cron("phx", "date +%s >> /srv/dates", schedule = "*/5 3 * * 1-5", user = "daemon", env = {"MAILTO": ""})`,
		Check:    `grep -qxF '*/5 3 * * 1-5 daemon date +\%s >> /srv/dates' /etc/cron.d/phx; grep -qxF 'MAILTO=""' /etc/cron.d/phx`,
	},
	{
		Name:     "hosts_entry",
		Setup:    `printf '127.0.0.1 localhost\n10.9.9.1 db other # both\n' > /etc/hosts`,
		Playbook: `host.hosts_entry("10.9.9.2", ["db.phx.example", "db"])`,
		Check:    `[ "$(getent ahostsv4 db | awk 'NR == 1 { print $1 }')" = 10.9.9.2 ]; [ "$(getent ahostsv4 other | awk 'NR == 1 { print $1 }')" = 10.9.9.1 ]`,
	},
	{
		Name:     "systemd_unit: file",
		Playbook: `host.systemd_unit("phx-file.timer", content = "[Timer]\nOnCalendar=daily\n")` + "\n" + `host.systemd_unit("phx-file.service.d/limits.conf", content = "[Service]\nNice=5\n")`,
		Check:    `grep -q OnCalendar=daily /etc/systemd/system/phx-file.timer; grep -q Nice=5 /etc/systemd/system/phx-file.service.d/limits.conf`,
		Changes:  3,
	},
	{
		Name:     "systemd_unit: running",
		Playbook: `host.systemd_unit("phx-run.service", content = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n", running = True, enabled = True)`,
		Check:    `systemctl is-active phx-run; systemctl is-enabled phx-run`,
		Needs:    []Need{Systemd},
	},
	{
		Name:     "service: stopped and masked",
		Playbook: `host.service("phx-run", running = False, enabled = False)`,
		Check:    `! systemctl is-active phx-run; ! systemctl is-enabled phx-run`,
		Needs:    []Need{Systemd},
	},
	{
		Name:     "systemd_unit: absent",
		Playbook: `host.systemd_unit("phx-run.service", state = "absent")`,
		Check:    `! systemctl cat phx-run.service`,
		Needs:    []Need{Systemd},
	},
	{
		Name: "certificate_authority",
		Setup: makeAuthority + `
rm -f /usr/local/share/ca-certificates/phx-ca.crt`,
		Playbook: `host.certificate_authority("phx-ca", host.command("cat /srv/ca.pem", read_only = True).stdout)`,
		Check:    `openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt /srv/ca.pem; ls -l /etc/ssl/certs | grep -q phx-ca`,
	},
	{
		Name:     "certificate_authority: absent",
		Playbook: `host.certificate_authority("phx-ca", state = "absent")`,
		Check:    `! openssl verify -no-CApath -CAfile /etc/ssl/certs/ca-certificates.crt /srv/ca.pem`,
	},
	{
		Name: "apt_repository",
		Setup: archive + `rm -f /etc/apt/sources.list.d/phx-test.list
export GNUPGHOME=/srv/gnupg; mkdir -p -m 700 $GNUPGHOME
if [ ! -e /srv/signed ]; then
	gpg --batch --quiet --passphrase '' --quick-gen-key phx@example.org ed25519 sign
	gpg --armor --export phx@example.org > /srv/key.asc
	cp -r /srv/archive /srv/signed; cd /srv/signed
	printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" "$(sha256sum < Packages | cut -c1-64)" "$(stat -c %s Packages)" > Release
	gpg --batch --yes --clearsign -o InRelease Release; rm Release
	gpgconf --kill all
fi`,
		Playbook: `host.apt_repository("phx", url = "file:/srv/signed", suites = "./", key = host.command("cat /srv/key.asc", read_only = True).stdout)
host.package("phx-world")`,
		Check:   `apt-cache policy phx-world | grep -q 'file:/srv/signed'; dpkg -s phx-world`,
		Changes: 2,
	},
	{
		Name:     "apt_repository: absent",
		Playbook: `host.apt_repository("phx", state = "absent")` + "\n" + `host.package("phx-world", state = "absent")`,
		Check:    `[ ! -e /etc/apt/sources.list.d/phx.sources ]; ! dpkg -s phx-world`,
		Changes:  2,
	},
	{
		Name:     "locale",
		Playbook: `host.locale("de_CH.UTF-8")`,
		Check:    `locale -a | grep -qi 'de_CH.utf8'; grep -qx LANG=de_CH.UTF-8 /etc/default/locale`,
	},
	{
		Name:     "mount",
		Playbook: `host.mount("/srv/a mount", source = "tmpfs", fstype = "tmpfs", options = "size=1m")`,
		Check:    `[ "$(findmnt -no FSTYPE '/srv/a mount')" = tmpfs ]; grep -qF 'tmpfs /srv/a\040mount tmpfs size=1m 0 0' /etc/fstab`,
	},
	{
		Name:     "mount: other options",
		Playbook: `host.mount("/srv/a mount", source = "tmpfs", fstype = "tmpfs", options = "size=2m")`,
		Check:    `findmnt -no OPTIONS '/srv/a mount' | grep -q size=2048k; [ "$(grep -c mount /etc/fstab)" = 1 ]`,
	},
	{
		Name:     "mount: absent",
		Playbook: `host.mount("/srv/a mount", state = "absent")`,
		Check:    `! mountpoint '/srv/a mount'; ! grep -q mount /etc/fstab`,
	},
	{
		Name:     "kernel_module",
		Playbook: `host.kernel_module("dummy", options = "numdummies=0")`,
		Check:    `grep -q '^dummy ' /proc/modules; cat /etc/modules-load.d/* | grep -qx dummy`,
		Needs:    []Need{Kernel},
	},
	{
		Name:     "swap",
		Playbook: `host.swap("64M")`,
		Check:    `grep -q '^/swapfile ' /proc/swaps; grep -q '^/swapfile none swap' /etc/fstab; [ "$(stat -c '%a %s' /swapfile)" = "600 67108864" ]`,
		Needs:    []Need{Kernel},
	},
	{
		Name:     "swap: absent",
		Playbook: `host.swap(state = "absent")`,
		Check:    `! grep -q '^/swapfile ' /proc/swaps; [ ! -e /swapfile ]; ! grep -q swapfile /etc/fstab`,
		Needs:    []Need{Kernel},
	},
}

// Cases of whole trees, and of what comes from elsewhere.
var treeCases = []Case{
	{
		Name:     "push",
		Files:    map[string]string{"site/index.html": "<p>", "site/sub/a b'c\n\xff": "odd\x00\xff", "site/x.tmp": "left out"},
		Setup:    `rm -rf /srv/site; mkdir -p /srv/site; echo old > /srv/site/old; echo keep > /srv/site/kept.tmp`,
		Playbook: `host.push("//site", "/srv/site", delete = True, exclude = ["*.tmp"], owner = "daemon", file_mode = "0640")`,
		Check: `cd /srv/site; [ ! -e old ]; [ -e kept.tmp ]; [ ! -e x.tmp ]; [ "$(stat -c '%a %U' index.html)" = '640 daemon' ]
[ "$(od -An -tx1 sub/a* | tr -d ' ')" = 6f646400ff ]; [ "$(ls sub | od -An -tx1 | tr -d ' \n')" = "$(printf "a b'c\n\377\n" | od -An -tx1 | tr -d ' \n')" ]`,
		Changes: 1,
	},
	{
		Name:     "push: into what was planned",
		Files:    map[string]string{"one": "1\n", "dir/two": "2\n"},
		Setup:    `rm -rf /srv/planned`,
		Playbook: `host.directory("/srv/planned")` + "\n" + `host.push("dir", "/srv/planned")` + "\n" + `host.push("one", "/srv/planned/one")` + "\n" + `host.file("/srv/planned/three", content = "3\n")`,
		Check:    `[ "$(cat /srv/planned/one /srv/planned/two /srv/planned/three)" = "$(printf '1\n2\n3')" ]`,
		Changes:  4,
	},
	{
		Name:     "fetch",
		Setup:    `printf '\000\377 bytes' > '/srv/to fetch'`,
		Playbook: `host.fetch("/srv/to fetch", "fetched/it")`,
	},
	{
		Name:     "download",
		Setup:    `printf 'downloaded' > '/srv/download-me'; rm -f /srv/downloaded`,
		Playbook: `host.download("file:///srv/download-me", "/srv/downloaded", sha256 = "b7a8a844a613be796bc1892dc480f9d92c50d32a5713a87758e5c5addc4ec814", mode = "0755")`,
		Check:    `[ "$(cat /srv/downloaded)" = downloaded ]; [ "$(stat -c %a /srv/downloaded)" = 755 ]`,
	},
	{
		Name:     "download: no checksum",
		Setup:    `rm -f /srv/downloaded2`,
		Playbook: `host.download("file:///srv/download-me", "/srv/downloaded2")`,
		Check:    `cmp /srv/download-me /srv/downloaded2`,
	},
	{
		Name:     "git: branch",
		Setup:    makeRepository,
		Playbook: `host.git("/srv/repo", "/srv/checked out", version = "main")`,
		Check:    `cd '/srv/checked out'; [ "$(cat f)" = 2 ]; [ "$(git rev-parse HEAD)" = "$(git -C /srv/repo rev-parse main)" ]`,
	},
	{
		Name:     "git: tag",
		Playbook: `host.git("/srv/repo", "/srv/checked out", version = "v1")`,
		Check:    `cd '/srv/checked out'; [ "$(cat f)" = 1 ]`,
	},
	{
		Name:     "git: changed by hand",
		Setup:    `echo mine > '/srv/checked out/f'`,
		Playbook: `host.git("/srv/repo", "/srv/checked out", version = "v1", force = True)`,
		Check:    `[ "$(cat '/srv/checked out/f')" = 1 ]`,
	},
	{
		Name:     "archive: tar",
		Setup:    `rm -rf /srv/unpacked; cd /srv; mkdir -p 'app-1.0/sub dir'; echo a > app-1.0/a; printf '\377' > 'app-1.0/sub dir/b'; tar czf app.tar.gz app-1.0`,
		Playbook: `host.archive("/srv/app.tar.gz", "/srv/unpacked", strip = 1, owner = "daemon")`,
		Check:    `cmp '/srv/app-1.0/sub dir/b' '/srv/unpacked/sub dir/b'; [ "$(stat -c %U /srv/unpacked/a)" = daemon ]`,
	},
	{
		Name:     "archive: changed",
		Setup:    `echo other > /srv/unpacked/a; echo more > /srv/unpacked/more`,
		Playbook: `host.archive("/srv/app.tar.gz", "/srv/unpacked", strip = 1)`,
		Check:    `[ "$(cat /srv/unpacked/a)" = a ]; [ -e /srv/unpacked/more ]`,
	},
	{
		Name:     "reboot",
		Playbook: `host.reboot()`,
		Check:    `[ "$(cut -d. -f1 /proc/uptime)" -lt 3600 ]`,
		Needs:    []Need{Systemd, Kernel},
		Repeats:  true,
	},
}
