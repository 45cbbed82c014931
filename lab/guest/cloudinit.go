package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// cloudInit is what cloud-init does at a boot.
type cloudInit struct {
	r *running

	mu     sync.Mutex
	status string // not started, running, done, error
	errors []string
	began  time.Time
	ended  time.Time
	done   chan struct{}
}

func newCloudInit(r *running) *cloudInit {
	return &cloudInit{r: r, status: "not started", done: make(chan struct{})}
}

const instanceFile = "/var/lib/cloud/data/instance-id"

// restore takes over from a boot of an earlier lab, whose cloud-init had ended or now ends at once.
func (c *cloudInit) restore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.began = "running", time.Now()
}

// begin is the part before the network's services start: host name, users, keys.
func (c *cloudInit) begin() error {
	c.mu.Lock()
	c.status, c.began = "running", time.Now()
	c.mu.Unlock()
	err := c.firstBoot()
	return errors.Join(err, c.writeStatus())
}

// firstBoot sets the machine up, once for each instance id.
func (c *cloudInit) firstBoot() error {
	g := c.r.g
	v := g.root()
	g.mu.Lock()
	seed, name := g.meta.Spec.CloudInit, g.meta.Spec.Name
	g.mu.Unlock()
	var errs []error
	do := func(err error) { errs = append(errs, err) }
	if id, err := v.ReadFile("/etc/machine-id"); err == nil && len(id) == 0 {
		do(v.WriteFile("/etc/machine-id", []byte(strings.ReplaceAll(newUUID(), "-", "")+"\n"), 0o444))
	}
	if seed.InstanceID == "" {
		return errors.Join(errs...)
	}
	known, err := v.ReadFile(instanceFile)
	if err == nil && strings.TrimSpace(string(known)) == seed.InstanceID {
		return errors.Join(errs...)
	}
	fresh := err != nil || len(known) == 0
	do(v.MkdirAll("/var/lib/cloud/data", 0o755))
	do(v.MkdirAll("/var/lib/cloud/instances/"+seed.InstanceID, 0o755))
	do(v.WriteFile(instanceFile, []byte(seed.InstanceID+"\n"), 0o644))
	if name != "" {
		do(v.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644))
		do(v.WriteFile("/etc/hosts", []byte("127.0.1.1 "+name+" "+name+"\n127.0.0.1 localhost\n\n::1 ip6-localhost ip6-loopback\n"), 0o644))
	}
	if fresh || seed.InstanceID != "" {
		// A clone must not answer with its template's keys.
		do(v.RemoveAll(hostKeyFile))
		do(v.RemoveAll(hostKeyFile + ".pub"))
	}
	do(addUser(v, seed.User, seed.Password, seed.SSHKeys))
	if user := orDefault(seed.User, "ubuntu"); user != "root" && len(seed.SSHKeys) > 0 {
		do(refuseRoot(v, user, seed.SSHKeys))
	}
	network := "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n"
	do(v.WriteFile("/etc/netplan/50-cloud-init.yaml", []byte(network), 0o600))
	return errors.Join(errs...)
}

// addUser makes the seed's user, "ubuntu" if it names none: with sudo, and with the keys.
func addUser(v *vfs.View, name, password string, keys []string) error {
	if name == "" {
		name = "ubuntu"
	}
	user, found := account.UserNamed(v, name)
	var errs []error
	if !found {
		uid := 1000
		for {
			_, used := account.UserWith(v, uid)
			if _, usedGroup := account.GroupWith(v, uid); !used && !usedGroup {
				break
			}
			uid++
		}
		user = account.User{Name: name, UID: uid, GID: uid, Home: "/home/" + name, Shell: "/bin/bash"}
		errs = append(errs,
			appendLine(v, "/etc/passwd", fmt.Sprintf("%s:x:%d:%d:Ubuntu:%s:/bin/bash", name, uid, uid, user.Home), 0o644),
			appendLine(v, "/etc/group", fmt.Sprintf("%s:x:%d:", name, uid), 0o644),
			appendLine(v, "/etc/shadow", name+":!:19700:0:99999:7:::", 0o640),
			joinGroups(v, name, "adm", "cdrom", "sudo", "dip", "plugdev", "lxd"),
			v.MkdirAll(user.Home, 0o750), v.Chmod(user.Home, 0o750), v.Chown(user.Home, uid, uid, true),
			v.WriteFile("/etc/sudoers.d/90-cloud-init-users", []byte("# Created by cloud-init\n\n# User rules for "+name+"\n"+name+" ALL=(ALL) NOPASSWD:ALL\n"), 0o440))
		for _, f := range []string{".bashrc", ".profile"} {
			text, err := v.ReadFile("/etc/skel/" + f)
			if err == nil {
				err = errors.Join(v.WriteFile(user.Home+"/"+f, text, 0o644), v.Chown(user.Home+"/"+f, uid, uid, true))
			}
			errs = append(errs, err)
		}
	}
	if password != "" {
		errs = append(errs, setPassword(v, name, password))
	}
	if len(keys) > 0 {
		dir := user.Home + "/.ssh"
		file := dir + "/authorized_keys"
		errs = append(errs, v.MkdirAll(dir, 0o700), v.Chmod(dir, 0o700), v.Chown(dir, user.UID, user.GID, true))
		var old string
		if text, err := v.ReadFile(file); err == nil {
			old = string(text)
		}
		for _, key := range keys {
			if key = strings.TrimSpace(key); key != "" && !strings.Contains(old, key) {
				old += key + "\n"
			}
		}
		errs = append(errs, v.WriteFile(file, []byte(old), 0o600), v.Chmod(file, 0o600), v.Chown(file, user.UID, user.GID, true))
	}
	return errors.Join(errs...)
}

