package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"phoenix-run/pve"
	"phoenix-run/remote"
	"phoenix-run/runner"
)

func timedOut(d time.Duration) error { return fmt.Errorf("not within %s", d) }

// cloudInit is what "cloud-init status --format json" tells.
type cloudInit struct {
	Status      string              `json:"status"` // not started, running, done, error, disabled
	Extended    string              `json:"extended_status"`
	Detail      string              `json:"detail"`
	Errors      []string            `json:"errors"`
	Recoverable map[string][]string `json:"recoverable_errors"`
}

// CloudInitError is what cloud-init itself calls an error.
type CloudInitError struct {
	Errors []string
	Log    string
}

func (e *CloudInitError) Error() string {
	text := "cloud-init failed: " + strings.Join(e.Errors, "; ")
	if e.Log != "" {
		text += "\n  the end of /var/log/cloud-init-output.log:\n  " + strings.ReplaceAll(e.Log, "\n", "\n  ")
	}
	return text
}

// shell runs a script in the guest that changes nothing.
type shell func(ctx context.Context, script string) (pve.Result, error)

// shell gives the way into the guest: over SSH where the machine can be logged in to that way, which
// spares Proxmox the work, and else through its agent. A machine that boots for the first time may not
// know its users yet.
func (v *VM) shell(ctx context.Context, task *runner.Task) (shell, error) {
	v.s.mu.Lock()
	booted := v.s.booted[v.vm.ID]
	v.s.mu.Unlock()
	if v.vm.Transport == "ssh" && !booted {
		if conn, err := v.s.host(task, v).Conn(ctx); err == nil {
			return func(ctx context.Context, script string) (pve.Result, error) {
				r, err := conn.Run(ctx, remote.Command{Script: script, ReadOnly: true})
				return pve.Result{Stdout: r.Stdout, Stderr: r.Stderr, Code: r.Code, Truncated: r.Truncated}, err
			}, nil
		}
	}
	client, node, err := v.s.locate(ctx, task, v.vm)
	if err != nil {
		return nil, err
	}
	agent := client.Agent(node, v.vm.ID)
	return func(ctx context.Context, script string) (pve.Result, error) {
		return agent.Exec(ctx, []string{"/bin/sh", "-c", script}, nil, true)
	}, nil
}

// waitForCloudInit asks the guest until cloud-init has ended, and takes its word for how.
func (v *VM) waitForCloudInit(ctx context.Context, task *runner.Task) error {
	in, err := v.shell(ctx, task)
	if err != nil {
		return err
	}
	told := ""
	for pause := 100 * time.Millisecond; ; pause = min(pause*3/2, 2*time.Second) {
		r, err := in(ctx, "command -v cloud-init >/dev/null || exit 127; cloud-init status --format json")
		switch {
		case err != nil && pve.IsAgentNotReady(err):
			// cloud-init may restart the network, or the agent
		case err != nil:
			return err
		case r.Code == 127:
			return nil
		default:
			done, status, err := v.judge(ctx, task, in, r)
			if done {
				return err
			}
			if status != "" && status != told {
				told = status
				task.Progress(v.vm.Name, "cloud-init: "+status)
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("cloud-init is not done (%s): %w", told, context.Cause(ctx))
		}
	}
}

// judge reads one answer: whether cloud-init has ended, and if so how.
func (v *VM) judge(ctx context.Context, task *runner.Task, in shell, r pve.Result) (done bool, status string, err error) {
	var s cloudInit
	if json.Unmarshal(r.Stdout, &s) != nil {
		return false, strings.TrimSpace(string(r.Stdout) + string(r.Stderr)), nil // it has only just begun
	}
	switch s.Status {
	case "done", "disabled":
		for level, messages := range s.Recoverable {
			for _, m := range messages {
				task.Warn(v.vm.Name, "cloud-init "+strings.ToLower(level)+": "+m)
			}
		}
		return true, s.Status, nil
	case "error":
		if len(s.Errors) == 0 {
			s.Errors = []string{s.Detail}
		}
		log, logErr := in(ctx, "tail -n 15 /var/log/cloud-init-output.log")
		failure := &CloudInitError{Errors: s.Errors, Log: strings.TrimSpace(string(log.Stdout))}
		return true, s.Status, errors.Join(failure, logErr)
	}
	return false, s.Status + " " + s.Detail, nil
}
