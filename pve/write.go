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

// Clone says how a machine is made from a template or another machine.
type Clone struct {
	SourceNode  string
	Source      int
	ID          int
	Name        string
	Storage     string // "" keeps the source's, as a linked clone where it is a template
	Full        bool
	Target      string // node; "" for the source's
	Description string
}

// Clone makes a machine. After a lost answer it looks for the machine before it would ask again, so
// that none is made twice.
func (c *Client) Clone(ctx context.Context, o Clone, progress Progress) error {
	what := fmt.Sprintf("cloning VM %d to %d (%s)", o.Source, o.ID, o.Name)
	release, err := c.clones.take(ctx, o.SourceNode+"/"+o.Storage)
	if err != nil {
		return err
	}
	defer release()
	params := map[string]any{"newid": o.ID, "name": o.Name}
	if o.Full {
		params["full"] = 1
		if o.Storage != "" {
			params["storage"] = o.Storage
		}
	}
	if o.Target != "" && o.Target != o.SourceNode {
		params["target"] = o.Target
	}
	if o.Description != "" {
		params["description"] = o.Description
	}
	node := o.Target
	if node == "" {
		node = o.SourceNode
	}
	return c.make(ctx, what, node, o.ID, o.Name, progress, func(upid *string) error {
		return c.post(ctx, vmPath(o.SourceNode, o.Source)+"/clone", params, upid)
	})
}

// make sends a request that makes a machine. One that is there already, under the name that it is to
// have, was made by an earlier request of which no answer came; under another name, the id was taken.
func (c *Client) make(ctx context.Context, what, node string, id int, name string, progress Progress, send func(upid *string) error) error {
	look := func() (bool, error) { return c.made(ctx, node, id, name) }
	err := c.task(ctx, what, progress, send, look)
	if !IsAlreadyExists(err) {
		return err
	}
	done, lookErr := lookUntilSure(ctx, look)
	switch {
	case lookErr != nil:
		return wrap(what, lookErr)
	case !done:
		return err
	}
	return nil
}

