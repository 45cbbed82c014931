package pve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// TaskError is a task that ended badly.
type TaskError struct {
	What string // what was tried: "clone 9000 to 1001"
	UPID string
	Exit string   // Proxmox's own words
	Log  []string // the last lines
}

func (e *TaskError) Error() string {
	text := fmt.Sprintf("%s: Proxmox's task failed: %s", e.What, e.Exit)
	if len(e.Log) > 0 {
		text += "\n  " + strings.Join(e.Log, "\n  ")
	}
	return text
}

// Progress receives the lines of a running task's log, and its warnings.
type Progress func(line string)

// wait follows a task to its end. A task that ends with warnings has succeeded; they go to progress.
func (c *Client) wait(ctx context.Context, what, upid string, progress Progress) error {
	if upid == "" {
		return nil // done without a task
	}
	node, err := taskNode(upid)
	if err != nil {
		return err
	}
	path := "/nodes/" + node + "/tasks/" + url.PathEscape(upid)
	seen := 0
	for pause := 20 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		var status struct {
			Status string `json:"status"`
			Exit   string `json:"exitstatus"`
		}
		err := c.getOnce(ctx, path+"/status", nil, &status)
		var e *Error
		switch {
		case errors.As(err, &e) && e.Status == 400 && pause < time.Second:
			// a task that has just begun may not be known to every node yet
		case err != nil && (isTransient(err) || errors.Is(err, ErrMaybeDone)):
			// reading the status harms nothing: ask again
		case err != nil:
			return fmt.Errorf("%s: following task %s: %w", what, upid, err)
		case status.Status == "stopped":
			return c.ended(ctx, what, upid, path, status.Exit, seen, progress)
		}
		if progress != nil {
			seen = c.follow(ctx, path, seen, progress)
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("%s: task %s is still running: %w", what, upid, err)
		}
	}
}

func (c *Client) ended(ctx context.Context, what, upid, path, exit string, seen int, progress Progress) error {
	ok := exit == "OK" || strings.HasPrefix(exit, "WARNINGS")
	if ok {
		if progress != nil {
			c.follow(ctx, path, seen, progress)
		}
		return nil
	}
	log, err := c.log(ctx, path, 0)
	if err != nil {
		log = []string{"(its log can't be read: " + err.Error() + ")"}
	}
	return &TaskError{What: what, UPID: upid, Exit: exit, Log: log[max(0, len(log)-6):]}
}

// follow passes new log lines on; a log that can't be read is tried again the next time.
func (c *Client) follow(ctx context.Context, path string, seen int, progress Progress) int {
	lines, err := c.log(ctx, path, seen)
	if err != nil {
		return seen
	}
	for _, line := range lines {
		progress(line)
	}
	return seen + len(lines)
}

// log gives the lines of a task's log from start on.
func (c *Client) log(ctx context.Context, path string, start int) ([]string, error) {
	var entries []struct {
		N number `json:"n"`
		T string `json:"t"`
	}
	err := c.get(ctx, path+"/log", url.Values{"start": {fmt.Sprint(start)}, "limit": {"500"}}, &entries)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, e := range entries {
		if e.T == "no content" && len(entries) == 1 {
			break
		}
		lines = append(lines, e.T)
	}
	return lines, nil
}

func taskNode(upid string) (string, error) {
	parts := strings.Split(upid, ":")
	if len(parts) < 8 || parts[0] != "UPID" {
		return "", fmt.Errorf("%q is no task id", upid)
	}
	return parts[1], nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retry sends again what Proxmox refused without doing anything, such as a lock, until LockWait is
// over. What may have been done is never sent again before look has said that it was not done; without
// look it is not sent again at all.
func (c *Client) retry(ctx context.Context, send func() error, look func() (done bool, err error)) error {
	deadline := time.Now().Add(c.options.LockWait)
	for pause := 100 * time.Millisecond; ; pause = min(pause*2, 5*time.Second) {
		err := send()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrMaybeDone) && look != nil:
			done, lookErr := lookUntilSure(ctx, look)
			if lookErr != nil {
				return errors.Join(err, lookErr)
			}
			if done {
				return nil
			}
		case !isTransient(err):
			return err
		}
		if time.Now().After(deadline) {
			return err
		}
		if sleepErr := sleep(ctx, jitter(pause)); sleepErr != nil {
			return errors.Join(err, sleepErr)
		}
	}
}

// lookUntilSure looks whether a lost request was carried out. Since it may still be under way, only a
// look some time later says no.
func lookUntilSure(ctx context.Context, look func() (bool, error)) (bool, error) {
	for _, pause := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond} {
		if err := sleep(ctx, pause); err != nil {
			return false, err
		}
		done, err := look()
		if done || (err != nil && !isTransient(err)) {
			return done, err
		}
	}
	return false, nil
}

// task sends a request that starts a task, and follows it. look tells by the result whether a lost
// request was carried out.
func (c *Client) task(ctx context.Context, what string, progress Progress, send func(upid *string) error, look func() (bool, error)) error {
	return c.retry(ctx, func() error {
		var upid string
		if err := send(&upid); err != nil {
			return wrap(what, err)
		}
		return c.wait(ctx, what, upid, progress)
	}, look)
}

// tracked is task for what leaves nothing behind that would tell: a lost request is looked for among
// the node's tasks, by its kind and the id it works on, and followed if it is there.
func (c *Client) tracked(ctx context.Context, what, node, kind, id string, progress Progress, send func(upid *string) error) error {
	last, err := c.lastTask(ctx, node, kind, id)
	if err != nil {
		return wrap(what, err)
	}
	return c.task(ctx, what, progress, func(upid *string) error {
		err := send(upid)
		if *upid != "" {
			last = *upid
		}
		return err
	}, func() (bool, error) {
		now, err := c.lastTask(ctx, node, kind, id)
		if err != nil || now == last {
			return false, err
		}
		last = now
		if err = c.wait(ctx, what, now, progress); isTransient(err) {
			return false, nil // it ran, and did nothing
		}
		return err == nil, err
	})
}

// lastTask gives the newest task of a kind on a VM or file, or "".
func (c *Client) lastTask(ctx context.Context, node, kind, id string) (string, error) {
	var rows []struct {
		UPID  string `json:"upid"`
		ID    string `json:"id"`
		Start number `json:"starttime"`
	}
	query := url.Values{"typefilter": {kind}, "source": {"all"}, "limit": {"200"}}
	if _, err := strconv.Atoi(id); err == nil {
		query.Set("vmid", id)
	}
	if err := c.get(ctx, "/nodes/"+url.PathEscape(node)+"/tasks", query, &rows); err != nil {
		return "", err
	}
	newest, start := "", number(-1)
	for _, r := range rows {
		if r.ID == id && (r.Start > start || r.Start == start && r.UPID > newest) {
			newest, start = r.UPID, r.Start
		}
	}
	return newest, nil
}

func wrap(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }
