package docker

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"phoenix-run/lab/docker/api"
)

// shells are images whose containers only do what their command says, and end with it.
var shells = []string{"alpine", "busybox", "debian", "ubuntu"}

// oneShot runs a command that ends at once. done is false for everything that goes on running.
func oneShot(ref api.Reference, c api.Container, out *logBuffer, host Host) (code int, done bool) {
	if ref.Familiar() == "hello-world" {
		out.add(api.Stdout, "\nHello from Docker!\nThis message shows that your installation appears to be working correctly.\n\n")
		return 0, true
	}
	if !slices.Contains(shells, ref.Familiar()) {
		return 0, false
	}
	argv := append([]string{c.Path}, c.Args...)
	switch base := path.Base(c.Path); {
	case base == "sleep", base == "tail":
		return 0, false
	case (base == "sh" || base == "bash") && len(argv) == 1:
		return 0, !c.Config.OpenStdin
	}
	stdout, stderr, code, err := tool(c, host, argv)
	if err != nil {
		out.add(api.Stderr, err.Error()+"\n")
		return 127, true
	}
	out.add(api.Stdout, stdout)
	out.add(api.Stderr, stderr)
	return code, true
}

// tool is the little that a simulated container can execute: it looks at the container's own
// environment and mounts, and changes nothing.
func tool(c api.Container, host Host, argv []string) (stdout, stderr string, code int, err error) {
	name := path.Base(argv[0])
	switch name {
	case "true":
		return "", "", 0, nil
	case "false":
		return "", "", 1, nil
	case "echo":
		return strings.Join(argv[1:], " ") + "\n", "", 0, nil
	case "hostname":
		return c.Config.Hostname + "\n", "", 0, nil
	case "env", "printenv":
		if len(argv) == 1 {
			return strings.Join(append([]string{"HOSTNAME=" + c.Config.Hostname}, c.Config.Env...), "\n") + "\n", "", 0, nil
		}
		for _, kv := range c.Config.Env {
			if key, value, _ := strings.Cut(kv, "="); key == argv[1] {
				return value + "\n", "", 0, nil
			}
		}
		return "", "", 1, nil
	case "cat":
		for _, file := range argv[1:] {
			p, found := hostPath(c, file)
			if !found {
				return stdout, fmt.Sprintf("cat: %s: No such file or directory\n", file), 1, nil
			}
			b, err := host.ReadFile(p)
			if err != nil {
				return stdout, fmt.Sprintf("cat: %s: No such file or directory\n", file), 1, nil //nolint:nilerr // the program's own error
			}
			stdout += string(b)
		}
		return stdout, "", 0, nil
	}
	return "", "", 0, fmt.Errorf("OCI runtime exec failed: exec failed: unable to start container process: exec: %q: executable file not found in $PATH", argv[0])
}

// execution is one docker exec.
type execution struct {
	container string
	request   api.ExecCreate
	done      bool
	code      int
}