// refuseRoot gives root keys that only say who to log in as, as cloud-init's disable_root does.
func refuseRoot(v *vfs.View, user string, keys []string) error {
	var b strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&b, "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user \\\"%s\\\" rather than the user \\\"root\\\".';echo;sleep 10;exit 142\" %s\n", user, strings.TrimSpace(key))
	}
	if err := v.MkdirAll("/root/.ssh", 0o700); err != nil {
		return err
	}
	return errors.Join(v.Chmod("/root/.ssh", 0o700), v.WriteFile("/root/.ssh/authorized_keys", []byte(b.String()), 0o600))
}

func setPassword(v *vfs.View, name, crypted string) error {
	text, err := v.ReadFile("/etc/shadow")
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if f := strings.Split(line, ":"); f[0] == name && len(f) > 1 {
			f[1] = crypted
			lines[i] = strings.Join(f, ":")
		}
	}
	return v.WriteFile("/etc/shadow", []byte(strings.Join(lines, "\n")), 0o640)
}

func joinGroups(v *vfs.View, user string, groups ...string) error {
	text, err := v.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		f := strings.Split(line, ":")
		if len(f) == 4 && slices.Contains(groups, f[0]) {
			members := slices.DeleteFunc(strings.Split(f[3], ","), func(s string) bool { return s == "" || s == user })
			f[3] = strings.Join(append(members, user), ",")
			lines[i] = strings.Join(f, ":")
		}
	}
	return v.WriteFile("/etc/group", []byte(strings.Join(lines, "\n")), 0o644)
}

// finish is the part that runs beside the services.
func (c *cloudInit) finish() {
	defer close(c.done)
	if !c.r.sleep(c.r.g.backend.opts.CloudInitTime) {
		return
	}
	c.mu.Lock()
	c.status, c.ended = "done", time.Now()
	if fail := c.r.g.backend.opts.CloudInitFail; fail != nil {
		if text := fail(c.r.g.id); text != "" {
			c.status, c.errors = "error", []string{text}
		}
	}
	c.mu.Unlock()
	v := c.r.g.root()
	err := errors.Join(v.MkdirAll("/var/lib/cloud/instance", 0o755), v.WriteFile("/var/lib/cloud/instance/boot-finished", []byte("24.1.3 - "+time.Now().UTC().Format(time.RFC1123Z)+"\n"), 0o644),
		c.writeStatus(), c.r.g.Flush())
	if err != nil {
		c.r.g.Journal("cloud-init", err.Error())
	}
	c.r.g.Journal("cloud-init", "Cloud-init v. 24.1.3-0ubuntu1~22.04.5 finished. Datasource DataSourceNoCloud [seed=/dev/sr0][dsmode=net].")
}

type stageStatus struct {
	Errors   []string            `json:"errors"`
	Finished *float64            `json:"finished"`
	Recover  map[string][]string `json:"recoverable_errors"`
	Start    *float64            `json:"start"`
}

func seconds(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := float64(t.UnixMilli()) / 1000
	return &s
}

func (c *cloudInit) stage(final bool) stageStatus {
	s := stageStatus{Errors: []string{}, Recover: map[string][]string{}, Start: seconds(c.began), Finished: seconds(c.began)}
	if final {
		s.Finished = seconds(c.ended)
		s.Errors = append(s.Errors, c.errors...)
	}
	return s
}

