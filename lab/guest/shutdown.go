package guest

import (
	"context"
	"fmt"
	"strings"

	"phoenix-run/lab/guest/proc"
)

// power is reboot and poweroff: they answer, and then the machine goes.
func power(what string) proc.Program {
	return func(_ context.Context, p *proc.Proc) int {
		if p.FS.Cred.UID != 0 {
			fmt.Fprintf(p.Stderr, "Failed to set wall message, ignoring: Interactive authentication required.\nFailed to %s system via logind: Interactive authentication required.\n", strings.Replace(what, "poweroff", "power off", 1)) //nolint:errcheck // nobody left to tell
			return 1
		}
		r := guestOf(p)
		r.g.Touch()
		if what == "reboot" {
			r.g.fromInside(r, func() error { return r.g.restart(true) })
			return 0
		}
		r.g.fromInside(r, func() error {
			r.g.op.Lock()
			defer r.g.op.Unlock()
			return r.g.off(true)
		})
		return 0
	}
}

func shutdown(ctx context.Context, p *proc.Proc) int {
	args := p.Args[1:]
	what, when := "poweroff", ""
	for _, a := range args {
		switch a {
		case "-r", "--reboot":
			what = "reboot"
		case "-h", "-P", "-H", "--poweroff", "--halt":
		case "-c":
			return 0
		default:
			if when == "" {
				when = a
			}
		}
	}
	if when != "" && when != "now" && when != "+0" {
		p.Errorf("only an immediate shutdown is simulated")
		return 1
	}
	return power(what)(ctx, p)
}
