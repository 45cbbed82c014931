package hosttest

// archive makes a package archive of our own on the machine: two versions of phx-hello, and phx-world.
const archive = `
mkdir -p /srv/archive /etc/apt/sources.list.d
cd /srv/archive
if [ ! -e Packages ]; then
	for p in phx-hello_1.0 phx-hello_2.0 phx-world_1.0; do
		d=$(mktemp -d); mkdir -p $d/DEBIAN $d/usr/share/$p
		printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: for tests\n' "${p%_*}" "${p#*_}" > $d/DEBIAN/control
		chmod 755 $d; dpkg-deb --root-owner-group -b $d $p.deb
		{ dpkg-deb -f $p.deb; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $p.deb "$(stat -c %s $p.deb)" "$(sha256sum < $p.deb | cut -c1-64)"; } >> Packages
	done
fi
echo 'deb [trusted=yes] file:/srv/archive ./' > /etc/apt/sources.list.d/phx-test.list
`

var packageCases = []Case{
	{
		Name:     "package: present",
		Setup:    archive,
		Playbook: `host.package(["phx-hello=1.0", "phx-world"])`,
		Check:    `[ "$(dpkg-query -W -f '${db:Status-Status} ${Version} ' phx-hello phx-world)" = 'installed 1.0 installed 1.0 ' ]`,
		Changes:  1,
	},
	{
		Name:     "package: latest",
		Playbook: `host.package("phx-hello", state = "latest")`,
		Check:    `[ "$(dpkg-query -W -f '${Version}' phx-hello)" = 2.0 ]`,
	},
	{
		Name: "package: locked", // the lists' lock first, and then dpkg's
		Setup: archive + `apt-get update -qq; dpkg --purge phx-world
cat > /tmp/lock.pl <<'END'
use Fcntl;
for my $file ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend") {
	open(my $f, ">>", $file) or die;
	my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
	fcntl($f, F_SETLKW, $lock) or die "$!";
	push @all, $f;
}
open(my $ready, ">", "/tmp/locked");
# Until an apt-get has come and gone: it was refused, however slow the machine is.
alarm 600;
while (! -e "/tmp/refused") { select(undef, undef, undef, 0.1) }
END
printf '#!/bin/sh\n/usr/bin/apt-get "$@"; c=$?; : > /tmp/refused; exit $c\n' > /usr/local/bin/apt-get; chmod 755 /usr/local/bin/apt-get
rm -f /tmp/locked /tmp/refused
nohup perl /tmp/lock.pl >/dev/null 2>&1 </dev/null &
for i in $(seq 600); do [ -e /tmp/locked ] && break; sleep 0.1; done; [ -e /tmp/locked ]`,
		Playbook: `host.package("phx-world")`,
		Check:    `dpkg -s phx-world; rm -f /usr/local/bin/apt-get`,
		Says:     "waiting, since",
	},
	{
		Name:     "package: absent",
		Playbook: `host.package(["phx-hello", "phx-world"], state = "absent")`,
		Check:    `! dpkg -s phx-hello; ! dpkg -s phx-world`,
	},
}
