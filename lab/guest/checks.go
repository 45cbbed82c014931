package guest

import (
	"context"
	"fmt"
	"strings"

	"phoenix-run/lab/guest/proc"
)

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
		if strings.IndexFunc(f[0], func(r rune) bool { return !(r|32 >= 'a' && r|32 <= 'z' || r >= '0' && r <= '9') }) >= 0 {
			fmt.Fprintf(p.Stderr, "%s: line %d: Bad configuration option: %s\n%s: terminating, 1 bad configuration options\n", file, n, f[0], file) //nolint:errcheck // nobody left to tell
			return 255
		}
	}
	return 0
}
