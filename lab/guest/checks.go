package guest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// sshdKeywords are those of sshd_config(5), OpenSSH 8.9.
var sshdKeywords = strings.Fields(`acceptenv addressfamily allowagentforwarding allowgroups allowstreamlocalforwarding allowtcpforwarding allowusers
	authenticationmethods authorizedkeyscommand authorizedkeyscommanduser authorizedkeysfile authorizedprincipalscommand authorizedprincipalscommanduser
	authorizedprincipalsfile banner casignaturealgorithms challengeresponseauthentication chrootdirectory ciphers clientalivecountmax clientaliveinterval
	compression debianbanner denygroups denyusers disableforwarding exposeauthinfo fingerprinthash forcecommand gatewayports gssapiauthentication
	gssapicleanupcredentials gssapikeyexchange gssapistorecredentialsonrekey gssapistrictacceptorcheck hostbasedacceptedalgorithms hostbasedauthentication
	hostbasedusesnamefrompacketonly hostcertificate hostkey hostkeyagent hostkeyalgorithms ignorerhosts ignoreuserknownhosts include ipqos
	kbdinteractiveauthentication kerberosauthentication kerberosgetafstoken kerberosorlocalpasswd kerberosticketcleanup kexalgorithms listenaddress
	logingracetime loglevel logverbose macs match maxauthtries maxsessions maxstartups modulifile passwordauthentication permitemptypasswords permitlisten
	permitopen permitrootlogin permittty permittunnel permituserenvironment permituserrc persourcemaxstartups persourcenetblocksize pidfile port
	printlastlog printmotd pubkeyacceptedalgorithms pubkeyauthentication pubkeyauthoptions rdomain rekeylimit requiredrsasize revokedkeys securitykeyprovider
	setenv skeyauthentication streamlocalbindmask streamlocalbindunlink strictmodes subsystem syslogfacility tcpkeepalive trustedusercakeys usedns
	usepam versionaddendum x11displayoffset x11forwarding x11uselocalhost xauthlocation`)

// sshdTest is sshd -t: it looks for lines that can be no setting at all.
func sshdTest(_ context.Context, p *proc.Proc) int {
	file := "/etc/ssh/sshd_config"
	for i, a := range p.Args {
		if a == "-f" && i+1 < len(p.Args) {
			file = p.Args[i+1]
		}
	}
	text, err := p.FS.ReadFile(p.Path(file))
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %s\n", file, proc.Text(err)) //nolint:errcheck // nobody left to tell
		return 1
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if len(f) == 1 {
			fmt.Fprintf(p.Stderr, "%s line %d: Missing argument.\n%s: terminating, 1 bad configuration options\n", file, n, file) //nolint:errcheck // nobody left to tell
			return 255
		}
		if !slices.Contains(sshdKeywords, strings.ToLower(f[0])) {
			fmt.Fprintf(p.Stderr, "%s: line %d: Bad configuration option: %s\n%s: terminating, 1 bad configuration options\n", file, n, f[0], file) //nolint:errcheck // nobody left to tell
			return 255
		}
	}
	return 0
}
