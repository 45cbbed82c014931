package host

import (
	"context"
	"fmt"
	"strings"

	"phoenix-run/remote"
)

// managers are the package managers that are known, by the command that shows that one is there.
var managers = []struct {
	command string
	manager packageManager
}{
	{"dpkg-query", apt{}},
	{"apk", apk{}},
}

// manager finds the machine's package manager, once.
func (h *Host) manager(ctx context.Context) (packageManager, error) {
	var script strings.Builder
	for _, m := range managers {
		fmt.Fprintf(&script, "command -v %s >/dev/null 2>&1 && { echo %[1]s; exit 0; }\n", m.command)
	}
	h.mu.Lock()
	known := h.packageManager
	h.mu.Unlock()
	if known != nil {
		return known, nil
	}
	r, err := h.read(ctx, script.String()+"exit 1")
	if err != nil {
		return nil, err
	}
	found := strings.TrimSpace(string(r.Stdout))
	for _, m := range managers {
		if m.command == found {
			h.mu.Lock()
			h.packageManager = m.manager
			h.mu.Unlock()
			return m.manager, nil
		}
	}
	return nil, &remote.ExitError{What: "finding the package manager (apt and apk are known)", Result: r}
}

// apt is Debian's and Ubuntu's.
type apt struct{}

// aptOptions: wait for another apt instead of failing; keep configuration files that people changed;
// ask nothing.
const aptOptions = `-q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold`

const aptEnvironment = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a UCF_FORCE_CONFFOLD=1\n"

func (apt) installed() string {
	return `dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' | sed -n 's/^installed //p'`
}

func (apt) upgradable(names []string) string {
	return "apt-get -q -s -o Debug::NoLocking=1 install --only-upgrade " + quote(names...) + ` | sed -n 's/^Inst \([^ ]*\) .*/\1/p'`
}

func (apt) available(names []string) string {
	return `ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || echo "?"
apt-cache show --no-all-versions -- ` + quote(names...) + ` 2>/dev/null | sed -n 's/^Package: //p'`
}

// waiting is how a script of a package manager says that it waits for another process.
const waiting = "phoenix-run: waiting: "

// refresh waits for the lock of the lists by itself: apt's own patience is for dpkg's lock alone.
func (apt) refresh() string {
	return aptEnvironment + `n=0
while :; do
	e=$(LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=600 update 2>&1) && exit 0
	case $e in
	*'Could not get lock'*) [ $n -lt 600 ] || break; [ $n -gt 0 ] || printf '%s\n' "` + waiting + `$(printf '%s\n' "$e" | grep 'Could not get lock')" ;;
	*) break ;;
	esac
	n=$((n + 1)); sleep 1
done
printf '%s\n' "$e" >&2
exit 100`
}

func (apt) install(names []string) string {
	return aptEnvironment + "apt-get install " + aptOptions + " --allow-downgrades -- " + quote(names...)
}

func (apt) remove(names []string) string {
	return aptEnvironment + "apt-get remove " + aptOptions + " -- " + quote(names...)
}

// apk is Alpine's.
type apk struct{}

func (apk) installed() string {
	return `apk info -v 2>/dev/null | sed 's/-\([0-9][^-]*-r[0-9]*\)$/ \1/'`
}

func (apk) upgradable(names []string) string {
	return "apk version -q -l '<' " + quote(names...) + ` | sed 's/-[0-9][^-]*-r[0-9]*$//'`
}
func (apk) available(names []string) string {
	return `ls /var/cache/apk/APKINDEX.* >/dev/null 2>&1 || echo "?"
apk search -e -q -- ` + quote(names...)
}

func (apk) refresh() string               { return "apk update -q" }
func (apk) install(names []string) string { return "apk add -q " + quote(names...) }
func (apk) remove(names []string) string  { return "apk del -q " + quote(names...) }
