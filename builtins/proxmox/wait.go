package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"phoenix-run/pve"
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

// waitForCloudInit asks the guest until cloud-init has ended, and takes its word for how.
func (v *VM) waitForCloudInit(ctx context.Context, task *runner.Task) error {
	client, node, err := v.s.locate(ctx, task, v.vm)
	if err != nil {
		return err
	}
	agent := client.Agent(node, v.vm.ID)
	told := ""
	for pause := 100 * time.Millisecond; ; pause = min(pause*3/2, 2*time.Second) {
		r, err := agent.Exec(ctx, []string{"/bin/sh", "-c", "command -v cloud-init >/dev/null || exit 127; cloud-init status --format json"}, nil, true)
		switch {
		case err != nil && pve.IsAgentNotReady(err):
			// cloud-init may restart the network, or the agent
		case err != nil:
			return err
		case r.Code == 127:
			return nil
		default:
			done, status, err := v.judge(ctx, task, agent, r)
			if done {
				return err
			}
			if status != "" && status != told && v.s.options.Verbose {
				told = status
				task.Log(v.vm.Name, "cloud-init: "+status)
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("cloud-init is not done: %w", context.Cause(ctx))
		}
	}
}

// judge reads one answer: whether cloud-init has ended, and if so how.
func (v *VM) judge(ctx context.Context, task *runner.Task, agent *pve.Agent, r pve.Result) (done bool, status string, err error) {
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
		log, logErr := agent.Exec(ctx, []string{"/usr/bin/tail", "-n", "15", "/var/log/cloud-init-output.log"}, nil, true)
		failure := &CloudInitError{Errors: s.Errors, Log: strings.TrimSpace(string(log.Stdout))}
		return true, s.Status, errors.Join(failure, logErr)
	}
	return false, s.Status + " " + s.Detail, nil
}
