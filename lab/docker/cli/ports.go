package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"phoenix-run/lab/docker/api"
)

// publish parses [ip:][hostPort:]port[/proto]; ranges of equal length too.
func publish(spec string, r *api.CreateRequest) error {
	bad := usage("docker: invalid publish opts format (%s)", spec)
	ip, rest := "", spec
	if strings.HasPrefix(rest, "[") {
		var found bool
		if ip, rest, found = strings.Cut(rest[1:], "]:"); !found {
			return bad
		}
	}
	parts := strings.Split(rest, ":")
	if len(parts) == 3 {
		ip, parts = parts[0], parts[1:]
	}
	if len(parts) > 2 {
		return bad
	}
	target, proto, _ := strings.Cut(parts[len(parts)-1], "/")
	host := ""
	if len(parts) == 2 {
		host = parts[0]
	}
	from, to, err := portRange(target)
	if err != nil {
		return usage("docker: invalid containerPort: %s", target)
	}
	hostFrom := 0
	if host != "" {
		var hostTo int
		if hostFrom, hostTo, err = portRange(host); err != nil {
			return usage("docker: invalid hostPort: %s", host)
		}
		if hostTo-hostFrom != to-from {
			return usage("docker: invalid ranges specified for container and host Ports: %s and %s", target, host)
		}
	}
	for i := 0; i <= to-from; i++ {
		key := fmt.Sprintf("%d/%s", from+i, cmp.Or(proto, "tcp"))
		b := api.PortBinding{HostIP: ip}
		if host != "" {
			b.HostPort = strconv.Itoa(hostFrom + i)
		}
		r.ExposedPorts[key] = struct{}{}
		r.HostConfig.PortBindings[key] = append(r.HostConfig.PortBindings[key], b)
	}
	return nil
}

func portRange(s string) (from, to int, err error) {
	a, b, ranged := strings.Cut(s, "-")
	if from, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	to = from
	if ranged {
		if to, err = strconv.Atoi(b); err != nil {
			return 0, 0, err
		}
	}
	if from < 1 || to > 65535 || to < from {
		return 0, 0, fmt.Errorf("port out of range: %s", s)
	}
	return from, to, nil
}
