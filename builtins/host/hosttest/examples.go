package hosttest

import "phoenix-run/builtins/host"

// givens are what the examples of the reference take for granted, by the method.
var givens = map[string]Case{
	"file":                  {Files: map[string]string{"files/app.conf": "a = 1\n"}},
	"directory":             {Setup: `mkdir -p /srv`},
	"line":                  {Setup: `touch /etc/environment`},
	"block":                 {Setup: `touch /etc/hosts`},
	"absent":                {Setup: `mkdir -p /etc/cron.d; touch /etc/cron.d/old`},
	"push":                  {Files: map[string]string{"site/index.html": "<p>\n"}, Setup: `rm -rf /srv/site`},
	"fetch":                 {Setup: `echo 0123456789abcdef0123456789abcdef > /etc/machine-id`},
	"archive":               {Setup: `mkdir -p /tmp/app-1.2; echo a > /tmp/app-1.2/a; tar -C /tmp -czf /var/cache/app-1.2.tar.gz app-1.2`},
	"certificate_authority": {Playbook: "CA = host.command(\"cat /srv/ca.pem\", read_only = True).stdout\n", Setup: makeAuthority},
	"apt_repository":        {Playbook: "KEY = \"-----BEGIN PGP PUBLIC KEY BLOCK-----\\n\\nAAAA\\n-----END PGP PUBLIC KEY BLOCK-----\\n\"\n"},
	"git": {Setup: makeRepository + `git -C /srv/repo tag -f v1.2
git config --system url./srv/repo.insteadOf https://example.org/app.git`},
	// There is no web here: what the example asks it for lies on the disk.
	"download": {Playbook: "SHA256 = \"" + "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92" + "\"\n",
		Setup: `mkdir -p /srv/web; printf 123456 > /srv/web/app-1.2
printf '#!/bin/sh\nsed "s|https://example.org|file:///srv/web|" | /usr/bin/curl "$@"\n' > /usr/local/bin/curl; chmod 755 /usr/local/bin/curl`},
	"package":       {Setup: archive, Idle: true},
	"sudoers":       {Setup: `mkdir -p /etc/sudoers.d`},
	"user":          {Setup: `getent group docker || groupadd docker`},
	"command":       {Repeats: true, Idle: true},
	"script":        {Setup: `rm -f /usr/local/bin/app; printf 'all:\ninstall:\n\ttouch /usr/local/bin/app\n' > /Makefile`},
	"wait_for":      {Idle: true, Setup: `nohup perl -MIO::Socket -e '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 9443, Listen => 1); sleep 120' >/dev/null 2>&1 </dev/null &`},
	"facts":         {Idle: true},
	"reconnect":     {Idle: true},
	"service":       {Needs: []Need{Systemd, Docker}, Idle: true},
	"systemd_unit":  {Needs: []Need{Systemd}},
	"on_change":     {Needs: []Need{Systemd}, Late: true, Setup: `systemctl cat app.service || { printf '[Service]\nExecStart=/bin/sleep infinity\n' > /etc/systemd/system/app.service; systemctl daemon-reload; }`},
	"container":     {Needs: []Need{Docker}},
	"reboot":        {Needs: []Need{Systemd, Kernel}, Idle: true},
	"kernel_module": {Needs: []Need{Kernel}},
	"swap":          {Needs: []Need{Kernel}},
	"sysctl":        {Needs: []Need{Kernel}},
	"locale":        {Idle: true},
	"timezone":      {Idle: true},
	"hostname":      {Idle: true},
	"hosts_entry":   {Idle: true},
}

// Examples are those of the reference of host objects.
func Examples() []Case {
	var all []Case
	for _, method := range host.Type.Methods {
		c := givens[method.Name]
		c.Name = "example of " + method.Name
		c.Playbook += method.Example
		all = append(all, c)
	}
	return all
}
