package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
)

// curl fetches from the lab's own addresses only.
func curl(ctx context.Context, p *proc.Proc) int {
	var target, output, method, user string
	var data io.Reader
	fail, head, silent, showErrors := false, false, false, false
	header := http.Header{}
	writeOut := ""
	args := p.Args[1:]
	for i := 0; i < len(args); i++ {
		next := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch arg := args[i]; {
		case arg == "-o" || arg == "--output":
			output = next()
		case arg == "-X" || arg == "--request":
			method = next()
		case arg == "-H" || arg == "--header":
			if k, v, ok := strings.Cut(next(), ":"); ok {
				header.Add(k, strings.TrimSpace(v))
			}
		case arg == "-d" || arg == "--data" || arg == "--data-raw":
			data = strings.NewReader(next())
		case arg == "-u" || arg == "--user":
			user = next()
		case arg == "-w" || arg == "--write-out":
			writeOut = next()
		case slices.Contains([]string{"-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay", "-A", "--cacert"}, arg):
			next()
		case arg == "--fail":
			fail = true
		case arg == "--silent":
			silent = true
		case strings.HasPrefix(arg, "--"):
		case strings.HasPrefix(arg, "-"):
			for _, c := range arg[1:] {
				switch c {
				case 'f':
					fail = true
				case 'I':
					head = true
				case 's':
					silent = true
				case 'S':
					showErrors = true
				case 'o':
					output = next()
				}
			}
		default:
			target = arg
		}
	}
	say := func(code int, format string, a ...any) int {
		if !silent || showErrors {
			fmt.Fprintf(p.Stderr, "curl: (%d) %s\n", code, fmt.Sprintf(format, a...)) //nolint:errcheck // nobody left to tell
		}
		return code
	}
	if target == "" {
		fmt.Fprintln(p.Stderr, "curl: try 'curl --help' or 'curl --manual' for more information") //nolint:errcheck // nobody left to tell
		return 2
	}
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		return say(3, "URL using bad/illegal format or missing URL")
	}
	host := u.Hostname()
	if host == "localhost" || host == "127.0.0.1" {
		host = guestOf(p).address
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return say(6, "Could not resolve host: %s", u.Hostname())
	}
	if head {
		method = http.MethodHead
	}
	if method == "" {
		method = http.MethodGet
		if data != nil {
			method = http.MethodPost
		}
	}
	if port := u.Port(); port != "" {
		u.Host = net.JoinHostPort(host, port)
	} else {
		u.Host = host
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), data)
	if err != nil {
		return say(3, "URL using bad/illegal format or missing URL")
	}
	req.Header = header
	if name, password, found := strings.Cut(user, ":"); found {
		req.SetBasicAuth(name, password)
	}
	client := &http.Client{Transport: loopback, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return say(7, "Failed to connect to %s port %s after 0 ms: Connection refused", u.Hostname(), u.Port())
	}
	defer res.Body.Close() //nolint:errcheck // all of it was read
	if fail && res.StatusCode >= 400 {
		return say(22, "The requested URL returned error: %d", res.StatusCode)
	}
	out := p.Stdout
	if output != "" {
		d, err := p.Open(output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			return say(23, "Failure writing output to destination")
		}
		defer d.Close() //nolint:errcheck // a tree in memory takes all
		out = d.W
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return say(23, "Failure writing output to destination")
	}
	if writeOut != "" {
		p.Printf("%s", strings.NewReplacer("%{http_code}", fmt.Sprint(res.StatusCode), `\n`, "\n").Replace(writeOut))
	}
	return 0
}