// made reports whether the machine is there, waiting for one that is being made.
func (c *Client) made(ctx context.Context, node string, id int, name string) (bool, error) {
	for {
		config, err := c.Config(ctx, node, id)
		switch {
		case IsNotFound(err):
			return false, c.elsewhere(ctx, node, id)
		case err != nil:
			return false, err
		case config["name"] == "" && config["lock"] != "":
			// its configuration is only just being written
		case config["name"] != name:
			return false, takenError(id, config["name"], node)
		case config["lock"] == "":
			return true, nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// elsewhere is an error if another node has a machine with this id.
func (c *Client) elsewhere(ctx context.Context, node string, id int) error {
	vms, err := c.VMs(ctx)
	if err != nil {
		return err
	}
	for _, vm := range vms {
		if vm.ID == id && vm.Node != node {
			return takenError(id, vm.Name, vm.Node)
		}
	}
	return nil
}

func takenError(id int, name, node string) error {
	return fmt.Errorf("VM id %d was taken meanwhile by %q on node %s", id, name, node)
}

// Create makes a machine from parameters as Proxmox has them.
func (c *Client) Create(ctx context.Context, node string, id int, params map[string]string, progress Progress) error {
	body := map[string]any{"vmid": id}
	for k, v := range params {
		body[k] = v
	}
	return c.make(ctx, fmt.Sprintf("creating VM %d", id), node, id, params["name"], progress, func(upid *string) error {
		return c.post(ctx, "/nodes/"+url.PathEscape(node)+"/qemu", body, upid)
	})
}

// Configure sets and deletes keys of a machine's configuration, at once or not at all. With a digest
// it is refused if someone else has changed the configuration since it was read.
func (c *Client) Configure(ctx context.Context, node string, id int, set map[string]string, remove []string, digest string) error {
	params := map[string]any{}
	for k, v := range set {
		params[k] = v
	}
	if len(remove) > 0 {
		params["delete"] = strings.Join(remove, ",")
	}
	if digest != "" {
		params["digest"] = digest
	}
	what := fmt.Sprintf("configuring VM %d", id)
	return c.retry(ctx, func() error {
		if err := c.put(ctx, vmPath(node, id)+"/config", params, nil); err != nil {
			return wrap(what, err)
		}
		return nil
	}, func() (bool, error) {
		config, err := c.Config(ctx, node, id)
		if err != nil {
			return false, err
		}
		// Sending it again is harmless unless the digest says otherwise: then someone, most likely the
		// lost request itself, has changed the configuration.
		return digest != "" && config["digest"] != digest, nil
	})
}

// Resize grows a disk to bytes. Proxmox refuses to shrink one.
func (c *Client) Resize(ctx context.Context, node string, id int, disk string, bytes int64, progress Progress) error {
	size := fmt.Sprintf("%d", bytes)
	if bytes%(1<<30) == 0 {
		size = fmt.Sprintf("%dG", bytes>>30)
	}
	return c.task(ctx, fmt.Sprintf("growing %s of VM %d to %s", disk, id, size), progress, func(upid *string) error {
		return c.put(ctx, vmPath(node, id)+"/resize", map[string]any{"disk": disk, "size": size}, upid)
	}, func() (bool, error) { return false, nil }) // an absolute size may be asked for again
}

// MoveDisk moves a disk to another storage and removes the old one.
func (c *Client) MoveDisk(ctx context.Context, node string, id int, disk, storage string, progress Progress) error {
	what := fmt.Sprintf("moving %s of VM %d to %s", disk, id, storage)
	return c.tracked(ctx, what, node, "qmmove", strconv.Itoa(id), progress, func(upid *string) error {
		return c.post(ctx, vmPath(node, id)+"/move_disk", map[string]any{"disk": disk, "storage": storage, "delete": 1}, upid)
	})
}

// power asks for a power state and waits until it is reached: on a machine under high availability
// the task only hands the wish on.
func (c *Client) power(ctx context.Context, node string, id int, verb, want string, params map[string]any, progress Progress) error {
	reached := func() (bool, error) {
		s, err := c.Status(ctx, node, id)
		return err == nil && s.Status == want, err
	}
	what := fmt.Sprintf("%s of VM %d", verb, id)
	err := c.task(ctx, what, progress, func(upid *string) error {
		return c.post(ctx, vmPath(node, id)+"/status/"+verb, params, upid)
	}, reached)
	return c.until(ctx, what, id, want, reached, err)
}

// until waits for a power state after a task has ended with err.
func (c *Client) until(ctx context.Context, what string, id int, want string, reached func() (bool, error), err error) error {
	if err != nil && !has(err, "already running", "not running") {
		return err
	}
	deadline := time.Now().Add(c.options.LockWait)
	for pause := 20 * time.Millisecond; ; pause = min(pause*2, time.Second) {
		ok, lookErr := reached()
		switch {
		case ok:
			return nil
		case lookErr != nil && !isTransient(lookErr):
			return lookErr
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("%s: VM %d is still not %s", what, id, want), err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Start boots a machine; one that runs already is left alone.
func (c *Client) Start(ctx context.Context, node string, id int, progress Progress) error {
	return c.power(ctx, node, id, "start", "running", nil, progress)
}

// Shutdown asks the guest to power off and waits for it. With hard, the plug is pulled at the timeout.
func (c *Client) Shutdown(ctx context.Context, node string, id int, timeout time.Duration, hard bool, progress Progress) error {
	params := map[string]any{"timeout": int(timeout.Seconds())}
	if hard {
		params["forceStop"] = 1
	}
	return c.power(ctx, node, id, "shutdown", "stopped", params, progress)
}

// Stop pulls the plug.
func (c *Client) Stop(ctx context.Context, node string, id int, progress Progress) error {
	return c.power(ctx, node, id, "stop", "stopped", nil, progress)
}

// Reboot shuts the guest down and starts it again, so that pending changes take effect.
func (c *Client) Reboot(ctx context.Context, node string, id int, timeout time.Duration, progress Progress) error {
	what := fmt.Sprintf("reboot of VM %d", id)
	err := c.tracked(ctx, what, node, "qmreboot", strconv.Itoa(id), progress, func(upid *string) error {
		return c.post(ctx, vmPath(node, id)+"/status/reboot", map[string]any{"timeout": int(timeout.Seconds())}, upid)
	})
	if err != nil {
		return err
	}
	return c.until(ctx, what, id, "running", func() (bool, error) {
		s, err := c.Status(ctx, node, id)
		return err == nil && s.Status == "running", err
	}, nil)
}

// Destroy removes a stopped machine with its disks, and what refers to it.
func (c *Client) Destroy(ctx context.Context, node string, id int, progress Progress) error {
	return c.task(ctx, fmt.Sprintf("destroying VM %d", id), progress, func(upid *string) error {
		err := c.delete(ctx, vmPath(node, id), url.Values{"purge": {"1"}, "destroy-unreferenced-disks": {"1"}}, upid)
		if IsNotFound(err) {
			return nil
		}
		return err
	}, func() (bool, error) {
		_, err := c.Config(ctx, node, id)
		if IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

// Snapshots lists the names of a machine's snapshots.
func (c *Client) Snapshots(ctx context.Context, node string, id int) ([]string, error) {
	var rows []struct {
		Name string `json:"name"`
	}
	if err := c.get(ctx, vmPath(node, id)+"/snapshot", nil, &rows); err != nil {
		return nil, fmt.Errorf("listing the snapshots of VM %d: %w", id, err)
	}
	var names []string
	for _, r := range rows {
		if r.Name != "current" {
			names = append(names, r.Name)
		}
	}
	return names, nil
}

// Snapshot keeps the machine's disks as they are now.
func (c *Client) Snapshot(ctx context.Context, node string, id int, name, description string, progress Progress) error {
	params := map[string]any{"snapname": name}
	if description != "" {
		params["description"] = description
	}
	return c.task(ctx, fmt.Sprintf("snapshot %s of VM %d", name, id), progress, func(upid *string) error {
		return c.post(ctx, vmPath(node, id)+"/snapshot", params, upid)
	}, func() (bool, error) {
		names, err := c.Snapshots(ctx, node, id)
		for _, n := range names {
			if n == name {
				return true, err
			}
		}
		return false, err
	})
}

// Rollback brings the machine back to a snapshot.
func (c *Client) Rollback(ctx context.Context, node string, id int, name string, progress Progress) error {
	what := fmt.Sprintf("rolling VM %d back to %s", id, name)
	return c.tracked(ctx, what, node, "qmrollback", strconv.Itoa(id), progress, func(upid *string) error {
		return c.post(ctx, vmPath(node, id)+"/snapshot/"+url.PathEscape(name)+"/rollback", nil, upid)
	})
}

// Download lets the node fetch a file to one of its storages.
func (c *Client) Download(ctx context.Context, node, storage, content, filename, from, checksum string, progress Progress) error {
	params := map[string]any{"content": content, "filename": filename, "url": from}
	if algorithm, sum, ok := strings.Cut(checksum, ":"); ok {
		params["checksum-algorithm"], params["checksum"] = algorithm, sum
	}
	return c.tracked(ctx, "downloading "+from, node, "download", filename, progress, func(upid *string) error {
		return c.post(ctx, fmt.Sprintf("/nodes/%s/storage/%s/download-url", url.PathEscape(node), url.PathEscape(storage)), params, upid)
	})
}

// StorageHas reports whether a storage holds a volume of this content type and file name.
func (c *Client) StorageHas(ctx context.Context, node, storage, content, filename string) (bool, error) {
	var rows []struct {
		Volid string `json:"volid"`
	}
	path := fmt.Sprintf("/nodes/%s/storage/%s/content", url.PathEscape(node), url.PathEscape(storage))
	if err := c.get(ctx, path, url.Values{"content": {content}}, &rows); err != nil {
		return false, err
	}
	for _, r := range rows {
		if r.Volid == storage+":"+content+"/"+filename {
			return true, nil
		}
	}
	return false, nil
}