// writeStatus writes the files that cloud-init leaves for others.
func (c *cloudInit) writeStatus() error {
	c.mu.Lock()
	stage := any(nil)
	if c.status == "running" {
		stage = "modules-final"
	}
	status, err := json.MarshalIndent(map[string]any{"v1": map[string]any{
		"datasource": "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", "stage": stage,
		"init-local": c.stage(false), "init": c.stage(false), "modules-config": c.stage(false), "modules-final": c.stage(true),
	}}, "", " ")
	ended := !c.ended.IsZero()
	faults := append([]string{}, c.errors...)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	v := c.r.g.root()
	errs := []error{v.MkdirAll("/run/cloud-init", 0o755), v.WriteFile("/run/cloud-init/status.json", append(status, '\n'), 0o644)}
	if ended {
		result, err := json.MarshalIndent(map[string]any{"v1": map[string]any{"datasource": "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", "errors": faults}}, "", " ")
		errs = append(errs, err, v.WriteFile("/run/cloud-init/result.json", append(result, '\n'), 0o644))
	}
	return errors.Join(errs...)
}

// cloudInitCommand is the cloud-init program.
func cloudInitCommand(ctx context.Context, p *proc.Proc) int {
	args := p.Args[1:]
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-v") {
		p.Printf("/usr/bin/cloud-init 24.1.3-0ubuntu1~22.04.5\n")
		return 0
	}
	if len(args) == 0 || args[0] != "status" {
		if len(args) > 0 && args[0] == "clean" {
			return cleanCloudInit(p)
		}
		p.Errorf("error: this subcommand is not simulated")
		return 2
	}
	format, wait, long := "tabular", false, false
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--wait" || arg == "-w":
			wait = true
		case arg == "--long" || arg == "-l":
			long = true
		case arg == "--format" && i+1 < len(args):
			i++
			format = args[i]
		case strings.HasPrefix(arg, "--format="):
			format = arg[9:]
		default:
			p.Errorf("error: unrecognized arguments: %s", arg)
			return 2
		}
	}
	c := guestOf(p).init
	if wait {
	waiting:
		for {
			select {
			case <-c.done:
				break waiting
			case <-ctx.Done():
				return 1
			case <-time.After(100 * time.Millisecond):
				if format == "tabular" {
					p.Printf(".")
				}
			}
		}
		if format == "tabular" {
			p.Printf("\n")
		}
	}
	return c.report(p, format, long)
}

// report prints the status as cloud-init 24.1 does; an error is exit status 1.
func (c *cloudInit) report(p *proc.Proc, format string, long bool) int {
	c.mu.Lock()
	status, faults := c.status, append([]string{}, c.errors...)
	updated := c.began
	if !c.ended.IsZero() {
		updated = c.ended
	}
	stages := map[string]any{"init-local": c.stage(false), "init": c.stage(false), "modules-config": c.stage(false), "modules-final": c.stage(true)}
	c.mu.Unlock()
	exit := 0
	if status == "error" {
		exit = 1
	}
	last := updated.UTC().Format(time.RFC1123Z)
	switch format {
	case "json":
		stage := any(nil)
		if status == "running" {
			stage = "modules-final"
		}
		v := map[string]any{"boot_status_code": "enabled-by-generator", "datasource": "nocloud", "detail": "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]",
			"errors": faults, "extended_status": status, "last_update": last, "recoverable_errors": map[string]any{}, "schemas": map[string]any{}, "_schema_version": "1",
			"stage": stage, "status": status}
		for name, s := range stages {
			v[name] = s
		}
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			p.Errorf("%v", err)
			return 1
		}
		p.Printf("%s\n", text)
		return exit
	case "tabular":
	default:
		p.Errorf("argument --format: invalid choice: '%s' (choose from 'json', 'tabular', 'yaml')", format)
		return 2
	}
	p.Printf("status: %s\n", status)
	if long {
		p.Printf("extended_status: %s\nboot_status_code: enabled-by-generator\nlast_update: %s\ndetail:\nDataSourceNoCloud [seed=/dev/sr0][dsmode=net]\n", status, last)
		if len(faults) == 0 {
			p.Printf("errors: []\nrecoverable_errors: {}\n")
		} else {
			p.Printf("errors:\n")
			for _, f := range faults {
				p.Printf("\t- %s\n", f)
			}
		}
	}
	return exit
}

// cleanCloudInit forgets the instance, so that the next boot sets the machine up anew.
func cleanCloudInit(p *proc.Proc) int {
	if err := errors.Join(p.FS.RemoveAll("/var/lib/cloud/instances"), p.FS.RemoveAll("/var/lib/cloud/instance"), p.FS.RemoveAll(instanceFile)); err != nil {
		p.Errorf("%s", proc.Text(err))
		return 1
	}
	return 0
}
