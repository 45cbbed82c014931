package pve

import (
	"context"
	"fmt"
	"strings"
)

// MakeTemplate turns a stopped machine into a template, for good.
func (c *Client) MakeTemplate(ctx context.Context, node string, id int, progress Progress) error {
	return c.task(ctx, fmt.Sprintf("making VM %d a template", id), progress, func(upid *string) error {
		return c.post(ctx, vmPath(node, id)+"/template", nil, upid)
	}, func() (bool, error) {
		config, err := c.Config(ctx, node, id)
		return err == nil && config["template"] == "1", err
	})
}

// LinkedTo tells whether a machine's disks are linked to those of the template: such a disk is named
// STORAGE:base-TEMPLATE-disk-0/vm-ID-disk-0 (Proxmox's storage documentation, "linked clone").
func (c Config) LinkedTo(template int) bool {
	base := fmt.Sprintf("base-%d-disk-", template)
	for key, v := range c {
		if _, volume, ok := strings.Cut(v, ":"); ok && key != "description" && strings.Contains(volume, base) && strings.Contains(volume, "/vm-") {
			return true
		}
	}
	return false
}
